"""Which losses learned from which rollouts: the links of losses and steps, turned around."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_llm.analysis.training.records import RolloutRecord, SpanRef, StepRecord


@dataclass(frozen=True, slots=True)
class Consumer:
    """One loss, or one step where the losses do not say it, that learned from rollouts.

    Attributes:
        kind: `loss` or `step`.
        attempt: of which attempt.
        step: of which step.
        rank: on which rank.
        span: its span.
        start_ns: when it began.
        micro_step: of gradient accumulation, from 0.
        iteration: how often the same rollouts were learned from before.
        loss: its value.
        n: how many rollouts it links, groups counted as one.
        update: which update of the weights, counted over the run from 1.
    """

    kind: str
    attempt: int
    step: int
    rank: int
    span: SpanRef
    start_ns: int
    micro_step: int | None
    iteration: int | None
    loss: float | None
    n: int
    update: int | None = None


class Consumption:
    """Who learned from what, over all steps that are given.

    Args:
        steps: steps as `load_steps` returns them.

    Attributes:
        consumers: all losses, and steps, that link rollouts; by step, rank and time.
    """

    def __init__(self, steps: Iterable[StepRecord]) -> None:
        self.consumers: list[Consumer] = []
        self._direct: dict[SpanRef, list[int]] = {}
        self._groups: dict[tuple[int, int, str], list[int]] = {}
        self._standing_for: dict[SpanRef, list[tuple[int, str | None]]] = {}
        for step in steps:
            for rank in step.ranks:
                for part in rank.parts:
                    if part.consumed or part.consumed_groups:
                        consumer = Consumer(
                            part.kind, step.attempt, step.number, rank.rank, part.span, part.start_ns, part.micro_step,
                            part.iteration, part.loss, len(part.consumed) + len(part.consumed_groups),
                            part.update,
                        )  # fmt: skip
                        self._add(consumer, part.consumed, part.consumed_groups)
                if rank.span is not None and (rank.consumed or rank.consumed_groups):
                    consumer = Consumer(
                        "step", step.attempt, step.number, rank.rank, rank.span, rank.start_ns, None, None,
                        rank.scalars.get("loss"), len(rank.consumed) + len(rank.consumed_groups),
                    )  # fmt: skip
                    self._add(consumer, rank.consumed, rank.consumed_groups)

    def _add(
        self,
        consumer: Consumer,
        consumed: Iterable[SpanRef],
        groups: Iterable[tuple[SpanRef, str | None]],
    ) -> None:
        number = len(self.consumers)
        self.consumers.append(consumer)
        for ref in consumed:
            self._direct.setdefault(ref, []).append(number)
        for ref, group in groups:
            self._standing_for.setdefault(ref, []).append((number, group))

    @property
    def linked(self) -> set[SpanRef]:
        """All rollouts that something links by themselves."""
        return set(self._direct)

    @property
    def has_stand_ins(self) -> bool:
        """Whether some links name a rollout in place of its group: then `resolve_groups` wants to see the rollouts."""
        return bool(self._standing_for)

    def resolve_groups(self, rollouts: Iterable[RolloutRecord]) -> None:
        """Find the groups of those links that name a rollout in place of its group; before `numbers_of` is asked."""
        for one in rollouts:
            for number, _ in self._standing_for.pop(one.span, ()):
                if one.group is None or one.step is None:
                    self._direct.setdefault(one.span, []).append(number)
                else:
                    self._groups.setdefault((one.attempt, one.step, one.group), []).append(number)
        for left in self._standing_for.values():
            for number, group in left:
                consumer = self.consumers[number]
                if group is not None:
                    key = consumer.attempt, consumer.step, group
                    self._groups.setdefault(key, []).append(number)
        self._standing_for.clear()

    def numbers_of(self, one: RolloutRecord) -> list[int]:
        """Return which of `consumers` learned from a rollout: the losses; steps only where no loss says so."""
        found = list(self._direct.get(one.span, ()))
        if self._groups and one.group is not None and one.step is not None:
            found += self._groups.get((one.attempt, one.step, one.group), ())
        found = list(dict.fromkeys(found))
        losses = [number for number in found if self.consumers[number].kind != "step"]
        return sorted(losses or found)

    def of(self, one: RolloutRecord) -> list[Consumer]:
        """Return the losses that learned from a rollout, or steps where no loss says so."""
        return [self.consumers[number] for number in self.numbers_of(one)]
