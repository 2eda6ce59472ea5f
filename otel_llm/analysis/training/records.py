"""What is known of a training run: attempts, steps with what each rank did in them, rollouts. Plain data.

Times are nanoseconds since the epoch, durations seconds. None is what nobody knows. Numbers of training keep NaN and
infinities, because these say something; only `finite` figures (see `Figures`) leave them out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from otel_llm.analysis.conversation import turns


class SpanRef(NamedTuple):
    """Where a span is: lower-case hex ids."""

    trace_id: str
    span_id: str


@dataclass(slots=True, kw_only=True)
class AttemptRecord:
    """One attempt of a run: from its start, or from a checkpoint.

    Attributes:
        number: 0 at first, 1 when the run was resumed once.
        state: `ended`, `failed`, `running`, `killed` (a process of it is gone without an end) or `unknown`.
        start_ns: when it began.
        end_ns: when its last span ended; None while it runs, or where its processes died.
        first_step: the first step of it; None for none.
        last_step: the last one.
        steps: how many steps of it there are.
        world_size: how many ranks, as the ranks say it.
        ranks: ranks of which there is anything, by number.
        hosts: hosts, in order of first sight.
        error_type: class of what ended it.
        error_message: in its own words.
    """

    number: int
    state: str = "unknown"
    start_ns: int = 0
    end_ns: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    steps: int = 0
    world_size: int | None = None
    ranks: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    error_type: str | None = None
    error_message: str | None = None


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """One training run, over all its attempts, ranks and processes.

    Attributes:
        run_id: its id.
        name: what it is called.
        algorithm: `grpo`, `rloo` …
        system: `trl`, or the program's own word.
        model: the model that is trained.
        attempts: its attempts, by number; at least one.
        steps: distinct steps; one that was done again after a resume counts once.
        last_step: the number of the last one; None for none.
        last_reward: mean reward of the last step that has one; None for none.
        config: settings of the run, under the trainer's own names.
    """

    run_id: str
    name: str | None = None
    algorithm: str | None = None
    system: str | None = None
    model: str | None = None
    attempts: list[AttemptRecord] = field(default_factory=list)
    steps: int = 0
    last_step: int | None = None
    last_reward: float | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """How the last attempt stands."""
        return self.attempts[-1].state if self.attempts else "unknown"

    @property
    def start_ns(self) -> int:
        """When the first attempt began."""
        return min((one.start_ns for one in self.attempts if one.start_ns), default=0)

    @property
    def end_ns(self) -> int | None:
        """When the last attempt ended; None while it runs."""
        return self.attempts[-1].end_ns if self.attempts else None

    @property
    def world_size(self) -> int | None:
        """How many ranks the last attempt has."""
        return self.attempts[-1].world_size if self.attempts else None


@dataclass(slots=True, kw_only=True)
class PartRecord:
    """One part of a step on one rank: generation, a reward function, a loss, the optimizer and so on.

    Attributes:
        kind: `sampling`, `generation`, `weight_sync`, `logprobs`, `reward`, `advantages`, `loss`, `backward`,
            `optimizer`, `checkpoint`, `evaluation`, or the program's own word.
        name: the span's name.
        rank: which process; 0 where nobody said.
        span: its span.
        parent_id: the span above it.
        start_ns: when it began.
        end_ns: when it ended; None while it is open, or where its process died.
        loss: of a loss.
        micro_step: of gradient accumulation, from 0.
        update: which update of the weights, counted over the run from 1; None where nobody said.
        iteration: how often the same rollouts were learned from before.
        consumed: rollouts that it learned from.
        consumed_groups: rollouts for whose whole groups it stands that it learned from them, with the group's name
            where the link tells it.
        error_type: class of its failure.
        error_message: in its own words.
    """

    kind: str
    name: str
    rank: int
    span: SpanRef
    parent_id: str | None
    start_ns: int
    end_ns: int | None
    loss: float | None = None
    micro_step: int | None = None
    update: int | None = None
    iteration: int | None = None
    consumed: tuple[SpanRef, ...] = ()
    consumed_groups: tuple[tuple[SpanRef, str | None], ...] = ()
    error_type: str | None = None
    error_message: str | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds it took; None while it is open."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9


@dataclass(slots=True, kw_only=True)
class RankRecord:
    """What one rank did in a step.

    Attributes:
        rank: its number; 0 where nobody said.
        local_rank: its number on its host.
        host: where it runs.
        device: on what.
        span: its span of the step; None where only parts of it are known.
        start_ns: when it began.
        end_ns: when it ended; None while it is open, or where its process died.
        died: whether its process is gone and the span never ended.
        times: seconds by part, as the trainer's side measured them; where nobody did, the sums of its parts.
        scalars: numbers under the trainer's own names, `loss`, `grad_norm` and `learning_rate` among them.
        parts: its parts, by start time.
        consumed: rollouts that the step's own span says it learned from.
        consumed_groups: see `PartRecord.consumed_groups`.
        problems: what went wrong, in single words.
        error_type: class of its failure.
        error_message: in its own words.
    """

    rank: int
    local_rank: int | None = None
    host: str | None = None
    device: str | None = None
    span: SpanRef | None = None
    start_ns: int = 0
    end_ns: int | None = None
    died: bool = False
    times: dict[str, float] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    parts: list[PartRecord] = field(default_factory=list)
    consumed: tuple[SpanRef, ...] = ()
    consumed_groups: tuple[tuple[SpanRef, str | None], ...] = ()
    problems: tuple[str, ...] = ()
    error_type: str | None = None
    error_message: str | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds it took; None while it is open."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9

    @property
    def losses(self) -> list[PartRecord]:
        """The losses among its parts."""
        return [part for part in self.parts if part.kind == "loss"]


@dataclass(slots=True, kw_only=True)
class StepRecord:
    """One optimisation step over all ranks.

    Attributes:
        run_id: its run.
        attempt: its attempt.
        number: its number, as the trainer logs it; the first is 1.
        epoch: as the trainer counts it.
        world_size: how many ranks take part, as they say it.
        trace_ids: traces of it: one, unless its ranks could not agree on it, or it was evaluated.
        ranks: what each rank did, by rank.
    """

    run_id: str
    attempt: int
    number: int
    epoch: float | None = None
    world_size: int | None = None
    trace_ids: tuple[str, ...] = ()
    ranks: list[RankRecord] = field(default_factory=list)

    @property
    def start_ns(self) -> int:
        """When its first rank began."""
        return min((rank.start_ns for rank in self.ranks if rank.start_ns), default=0)

    @property
    def end_ns(self) -> int | None:
        """When its last rank ended; None while one is open."""
        ends = [rank.end_ns for rank in self.ranks]
        return max((end for end in ends if end is not None), default=None) if None not in ends else None

    @property
    def last_ns(self) -> int:
        """The last moment of which anything is known."""
        times = [rank.start_ns for rank in self.ranks] + [rank.end_ns or 0 for rank in self.ranks]
        times += [part.end_ns or part.start_ns for rank in self.ranks for part in rank.parts]
        return max(times, default=0)

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first rank's start to the last one's end; None while one is open."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9

    @property
    def missing_ranks(self) -> tuple[int, ...]:
        """Ranks that should take part and of which nothing is known."""
        there = {rank.rank for rank in self.ranks}
        return tuple(number for number in range(self.world_size or 0) if number not in there)

    def scalar(self, name: str) -> float | None:
        """Return a number of the step: that of its lowest rank that has it. None where none has."""
        return next((rank.scalars[name] for rank in self.ranks if name in rank.scalars), None)

    @property
    def scalars(self) -> dict[str, float]:
        """All numbers of the step, of each the lowest rank's."""
        found: dict[str, float] = {}
        for rank in reversed(self.ranks):
            found |= rank.scalars
        return found


@dataclass(slots=True, kw_only=True)
class RolloutRecord:
    """One rollout: a prompt, what was answered, and what that was worth.

    Attributes:
        run_id: its run; empty where nobody said.
        attempt: its attempt.
        step: its step; None outside any.
        rank: which process made it; 0 where nobody said.
        sample_id: its id in the run; the span's id where it has none.
        group: the samples that it is compared with.
        index: its place in the group, from 0.
        mode: `train` or `eval`.
        status: `scored`, `unscored`; None where nobody said.
        reward: the total that was learned from.
        rewards: score by component, before weights.
        weights: weight by component.
        explanations: by component, where a scorer gave one.
        advantage: how much better than expected, as the trainer computed it.
        input_tokens: of the prompt.
        output_tokens: of the answer.
        truncated: whether the answer was cut off at its longest.
        policy_step: the step whose weights made it.
        policy_version: the inference server's own word for these.
        staleness: steps between the weights and the learning.
        turns: answers in it.
        problems: what went wrong, in single words.
        task: the rest of the dataset's row, as JSON.
        input_messages: the prompt, in GenAI's JSON; None where it was not kept.
        output_messages: the answer, or all that followed, likewise.
        token_ids: of the answer, where they were asked for, as are `token_logprobs` and `token_ratios`.
        token_logprobs: natural logarithms of probabilities.
        token_ratios: of probabilities, new policy to old.
        span: its span.
        start_ns: when it began.
        end_ns: when it ended; None while it is open.
        error_type: class of its failure.
        error_message: in its own words.
    """

    run_id: str
    attempt: int
    step: int | None
    rank: int
    sample_id: str
    group: str | None
    index: int | None
    mode: str
    status: str | None
    reward: float | None
    rewards: dict[str, float]
    weights: dict[str, float]
    explanations: dict[str, str]
    advantage: float | None
    input_tokens: int | None
    output_tokens: int | None
    truncated: bool | None
    policy_step: int | None
    policy_version: str | None
    staleness: int | None
    turns: int | None
    problems: tuple[str, ...]
    task: str | None
    input_messages: Any
    output_messages: Any
    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    token_ratios: tuple[float, ...]
    span: SpanRef
    start_ns: int
    end_ns: int | None
    error_type: str | None
    error_message: str | None

    @property
    def duration_s(self) -> float | None:
        """Seconds it took; None while it is open."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """What was said, as (role, text); empty where the store does not have it, or only its calls do."""
        return [*turns(self.input_messages), *turns(self.output_messages)]


@dataclass(slots=True, kw_only=True)
class ScalarRow:
    """One number of a run that its trainer logged at a step.

    Attributes:
        name: as the trainer calls it.
        attempt: its attempt.
        step: its step.
        rank: which process told it.
        value: the number; NaN and infinities too.
    """

    name: str
    attempt: int
    step: int
    rank: int
    value: float


def is_finite(value: float | None) -> bool:
    """Say whether a number is there and finite."""
    return value is not None and math.isfinite(value)
