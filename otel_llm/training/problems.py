"""What is wrong with rollouts of a batch, in single words: groups that teach nothing, empty answers."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from otel_llm import semconv as sc

NO_SPREAD: Final = "no_spread"
EMPTY: Final = "empty"
_SPREAD: Final = 1e-9


def without_spread(
    columns: Mapping[str, list[Any]], rewards: Mapping[str, tuple[list[Any], float | None]], size: int
) -> list[bool]:
    """Say of each rollout whether all of its group got the same reward, so that nothing is learned from it."""
    groups = columns.get(sc.SAMPLE_GROUP)
    totals = columns.get(sc.SAMPLE_REWARD)
    if totals is None and rewards:
        totals = [
            sum(
                (scores[i] or 0.0) * (1.0 if weight is None else weight)
                for scores, weight in rewards.values()
            )
            for i in range(size)
        ]
    if groups is None or totals is None:
        return [False] * size
    by_group: dict[Any, list[float]] = {}
    for group, total in zip(groups, totals, strict=False):
        if isinstance(total, int | float) and isfinite(total):
            by_group.setdefault(group, []).append(total)
    flat = {
        group for group, found in by_group.items() if len(found) > 1 and max(found) - min(found) < _SPREAD
    }
    return [group in flat for group in groups]


def note_problems(out: dict[str, Any], *, no_spread: bool) -> None:
    """Add the words for what is wrong with one rollout to its attributes.

    Args:
        out: its attributes.
        no_spread: whether all of its group got the same reward.
    """
    found = list(out.get(sc.SAMPLE_PROBLEMS, ()))
    if no_spread:
        found.append(NO_SPREAD)
    if out.get(sc.SAMPLE_OUTPUT_TOKENS) == 0:
        found.append(EMPTY)
    if found:
        out[sc.SAMPLE_PROBLEMS] = tuple(dict.fromkeys(found))
