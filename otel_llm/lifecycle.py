"""The ends of a process: exit, SIGTERM, fork, and the short life of a multiprocessing worker.

Nothing that was handed over may be lost, and nothing may take longer than was allowed. Imports no other module
of ours but `drops` and `threads`; `runtime` gives it functions.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import wrapt

from otel_llm import drops, threads

_EXIT_PRIORITY: Final = 1000
"""multiprocessing runs finalizers from high to low; ours must run before its pools and managers go."""


_LOCKING: Final = "opentelemetry."
"""Whose locks cannot be taken twice by the same thread; ours can."""


class Lifecycle:
    """Registers for the ends of the process, once; does nothing while `enabled` is false.

    Args:
        on_exit: flush and stop, within a bounded time.
        on_fork: make a forked child fresh.
    """

    def __init__(self, on_exit: Callable[[], None], on_fork: Callable[[], None]) -> None:
        self._on_exit = on_exit
        self._on_fork = on_fork
        self.enabled = False
        self._registered = False
        self._handler_installed = False

    def start(self) -> None:
        """Begin to watch for the ends of the process."""
        self.enabled = True
        self._take_sigterm()
        atexit.unregister(self._exit)
        atexit.register(
            self._exit
        )  # last registered, first run: before the program's own providers shut down
        if self._registered:
            return
        self._registered = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
        wrapt.when_imported("multiprocessing.util")(self._watch_multiprocessing)

    def stop(self) -> None:
        """Stop watching, and give SIGTERM back."""
        self.enabled = False
        atexit.unregister(self._exit)
        if self._handler_installed and signal.getsignal(signal.SIGTERM) == self._terminate:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            except ValueError:  # not on the main thread; the handler does nothing but re-raise then
                return
            self._handler_installed = False

    def _take_sigterm(self) -> None:
        # Only where the program has no handler of its own, and only the main thread may.
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminate)
            self._handler_installed = True

    def _terminate(self, signum: int, frame: FrameType | None) -> None:
        try:
            if _is_inside(frame):
                # A lock of OpenTelemetry's may be held right here, which the exit would wait for without end. Another
                # thread waits for it within its bounds.
                threads.start(self._exit, "otel_llm-exit").join()
            else:
                self._exit()
        finally:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    def _exit(self) -> None:
        _quietly("exit", self._on_exit, self.enabled)

    def _forked(self) -> None:
        _quietly("fork", self._on_fork, self.enabled)

    def _watch_multiprocessing(self, util: Any) -> None:
        # A worker of multiprocessing leaves by os._exit: atexit is not run there, finalizers are. They are
        # cleared at the start of a child, so they are registered there.
        util.register_after_fork(self, Lifecycle._started_by_multiprocessing)
        self._finalize = util.Finalize

    def _started_by_multiprocessing(self) -> None:
        if self.enabled:
            self._finalize(None, self._exit, exitpriority=_EXIT_PRIORITY)


def _quietly(where: str, do: Callable[[], None], enabled: bool) -> None:
    if not enabled:
        return
    try:
        do()
    except Exception:
        drops.internal_error(where)


def _is_inside(frame: FrameType | None) -> bool:
    """Say whether a signal came while its thread was in code of OpenTelemetry's."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_LOCKING):
            return True
        frame = frame.f_back
    return False
