"""What went wrong in a training run: what its spans say of themselves, and what only shows when they lie side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_llm.analysis.training.groups import Group
from otel_llm.analysis.training.records import RolloutRecord, RunRecord, StepRecord

NOT_FINITE: Final = "not finite"
DIED: Final = "rank died"
MISSING_RANK: Final = "rank missing"
FAILED: Final = "failed"
MISSING_REWARD: Final = "reward missing"
NO_SPREAD: Final = "no spread"
NOT_CONSUMED: Final = "never learned from"
NOT_FOUND: Final = "link without rollout"
OVER_NOW: Final = "ended early"


@dataclass(slots=True)
class Problem:
    """One thing that went wrong, perhaps many times.

    Attributes:
        kind: `not finite`, `rank died`, `rank missing`, `failed`, `reward missing`, `no spread`, `never learned from`,
            `link without rollout`, `ended early`, or the word that a span said of itself.
        what: which number, rank, part or message.
        n: how often.
        first: the first step of it; None outside any.
        last: the last one.
        trace_id: where it was seen first; None for no place in particular.
    """

    kind: str
    what: str
    n: int = 0
    first: int | None = None
    last: int | None = None
    trace_id: str | None = None


class Trouble:
    """Collects problems; the same in many steps is one."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """The problems, those that touch the fewest things first: they are the ones to look at."""
        return sorted(self._found.values(), key=lambda one: (_RANKING.get(one.kind, 5), one.n, one.what))

    def note(self, kind: str, what: object, step: int | None, trace_id: str | None, n: int = 1) -> None:
        """Note a problem."""
        key = kind, str(what)
        known = self._found.get(key)
        if known is None:
            known = self._found[key] = Problem(kind, str(what), 0, step, step, trace_id)
        known.n += n
        if step is not None:
            known.first = step if known.first is None else min(known.first, step)
            known.last = step if known.last is None else max(known.last, step)

    def look_at_run(self, run: RunRecord) -> None:
        """Note attempts that did not end well."""
        for attempt in run.attempts:
            if attempt.state == "failed":
                said = (
                    f"{attempt.error_type}: {attempt.error_message}"
                    if attempt.error_message
                    else attempt.error_type
                )
                self.note(FAILED, f"attempt {attempt.number + 1}: {said}", attempt.last_step, None)
            elif attempt.state == "killed":
                self.note(OVER_NOW, f"attempt {attempt.number + 1} was killed", attempt.last_step, None)

    def look_at_steps(self, steps: Iterable[StepRecord]) -> None:
        """Note what steps, their ranks and parts say, and what they lack."""
        for step in steps:
            for number in step.missing_ranks:
                self.note(MISSING_RANK, f"rank {number}", step.number, next(iter(step.trace_ids), None))
            for rank in step.ranks:
                trace = rank.span.trace_id if rank.span else None
                if rank.died:
                    at = next((part.name for part in reversed(rank.parts) if part.end_ns is None), None)
                    what = f"rank {rank.rank} did not come back from {at}" if at else f"rank {rank.rank}"
                    self.note(DIED, what, step.number, trace)
                for name, value in rank.scalars.items():
                    if not math.isfinite(value):
                        self.note(NOT_FINITE, name, step.number, trace)
                for word in rank.problems:
                    # What the step's own numbers say is not said twice.
                    if (
                        not word.endswith("not_finite")
                        or word.removesuffix("_not_finite") not in rank.scalars
                    ):
                        self.note(word.replace("_", " "), "step", step.number, trace)
                if rank.error_type is not None:
                    self._fail("step", rank.error_type, rank.error_message, step.number, trace)
                for part in rank.parts:
                    if part.error_type is not None:
                        self._fail(
                            part.name, part.error_type, part.error_message, step.number, part.span.trace_id
                        )
                    if part.loss is not None and not math.isfinite(part.loss):
                        self.note(NOT_FINITE, "loss of a micro-batch", step.number, part.span.trace_id)

    def look_at_rollout(self, one: RolloutRecord, *, unconsumed: bool = False) -> None:
        """Note what a rollout says of itself; `unconsumed`: losses say what they learned from, and none names it."""
        trace = one.span.trace_id
        said = {word.replace("_", " ") for word in one.problems} - {NO_SPREAD}
        if one.status == "unscored" or (one.reward is None and one.mode != "eval"):
            said = (said - {"reward missing"}) | {MISSING_REWARD}
        if one.reward is not None and not math.isfinite(one.reward):
            said = (said - {"reward not finite"}) | {NOT_FINITE}
        for word in said:
            self.note(word, "reward of a rollout" if word == NOT_FINITE else "rollout", one.step, trace)
        if one.error_type is not None:
            self._fail("rollout", one.error_type, one.error_message, one.step, trace)
        if unconsumed and one.mode != "eval":
            self.note(NOT_CONSUMED, "rollout", one.step, trace)

    def look_at_groups(self, step: int | None, groups: Sequence[Group[RolloutRecord]]) -> None:
        """Note groups with no spread."""
        for group in groups:
            if group.has_no_spread:
                self.note(NO_SPREAD, "group", step, group.members[0].span.trace_id)

    def _fail(self, what: str, error: str, message: str | None, step: int | None, trace: str | None) -> None:
        told = f"{what}: {error}" + (f": {message[:200]}" if message and message != error else "")
        self.note(FAILED, told, step, trace)


_RANKING: Final = {
    DIED: 0, OVER_NOW: 0, FAILED: 1, NOT_FINITE: 2, MISSING_RANK: 2, MISSING_REWARD: 3, NOT_FOUND: 4, NOT_CONSUMED: 6,
    NO_SPREAD: 7,
}  # fmt: skip
