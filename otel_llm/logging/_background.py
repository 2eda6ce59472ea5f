"""A bounded queue and a thread that writes what it holds, in batches; the program's own threads only append.

While nothing is handed over nothing wakes up. What cannot be written is tried again later, and kept until the queue
is full; then the newest is dropped and counted.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from otel_llm import drops, threads

_everyone: weakref.WeakSet[Background] = weakref.WeakSet()


class Background:
    """Writes items on a thread of its own.

    Args:
        write: gets the items of a batch in order; if it raises, they are handed to it again later.
        what: what an item is called where it is counted as dropped.
        size: so many items are written without waiting for more.
        interval_s: how long the first item waits for company, and a failed batch for its next try, in seconds.
        max_bytes: what the waiting items may weigh together.
        forget: called in a forked child, for what the parent has open.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Any]], None],
        *,
        what: str,
        size: int,
        interval_s: float,
        max_bytes: int,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self._write = write
        self._what = what
        self._size = size
        self._interval_s = interval_s
        self._max_bytes = max_bytes
        self._forget = forget
        self._reset()
        _everyone.add(self)

    def _reset(self) -> None:
        self._queue: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._awake = False
        self._urgent = False
        self._tokens: SimpleQueue[bool | None] = SimpleQueue()
        self._writing = threading.RLock()  # a signal handler may flush on the thread that is just writing
        self._thread: threads.Worker | None = None

    def put(self, item: Any, nbytes: int) -> None:
        """Hand an item over. Never blocks and never raises."""
        if self._bytes + nbytes > self._max_bytes:
            drops.count(self._what, "queue_full")
            return
        self._bytes += nbytes
        self._queue.append((item, nbytes))
        if not self._awake:
            self._awake = True
            if self._start():
                self._tokens.put(False)
        elif not self._urgent and len(self._queue) >= self._size:
            self._urgent = True
            self._tokens.put(True)

    def _start(self) -> bool:
        if self._thread is not None:
            return True
        try:
            self._thread = threads.start(self._work, f"otel_llm-{self._what}", (self._tokens,))
        except RuntimeError:
            # No more threads to be had: the next one tries again. Or the interpreter is shutting down: `flush` writes
            # on its caller's thread.
            self._awake = False
        return self._thread is not None

    def _work(self, tokens: SimpleQueue[bool | None]) -> None:
        failed = False
        while True:
            urgent = _get(tokens, time.monotonic() + self._interval_s if failed else None)
            until = time.monotonic() + self._interval_s
            while urgent is False and len(self._queue) < self._size:
                later = _get(tokens, until)
                if later is _NOTHING:
                    break
                urgent = later
            self._awake = self._urgent = (
                False  # before the queue is read: what comes from now on wakes us again
            )
            with self._writing:
                failed = not self._drain()
            if urgent is None:
                return

    def _drain(self) -> bool:
        taken = [self._queue.popleft() for _ in range(len(self._queue))]
        if not taken:
            return True
        try:
            self._write([item for item, _ in taken])
        except Exception as error:
            self._queue.extendleft(reversed(taken))
            drops.warn_once(
                f"write:{self._what}",
                "logging: a %s cannot be written (%r); it is tried again, and what does not fit is dropped and counted",
                self._what,
                error,
            )
            return False
        self._bytes -= sum(nbytes for _, nbytes in taken)
        if not self._queue:
            self._bytes = 0
        return True

    def flush(self, timeout_s: float) -> bool:
        """Write what waits, on the calling thread.

        Returns:
            Whether all of it was written, within about `timeout_s` seconds.
        """
        if not self._queue and not self._bytes:
            return True
        if not self._writing.acquire(timeout=max(0.0, timeout_s)):
            return False
        try:
            return self._drain()
        finally:
            self._writing.release()

    def close(self, timeout_s: float) -> bool:
        """Write what waits and stop the thread; what comes later starts another."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._awake = False
            tokens, self._tokens = self._tokens, SimpleQueue()
            tokens.put(None)
            thread.join(timeout_s)
        done = self.flush(timeout_s)
        if not done and self._queue:
            drops.count(self._what, "closed", len(self._queue))
            self._queue.clear()
            self._bytes = 0
        return done

    def after_fork_in_child(self) -> None:
        """Start afresh: the parent still has, and will write, what waits in the copied queue."""
        self._reset()
        self._forget()


_NOTHING: Any = object()


def _get(tokens: SimpleQueue[bool | None], until: float | None) -> Any:
    """Wait for a token until a monotonic time; `_NOTHING` if there was none."""
    try:
        return tokens.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
    except Empty:
        return _NOTHING


def _after_fork_in_child() -> None:
    for background in list(_everyone):
        try:
            background.after_fork_in_child()
        except Exception:
            drops.internal_error("a forked child")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
