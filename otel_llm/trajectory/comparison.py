"""Many trajectories side by side: tool use over steps, successful beside failed, training beside evaluation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final

from otel_llm.numeric import as_number
from otel_llm.trajectory.formatting import joined
from otel_llm.trajectory.messages import get, read_messages
from otel_llm.trajectory.statistics import stats_of
from otel_llm.trajectory.tags import EXPECTED_TAGS, TagUse, expected_of, rate_of

_EVALUATION: Final = frozenset({"eval", "evaluation", "validation", "valid", "val", "test"})
_TOTALS: Final = ("total_reward", "reward", "score")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One trajectory and what is known of it.

    The functions below take these, or mappings and objects with the same names (`completion` beside `messages` or
    `prompt`; `total_reward` or `score` for `reward`; `split` of `eval`, `validation` or `test` for `evaluation`).

    Attributes:
        messages: the conversation, as for `format_conversation`.
        step: the training step it belongs to.
        reward: its total reward.
        success: whether it succeeded; None where that is not known.
        evaluation: whether it was made to evaluate, not to train.
    """

    messages: Any = None
    step: int | None = None
    reward: float | None = None
    success: bool | None = None
    evaluation: bool = False


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Use of tools at one step.

    Attributes:
        step: the step; None for trajectories that have none.
        trajectories: how many there are.
        with_tools: how many of them called a tool.
        calls: calls in all of them.
        calls_by_name: the same per tool.
        responses: results in all of them.
        errors: results that are failures.
        turns: assistant turns in all of them.
    """

    step: int | None
    trajectories: int
    with_tools: int
    calls: int
    calls_by_name: Mapping[str, int]
    responses: int
    errors: int
    turns: int

    @property
    def calls_per_trajectory(self) -> float:
        """Mean calls of a trajectory."""
        return self.calls / self.trajectories

    @property
    def share_with_tools(self) -> float:
        """Share of trajectories that called a tool, 0 to 1."""
        return self.with_tools / self.trajectories

    @property
    def error_rate(self) -> float | None:
        """Share of results that are failures, 0 to 1; None where there is no result."""
        return self.errors / self.responses if self.responses else None


@dataclass(frozen=True, slots=True)
class Summary:
    """Trajectories of one kind, together. Means are None where nothing is known.

    Attributes:
        count: how many.
        figures: means a trajectory: `reward`, `turns`, `assistant_turns`, `tool_calls`, `tool_responses`,
            `tool_errors`, `total_length`, `assistant_length`, `reasoning_length` (characters), `tag_adherence`;
            and shares, 0 to 1: `success_rate`, `with_tools`, `tool_error_rate`.
        tool_calls_by_name: mean calls a trajectory, per tool.
        tags: per expected tag the share of trajectories that keep to it, and `all`.
    """

    count: int
    figures: Mapping[str, float | None]
    tool_calls_by_name: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two kinds of trajectories side by side.

    Attributes:
        names: what the two are called.
        first: the one kind.
        second: the other.
        left_out: trajectories of neither kind: it is not known whether they succeeded.
    """

    names: tuple[str, str]
    first: Summary
    second: Summary
    left_out: int = 0

    def rows(self) -> list[tuple[str, float | None, float | None, float | None]]:
        """Return `(figure, first, second, first - second)`, tools as `tool_calls/NAME`, tags as `tags/NAME`."""
        sides = (self.first, self.second)
        named: list[dict[str, float | None]] = []
        for side in sides:
            tools = {f"tool_calls/{name}": n for name, n in side.tool_calls_by_name.items()}
            named.append({**side.figures, **tools, **{f"tags/{tag}": n for tag, n in side.tags.items()}})
        rows: list[tuple[str, float | None, float | None, float | None]] = []
        for figure in dict.fromkeys((*named[0], *named[1])):
            # A tool that the other kind never called was called no times.
            missing = [0.0 if figure.startswith("tool_calls/") and side.count else None for side in sides]
            left, right = (one.get(figure, none) for one, none in zip(named, missing, strict=True))
            rows.append((figure, left, right, None if left is None or right is None else left - right))
        return rows


def tool_use_over_steps(trajectories: Iterable[Any]) -> list[ToolUse]:
    """Return the use of tools step by step, in the order of the steps; those without a step come last."""
    by_step: dict[int | None, list[_Read]] = defaultdict(list)
    for read in _read_all(trajectories, ()):
        by_step[read.step].append(read)
    return [
        _tool_use(step, by_step[step]) for step in sorted(by_step, key=lambda step: (step is None, step or 0))
    ]


def compare_success(
    trajectories: Iterable[Any], *, threshold: float | None = None, tags: Iterable[str] = EXPECTED_TAGS
) -> Comparison:
    """Put successful trajectories beside failed ones.

    Args:
        trajectories: `Trajectory` or anything like it.
        threshold: a trajectory that does not say whether it succeeded did, if its reward is at least so much.
        tags: XML tags that answers are expected to use.

    Returns:
        Successful first, failed second; what is neither is counted as left out.
    """
    expected = expected_of(tags)
    kinds: dict[bool | None, list[_Read]] = defaultdict(list)
    for read in _read_all(trajectories, expected):
        success = read.success
        if success is None and threshold is not None and read.reward is not None:
            success = read.reward >= threshold
        kinds[success].append(read)
    good, bad = _summary(kinds[True], expected), _summary(kinds[False], expected)
    return Comparison(("successful", "failed"), good, bad, len(kinds[None]))


def compare_evaluation(trajectories: Iterable[Any], *, tags: Iterable[str] = EXPECTED_TAGS) -> Comparison:
    """Put trajectories of training beside those of evaluation."""
    expected = expected_of(tags)
    kinds: dict[bool, list[_Read]] = defaultdict(list)
    for read in _read_all(trajectories, expected):
        kinds[read.evaluation].append(read)
    return Comparison(
        ("training", "evaluation"), _summary(kinds[False], expected), _summary(kinds[True], expected)
    )


# --- reading --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Read:
    stats: dict[str, Any]
    step: int | None
    reward: float | None
    success: bool | None
    evaluation: bool


def _read_all(trajectories: Iterable[Any], expected: tuple[str, ...]) -> list[_Read]:
    return [_guarded(given, expected) for given in trajectories]


def _guarded(given: Any, expected: tuple[str, ...]) -> _Read:
    try:
        return _read(given, expected)
    except Exception:  # an object of the program's own may do anything; it is counted nevertheless
        return _Read(stats_of((), expected), None, None, None, evaluation=False)


def _read(given: Any, expected: tuple[str, ...]) -> _Read:
    step = as_number(get(given, "step"))
    success = get(given, "success")
    flag = None if isinstance(success, str) else as_number(success)  # NumPy's truth is not Python's
    return _Read(
        stats_of(_messages(given), expected),
        int(step) if step is not None and step == step and abs(step) != float("inf") else None,  # noqa: PLR0124
        next((n for name in _TOTALS if (n := as_number(get(given, name))) is not None), None),
        None if flag is None else bool(flag),
        _is_evaluation(given),
    )


def _messages(given: Any) -> Any:
    conversation = get(given, "messages")
    if conversation is None:
        conversation = get(given, "prompt")
    completion = get(given, "completion")
    if completion is not None:
        return joined(conversation, completion)
    # A conversation alone: nothing is known of it but what was said.
    return read_messages(
        given if conversation is None and isinstance(given, list | tuple | str) else conversation
    )


def _is_evaluation(given: Any) -> bool:
    flag = get(given, "evaluation")
    if isinstance(flag, bool):
        return flag
    split = get(given, "split")
    return isinstance(split, str) and split.lower() in _EVALUATION


# --- summing up -----------------------------------------------------------------------------------
def _tool_use(step: int | None, reads: Sequence[_Read]) -> ToolUse:
    total: Callable[[str], int] = lambda name: sum(read.stats[name] for read in reads)  # noqa: E731
    return ToolUse(
        step=step,
        trajectories=len(reads),
        with_tools=sum(read.stats["tool_calls"] > 0 for read in reads),
        calls=total("tool_calls"),
        calls_by_name=_by_name(reads),
        responses=total("tool_responses"),
        errors=total("tool_errors"),
        turns=total("assistant_turns"),
    )


def _by_name(reads: Iterable[_Read]) -> dict[str, int]:
    calls: Counter[str] = Counter()
    for read in reads:
        calls.update(read.stats["tool_calls_by_name"])
    return dict(sorted(calls.items()))


def _summary(reads: Sequence[_Read], expected: tuple[str, ...]) -> Summary:
    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if known else None

    figures: dict[str, float | None] = {
        "success_rate": mean(None if read.success is None else float(read.success) for read in reads),
        "reward": mean(read.reward for read in reads),
    }
    for name in (
        "turns",
        "assistant_turns",
        "tool_calls",
        "tool_responses",
        "tool_errors",
        "total_length",
        "assistant_length",
        "reasoning_length",
        "tag_adherence",
    ):
        figures[name] = mean(read.stats[name] for read in reads)
    figures["with_tools"] = mean(float(read.stats["tool_calls"] > 0) for read in reads)
    responses = sum(read.stats["tool_responses"] for read in reads)
    errors = sum(read.stats["tool_errors"] for read in reads)
    figures["tool_error_rate"] = errors / responses if responses else None
    uses = [TagUse(expected, read.stats["tags"], tuple(read.stats["malformed_tags"])) for read in reads]
    return Summary(
        count=len(reads),
        figures=figures,
        tool_calls_by_name={name: n / len(reads) for name, n in _by_name(reads).items()},
        tags=rate_of(uses, expected),
    )
