"""What a fork must not find, and what a forked child must not do."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from otel_llm import drops

_WAIT_S: Final = 0.5


class Lock(Protocol):
    """A lock as `threading` has it."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; False if it could not be had in time."""

    def release(self) -> None:
        """Give the lock back."""


class Forkable(Protocol):
    """Something with threads that use SQLite."""

    def locks(self) -> Sequence[Lock]:
        """Return the locks that its threads hold while they are inside SQLite."""

    def after_fork_in_child(self) -> None:
        """Start afresh in a child."""


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: list[Callable[[], None]] = []
_registered = False


def watch(thing: Forkable) -> None:
    """See to it that `thing` survives forks."""
    global _registered
    _watched.add(thing)
    if not _registered and hasattr(os, "register_at_fork"):
        _registered = True
        os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)


def _before() -> None:
    # No thread may be inside SQLite at the fork: its own locks, copied while held, would stay locked in the child
    # for good. A commit takes milliseconds; a hanging disk must not keep the program from forking.
    for thing in list(_watched):
        _held.extend(lock.release for lock in thing.locks() if lock.acquire(timeout=_WAIT_S))


def _release() -> None:
    while _held:
        _held.pop()()


def _in_child() -> None:
    _held.clear()
    for thing in list(_watched):
        thing.after_fork_in_child()


def keep_forever(thing: object) -> None:
    """Keep `thing` from ever being finalized, also when the interpreter ends.

    A connection that was copied by a fork must not be closed: SQLite's books in the child still say that it
    holds the parent's locks, and closing could take the write-ahead log from under the parent.
    """
    try:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    except Exception:
        _kept.append(thing)
        drops.internal_error("store: keeping the parent's connection")


_kept: list[object] = []
