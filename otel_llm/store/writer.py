"""The writing end of the store: takes spans and rows from any thread, commits them on a thread of its own.

On the caller's side an ended span costs a look at its attributes' lengths and an append; reading, encoding,
compressing and writing it happen here, at most `commit_interval_s` and one commit later. Nothing on the caller's
side takes a lock, blocks or raises, also not inside a finalizer or signal handler. While nothing is handed over,
nothing wakes up.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from otel_llm import drops
from otel_llm.store.retention import Retention, Sweeper
from otel_llm.store.rows import LogRow, PointRow, SeriesRow
from otel_llm.store.trouble import Trouble

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_llm.store.database import Batch, Database

_SPAN_BYTES: Final = 1024
"""What a span keeps alive besides its texts, about."""

_ATTRIBUTE_BYTES: Final = 64
_ROW_BYTES: Final = 512
_BATCH_SPANS: Final = 2048
_BATCH_BYTES: Final = 16 << 20
_UNOPENED_BYTES: Final = 16 << 20
"""What may wait while not even a file could be made: it is unlikely that one ever can, so hold little."""

IDLE_CHECKPOINT_S: Final = 2.0
_FORK_WAIT_S: Final = 0.5
_MAX_OPEN: Final = 1 << 20


class _Ticket:
    """One wait for everything that was handed over before it."""

    __slots__ = ("done", "ok")

    def __init__(self) -> None:
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
        self._inherited: list[object] = []
        self._reset()
        _watch_forks(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._queue: deque[tuple[ReadableSpan, Mapping[str, Any] | None, int]] = deque()
        self._rows: deque[tuple[str, Any, int]] = deque()
        # Added to by callers and set by the writer, without a lock; set right whenever the queue runs empty.
        self._bytes = 0
        self._open: dict[int, None] = {}
        self._started: deque[tuple[float, ReadableSpan]] = deque()
        self._awake = False
        self._closed = False
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._tickets: deque[_Ticket] = deque()
        self._io = threading.RLock()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._database: Database | None = None
        self._writer_id = ""
        self._files = 0
        self._file_since = 0.0
        self._checkpoint_at: float | None = None
        self._trouble = Trouble(self.directory)
        self._sweeper = Sweeper(self.directory, self._retention)
        self._limit = self._max_bytes
        self._written: dict[str, int] = {"span": 0, "open_span": 0, "point": 0, "log": 0, "series": 0}
        self._dropped: dict[str, int] = {}
        self._told_dropped: dict[str, int] = {}

    # --- taking: any thread ---------------------------------------------------------------------------

    def started(self, span: ReadableSpan) -> None:
        """Remember a span that started; if it is still open after a while, it is written as open."""
        try:
            if self._pid != os.getpid():
                self.after_fork_in_child()
            if len(self._open) >= _MAX_OPEN:
                return  # a program that never ends its spans
            self._open[span._context.span_id] = None  # type: ignore[union-attr]
            self._started.append((time.monotonic(), span))
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
            # The private names spare a mapping proxy and a lock for each of some twenty looks.
            self._open.pop(span._context.span_id, None)  # type: ignore[union-attr]
            attributes = span._attributes
            size = _SPAN_BYTES
            for value in getattr(attributes, "_dict", attributes).values():  # type: ignore[union-attr]
                size += len(value) if type(value) is str else _ATTRIBUTE_BYTES
            if extra:
                size += sum(len(v) for v in extra.values() if type(v) is str)
        except Exception:
            size = self._size_otherwise(span)
            if not size:
                return
        if self._bytes + size > self._limit or self._closed:
            self._drop("span", "store_closed" if self._closed else self._trouble.reason or "store_queue_full")
            return
        self._bytes += size
        self._queue.append((span, extra, size))
        if not self._awake:
            self._wake()

    def _size_otherwise(self, span: ReadableSpan) -> int:
        """Size a span that is not the SDK's own; 0 for one that cannot be stored."""
        try:
            context = span.get_span_context()
            if context is None:
                return 0
            self._open.pop(context.span_id, None)
            return _SPAN_BYTES + sum(len(v) for v in (span.attributes or {}).values() if isinstance(v, str))
        except Exception:
            drops.internal_error("store: a span's end")
            return 0

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
            if not taken:
                return
            size = sum(_row_bytes(row) for row in taken)
            self._put(what, taken, size, len(taken))
        except Exception:
            drops.internal_error(f"store: taking a {what}")

    def delivered(self, sink: str, spans: Iterable[tuple[bytes, bytes]]) -> None:
        """Note that a sink has taken spans, so that a replay sends it the rest.

        Args:
            sink: the sink's name.
            spans: trace id (16 bytes) and span id (8 bytes) of each.
        """
        try:
            from otel_llm.store.database import packed_keys

            keys = packed_keys(spans)
            if keys:
                self._put("delivered", (sink, keys), len(keys) + 64, 0)
        except Exception:
            drops.internal_error("store: delivered spans")

    def _put(self, what: str, item: Any, size: int, count: int) -> None:
        if self._pid != os.getpid():
            self.after_fork_in_child()
        if self._bytes + size > self._limit or self._closed:
            self._drop(
                what, "store_closed" if self._closed else self._trouble.reason or "store_queue_full", count or 1
            )
            return
        self._bytes += size
        self._rows.append((what, item, size))
        if not self._awake:
            self._wake()

    def _drop(self, what: str, reason: str, n: int = 1) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + n
        drops.count(what, reason, n)

    def _wake(self) -> None:
        self._awake = True
        if self._thread is None:
            self._start()
        self._tokens.put(False)

    def _start(self) -> None:
        # Not under a blocking lock: a finalizer may come here while this very thread is starting the writer.
        if not self._start_lock.acquire(blocking=False):
            return
        try:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._work, name="otel_llm-store", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            pass  # the interpreter is shutting down; `flush` and `close` then write on their caller's thread
        finally:
            self._start_lock.release()

    # --- waiting: any thread --------------------------------------------------------------------------

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything that was handed over before is committed.

        Spans that are open, and have been for a commit interval, are committed as open.

        Returns:
            Whether that was so within `timeout_s` seconds.
        """
        if self._pid != os.getpid():
            self.after_fork_in_child()
        if self._closed or (self._thread is None and not self._queue and not self._rows and not self._started):
            return True
        return self._ask(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Commit everything that was handed over, then close the file; what comes later is dropped and counted.

        Returns:
            Whether everything was committed and the file closed within `timeout_s` seconds.
        """
        if self._pid != os.getpid():
            self.after_fork_in_child()
        if self._closed:
            return True
        self._closed = True
        if self._thread is None and not self._queue and not self._rows:
            return True
        return self._ask(timeout_s)

    def _ask(self, timeout_s: float) -> bool:
        ticket = _Ticket()
        self._tickets.append(ticket)
        if self._thread is None:
            self._start()
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return self._ask_here(timeout_s, ticket)
        self._tokens.put(True)
        ticket.done.wait(max(0.0, timeout_s))
        return ticket.ok

    def _ask_here(self, timeout_s: float, ticket: _Ticket) -> bool:
        if not self._io.acquire(timeout=max(0.0, timeout_s)):
            return False
        try:
            self._cycle(urgent=True)
        finally:
            self._io.release()
        return ticket.ok

    @property
    def path(self) -> Path | None:
        """The file that is being written, None before the first commit."""
        database = self._database
        return None if database is None else database.path

    @property
    def degraded(self) -> str | None:
        """Why the store cannot be written right now, None if it can."""
        return self._trouble.message

    @property
    def stats(self) -> dict[str, Any]:
        """What happened so far.

        Returns:
            `written` (counts by kind), `dropped` (counts by reason), `queued_bytes`, `file`, `degraded`.
        """
        return {
            "written": dict(self._written),
            "dropped": dict(self._dropped),
            "queued_bytes": self._bytes,
            "file": None if self.path is None else str(self.path),
            "degraded": self.degraded,
        }

    def after_fork_in_child(self) -> None:
        """Start afresh in a forked child: the parent still has, and will write, what waits here.

        The parent's connection is forgotten without being closed: closing it would end the parent's locks in
        this copy of SQLite's books, and could remove the write-ahead log under the parent's feet.
        """
        if self._pid == os.getpid():
            return
        if self._database is not None:
            self._inherited.append(_keep_forever(self._database.abandon()))
        closed = self._closed
        self._reset()
        self._closed = closed

    # --- the writer's thread --------------------------------------------------------------------------

    def _work(self) -> None:
        tokens = self._tokens
        while True:
            urgent = self._pause(tokens)
            if tokens is not self._tokens:
                return  # a fork took us along in name only
            with self._io:
                try:
                    self._cycle(urgent)
                except Exception:
                    drops.internal_error("store")
                if self._closed and not self._tickets:
                    return

    def _pause(self, tokens: SimpleQueue[bool]) -> bool:
        """Sleep until there is something to do; returns whether somebody waits for it."""
        urgent = _get(tokens, self._due_at())
        if urgent is None:
            return False
        until = max(time.monotonic() + self._interval_s, self._trouble.retry_at)
        while not urgent:
            woken = _get(tokens, until)
            if woken is None:
                break
            urgent = woken
        return urgent

    def _due_at(self) -> float | None:
        """When to wake up without being woken, in monotonic seconds; None while idle."""
        if self._trouble.message is not None:
            return self._trouble.retry_at if self._waiting() else None
        due = self._checkpoint_at
        if self._started:
            opened = self._started[0][0] + self._open_after_s
            due = opened if due is None else min(due, opened)
        return due

    def _waiting(self) -> bool:
        return bool(self._queue or self._rows or self._started)

    def _cycle(self, urgent: bool) -> None:
        """Commit what waits, in batches, then answer those who wait for it."""
        tickets = [self._tickets.popleft() for _ in range(len(self._tickets))]
        self._awake = False  # before the queues are read: what comes from now on wakes us again
        ok = False
        try:
            if urgent or self._trouble.is_over(time.monotonic()):
                ok = self._commit_all(flushing=bool(tickets))
            if ok and self._checkpoint_due():
                self._checkpoint()
            if self._closed:
                self._close_database()
        finally:
            for ticket in tickets:
                ticket.ok = ok
                ticket.done.set()

    def _commit_all(self, *, flushing: bool) -> bool:
        spans, rows = len(self._queue), len(self._rows)
        opened = self._still_open(self._interval_s if flushing else self._open_after_s)
        while spans > 0 or rows > 0 or opened:
            batch, taken, taken_rows = self._collect(spans, rows)
            batch.opened, opened = opened, []
            spans -= len(taken)
            rows -= len(taken_rows)
            if not self._commit(batch):
                self._queue.extendleft(reversed(taken))
                self._rows.extendleft(reversed(taken_rows))
                now = time.monotonic()
                self._started.extendleft((now, span) for span in batch.opened)
                return False
            self._bytes -= sum(item[2] for item in taken) + sum(item[2] for item in taken_rows)
            if not self._queue and not self._rows:
                self._bytes = 0
        return True

    def _still_open(self, age_s: float) -> list[ReadableSpan]:
        """Take the spans that started `age_s` seconds ago or earlier and have not ended."""
        started, open_ = self._started, self._open
        before = time.monotonic() - age_s
        found = []
        while started:
            since, span = started[0]
            context = span.get_span_context()
            is_open = context is not None and context.span_id in open_
            if is_open and since > before:
                break
            started.popleft()
            if is_open:
                found.append(span)
        return found

    def _collect(self, spans: int, rows: int) -> tuple[Batch, list[Any], list[Any]]:
        from otel_llm.store.database import Batch

        batch = Batch()
        taken, taken_rows, size = [], [], 0
        for _ in range(min(spans, _BATCH_SPANS)):
            item = self._queue.popleft()
            taken.append(item)
            size += item[2]
            if size > _BATCH_BYTES:
                break
        batch.ended = [(span, extra) for span, extra, _ in taken]
        while len(taken_rows) < rows and size <= _BATCH_BYTES:
            item = self._rows.popleft()
            taken_rows.append(item)
            size += item[2]
            what, value, _ = item
            if what == "delivered":
                batch.delivered.append(value)
            else:
                {"point": batch.points, "log": batch.logs, "series": batch.series}[what].extend(value)
        if self._dropped != self._told_dropped:
            self._told_dropped = dict(self._dropped)
            batch.meta = {f"dropped.{reason}": str(n) for reason, n in self._dropped.items()}
        return batch, taken, taken_rows

    def _commit(self, batch: Batch) -> bool:
        """Write one batch; False if it is to be tried again later."""
        import sqlite3

        from otel_llm.store.schema import UnusableError

        try:
            failed = self._ready().write(batch)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            self._cannot_write(batch)
            return True
        except (sqlite3.Error, OSError, UnusableError) as error:
            self._trouble.happened(error, time.monotonic())
            self._limit = self._max_bytes if self._files else min(self._max_bytes, _UNOPENED_BYTES)
            self._give_up_file(error)
            return False
        except Exception:
            self._cannot_write(batch)
            return True
        self._trouble.gone()
        self._limit = self._max_bytes
        self._checkpoint_at = time.monotonic() + IDLE_CHECKPOINT_S
        if failed:
            self._drop("span", "store_unreadable_span", failed)
        written = self._written
        written["span"] += len(batch.ended) - failed
        written["open_span"] += len(batch.opened)
        written["point"] += len(batch.points)
        written["log"] += len(batch.logs)
        written["series"] += len(batch.series)
        return True

    def _cannot_write(self, batch: Batch) -> None:
        """Let go of a batch in which something cannot be written: holding it would stop all that follows."""
        drops.internal_error("store: writing")
        for what, items in (("span", batch.ended), ("point", batch.points), ("log", batch.logs), ("series", batch.series)):
            if items:
                self._drop(what, "store_internal_error", len(items))

    def _ready(self) -> Database:
        """Return the file to write to: the present one, or a new one if it is full, old, or was removed."""
        database = self._database
        if database is not None:
            if not database.is_in_place():
                drops.warn_once(
                    f"store-removed:{database.path}",
                    "otel_llm: the store's file %s was removed while it was written; going on with a new one",
                    database.path,
                )
                self._database = None
                database.close()
            elif self._sweeper.is_full(database.nbytes(), time.time() - self._file_since):
                return self._rotate(database)
            else:
                return database
        return self._new_database()

    def _new_database(self) -> Database:
        from otel_llm.store import schema
        from otel_llm.store.database import Database
        from otel_llm.version import VERSION

        self.directory.mkdir(parents=True, exist_ok=True)
        if not self._writer_id:
            self._writer_id = schema.new_writer_id()
        path = self.directory / schema.file_name(self._writer_id, self._files + 1)
        meta = {
            "version": VERSION,
            "pid": str(self._pid),
            "created_ns": str(time.time_ns()),
            **self._meta,
        }
        self._database = database = Database(path, self._resource, meta)
        self._files += 1
        self._file_since = time.time()
        self._sweeper.sweep(path.name)
        return database

    def _rotate(self, full: Database) -> Database:
        """Go on in a new file; spans that are open move over to it."""
        self._database = None
        try:
            database = self._new_database()
        except BaseException:
            self._database = full  # rather a file too large than none
            raise
        database.take_open(full)
        full.close()
        return database

    def _give_up_file(self, error: Exception) -> None:
        """Let go of a file that is damaged, or in which writing fails; keep one where only the disk is full.

        A file that never took anything is kept, or a broken disk would gather empty ones.
        """
        import sqlite3

        database = self._database
        broken = type(error) is sqlite3.DatabaseError or "i/o error" in str(error)
        if database is not None and broken and database.commits:
            self._database = None
            try:
                database.close()
            except sqlite3.Error:
                pass

    def _checkpoint_due(self) -> bool:
        return self._checkpoint_at is not None and time.monotonic() >= self._checkpoint_at

    def _checkpoint(self) -> None:
        self._checkpoint_at = None
        if self._database is not None:
            self._database.checkpoint()

    def _close_database(self) -> None:
        import sqlite3

        self._checkpoint_at = None
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except sqlite3.Error:
                pass
        while self._queue:
            self._queue.popleft()
            self._drop("span", self._trouble.reason or "store_closed")
        while self._rows:
            what, items, _ = self._rows.popleft()
            self._drop(what, self._trouble.reason or "store_closed", len(items))
        self._bytes = 0


def _get(tokens: SimpleQueue[bool], until: float | None) -> bool | None:
    """Wait for a token until a monotonic time; None if there was none."""
    try:
        return tokens.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
    except Empty:
        return None


def _row_bytes(row: PointRow | LogRow | SeriesRow) -> int:
    body = getattr(row, "body", None)
    return _ROW_BYTES + (len(body) if isinstance(body, str | bytes) else 0)


# --- fork ---------------------------------------------------------------------------------------------

_writers: weakref.WeakSet[StoreWriter] = weakref.WeakSet()
_held: list[Callable[[], None]] = []
_watching = False


def _watch_forks(writer: StoreWriter) -> None:
    global _watching
    _writers.add(writer)
    if not _watching and hasattr(os, "register_at_fork"):
        _watching = True
        os.register_at_fork(before=_before_fork, after_in_parent=_release, after_in_child=_after_fork_in_child)


def _before_fork() -> None:
    # No thread may be inside SQLite at the fork: its locks, copied while held, would stay locked in the child.
    for writer in list(_writers):
        if writer._io.acquire(timeout=_FORK_WAIT_S):
            _held.append(writer._io.release)


def _release() -> None:
    while _held:
        _held.pop()()


def _after_fork_in_child() -> None:
    _held.clear()
    for writer in list(_writers):
        writer.after_fork_in_child()


def _keep_forever(thing: object) -> object:
    """Keep `thing` from ever being finalized, also when the interpreter ends."""
    try:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    except Exception:
        drops.internal_error("store: keeping the parent's connection")
    return thing
