"""A run's numbers, read once: steps, and of each rollout the little that curves and lists need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_llm.analysis.training import (
    Consumption,
    Problem,
    RolloutRecord,
    RunRecord,
    SpanRef,
    StepRecord,
    Trouble,
    each_rollout,
    group_of,
    is_finite,
    load_runs,
    load_steps,
    surprises,
)
from otel_llm.report.names import Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_llm.analysis.training import Group
    from otel_llm.store import StoreReader

TRUNCATED: Final = 1
UNSCORED: Final = 2
NOT_FINITE: Final = 4
EVALUATION: Final = 8
UNCONSUMED: Final = 16
NO_SPREAD: Final = 32
FAILED: Final = 64
"""Flags of a sample; `assets/training/50_run.js` has the same numbers."""

OUTSIDE: Final = -1
"""The row of a rollout outside any step."""


@dataclass(slots=True)
class Sample:
    """The numbers of one rollout; what was said in it is read later.

    Attributes:
        row: number of its step's row, `OUTSIDE` for none.
        rank: which process made it.
        name: its sample id.
        group: its group's name.
        index: its place in the group.
        reward: the total, where it is finite.
        rewards: by number of component.
        advantage: where it is finite.
        tokens: of the answer.
        flags: see above.
        span: where it is.
        start_ns: when it began.
        characters: of what was said in it.
        surprise: see `otel_llm.analysis.training.groups`.
        place: number of its group in the step; -1 for none.
    """

    row: int
    rank: int
    name: str
    group: str | None
    index: int | None
    reward: float | None
    rewards: dict[int, float]
    advantage: float | None
    tokens: int | None
    flags: int
    span: SpanRef
    start_ns: int
    characters: int
    surprise: float | None = None
    place: int = -1

    @property
    def key(self) -> tuple[bool, str | None]:
        """What tells its group from the others of its step."""
        return bool(self.flags & EVALUATION), self.group


@dataclass(slots=True)
class Gathered:
    """A run's numbers.

    Attributes:
        run: the run.
        steps: all steps of all attempts; their places are the rows.
        samples: all rollouts, by row, group and place.
        of_row: (first, behind the last) of the samples of each row.
        components: names of reward components.
        consumption: who learned from what.
        problems: what went wrong.
        groups: groups of each row, those of evaluations left out.
        names: of each row the names of its groups by their numbers, those of evaluations too.
    """

    run: RunRecord
    steps: list[StepRecord]
    samples: list[Sample]
    of_row: list[tuple[int, int]]
    components: Names
    consumption: Consumption
    problems: list[Problem]
    groups: list[list[Group[Sample]]] = field(default_factory=list)
    names: list[list[str]] = field(default_factory=list)


def gather(reader: StoreReader, run_id: str) -> Gathered | None:
    """Read a run's numbers; None where the store has nothing of it."""
    found = load_runs(reader, run_id)
    if not found:
        return None
    run, steps = found[0], load_steps(reader, run_id)
    trouble = Trouble()
    trouble.look_at_run(run)
    trouble.look_at_steps(steps)
    consumption = Consumption(steps)
    if consumption.has_stand_ins:
        consumption.resolve_groups(each_rollout(reader, run_id))
    told = bool(consumption.consumers)
    rows = {(step.attempt, step.number): row for row, step in enumerate(steps)}
    components, samples = Names(), []
    traces: dict[str, str] = {}
    for one in each_rollout(reader, run_id):
        unconsumed = told and one.mode != "eval" and not consumption.numbers_of(one)
        trouble.look_at_rollout(one, unconsumed=unconsumed)
        row = rows.get((one.attempt, one.step if one.step is not None else -1), OUTSIDE)
        made = _sample(one, row, components, unconsumed)
        made.span = SpanRef(traces.setdefault(made.span.trace_id, made.span.trace_id), made.span.span_id)
        samples.append(made)
    samples.sort(key=_order)
    gathered = Gathered(run, steps, samples, _ranges(samples, len(steps)), components, consumption, [])
    for row, (first, last) in enumerate(gathered.of_row):
        groups = _judge(samples[first:last])
        gathered.groups.append(groups)
        gathered.names.append(_number_groups(samples[first:last]))
        if flat := sum(group.has_no_spread for group in groups):
            trace = next(group.members[0].span.trace_id for group in groups if group.has_no_spread)
            trouble.note("no spread", "group", steps[row].number, trace, flat)
    gathered.problems = trouble.problems
    return gathered


def _sample(one: RolloutRecord, row: int, components: Names, unconsumed: bool) -> Sample:
    is_missing = one.status == "unscored" or (one.reward is None and one.mode != "eval")
    flags = (
        TRUNCATED * bool(one.truncated)
        | UNSCORED * is_missing
        | NOT_FINITE * (one.reward is not None and not is_finite(one.reward))
        | EVALUATION * (one.mode == "eval")
        | UNCONSUMED * unconsumed
        | FAILED * (one.error_type is not None)
    )
    return Sample(
        row=row,
        rank=one.rank,
        name=one.sample_id,
        group=one.group,
        index=one.index,
        reward=one.reward if is_finite(one.reward) else None,
        rewards={components.number(name): score for name, score in one.rewards.items() if is_finite(score)},
        advantage=one.advantage if is_finite(one.advantage) else None,
        tokens=one.output_tokens,
        flags=flags,
        span=one.span,
        start_ns=one.start_ns,
        characters=_length(one.input_messages) + _length(one.output_messages),
    )


def _length(messages: object) -> int:
    return len(messages) if isinstance(messages, str) else 0


def _order(one: Sample) -> tuple[int, bool, int, str, float, int]:
    place = float("inf") if one.index is None else one.index
    return one.row, bool(one.flags & EVALUATION), one.rank, one.group or "", place, one.start_ns


def _ranges(samples: Sequence[Sample], rows: int) -> list[tuple[int, int]]:
    """Return where the samples of each row are; those outside any step are before the first row's."""
    counts = [0] * rows
    outside = 0
    for one in samples:
        if one.row == OUTSIDE:
            outside += 1
        else:
            counts[one.row] += 1
    found, at = [], outside
    for n in counts:
        found.append((at, at + n))
        at += n
    return found


def _number_groups(samples: Sequence[Sample]) -> list[str]:
    """Number the groups of one step, in the order of its samples; return their names."""
    known: dict[tuple[bool, str], int] = {}
    for one in samples:
        if one.group is not None:
            one.place = known.setdefault((bool(one.flags & EVALUATION), one.group), len(known))
    return [name for _, name in known]


def _judge(samples: Sequence[Sample]) -> list[Group[Sample]]:
    """Say of the samples of one step how much they surprise and which groups have no spread."""
    keys = [None if one.group is None else one.key for one in samples]
    for one, value in zip(samples, surprises([one.reward for one in samples], keys), strict=True):
        one.surprise = value
    members: dict[str, list[Sample]] = {}
    for one in samples:
        if one.group is not None and not one.flags & EVALUATION:
            members.setdefault(one.group, []).append(one)
    groups = [group_of(name, found, lambda one: one.reward) for name, found in members.items()]
    for group in groups:
        if group.has_no_spread:
            for one in group.members:
                one.flags |= NO_SPREAD
    return groups
