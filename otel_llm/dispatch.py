"""Where callbacks of programs run: one thread, apart from the worker, behind a bounded queue. Imports `drops` and `threads`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

from otel_llm import drops, threads

LINGER_S: Final = 0.02
"""How long the thread waits for company before it calls anybody, in seconds."""

MAX_WAITING: Final = 10_000
"""Records that may wait for callbacks; what comes on top is dropped and counted."""

SLOW_S: Final = 5.0
"""A callback that has taken so long, all its calls together, is warned of if they take `SLOW_CALL_S` on average."""
SLOW_CALL_S: Final = 0.01


class Listener:
    """A callback, and what it has cost so far.

    Args:
        callback: takes one argument.
        hook: what it was given to, for messages.
    """

    __slots__ = ("_callback", "_calls", "_hook", "_spent_s")

    def __init__(self, callback: Callable[[Any], object], hook: str) -> None:
        self._callback = callback
        self._hook = hook
        self._calls = 0
        self._spent_s = 0.0

    def call(self, record: object) -> None:
        """Call it with `record`; never raises."""
        began = time.perf_counter()
        try:
            self._callback(record)
        except Exception as error:
            drops.count("hook", "failed")
            drops.warn_once(
                f"hook:{id(self)}",
                "the callback %s of %s failed: %s",
                self._callback,
                self._hook,
                drops.said(error),
            )
        self._calls += 1
        self._spent_s += time.perf_counter() - began
        if self._spent_s > SLOW_S and self._spent_s > SLOW_CALL_S * self._calls:
            drops.warn_once(
                f"hook-slow:{id(self)}",
                "the callback %s of %s is slow: %.1f s for %d calls; if its queue runs full, records are dropped",
                self._callback,
                self._hook,
                self._spent_s,
                self._calls,
            )


_Item = tuple[Sequence[Listener], Callable[[], object]]


class _Dispatcher:
    """The queue and its thread.

    As in `finishing`, putting takes no lock: it may happen in a finalizer, and where a span starts.
    """

    def __init__(self) -> None:
        self._queue: deque[_Item] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        """True where somebody waits."""
        self._awake = False
        self._start_lock = threading.Lock()
        self._thread: threads.Worker | None = None

    def put(self, listeners: Sequence[Listener], make: Callable[[], object]) -> None:
        if len(self._queue) >= MAX_WAITING:
            drops.count("hook", "queue_full")
            return
        self._queue.append((listeners, make))
        if not self._awake:
            self._awake = True
            if self._thread is not None or self._start():
                self._tokens.put(False)

    def _start(self) -> bool:
        if not self._start_lock.acquire(blocking=False):
            return True  # somebody else does
        try:
            if self._thread is None:
                self._thread = threads.start(self._work, "otel_llm-hooks")
        except RuntimeError:  # no more threads to be had, or the interpreter is shutting down
            self._awake = False  # the next one tries again
        finally:
            self._start_lock.release()
        return self._thread is not None

    def _work(self) -> None:
        while True:
            if not self._tokens.get():
                with suppress(Empty):
                    self._tokens.get(timeout=LINGER_S)  # only `flush` puts a second one
            self._awake = False  # before the queue is read: what comes from now on wakes us again
            while self._queue:
                try:
                    listeners, make = self._queue.popleft()
                    record = make()
                    for listener in listeners:
                        listener.call(record)
                except BaseException:  # a callback that exits ends this thread no more than any other
                    drops.internal_error("telling hooks")

    def flush(self, timeout_s: float) -> bool:
        if self._thread is None or threads.is_current(self._thread):
            return not self._queue  # (a callback that flushes would wait for itself)
        reached = threading.Event()
        # Not by `put`, which refuses what does not fit.
        self._queue.append(((), reached.set))
        # Whether or not it is awake: should it ever have missed a call, this is the next.
        self._awake = True
        self._tokens.put(True)
        return reached.wait(max(0.0, timeout_s))


_dispatcher = _Dispatcher()


def put(listeners: Sequence[Listener], make: Callable[[], object]) -> None:
    """Let `listeners` have a record, a moment later. Never waits for a callback.

    Args:
        listeners: who gets it.
        make: returns the record; called once, on the callbacks' thread.
    """
    _dispatcher.put(listeners, make)


def flush(timeout_s: float) -> bool:
    """Wait until callbacks have had everything that was put so far; say whether they had in time."""
    return _dispatcher.flush(timeout_s)


def after_fork_in_child() -> None:
    """Start afresh: the parent's callbacks get what waits in the copied queue."""
    global _dispatcher
    _dispatcher = _Dispatcher()
