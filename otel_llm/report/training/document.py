"""The document that the page of a training run reads: steps and rollouts as columns, numbers as curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from otel_llm.analysis.figures import percentile
from otel_llm.analysis.training import ROLES, RunRecord, StepRecord, is_finite, mean_and_std, name_for
from otel_llm.report.items import milliseconds
from otel_llm.report.names import Names
from otel_llm.report.statistics import short
from otel_llm.report.training.gathering import EVALUATION, TRUNCATED, UNSCORED, Gathered, Sample
from otel_llm.version import VERSION

SCHEMA: Final = "otel_llm.training_report/1"
MAX_SERIES: Final = 300
"""Numbers of the trainer that are drawn; the rest is counted."""
MAX_RANKS: Final = 8
"""Ranks that have a line each; of more, the lowest and highest values are drawn."""
MAX_FLAT: Final = 1_000
"""Groups without spread that are named."""
MAX_PROBLEMS: Final = 300
_NAME: Final = 300


def build(gathered: Gathered, *, made_ns: int, content: bool, **extra: Any) -> dict[str, Any]:
    """Return the document.

    Args:
        gathered: the run's numbers.
        made_ns: when the report is made.
        content: whether what was said may be shown.
        extra: further members of the document.
    """
    run = gathered.run
    t0_ns = beginning(gathered, made_ns)
    curves, left_out = _curves(gathered.steps)
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "made": round(made_ns / 1e6),
        "kind": "training",
        "title": title(run),
        "t0": round(t0_ns / 1e6),
        "content": content,
        **extra,
        "run": _run(run, gathered, t0_ns),
        "steps": _steps(gathered, t0_ns),
        "curves": curves,
        "curves_left_out": left_out,
        "roles": {
            role: name for role in ROLES if (name := name_for(role, {curve["name"] for curve in curves}))
        },
        "times": _times(gathered.steps),
        "components": gathered.components.list(),
        "rollouts": _rollouts(gathered),
        "flat": _flat(gathered),
        "trouble": [
            {
                "kind": one.kind,
                "what": short(one.what),
                "n": one.n,
                "first": one.first,
                "last": one.last,
                "trace": one.trace_id,
            }
            for one in gathered.problems[:MAX_PROBLEMS]
        ],
    }


def title(run: RunRecord) -> str:
    """Return what the page is called."""
    return f"{run.name} · {run.run_id}" if run.name and run.name != run.run_id else run.run_id


def beginning(gathered: Gathered, made_ns: int) -> int:
    """Return when the document's time begins."""
    starts = [gathered.run.start_ns, *(step.start_ns for step in gathered.steps)]
    return min((at for at in starts if at), default=made_ns)


def _run(run: RunRecord, gathered: Gathered, t0_ns: int) -> dict[str, Any]:
    last = max((step.last_ns for step in gathered.steps), default=0)
    return {
        "id": run.run_id, "name": run.name, "algorithm": run.algorithm, "system": run.system, "model": run.model,
        "state": run.state, "start": milliseconds(run.start_ns, t0_ns),
        "end": milliseconds(max(last, run.end_ns or 0), t0_ns), "world": run.world_size,
        "config": sorted((str(key), value) for key, value in run.config.items()),
        "attempts": [
            {
                "number": one.number, "state": one.state, "start": milliseconds(one.start_ns, t0_ns),
                "end": None if one.end_ns is None else milliseconds(one.end_ns, t0_ns), "first": one.first_step,
                "last": one.last_step, "steps": one.steps, "world": one.world_size, "hosts": one.hosts,
                "error": one.error_type, "message": short(one.error_message),
            }
            for one in run.attempts
        ],
    }  # fmt: skip


# --- steps ----------------------------------------------------------------------------------------
def _steps(gathered: Gathered, t0_ns: int) -> dict[str, Any]:
    steps = gathered.steps
    latest = {step.number: row for row, step in enumerate(steps)}
    columns: dict[str, list[Any]] = {
        "number": [step.number for step in steps],
        "attempt": [step.attempt for step in steps],
        "start": [milliseconds(step.start_ns, t0_ns) for step in steps],
        "took": [_round(step.duration_s) for step in steps],
        "epoch": [_round(step.epoch) for step in steps],
        "trace": [next(iter(step.trace_ids), None) for step in steps],
        "ranks": [len(step.ranks) for step in steps],
        "died": [sum(rank.died for rank in step.ranks) + len(step.missing_ranks) for step in steps],
        # A step that a later attempt did again is not of the curves.
        "current": [latest[step.number] == row for row, step in enumerate(steps)],
        "first": [first for first, _ in gathered.of_row],
        "n": [last - first for first, last in gathered.of_row],
        "groups": [len(groups) for groups in gathered.groups],
        "flat": [sum(group.has_no_spread for group in groups) for groups in gathered.groups],
    }
    trained = [
        [one for one in gathered.samples[first:last] if not one.flags & EVALUATION]
        for first, last in gathered.of_row
    ]
    columns |= _spread("reward", trained, lambda one: one.reward)
    columns |= _spread("tokens", trained, lambda one: one.tokens)
    columns["truncated"] = [_share(found, TRUNCATED) for found in trained]
    columns["unscored"] = [sum(bool(one.flags & UNSCORED) for one in found) for found in trained]
    columns["components"] = [
        [_mean(one.rewards.get(number) for one in found) for found in trained]
        for number in range(len(gathered.components.list()))
    ]
    return {"rows": len(steps), **columns}


def _spread(
    name: str, rows: Sequence[Sequence[Sample]], value: Callable[[Sample], float | None]
) -> dict[str, list[Any]]:
    """Return columns of means, standard deviations, extremes, and what nine of ten lie between."""
    found: dict[str, list[Any]] = {
        f"{name}_{what}": [] for what in ("mean", "std", "p10", "p90", "min", "max")
    }
    for samples in rows:
        values = sorted(v for one in samples if (v := value(one)) is not None)
        mean, std = mean_and_std(values)
        ends = (
            (percentile(values, 0.1), percentile(values, 0.9), values[0], values[-1])
            if values
            else (None,) * 4
        )
        for what, figure in zip(found, (mean, std, *ends), strict=True):
            found[what].append(_round(figure))
    return found


def _share(samples: Sequence[Sample], flag: int) -> float | None:
    return _round(sum(bool(one.flags & flag) for one in samples) / len(samples)) if samples else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _round(sum(known) / len(known)) if known else None


def _round(value: float | None) -> float | None:
    """Return a number in six figures: so many a curve can show."""
    if value is None or not is_finite(value):
        return None
    return float(f"{value:.6g}")


# --- numbers that the trainer told ----------------------------------------------------------------
def _curves(steps: Sequence[StepRecord]) -> tuple[list[dict[str, Any]], int]:
    """Return the trainer's numbers as columns over the steps, and how many are left out."""
    names = Names()
    for step in steps:
        for rank in step.ranks:
            for name in rank.scalars:
                names.number(name)
    known = sorted(names.list())
    shown = known[:MAX_SERIES]
    ranks = sorted({rank.rank for step in steps for rank in step.ranks})
    return [_curve(name, steps, ranks) for name in shown], len(known) - len(shown)


def _curve(name: str, steps: Sequence[StepRecord], ranks: Sequence[int]) -> dict[str, Any]:
    told = [{rank.rank: rank.scalars[name] for rank in step.ranks if name in rank.scalars} for step in steps]
    curve: dict[str, Any] = {
        "name": name[:_NAME],
        # The lowest rank's; it is the one that trainers log.
        "values": [_round(values[min(values)]) if values else None for values in told],
        "odd": [
            [row, str(next(value for value in values.values() if not is_finite(value)))]
            for row, values in enumerate(told)
            if not all(map(is_finite, values.values()))
        ],
    }
    if any(len(set(map(_round, values.values()))) > 1 for values in told):
        if len(ranks) <= MAX_RANKS:
            curve["ranks"] = [[rank, [_round(values.get(rank)) for values in told]] for rank in ranks]
        else:
            finite = [[value for value in values.values() if is_finite(value)] for values in told]
            curve["low"] = [_round(min(values, default=None)) for values in finite]
            curve["high"] = [_round(max(values, default=None)) for values in finite]
    return curve


# --- time -----------------------------------------------------------------------------------------
def _times(steps: Sequence[StepRecord]) -> dict[str, Any]:
    """Return the time split: of each part the mean over ranks, and what they waited for the slowest."""
    sums: dict[str, float] = {}
    for step in steps:
        for rank in step.ranks:
            for part, took in rank.times.items():
                if is_finite(took):
                    sums[part] = sums.get(part, 0.0) + took
    parts = [part for part in sums if sums[part] > 0]
    return {
        "parts": [part[:_NAME] for part in parts],
        "mean": [
            [
                _mean(rank.times.get(part, 0.0 if rank.times else None) for rank in step.ranks)
                for step in steps
            ]
            for part in parts
        ],
    }


# --- rollouts -------------------------------------------------------------------------------------
def _rollouts(gathered: Gathered) -> dict[str, Any]:
    samples = gathered.samples
    return {
        "n": len(samples),
        "name": [one.name[:_NAME] for one in samples],
        "row": [one.row for one in samples],
        "rank": [one.rank for one in samples],
        "group": [one.place for one in samples],
        "reward": [_round(one.reward) for one in samples],
        "advantage": [_round(one.advantage) for one in samples],
        "surprise": [None if one.surprise is None else round(one.surprise, 3) for one in samples],
        "tokens": [one.tokens for one in samples],
        "flags": [one.flags for one in samples],
        "components": [
            [_round(one.rewards.get(number)) for one in samples]
            for number in range(len(gathered.components.list()))
        ],
    }


def _flat(gathered: Gathered) -> dict[str, Any]:
    """Return the groups without spread, the latest steps' first."""
    found = [
        [row, group.name[:_NAME], group.mean, len(group.members), gathered.of_row[row][0]]
        for row in range(len(gathered.steps) - 1, -1, -1)
        for group in gathered.groups[row]
        if group.has_no_spread
    ]
    return {"n": len(found), "rows": found[:MAX_FLAT]}
