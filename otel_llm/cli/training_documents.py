"""The JSON of training: `show --runs --json` and `show --run --json`; see `show --help`.

Values are those of the records, under the names of their attributes; what is not known is null, and NaN is text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from otel_llm.analysis.training import (
    Consumption,
    Group,
    Problem,
    RolloutRecord,
    RunRecord,
    SpanRef,
    StepRecord,
    groups_of,
    surprises_of,
)
from otel_llm.cli import documents, figures

if TYPE_CHECKING:
    from otel_llm.cli.rollout_view import RolloutPage
    from otel_llm.cli.run_view import StepFigures

RUNS: Final = "otel_llm.runs/1"
RUN: Final = "otel_llm.run/1"
STEP: Final = "otel_llm.step/1"
ROLLOUT: Final = "otel_llm.rollout/1"


def runs(found: Sequence[RunRecord]) -> dict[str, Any]:
    """Return the document of a list of runs."""
    return {"schema": RUNS, "runs": [_head(one) for one in found]}


def run(
    one: RunRecord,
    steps: Sequence[StepRecord],
    by_step: Mapping[tuple[int, int | None], StepFigures],
    problems: Sequence[Problem],
) -> dict[str, Any]:
    """Return the document of one run, with its steps and what went wrong."""
    rows = []
    for step in steps:
        found = by_step.get((step.attempt, step.number))
        rows.append(
            {
                **_step(step, parts=False),
                "rollouts": found.n if found else 0,
                "mean_reward": found.reward if found else None,
                "mean_output_tokens": found.length if found else None,
                "truncated": found.truncated if found else 0,
                "groups": len(found.groups) if found else 0,
                "groups_without_spread": found.without_spread if found else 0,
            }
        )
    return {
        "schema": RUN,
        **_head(one),
        "step_list": rows,
        "trouble": [_value(problem) for problem in problems],
    }


def step(
    one: RunRecord, steps: Sequence[StepRecord], rollouts: Sequence[RolloutRecord], consumption: Consumption
) -> dict[str, Any]:
    """Return the document of one step, once for each attempt that made it."""
    attempts = []
    for found in steps:
        mine = [rollout for rollout in rollouts if rollout.attempt == found.attempt]
        surprising = surprises_of(mine)
        attempts.append(
            {
                **_step(found, parts=True),
                "groups": [_group(group) for group in groups_of(mine)],
                "rollouts": [
                    _rollout(rollout, surprise, consumption)
                    for rollout, surprise in zip(mine, surprising, strict=True)
                ],
            }
        )
    return {"schema": STEP, "run_id": one.run_id, "attempts": attempts}


def rollouts(one: RunRecord, pages: Iterable[RolloutPage]) -> dict[str, Any]:
    """Return the document of one rollout, once for each attempt that made it."""
    return {
        "schema": ROLLOUT,
        "run_id": one.run_id,
        "attempts": [
            {
                **_value(page.rollout, without=("input_messages", "output_messages")),
                "surprise": page.surprise,
                "group_figures": None if page.group is None else _group(page.group),
                "conversation": [{"role": role, "text": text} for role, text in page.conversation],
                "consumers": [_value(consumer) for consumer in page.consumers],
                "spans": [documents.span_document(span) for span in page.spans],
            }
            for page in pages
        ],
    }


def _head(one: RunRecord) -> dict[str, Any]:
    return {
        **_value(one),
        "state": one.state,
        "start": figures.iso(one.start_ns),
        "start_ns": one.start_ns,
        "end_ns": one.end_ns,
        "world_size": one.world_size,
    }


def _step(one: StepRecord, *, parts: bool) -> dict[str, Any]:
    found: dict[str, Any] = _value(one, without=("ranks",))
    found |= {
        "start": figures.iso(one.start_ns),
        "duration_s": one.duration_s,
        "missing_ranks": one.missing_ranks,
        "ranks": [
            _value(rank, without=() if parts else ("parts", "consumed", "consumed_groups"))
            for rank in one.ranks
        ],
    }
    return found


def _group(group: Group[RolloutRecord]) -> dict[str, Any]:
    return {
        **_value(group, without=("members",)),
        "samples": [one.sample_id for one in group.members],
        "has_no_spread": group.has_no_spread,
    }


def _rollout(one: RolloutRecord, surprise: float | None, consumption: Consumption) -> dict[str, Any]:
    left_out = ("input_messages", "output_messages", "token_ids", "token_logprobs", "token_ratios")
    return {
        **_value(one, without=left_out),
        "surprise": surprise,
        "consumers": [_value(consumer) for consumer in consumption.of(one)],
    }


def _value(value: Any, without: Sequence[str] = ()) -> Any:
    """Return a record, and what is in it, as JSON has it; ids of spans by their names."""
    if isinstance(value, SpanRef):
        return {"trace_id": value.trace_id, "span_id": value.span_id}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.name not in without]
        return {name: _value(getattr(value, name)) for name in names}
    if isinstance(value, list | tuple):
        return [_value(one) for one in value]
    return value
