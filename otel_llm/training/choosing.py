"""Which rollouts of a batch have their texts kept, where not all have: those that somebody will look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from otel_llm import semconv as sc


def chosen(
    columns: Mapping[str, Sequence[Any]],
    rewards: Mapping[str, tuple[Sequence[Any], float | None]],
    size: int,
    most: int | None,
) -> frozenset[int]:
    """Return the indices of rollouts whose texts are kept: best, worst, most surprising, then in order.

    Args:
        columns: what is known of each rollout, by attribute.
        rewards: scores and weight by component.
        size: how many rollouts there are.
        most: how many at most; None for all.
    """
    if most is None or most >= size:
        return frozenset(range(size))
    picked: dict[int, None] = {}
    totals = _numbers(columns.get(sc.SAMPLE_REWARD) or weighted(rewards, size))
    if totals:
        picked[max(totals, key=lambda i: totals[i])] = None
        picked[min(totals, key=lambda i: totals[i])] = None
    if advantages := _numbers(columns.get(sc.SAMPLE_ADVANTAGE) or ()):
        picked[max(advantages, key=lambda i: abs(advantages[i]))] = None
    for index in range(size):
        picked[index] = None
    return frozenset(list(picked)[:most])


def weighted(rewards: Mapping[str, tuple[Sequence[Any], float | None]], size: int) -> list[float | None]:
    """Return the weighted sum of each rollout's components; None where it has none."""
    found: list[float | None] = []
    for i in range(size):
        told = [
            scores[i] * (1.0 if weight is None else weight)
            for scores, weight in rewards.values()
            if isinstance(scores[i], int | float) and isfinite(scores[i])
        ]
        found.append(sum(told) if told else None)
    return found


def _numbers(values: Sequence[Any]) -> dict[int, float]:
    return {i: value for i, value in enumerate(values) if isinstance(value, int | float) and isfinite(value)}
