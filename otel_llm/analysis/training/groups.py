"""Rollouts beside each other: groups, how far their rewards spread, and which rollouts surprise.

**Surprise** of a rollout is how far its reward lies from what its group let expect, in spreads of its step:

    surprise = (reward - mean reward of the others in its group) / standard deviation of the step's rewards

so the one right answer among seven wrong ones surprises as much as the one wrong answer among seven right ones (with
the opposite sign), and in a step in which all rewards are about the same nobody does. It is computed from rewards and
not from advantages, because trainers scale these in different ways, often by the group's own spread: then the best of
eight nearly equal answers looks as extraordinary as the only right one. A rollout without a group, or alone in it, is
compared with the others of its step. It says nothing of how likely the model thought the answer to be.

Numbers that are NaN or infinite count as not there. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from otel_llm.analysis.training.records import RolloutRecord, is_finite

NO_SPREAD: Final = 1e-8
"""Rewards of a group that lie no further apart than this teach nothing: their advantages are all nought."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group(Generic[T]):
    """Samples that are compared with each other.

    Attributes:
        name: the group's name in its step.
        members: its samples, in the order of their places.
        n: how many of them have a reward.
        mean: of their rewards; None for none.
        std: their standard deviation (of all, not estimated from a sample); None for none.
        low: the smallest reward.
        high: the largest.
    """

    name: str
    members: tuple[T, ...]
    n: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None

    @property
    def has_no_spread(self) -> bool:
        """Whether its rewards, two or more, are all the same."""
        return (
            self.n > 1
            and self.high is not None
            and self.low is not None
            and self.high - self.low <= NO_SPREAD
        )


def group_of(name: str, members: Sequence[T], reward: Callable[[T], float | None]) -> Group[T]:
    """Return a group with its figures."""
    rewards = [value for member in members if (value := reward(member)) is not None and math.isfinite(value)]
    mean, std = mean_and_std(rewards)
    return Group(
        name, tuple(members), len(rewards), mean, std, min(rewards, default=None), max(rewards, default=None)
    )


def groups_of(rollouts: Iterable[RolloutRecord]) -> list[Group[RolloutRecord]]:
    """Return the groups among the rollouts of one step; those that name none are in none. By rank."""
    found: dict[tuple[int, str, str], list[RolloutRecord]] = {}
    for one in rollouts:
        if one.group is not None:
            found.setdefault((one.attempt, one.mode, one.group), []).append(one)
    groups = [
        group_of(name, sorted(members, key=_order), lambda one: one.reward)
        for (_, _, name), members in found.items()
    ]
    return sorted(
        groups, key=lambda group: (min(one.rank for one in group.members), group.members[0].start_ns)
    )


def _order(one: RolloutRecord) -> tuple[float, int]:
    return (math.inf if one.index is None else one.index), one.start_ns


def mean_and_std(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean of finite numbers and their standard deviation; None for none."""
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def surprises(rewards: Sequence[float | None], groups: Sequence[Hashable | None]) -> list[float | None]:
    """Return how much each rollout of one step surprises (see above); None for one without a reward.

    Args:
        rewards: one a rollout.
        groups: what tells its group from others, None for none.
    """
    known = [value if is_finite(value) else None for value in rewards]
    everything = [value for value in known if value is not None]
    _, spread = mean_and_std(everything)
    if spread is None or spread <= NO_SPREAD:
        return [None if value is None else 0.0 for value in known]
    sums: dict[Hashable | None, tuple[float, int]] = {}
    for value, group in zip(known, groups, strict=True):
        if value is not None and group is not None:
            total, n = sums.get(group, (0.0, 0))
            sums[group] = total + value, n + 1
    whole = math.fsum(everything), len(everything)
    found: list[float | None] = []
    for value, group in zip(known, groups, strict=True):
        if value is None:
            found.append(None)
            continue
        total, n = sums.get(group, (0.0, 0)) if group is not None else (0.0, 0)
        total, n = (total, n) if n > 1 else whole
        found.append((value - (total - value) / (n - 1)) / spread if n > 1 else 0.0)
    return found


def surprises_of(rollouts: Sequence[RolloutRecord]) -> list[float | None]:
    """Return how much each of the rollouts of one step surprises."""
    keys = [None if one.group is None else (one.attempt, one.mode, one.group) for one in rollouts]
    return surprises([one.reward for one in rollouts], keys)
