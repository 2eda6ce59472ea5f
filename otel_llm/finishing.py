"""The worker: takes finished work off the caller's thread and does the rest later, once, in order.

The caller's thread appends an item and returns; a daemon thread wakes a moment later, finishes all items in
the order in which they were handed over, and sleeps until there are more (no wake-ups while idle). Calls and
scopes share one queue, so a child never ends after a parent that closed later. Imports only `drops` and `threads`.

Everything on the caller's side is safe inside a finalizer that runs during a garbage collection:
`deque.append` and `SimpleQueue.put` are re-entrant, locks are not taken.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from otel_llm import drops, threads

LINGER_S: Final = 0.1
"""How long the worker waits for company before it starts on a batch, in seconds."""

_SHED_BYTES: Final = 4096
"""What a shed item is taken to weigh, generously: with so many of them the queue is full for good."""

_SLICE_S: Final = 0.001
"""After so many seconds of work the worker lets other threads have the interpreter, so that none waits a whole
switch interval (5 ms) behind it."""


def _sleep_nothing() -> None:
    time.sleep(0)


# `time.sleep(0)` arms a timer: 33 µs of CPU on Linux, where `sched_yield` takes 0.5 and lets go of the interpreter
# just so.
_let_others_run: Final[Callable[[], None]] = getattr(os, "sched_yield", _sleep_nothing)


class Item(Protocol):
    """Something to finish later.

    Attributes:
        nbytes: bytes that the item keeps alive, for the queue's bound.
    """

    nbytes: int

    def finish(self) -> None:
        """Do the rest. Runs on the worker; may raise (it is counted and said)."""

    def shed(self) -> None:
        """Let go of what is large: the queue is full. Runs on the caller's thread; sets `nbytes`."""

    def abandon(self) -> None:
        """Give up entirely: even shed items do not fit any more. Runs on the caller's thread."""


class Finisher:
    """A bounded queue and its worker.

    Args:
        max_bytes: what the waiting items may keep alive together. Above it new items are shed; when the queue
            is full even of shed items they are abandoned. Both are counted.
        linger_s: seconds the worker waits for company.
    """

    def __init__(self, max_bytes: int, linger_s: float = LINGER_S) -> None:
        self._max_bytes = max_bytes
        self._max_items = max(1, max_bytes // _SHED_BYTES)
        self._linger_s = linger_s
        self._reset()
        self.on_batch: list[Callable[[], None]] = []

    def _reset(self) -> None:
        self._queue: deque[Item] = deque()
        # Added to by callers and subtracted from by the worker without a lock: a lost update is possible but
        # rare, and each time the queue runs empty the sum is set right again.
        self._bytes = 0
        self._awake = False
        self._closed = False
        self._tokens: SimpleQueue[None] = SimpleQueue()
        # Re-entrant, because SIGTERM's handler may run on a thread that is just draining.
        self._processing = threading.RLock()
        self._start_lock = threading.Lock()
        self._thread: threads.Worker | None = None

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that waiting items keep alive."""
        return self._bytes

    def put(self, item: Item) -> None:
        """Hand `item` over. Never blocks and never raises."""
        if self._bytes + item.nbytes > self._max_bytes:
            if len(self._queue) >= self._max_items:
                drops.count("call", "queue_full")
                item.abandon()
                return
            drops.count("body", "queue_full")
            item.shed()
        self._bytes += item.nbytes
        self._queue.append(item)
        if not self._awake:
            self._awake = True
            if self._thread is not None or self._start():
                self._tokens.put(None)

    def _start(self) -> bool:
        # Not under a blocking lock: a finalizer may come here while this very thread is starting the worker.
        if not self._start_lock.acquire(blocking=False):
            return True  # somebody else does
        try:
            if self._thread is None and not self._closed:
                self._thread = threads.start(self._work, "otel_llm-finisher")
        except RuntimeError:
            # No more threads to be had: the next item tries again. Or the interpreter is shutting down, and the exit
            # handler drains the queue on its own thread.
            self._awake = False
        finally:
            self._start_lock.release()
        return self._thread is not None

    def _work(self) -> None:
        tokens = self._tokens
        while True:
            tokens.get()
            if self._closed:
                return
            try:
                tokens.get(timeout=self._linger_s)  # only `close` puts a second one
            except Empty:
                pass
            self._awake = False  # before the queue is read: what comes from now on wakes us again
            try:
                self._drain(None, polite=True)
            except (
                BaseException
            ):  # a callback of the program's that exits, or was cancelled, ends no thread of ours
                drops.internal_error("finishing")
                self._awake = True
                tokens.put(None)  # the rest

    def drain(self, timeout_s: float | None = None) -> bool:
        """Finish everything that was handed over before this call, on the calling thread or the worker.

        Args:
            timeout_s: seconds to spend at most; None for no bound.

        Returns:
            Whether all of it was finished in time.
        """
        return self._drain(timeout_s, polite=False)

    def _drain(self, timeout_s: float | None, *, polite: bool) -> bool:
        now = time.monotonic()
        deadline = float("inf") if timeout_s is None else now + timeout_s
        pause_at = now + _SLICE_S
        if not self._processing.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            return False
        try:
            self._awake = (
                False  # as in `_work`; should the worker have missed a call, the next one reaches it
            )
            queue = self._queue
            todo = len(queue)
            done = 0
            while done < todo:
                try:
                    item = queue.popleft()
                except IndexError:
                    break
                self._bytes -= item.nbytes
                try:
                    item.finish()
                except Exception:
                    drops.internal_error("finishing")
                done += 1
                now = time.monotonic()
                if now > deadline:
                    return not queue
                if polite and now > pause_at:
                    _let_others_run()
                    pause_at = time.monotonic() + _SLICE_S
            if not queue:
                self._bytes = 0
            if done:
                for callback in self.on_batch:
                    try:
                        callback()
                    except Exception:
                        drops.internal_error("batch callback")
        finally:
            self._processing.release()
        return True

    def close(self, timeout_s: float) -> bool:
        """Drain, then stop the worker; later items are finished by the next `drain` only."""
        finished = self.drain(timeout_s)
        self._closed = True
        self._tokens.put(None)
        self._tokens.put(None)
        return finished

    def after_fork_in_child(self) -> None:
        """Start afresh: the parent still has, and will finish, what waits in the copied queue."""
        self._reset()
