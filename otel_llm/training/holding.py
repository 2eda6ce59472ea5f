"""Rollouts that have ended and wait for their advantage: an ended span cannot be told anything.

One waits until its advantage is known, its step ends, a minute has passed, or everything is flushed; then its span
ends with the time at which the rollout ended.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from otel_llm import drops

if TYPE_CHECKING:
    from otel_llm.scoping import Scope


class Waiting(Protocol):
    """A rollout, or several that were sampled together."""

    def nearest(self, kind: str) -> Scope | None:
        """Return the nearest scope of a kind from here upwards."""

    def handed_over(self) -> None:
        """Be complete, whatever is still unknown."""


LONGEST_S: Final = 60.0
"""How long a rollout outside any step waits for its advantage, in seconds."""

MOST: Final = 20_000
"""How many rollouts wait; the oldest goes first."""

_lock = threading.RLock()
_held: OrderedDict[int, tuple[float, Waiting]] = OrderedDict()
_loose: OrderedDict[int, tuple[float, Waiting]] = OrderedDict()
"""Those outside any step, whose time is bounded."""


def hold(scope: Waiting) -> None:
    """Let a rollout wait. The caller hands it over when `let_go` says that it still waited."""
    late: list[Waiting] = []
    with _lock:
        waiting_room = _loose if scope.nearest("step") is None else _held
        waiting_room[id(scope)] = monotonic(), scope
        while len(_held) + len(_loose) > MOST:
            _, (_, oldest) = (_loose or _held).popitem(last=False)
            late.append(oldest)
    for one in late:
        _end(one)
    expire()


def expire() -> None:
    """End those outside any step that have waited for too long. Cheap where there is none."""
    late: list[Waiting] = []
    with _lock:
        while _loose:
            key, (since, oldest) = next(iter(_loose.items()))
            if monotonic() - since < LONGEST_S:
                break
            del _loose[key]
            late.append(oldest)
    for one in late:
        _end(one)


def let_go(scope: Waiting) -> bool:
    """Say whether a rollout waited; it does no longer."""
    with _lock:
        return (_held.pop(id(scope), None) or _loose.pop(id(scope), None)) is not None


def release(step: Scope | None = None) -> None:
    """End rollouts that wait.

    Args:
        step: only those of this step; default: all.
    """
    with _lock:
        ready = [scope for _, scope in _held.values() if step is None or scope.nearest("step") is step]
        for scope in ready:
            del _held[id(scope)]
        if step is None:
            ready += [scope for _, scope in _loose.values()]
            _loose.clear()
    for scope in ready:
        _end(scope)


def waiting() -> int:
    """Return how many rollouts wait."""
    return len(_held) + len(_loose)


def after_fork_in_child() -> None:
    """Leave them to the parent, whose they are."""
    global _lock
    _lock = threading.RLock()
    _held.clear()
    _loose.clear()


def _end(scope: Waiting) -> None:
    try:
        scope.handed_over()
    except Exception:
        drops.internal_error("ending a rollout that waited")
