"""The writing end of the store: takes spans and rows from any thread, commits them on a thread of its own.

On the caller's side an ended span costs a look at its attributes' lengths and an append; reading, encoding,
compressing and writing it happen on the writer's thread, at most `commit_interval_s` and one commit later.
Nothing on the caller's side waits for a lock, blocks or raises, also not inside a finalizer or a signal handler.
While nothing is handed over, nothing wakes up.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from otel_llm import drops, threads
from otel_llm.store import forks, intake
from otel_llm.store.dropped import Dropped
from otel_llm.store.retention import Retention
from otel_llm.store.rows import LogRow, PointRow, SeriesRow

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_llm.store.committer import Committer

_UNOPENED_BYTES: Final = 16 << 20
"""What may wait while not even a file could be made: it is unlikely that one ever can, so hold little."""


class _Ticket:
    """One wait for everything that was handed over before it."""

    __slots__ = ("closing", "done", "ok")

    def __init__(self, closing: bool) -> None:
        self.closing = closing
        self.done = threading.Event()
        self.ok = False


class StoreWriter:
    """Writes one process's spans, metric points, log records and step series to a file of its own.

    Args:
        directory: the run directory; made when the first thing is written.
        max_queue_bytes: what may wait to be written; above it new things are dropped and counted.
        commit_interval_s: how long the first thing waits for company before a commit.
        retention: which old files to remove; None keeps all.
        resource: what describes this process, for rows that do not say.
        meta: facts about the process, kept in the file.
        open_after_s: spans that have been open for so long are written as open; default: the commit interval.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        max_queue_bytes: int = 256 << 20,
        commit_interval_s: float = 0.05,
        retention: Retention | None = None,
        resource: Mapping[str, Any] | None = None,
        meta: Mapping[str, str] | None = None,
        open_after_s: float | None = None,
    ) -> None:
        self.directory = Path(directory)
        self._max_bytes = max_queue_bytes
        self._interval_s = commit_interval_s
        self._open_after_s = commit_interval_s if open_after_s is None else open_after_s
        self._retention = retention or Retention()
        self._resource = dict(resource or {})
        self._meta = dict(meta or {})
        self._reset()
        forks.watch(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._intake = intake.Intake(self._max_bytes)
        self._awake = False
        self._closed = False  # nothing more is taken
        self._finished = False  # nothing more is written
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._tickets: deque[_Ticket] = deque()
        # Re-entrant, because a signal handler may flush on a thread that is just writing.
        self._io = threading.RLock()
        self._start_lock = threading.Lock()
        self._thread: threads.Worker | None = None
        self._committer: Committer | None = None
        self._dropped = Dropped()

    # --- taking: any thread ---------------------------------------------------------------------------

    def started(self, span: ReadableSpan) -> None:
        """Remember a span that started; if it is still open after a while, it is written as open."""
        try:
            if self._pid != os.getpid():
                self.after_fork_in_child()
            self._intake.started(span)
            if not self._awake:
                self._wake()
        except Exception:
            drops.internal_error("store: a span's start")

    def ended(self, span: ReadableSpan, extra: Mapping[str, Any] | None = None) -> None:
        """Take a span that ended.

        Args:
            span: as span processors get it; its attributes no longer change.
            extra: content that only the store keeps; it is read back among the attributes.
        """
        try:
            if self._pid != os.getpid():
                self.after_fork_in_child()
            if self._closed or not self._intake.ended(span, extra):
                self._dropped.count("span", self._reason())
            elif not self._awake:
                self._wake()
        except Exception:
            drops.internal_error("store: a span's end")

    def points(self, rows: Iterable[PointRow]) -> None:
        """Take metric points."""
        self._take("point", rows)

    def logs(self, rows: Iterable[LogRow]) -> None:
        """Take log records."""
        self._take("log", rows)

    def series(self, rows: Iterable[SeriesRow]) -> None:
        """Take scalars of a training run."""
        self._take("series", rows)

    def _take(self, what: str, rows: Iterable[Any]) -> None:
        try:
            taken = list(rows)
            if taken:
                self._put(what, taken, len(taken), sum(intake.row_bytes(row) for row in taken))
        except Exception:
            drops.internal_error(f"store: taking a {what}")

    def delivered(self, sink: str, spans: Iterable[tuple[bytes, bytes]]) -> None:
        """Note that a sink has taken spans, so that a replay sends it the rest.

        Args:
            sink: the sink's name.
            spans: trace id (16 bytes) and span id (8 bytes) of each.
        """
        try:
            keys = intake.packed_keys(spans)
            if keys:
                self._put("delivered", (sink, keys), len(keys) // 8, len(keys) + 64)
        except Exception:
            drops.internal_error("store: delivered spans")

    def _put(self, what: str, rows: Any, count: int, size: int) -> None:
        if self._pid != os.getpid():
            self.after_fork_in_child()
        if self._closed or not self._intake.rows(what, rows, count, size):
            self._dropped.count(what, self._reason(), count)
        elif not self._awake:
            self._wake()

    def _reason(self) -> str:
        if self._closed:
            return "store_closed"
        committer = self._committer
        return (None if committer is None else committer.trouble.reason) or "store_queue_full"

    def _wake(self) -> None:
        self._awake = True
        if self._thread is not None or self._start():
            self._tokens.put(False)

    def _start(self) -> bool:
        # Not under a blocking lock: a finalizer may come here while this very thread is starting the writer.
        if not self._start_lock.acquire(blocking=False):
            return True  # somebody else does
        try:
            if self._thread is None:
                self._thread = threads.start(self._work, "otel_llm-store")
        except RuntimeError:
            # No more threads to be had: the next one tries again. Or the interpreter is shutting down; `flush` and
            # `close` then write on their caller's thread.
            self._awake = False
        finally:
            self._start_lock.release()
        return self._thread is not None

    # --- waiting: any thread --------------------------------------------------------------------------

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything that was handed over before is committed.

        Spans that are open, and have been for a commit interval, are committed as open.

        Returns:
            Whether that was so within `timeout_s` seconds.
        """
        if self._pid != os.getpid():
            self.after_fork_in_child()
        if self._closed or (self._thread is None and not self._intake):
            return True
        return self._ask(timeout_s, closing=False)

    def close(self, timeout_s: float) -> bool:
        """Commit everything that was handed over, then close the file; what comes later is dropped and counted.

        Returns:
            Whether everything was committed and the file closed within `timeout_s` seconds.
        """
        if self._pid != os.getpid():
            self.after_fork_in_child()
        if self._closed:
            return True
        deadline = time.monotonic() + timeout_s
        self._closed = True
        if self._thread is None and not self._intake:
            return True
        done = self._ask(timeout_s, closing=True)
        if self._committer is not None:
            self._committer.sweeper.join(min(1.0, max(0.0, deadline - time.monotonic())))
        return done

    def _ask(self, timeout_s: float, *, closing: bool) -> bool:
        ticket = _Ticket(closing)
        self._tickets.append(ticket)
        if self._thread is None:
            self._start()
        thread = self._thread
        if thread is None or not thread.is_alive() or threads.is_current(thread):
            if self._io.acquire(timeout=max(0.0, timeout_s)):
                try:
                    self._cycle(urgent=True)
                finally:
                    self._io.release()
            return ticket.ok
        self._tokens.put(True)
        ticket.done.wait(max(0.0, timeout_s))
        return ticket.ok

    @property
    def path(self) -> Path | None:
        """The file that is being written, None before the first commit and after `close`."""
        committer = self._committer
        return None if committer is None else committer.path

    @property
    def degraded(self) -> str | None:
        """Why the store cannot be written right now, None if it can."""
        committer = self._committer
        return None if committer is None else committer.trouble.message

    @property
    def stats(self) -> dict[str, Any]:
        """What happened so far.

        Returns:
            `written` (counts by kind), `dropped` (counts by reason), `queued_bytes`, `file`, `degraded`.
        """
        committer = self._committer
        return {
            "written": {} if committer is None else dict(committer.written),
            "dropped": dict(self._dropped.reasons),
            "queued_bytes": self._intake.nbytes,
            "file": None if self.path is None else str(self.path),
            "degraded": self.degraded,
        }

    # --- forks ----------------------------------------------------------------------------------------

    def locks(self) -> Sequence[forks.Lock]:
        """Return what is held while SQLite is at work."""
        committer = self._committer
        return [self._io] if committer is None else [self._io, committer.sweeper.busy]

    def after_fork_in_child(self) -> None:
        """Start afresh in a forked child: the parent still has, and will write, what waits here.

        The parent's connection is forgotten without being closed.
        """
        if self._pid == os.getpid():
            return
        if self._committer is not None:
            forks.keep_forever(self._committer.abandon())
        closed = self._closed
        self._reset()
        self._closed = closed

    # --- the writer's thread --------------------------------------------------------------------------

    def _work(self) -> None:
        tokens = self._tokens
        while True:
            urgent = self._pause(tokens)
            with self._io:
                try:
                    self._cycle(urgent)
                except Exception:
                    drops.internal_error("store")
                if self._finished:
                    return

    def _pause(self, tokens: SimpleQueue[bool]) -> bool:
        """Sleep until there is something to do; returns whether somebody waits for it."""
        urgent = _get(tokens, self._due_at())
        if urgent is None:
            return False
        until = time.monotonic() + self._interval_s
        if self._committer is not None:
            until = max(until, self._committer.trouble.retry_at)
        while not urgent:
            woken = _get(tokens, until)
            if woken is None:
                break
            urgent = woken
        return urgent

    def _due_at(self) -> float | None:
        """When to wake up without being woken, in monotonic seconds; None while idle."""
        committer = self._committer
        if committer is not None and committer.trouble.message is not None:
            return committer.trouble.retry_at if self._intake else None
        due = [] if committer is None or committer.checkpoint_at is None else [committer.checkpoint_at]
        if (since := self._intake.oldest_start()) is not None:
            due.append(since + self._open_after_s)
        return min(due, default=None)

    def _cycle(self, urgent: bool) -> None:
        """Commit what waits, in batches, then answer those who wait for it."""
        tickets = [self._tickets.popleft() for _ in range(len(self._tickets))]
        self._awake = False  # before the queues are read: what comes from now on wakes us again
        ok = False
        try:
            committer = self._ready()
            if urgent or committer.trouble.is_over(time.monotonic()):
                ok = self._commit_all(committer, self._interval_s if tickets else self._open_after_s)
                # While no file could be made yet, hold little.
                hopeless = not ok and not committer.files
                self._intake.limit = min(self._max_bytes, _UNOPENED_BYTES) if hopeless else self._max_bytes
            if ok:
                committer.checkpoint_if_due(time.monotonic())
            if any(ticket.closing for ticket in tickets):
                self._finished = True
                committer.close()
                for what, n in self._intake.clear():
                    self._dropped.count(what, committer.trouble.reason or "store_closed", n)
        finally:
            for ticket in tickets:
                ticket.ok = ok
                ticket.done.set()

    def _ready(self) -> Committer:
        if self._committer is None:
            # Imported here: SQLite, zstandard and orjson cost a program that writes nothing nothing.
            from otel_llm.store.committer import Committer

            given = self._retention, self._resource, self._meta
            self._committer = Committer(self.directory, *given, self._dropped.count)
        return self._committer

    def _commit_all(self, committer: Committer, open_age_s: float) -> bool:
        from otel_llm.store.database import Batch

        spans, rows = self._intake.waiting()
        opened = self._intake.take_open(open_age_s)
        while spans or rows or opened:
            taken = self._intake.take(spans, rows)
            spans -= len(taken[0])
            rows -= len(taken[1])
            batch = Batch(opened=opened, meta=self._dropped.news())
            intake.fill(batch, taken)
            if not committer.write(batch):
                self._intake.give_back(taken, opened)
                self._dropped.tell_again()
                return False
            self._intake.settle(taken)
            opened = []
        return True


def _get(tokens: SimpleQueue[bool], until: float | None) -> bool | None:
    """Wait for a token until a monotonic time; None if there was none."""
    try:
        return tokens.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
    except Empty:
        return None
