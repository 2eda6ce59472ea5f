"""Rewards: each function by its name while it runs, and what it gave to each rollout."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_llm.scopes import reward as reward_scope
from otel_llm.training.batches import RolloutBatch
from otel_llm.training.deferred import Deferred
from otel_llm.training.deferred import deferred as later
from otel_llm_trl import semconv as sc
from otel_llm_trl import sessions
from otel_llm_trl.parts import Named, Part
from otel_llm_trl.sessions import Session

_SPREAD: Final = 1e-8


def rewards(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | None:
    """Record the scoring of a batch."""
    session = sessions.of(trainer)
    sampling = None if session is None else session.sampling
    if session is None or sampling is None or "rewards" in session.going:
        return None
    found = [args[i] if i < len(args) else kwargs.get(name) for i, name in enumerate(_ARGUMENTS)]
    sampling.scoring(*found)
    return Scoring(session)


_ARGUMENTS: Final = ("inputs", "prompts", "completions", "completion_ids_list")


class Scoring(Named):
    """A batch while it is scored."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "rewards")

    def done(self, result: Any) -> None:
        """Take the rewards."""
        try:
            if self.session.sampling is not None:
                self.session.sampling.scored(result)
        finally:
            super().done(result)


def function_of(trainer: Any, name: str) -> Callable[[], Part] | None:
    """Return what starts the span of a reward function; None where `name` is none, or no rewards are computed."""
    session = sessions.of(trainer)
    if session is None or "rewards" not in session.going:
        return None
    names = getattr(trainer, "reward_func_names", None) or ()
    if name not in names:
        return None
    functions = getattr(trainer, "reward_funcs", None) or ()
    index = list(names).index(name)
    kind = _kind(functions[index]) if index < len(functions) else "function"
    return lambda: Part(reward_scope(name, attributes={sc.REWARD_KIND: kind}))


def _kind(function: Any) -> str:
    if hasattr(function, "forward") and hasattr(function, "parameters"):
        return "model"
    called = getattr(function, "__call__", None)  # noqa: B004 (an object whose `__call__` is a coroutine function)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        return "coroutine"
    return "function"


def give(batch: RolloutBatch, trainer: Any, gathered: Any, size: int) -> None:
    """Give a batch its rewards.

    Args:
        batch: the rollouts of this rank.
        trainer: knows the functions, and their weights.
        gathered: the rewards of all ranks, `(world * size, functions)`; those of this rank alone are taken too.
        size: how many rollouts this rank has.
    """
    rank, world = sessions.world_of(trainer)
    rows = int(gathered.shape[0])
    local = gathered[rank * size : (rank + 1) * size] if rows == world * size else gathered[:size]
    weights = weights_of(trainer)
    names = list(getattr(trainer, "reward_func_names", None) or ())
    for i in range(int(gathered.shape[1])):
        name = names[i] if i < len(names) else f"reward_{i}"
        if name in names[:i]:
            name = f"{name}_{i}"  # two functions of one name: `partial` objects, lambdas
        batch.rewards(name, local[:, i], None if i >= len(weights) else weights[i])
    if rows == world * size and world > 1:
        batch.spread(_Spread(later(gathered), weights, per_group_of(trainer), rank * size, size).flat)


def weights_of(trainer: Any) -> list[float]:
    """Return the weights of the reward functions; none where they are not on the host."""
    weights = getattr(trainer, "reward_weights", None)
    if weights is None or getattr(getattr(weights, "device", None), "type", "cpu") != "cpu":
        return []
    return [float(weight) for weight in weights]


def per_group_of(trainer: Any) -> int:
    """Return how many rollouts a group has."""
    session = sessions.of(trainer)
    per_group = int(getattr(trainer, "num_generations", 1) or 1)
    if session is not None and session.mode == "eval":
        return int(getattr(trainer, "num_generations_eval", per_group) or per_group)
    return per_group


class _Spread:
    """Whether groups that may lie on several ranks have all the same reward; found out on the worker."""

    def __init__(
        self, gathered: Deferred, weights: list[float], per_group: int, first: int, size: int
    ) -> None:
        self._gathered = gathered
        self._weights = weights
        self._per_group = per_group
        self._first = first
        self._size = size

    def flat(self) -> list[bool]:
        """Return for each rollout of this rank whether its group has no spread."""
        rows = self._gathered.value() or []
        totals = [self._total(row) for row in rows]
        out: list[bool] = []
        for i in range(self._first, self._first + self._size):
            start = i // self._per_group * self._per_group
            group = [total for total in totals[start : start + self._per_group] if total is not None]
            out.append(len(group) > 1 and max(group) - min(group) < _SPREAD)
        return out

    def _total(self, row: list[float]) -> float | None:
        told = [
            score * (self._weights[i] if i < len(self._weights) else 1.0)
            for i, score in enumerate(row)
            if score == score  # noqa: PLR0124 (not NaN)
        ]
        return sum(told) if told else None
