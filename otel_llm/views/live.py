"""Sinks inside the program: one queue bounded by bytes and one thread a sink; nothing here blocks or raises.

The program's side appends to a deque and wakes the thread. Making rows, and all that the sink does, happens on the
thread, also its set-up. What does not fit is dropped and counted; the store still has it, and `replay` completes the
sink. In a forked child a sink is closed: it is the parent's.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from otel_llm import drops, threads
from otel_llm.views.feeding import Book, Feed
from otel_llm.views.items import stored
from otel_llm.views.mapping import Mapper, Taken
from otel_llm.views.model import KINDS, SPANS, Sink, SinkFactory, SinkOptions

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

MAX_QUEUE_BYTES: Final = 256 << 20
_SPAN_BYTES: Final = 2048
_ROW_BYTES: Final = 512
_FIRST_BACKOFF_S: Final = 0.5
_LAST_BACKOFF_S: Final = 30.0
_RETRY_SHARE: Final = 0.3
"""Of the time to close in, so much is for a sink that does not take what waits; the rest is for its own end."""

_MAX_EXTRAS: Final = 1 << 16
_LARGE: Final = 1024

_ALSO: Final = "settled elsewhere"


class LiveSink:
    """Feeds one sink from inside the program.

    Args:
        name: the sink's name, for counts and the thread.
        factory: makes the sink; called on the thread.
        max_bytes: what may wait.
    """

    def __init__(self, name: str, factory: SinkFactory, *, max_bytes: int = MAX_QUEUE_BYTES) -> None:
        self.name = name
        self.book: Book | None = None
        """The local store, for its book of what was delivered. To be set before the first thing is taken."""
        self.store: Path | None = None
        self.close_timeout_s = 10.0
        self.users = 0
        self.problem: str | None = None
        self._factory = factory
        self._max_bytes = max_bytes
        self._queue: deque[tuple[str, Sequence[Any], int]] = deque()
        self._extras: OrderedDict[tuple[int, int], Mapping[str, Any]] = OrderedDict()
        self._nbytes = 0
        self._taken = 0
        self._done = 0
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._awake = False
        self._flushes: deque[tuple[float, threading.Event, list[bool]]] = deque()
        self._start_lock = threading.Lock()
        self._thread: threads.Worker | None = None
        self._feed: Feed | None = None
        self._closed = False
        self._stop_at: float | None = None
        self._retry_until = 0.0
        self._stopped = threading.Event()
        self._ok = True

    # --- any thread -----------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self._closed

    def spans(self, spans: Sequence[ReadableSpan]) -> bool:
        """Take spans that ended; False if they had to be dropped."""
        size = 0
        for span in spans:
            size += _SPAN_BYTES
            # The private name spares a mapping proxy and a lock for each look.
            attributes = getattr(span, "_attributes", None)
            for value in getattr(attributes, "_dict", attributes or {}).values():
                if type(value) is str and len(value) > _LARGE:
                    size += len(value)
        return self._put(SPANS, spans, size)

    def rows(self, kind: str, rows: Sequence[Any]) -> bool:
        """Take rows of a kind: points, series or logs; False if they had to be dropped."""
        return self._put(kind, rows, _ROW_BYTES * len(rows))

    def settled_elsewhere(self, _name: str, spans: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the ids of spans that the sink is not to get, also not by `replay`."""
        self._put(_ALSO, spans, 24 * len(spans))

    def attach_extra(self, trace_id: int, span_id: int, extra: Mapping[str, Any]) -> None:
        """Give content that only our own views get to a span that is about to end."""
        if not self._closed:
            self._extras[trace_id, span_id] = extra
            if len(self._extras) > _MAX_EXTRAS:
                self._extras.popitem(last=False)

    def _put(self, kind: str, rows: Sequence[Any], size: int) -> bool:
        try:
            if not rows:
                return True
            if self._closed or self._nbytes + size > self._max_bytes:
                reason = "closed" if self._closed else "queue_full"
                drops.count(_SINGULAR.get(kind, "key"), f"{self.name}_{reason}", len(rows))
                return False
            self._nbytes += size
            self._taken += 1
            self._queue.append((kind, rows, size))
            if not self._awake:
                self._wake()
            return True
        except Exception:
            drops.internal_error(f"sink {self.name}: taking")
            return False

    def _wake(self) -> None:
        self._awake = True
        if self._thread is not None or self._start():
            self._tokens.put(None)

    def _start(self) -> bool:
        if not self._start_lock.acquire(blocking=False):
            return True  # somebody else does
        try:
            if self._thread is None:
                self._thread = threads.start(self._work, f"otel_llm-{self.name}")
        except RuntimeError:
            # No more threads to be had: the next one tries again. Or the interpreter is shutting down: what waits is
            # in the store, and counted by `close`.
            self._awake = False
        finally:
            self._start_lock.release()
        return self._thread is not None

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything that was taken before is with the sink, and settled as far as it can be.

        Returns:
            Whether the sink took all of it within `timeout_s` seconds.
        """
        if self._closed or self._thread is None:
            return True
        asked = (time.monotonic() + timeout_s, threading.Event(), [False])
        self._flushes.append(asked)
        self._tokens.put(None)
        asked[1].wait(max(0.0, timeout_s))
        return asked[2][0]

    def close(self, timeout_s: float) -> bool:
        """Write what waits, within the time, and close the sink; what comes later is dropped and counted."""
        if self._closed:
            return self._ok
        self._retry_until = time.monotonic() + _RETRY_SHARE * timeout_s
        self._stop_at = time.monotonic() + timeout_s
        self._closed = True
        if self._thread is None:
            self._lose()
            return self._ok
        self._tokens.put(None)
        # A sink that hangs must not hold the program; it may still end by itself, the thread is a daemon.
        done = self._stopped.wait(max(0.05, timeout_s))
        if not done:
            self._ok = False
            self._lose()
            feed = self._feed
            if feed is not None and (unsure := feed.unsettled):
                drops.count("row", f"{self.name}_unsettled", unsure)
        return done and self._ok

    def _lose(self) -> None:
        while self._queue:
            kind, rows, _ = self._queue.popleft()
            if kind != _ALSO:
                self._ok = False
                drops.count(_SINGULAR[kind], f"{self.name}_unreachable", len(rows))

    def after_fork_in_child(self) -> None:
        """Close in a forked child: the parent has, and will write, what waits here."""
        self._closed = True
        self._queue.clear()
        self._extras.clear()
        self._thread = None
        feed, self._feed = self._feed, None
        if feed is not None:
            try:
                feed.sink.forget()
            except Exception:
                drops.internal_error(f"sink {self.name} in a forked child")

    # --- the sink's thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        from opentelemetry import context

        # Nothing that a backend's library does here is telemetry of the program.
        context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
        backoff = 0.0
        try:
            while True:
                self._pause(backoff)
                urgent = [self._flushes.popleft() for _ in range(len(self._flushes))]
                closing = self._stop_at is not None
                try:
                    sent = self._drain()
                except (
                    Exception,
                    SystemExit,
                ):  # a backend's library may think that the thread is its program's
                    drops.internal_error(f"sink {self.name}")
                    sent = False
                backoff = 0.0 if sent else min(max(_FIRST_BACKOFF_S, backoff * 2), _LAST_BACKOFF_S)
                self._answer(urgent, sent)
                if closing and self._finish(sent):
                    return
        except BaseException:
            drops.internal_error(f"sink {self.name}: its thread")
            self._ok = False
            self._closed = True
            self._lose()
        finally:
            self._stopped.set()

    def _pause(self, backoff: float) -> None:
        """Sleep until there is something to do, then for a moment so that more can come."""
        feed = self._feed
        due = None if feed is None else feed.sink.due_s()
        if backoff:
            due = backoff
        if self._stop_at is not None:
            due = min(due or 0.0, max(0.0, self._retry_until - time.monotonic()))
        _get(self._tokens, due)
        sink = Sink if feed is None else feed.sink
        until = time.monotonic() + sink.linger_s
        while not self._flushes and self._stop_at is None and len(self._queue) < sink.batch_size:
            if not _get(self._tokens, max(0.0, until - time.monotonic())):
                break
            if time.monotonic() >= until:
                break

    def _drain(self) -> bool:
        """Give the sink all that waits; False if it did not take something."""
        feed = self._ready()
        if feed is None:
            return False
        self._awake = False  # before the queue is read: what comes from now on wakes us again
        while True:
            if not feed.retry():
                self._has_problem(feed)
                return False
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                return not self._queue
            taken, size = self._take(feed)
            self._nbytes = self._nbytes - size if self._queue else 0
            if not taken:
                break
            if not feed.take(taken):
                self._has_problem(feed)
                return False
        due = feed.sink.due_s()
        if due is not None and due <= 0:
            feed.flush(self.close_timeout_s)
        self.problem = None
        return True

    def _has_problem(self, feed: Feed) -> None:
        self.problem = feed.sink.problem() or "it did not take a batch"
        drops.warn_once(
            f"sink:{self.name}:{self.problem}",
            "the sink %s: %s. What it misses is kept, and `otel-llm replay --to %s` sends it from the store",
            self.name,
            self.problem,
            self.name,
        )

    def _ready(self) -> Feed | None:
        if self._feed is None:
            options = SinkOptions(live=True, store=self.store, close_timeout_s=self.close_timeout_s)
            try:
                sink = self._factory(options)
            except Exception as error:
                self.problem = str(error) or type(error).__name__
                drops.count("sink", f"{self.name}_setup_failed")
                drops.warn_once(f"sink:{self.name}", "the sink %s cannot be set up: %s", self.name, error)
                return None
            self._feed = Feed(
                sink, Mapper(sink.wants, spans_of_game=self._spans_of_game, max_text=sink.max_text), self.book
            )
        return self._feed

    def _take(self, feed: Feed) -> tuple[Taken, int]:
        """Take the next of what waits, up to a batch."""
        taken = Taken()
        size = 0
        while self._queue and len(taken) < feed.sink.batch_size:
            kind, rows, nbytes = self._queue.popleft()
            size += nbytes
            if kind == _ALSO:
                keys = [int.from_bytes(t[-8:], "big") ^ int.from_bytes(s, "big") for t, s in rows]
                feed.settled_elsewhere({SPANS: keys})
            elif kind == SPANS:
                taken.spans += [self._stored(span) for span in rows]
            else:
                taken.of(kind).extend(rows)
        return taken, size

    def _stored(self, span: ReadableSpan) -> Any:
        extra = None
        if self._extras and (context := span.get_span_context()) is not None:
            extra = self._extras.pop((context.trace_id, context.span_id), None)
        return stored(span, extra)

    def _spans_of_game(self, game_id: str, since_ns: int) -> Iterable[Any]:
        if self.store is None or self.book is None:
            return ()
        from otel_llm.views.replaying import spans_of_game

        self.book.flush(self.close_timeout_s)  # the game's last spans may not be in the files yet
        found: Iterable[Any] = spans_of_game(self.store, game_id, since_ns)
        return found

    def _answer(self, urgent: list[tuple[float, threading.Event, list[bool]]], sent: bool) -> None:
        for deadline, event, result in urgent:
            feed = self._feed
            left = max(0.0, deadline - time.monotonic())
            result[0] = sent and feed is not None and feed.flush(left)
            event.set()

    def _finish(self, sent: bool) -> bool:
        """Close the sink, once all is written or the time is over; says whether that is so."""
        left = (self._stop_at or 0.0) - time.monotonic()
        if not sent and time.monotonic() < self._retry_until:
            return False
        feed, self._feed = self._feed, None
        if feed is None:
            self._lose()
            return True
        unsent = feed.give_up()
        self._ok = feed.close(max(0.0, left)) and sent
        lost = unsent + feed.unsettled
        if lost:
            self._ok = False
            drops.count("row", f"{self.name}_unsettled", lost)
        self._lose()
        return True


_SINGULAR: Final = dict(zip(KINDS, ("span", "point", "series", "log"), strict=True))


def _get(tokens: SimpleQueue[None], timeout_s: float | None) -> bool:
    try:
        tokens.get(timeout=timeout_s)
    except Empty:
        return False
    return True
