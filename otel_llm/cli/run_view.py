"""Training runs as lines: a list of them, and one at a glance, with its last steps and what went wrong.

Pure: from records to `Line`s for a given width. Everything that comes out of a record is made clean here.
"""

# ruff: noqa: RUF001 (the multiplication sign is meant)
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_llm.analysis.training import (
    Problem,
    RolloutRecord,
    RunRecord,
    StepRecord,
    group_of,
    is_finite,
    name_for,
)
from otel_llm.cli import figures
from otel_llm.cli.lines import Line
from otel_llm.cli.render import Style
from otel_llm.cli.tables import Cell, Row, joined, table
from otel_llm.cli.text import fit, one_line, wrap

_ID: Final = 200
_NAME: Final = 60
_TRACE: Final = 8
_PARTS: Final = 10
_PART: Final = 20
_PROBLEMS: Final = 12
_SETTINGS: Final = 12
STATES: Final = {"killed": "bad", "failed": "bad", "running": "good", "ended": "good"}


@dataclass(slots=True)
class StepFigures:
    """What the rollouts of one step come to; they are added one by one and not kept."""

    n: int = 0
    rewards: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    truncated: int = 0
    groups: dict[tuple[str, str], list[float | None]] = field(default_factory=dict)

    def add(self, one: RolloutRecord) -> None:
        """Take in a rollout of training; those of an evaluation are not of the step."""
        if one.mode == "eval":
            return
        self.n += 1
        if one.reward is not None and is_finite(one.reward):
            self.rewards.append(one.reward)
        if one.output_tokens is not None:
            self.tokens.append(one.output_tokens)
        self.truncated += bool(one.truncated)
        if one.group is not None:
            self.groups.setdefault((one.mode, one.group), []).append(one.reward)

    @property
    def reward(self) -> float | None:
        """Their mean reward; None for none."""
        return sum(self.rewards) / len(self.rewards) if self.rewards else None

    @property
    def length(self) -> float | None:
        """Their mean length in tokens; None for none."""
        return sum(self.tokens) / len(self.tokens) if self.tokens else None

    @property
    def without_spread(self) -> int:
        """How many groups have no spread."""
        return sum(group_of("", rewards, lambda one: one).has_no_spread for rewards in self.groups.values())


@dataclass(frozen=True, slots=True)
class RunPage:
    """What is shown of a run.

    Attributes:
        run: the run.
        steps: all steps of it.
        shown: those that get a line.
        figures: what the rollouts come to, by attempt and step.
        problems: what went wrong.
    """

    run: RunRecord
    steps: Sequence[StepRecord]
    shown: Sequence[StepRecord]
    figures: dict[tuple[int, int | None], StepFigures]
    problems: Sequence[Problem]


def figure(value: float | None) -> str:
    """Return a number of training in four figures: `0.7312`, `1.2e-05`, `nan`."""
    if value is None:
        return ""
    return f"{value:.4g}"


# --- the list -------------------------------------------------------------------------------------
_RUNS: Final = (
    "run", "name", "state", "began", "took", "attempts", "ranks", "steps", "last reward"
)  # fmt: skip


def runs_lines(runs: Sequence[RunRecord], style: Style) -> Iterator[Line]:
    """Yield a table of runs."""
    rows: list[Row] = []
    for run in runs:
        last = max((a.end_ns or 0 for a in run.attempts), default=0)
        took = (last - run.start_ns) / 1e9 if run.end_ns is not None else (style.now_ns - run.start_ns) / 1e9
        is_over = run.state in {"killed", "failed", "unknown"} and run.end_ns is None
        rows.append(
            [
                one_line(run.run_id, _ID),
                one_line(run.name or "", _NAME),
                Cell(run.state, STATES.get(run.state, "")),
                figures.ago((style.now_ns - run.start_ns) / 1e9),
                "?" if is_over else figures.duration(took) + ("…" if run.end_ns is None else ""),
                figures.count(len(run.attempts)),
                figures.count(run.world_size),
                figures.count(run.steps),
                figure(run.last_reward),
            ]
        )
    yield from table("", _RUNS, rows, style.width, left=3)


# --- one run --------------------------------------------------------------------------------------
def run_lines(page: RunPage, style: Style) -> Iterator[Line]:
    """Yield the lines of one run: header, last steps, what went wrong."""
    yield from _header(page, style)
    if page.shown:
        yield Line()
        left_out = len(page.steps) - len(page.shown)
        if left_out:
            yield Line.of(
                f"  the last {len(page.shown)} of {figures.plural(len(page.steps), 'step')}", "quiet"
            )
        yield from _steps(page, style)
    if page.problems:
        yield Line()
        yield from problem_lines(page.problems, style)


def _header(page: RunPage, style: Style) -> Iterator[Line]:
    run = page.run
    yield Line.of(fit(f"run {one_line(run.run_id, _ID)}", style.width), "title")
    status = Line.of("  ").add(run.state, STATES.get(run.state, ""))
    if len(run.attempts) > 1:
        status.add(f" · {len(run.attempts)} attempts", "quiet")
    yield status
    told = [one_line(word, _NAME) for word in (run.name, run.algorithm, run.system, run.model) if word]
    told.append(figures.moment(run.start_ns, style.now_ns))
    if run.end_ns is not None:
        told.append(f"took {figures.duration((run.end_ns - run.start_ns) / 1e9)}")
    yield from joined(told, style.width, "  ", "quiet")
    parts = [figures.plural(run.steps, "step")]
    if run.world_size:
        hosts = run.attempts[-1].hosts
        on = f" on {', '.join(one_line(host, _NAME) for host in hosts[:4])}" if hosts else ""
        parts.append(figures.plural(run.world_size, "rank") + on)
    if n := sum(found.n for found in page.figures.values()):
        parts.append(figures.plural(n, "rollout"))
    took = [step.duration_s for step in page.steps if step.duration_s is not None]
    if took:
        parts.append(f"{figures.duration(sum(took) / len(took))} a step")
    if run.last_reward is not None:
        parts.append(f"last reward {figure(run.last_reward)}")
    yield from joined(parts, style.width, "  ")
    if run.config:
        settings = [f"{one_line(k, _NAME)} {one_line(v, _NAME)}" for k, v in sorted(run.config.items())]
        shown = settings if style.full else settings[:_SETTINGS]
        shown += [f"{len(settings) - len(shown)} more settings"] if len(shown) < len(settings) else []
        yield from joined(shown, style.width, "  ", "quiet")


def _steps(page: RunPage, style: Style) -> Iterator[Line]:
    names = {name for step in page.shown for name in step.scalars}
    roles = [
        (role, name)
        for role in ("kl", "entropy", "loss", "grad_norm")
        if (name := name_for(role, names)) is not None
    ]
    headings = (
        "step", "trace", "attempt", "took", "reward", *(role.replace("_", " ") for role, _ in roles), "tokens", "cut off",
        "no spread", "",
    )  # fmt: skip
    rows: list[Row] = []
    for step in page.shown:
        found = page.figures.get((step.attempt, step.number), StepFigures())
        reward = found.reward
        if reward is None:
            reward = step.scalar(name_for("reward", step.scalars) or "")
        cells: list[Cell | str] = [*_head(page, step), Cell(*_took(step)), figure(reward)]
        for _, name in roles:
            value = step.scalar(name)
            cells.append(Cell(figure(value), "" if value is None or is_finite(value) else "bad"))
        cells += [
            figures.count(found.length),
            Cell(figures.count(found.truncated) if found.truncated else "", "warn"),
            Cell(f"{found.without_spread} of {len(found.groups)}" if found.without_spread else "", "warn"),
            Cell(_remark(step), "bad"),
        ]
        rows.append(cells)
    yield from table("", headings, rows, style.width, left=2, remark=True)
    parts = _main_parts(page.shown)
    if parts:
        yield Line()
        yield Line.of("where the time went: mean over ranks", "title")
        times = [
            [*_head(page, step), *(figures.duration(mean_time(step, part)) for part in parts)]
            for step in page.shown
        ]
        shown = [one_line(part.replace("_", " "), _PART) for part in parts]
        yield from table("", ("step", "trace", "attempt", *shown), times, style.width, left=2)


def _head(page: RunPage, step: StepRecord) -> list[Cell | str]:
    trace = Cell(step.trace_ids[0][:_TRACE] if step.trace_ids else "", "quiet")
    return [str(step.number), trace, str(step.attempt + 1) if len(page.run.attempts) > 1 else ""]


def _took(step: StepRecord) -> tuple[str, str]:
    if step.end_ns is not None:
        return figures.duration(step.duration_s), ""
    return figures.duration((step.last_ns - step.start_ns) / 1e9) + "…", "warn"


def mean_time(step: StepRecord, part: str) -> float | None:
    """Return the mean over ranks of a part's seconds."""
    took = [rank.times[part] for rank in step.ranks if part in rank.times]
    return sum(took) / len(took) if took else None


def _main_parts(steps: Sequence[StepRecord]) -> list[str]:
    """Return the parts that take the most time, in the order of a step."""
    sums: dict[str, float] = {}
    for step in steps:
        for rank in step.ranks:
            for part, took in rank.times.items():
                sums[part] = sums.get(part, 0.0) + took
    most = set(sorted(sums, key=lambda part: -sums[part])[:_PARTS])
    return [part for part in sums if part in most and sums[part] > 0]


def _remark(step: StepRecord) -> str:
    said = [f"rank {rank.rank} died" for rank in step.ranks if rank.died]
    said += [f"rank {number} missing" for number in step.missing_ranks]
    errors = [rank.error_type for rank in step.ranks]
    errors += [part.error_type for rank in step.ranks for part in rank.parts]
    return one_line(", ".join([*said, *dict.fromkeys(error for error in errors if error is not None)]), _ID)


# --- what went wrong ------------------------------------------------------------------------------
_BAD: Final = frozenset({"rank died", "ended early", "failed", "not finite", "rank missing"})


def problem_lines(problems: Sequence[Problem], style: Style) -> Iterator[Line]:
    """Yield what went wrong, a line each."""
    yield Line.of("what went wrong", "title")
    shown = problems if style.full else problems[:_PROBLEMS]
    for one in shown:
        head = (
            f"{one.kind}: {one.what}"
            if one.what not in {"step", "rollout", "group"}
            else f"{one.kind} ({one.what})"
        )
        text = one_line(head, 400) + (f" ×{figures.count(one.n)}" if one.n > 1 else "")
        if one.first is not None:
            text += f", step {one.first}" if one.first == one.last else f", steps {one.first} to {one.last}"
        pieces = wrap(text, style.width - 4)
        for index, piece in enumerate(pieces):
            yield Line.of("  " if index == 0 else "    ").add(piece, "bad" if one.kind in _BAD else "warn")
    if len(shown) < len(problems):
        yield Line.of(f"  and {len(problems) - len(shown)} more: --full", "quiet")
