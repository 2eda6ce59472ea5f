"""Threads of our own: the interpreter's, also where a program makes greenlets of its threads after we were loaded.

`gevent.monkey.patch_all()` replaces what `threading` starts. A program that is instrumented from outside (`otel-llm run`,
`opentelemetry-instrument`) patches after us: our workers would become greenlets, and the first that waits on a queue
that was made before would stop the whole program. So we keep what starts threads next to what we wait with: both from
before the change, or both from after it. Imports the standard library alone.
"""

from __future__ import annotations

import _thread
import threading
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Worker(Protocol):
    """A thread that was started."""

    def is_alive(self) -> bool:
        """Say whether it still runs."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for `timeout` seconds at most."""


def start(target: Callable[..., object], name: str, args: Sequence[Any] = ()) -> Worker:
    """Run `target` on a thread that does not keep the process alive.

    Raises:
        RuntimeError: the interpreter is shutting down.
    """
    if _thread.start_new_thread is start_new_thread:
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        thread.start()
        return thread
    return _Apart(target, args)


def is_current(worker: Worker | None) -> bool:
    """Say whether this is the thread of `worker`."""
    if isinstance(worker, _Apart):
        return worker.ident == get_ident()
    return worker is threading.current_thread()


class _Apart:
    """A thread of the interpreter's in a program whose `threading` makes greenlets."""

    def __init__(self, target: Callable[..., object], args: Sequence[Any]) -> None:
        self._target = target
        self._args = args
        self.ident = 0
        self._running = allocate_lock()
        self._running.acquire()
        start_new_thread(self._run, ())

    def _run(self) -> None:
        self.ident = get_ident()
        try:
            self._target(*self._args)
        finally:
            self._running.release()

    def is_alive(self) -> bool:
        """Say whether it still runs."""
        return self._running.locked()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for `timeout` seconds at most."""
        if self._running.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            self._running.release()
