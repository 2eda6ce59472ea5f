"""Rollouts that have ended and wait for their advantage: an ended span cannot be told anything.

One waits until its advantage is known, its step ends, a minute has passed, or everything is flushed; then its span
ends with the time at which the rollout ended.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Final

from otel_llm import drops

if TYPE_CHECKING:
    from otel_llm.scoping import Scope

LONGEST_S: Final = 60.0
"""How long a rollout outside any step waits for its advantage, in seconds."""

MOST: Final = 20_000
"""How many rollouts wait; the oldest goes first."""

_LOCK = threading.RLock()
_held: OrderedDict[int, tuple[float, Scope]] = OrderedDict()


def hold(scope: Scope) -> None:
    """Let a rollout wait. The caller hands it over when `let_go` says that it still waited."""
    late: list[Scope] = []
    now = monotonic()
    with _LOCK:
        _held[id(scope)] = (now, scope)
        while _held:
            key, (since, oldest) = next(iter(_held.items()))
            if len(_held) <= MOST and (now - since < LONGEST_S or oldest.nearest("step") is not None):
                break
            del _held[key]
            late.append(oldest)
    for one in late:
        _end(one)


def let_go(scope: Scope) -> bool:
    """Say whether a rollout waited; it does no longer."""
    with _LOCK:
        return _held.pop(id(scope), None) is not None


def release(step: Scope | None = None) -> None:
    """End rollouts that wait.

    Args:
        step: only those of this step; default: all.
    """
    with _LOCK:
        ready = [scope for _, scope in _held.values() if step is None or scope.nearest("step") is step]
        for scope in ready:
            del _held[id(scope)]
    for scope in ready:
        _end(scope)


def waiting() -> int:
    """Return how many rollouts wait."""
    return len(_held)


def after_fork_in_child() -> None:
    """Leave them to the parent, whose they are."""
    global _LOCK
    _LOCK = threading.RLock()
    _held.clear()


def _end(scope: Scope) -> None:
    try:
        scope.handed_over()  # type: ignore[attr-defined]
    except Exception:
        drops.internal_error("ending a rollout that waited")
