"""One step of training as lines: what each rank did as a tree, and the rollouts by group with who learned from them.

Pure: from records to `Line`s for a given width. Everything that comes out of a record is made clean here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from otel_llm.analysis.training import (
    Consumer,
    Consumption,
    Group,
    PartRecord,
    RankRecord,
    RolloutRecord,
    RunRecord,
    SpanRef,
    StepRecord,
    groups_of,
    is_finite,
)
from otel_llm.cli import figures
from otel_llm.cli.lines import Line
from otel_llm.cli.render import Style
from otel_llm.cli.run_view import figure
from otel_llm.cli.tables import Cell, Row, joined, table
from otel_llm.cli.text import fit, one_line

_NAME: Final = 60
_SCALARS: Final = 16
_GROUPS: Final = 12
_CHILDREN: Final = 24
"""Parts of one place in the tree that are shown, unless it is asked for in full."""


def step_lines(
    run: RunRecord,
    step: StepRecord,
    rollouts: Sequence[RolloutRecord],
    consumption: Consumption,
    style: Style,
) -> Iterator[Line]:
    """Yield the lines of one step: header, ranks, groups."""
    again = f" · attempt {step.attempt + 1}" if len(run.attempts) > 1 else ""
    yield Line.of(fit(f"run {one_line(run.run_id, 120)} · step {step.number}{again}", style.width), "title")
    told = [f"trace {trace}" for trace in step.trace_ids[:3]]
    told.append(figures.moment(step.start_ns, style.now_ns))
    told.append(f"took {figures.duration(step.duration_s)}" if step.end_ns else "has not ended")
    if step.epoch is not None:
        told.append(f"epoch {step.epoch:.4g}")
    yield from joined(told, style.width, "  ", "quiet")
    scalars = sorted(step.scalars.items())
    said = [f"{one_line(name, _NAME)} {figure(value)}" for name, value in scalars]
    shown = said if style.full else said[:_SCALARS]
    shown += [f"{len(said) - len(shown)} more numbers: --full"] if len(shown) < len(said) else []
    yield from joined(shown, style.width, "  ")
    for rank in step.ranks:
        yield Line()
        yield from _rank(rank, rollouts, style)
    if step.missing_ranks:
        named = ", ".join(map(str, step.missing_ranks[:20]))
        yield Line()
        yield Line.of(fit(f"nothing is known of rank {named}", style.width), "bad")
    yield from _groups(rollouts, consumption, style)


# --- ranks ----------------------------------------------------------------------------------------
def _rank(rank: RankRecord, rollouts: Sequence[RolloutRecord], style: Style) -> Iterator[Line]:
    line = Line.of(f"rank {rank.rank}", "title")
    place = " ".join(one_line(word, _NAME) for word in (rank.host, rank.device) if word)
    if place:
        line.add(f"  {place}", "quiet")
    if rank.died:
        line.add("  died in it", "bad")
    elif rank.end_ns is None:
        line.add("  has not ended" if rank.span else "  its span is not there", "warn")
    else:
        line.add(f"  {figures.duration(rank.duration_s)}")
    if rank.error_type:
        line.add(f"  {one_line(rank.error_type, _NAME)}", "bad")
    yield _within(line, style)
    ids = {part.span.span_id for part in rank.parts}
    children: dict[str | None, list[PartRecord]] = {}
    for part in rank.parts:
        parent = part.parent_id if part.parent_id in ids and part.parent_id != part.span.span_id else None
        children.setdefault(parent, []).append(part)
    mine = {one.span: one for one in rollouts}
    made = sum(one.rank == rank.rank for one in rollouts)
    yield from _branch(children, None, "  ", mine, made, style, set())


def _within(line: Line, style: Style) -> Line:
    """Return a line cut to the terminal's width."""
    cut = Line()
    for text, kind in line.pieces:
        cut.add(fit(text, max(0, style.width - cut.width)) if style.width > cut.width else "", kind)
    return cut


def _branch(
    children: dict[str | None, list[PartRecord]],
    parent: str | None,
    indent: str,
    rollouts: dict[SpanRef, RolloutRecord],
    made: int,
    style: Style,
    met: set[str],
) -> Iterator[Line]:
    parts = children.get(parent, [])
    shown = parts if style.full or len(parts) <= _CHILDREN else parts[:_CHILDREN]
    for index, part in enumerate(shown):
        if part.span.span_id in met:
            continue
        met.add(part.span.span_id)
        is_last = index == len(shown) - 1 and len(shown) == len(parts)
        line = Line.of(indent + ("└─ " if is_last else "├─ "), "quiet").add(one_line(part.name, _NAME))
        line.add("  ").add(*_took(part))
        for said, kind in _remarks(part, rollouts, made):
            room = style.width - line.width - 2
            if room > 8:  # noqa: PLR2004 (cells; less says nothing)
                line.add("  ").add(fit(said, room), kind)
        yield _within(line, style)
        yield from _branch(
            children, part.span.span_id, indent + ("   " if is_last else "│  "), rollouts, made, style, met
        )
    if len(shown) < len(parts):
        yield Line.of(f"{indent}└─ {len(parts) - len(shown)} more: --full", "quiet")


def _took(part: PartRecord) -> tuple[str, str]:
    return (figures.duration(part.duration_s), "") if part.end_ns is not None else ("has not ended", "warn")


def _remarks(
    part: PartRecord, rollouts: dict[SpanRef, RolloutRecord], made: int
) -> Iterator[tuple[str, str]]:
    if part.error_type is not None:
        yield one_line(f"{part.error_type}: {part.error_message or ''}".rstrip(": "), 200), "bad"
    if part.kind == "generation" and made:
        yield figures.plural(made, "rollout"), ""
    if part.loss is not None:
        yield f"loss {figure(part.loss)}", "" if is_finite(part.loss) else "bad"
    if part.micro_step is not None and part.kind == "loss":
        yield f"micro-batch {part.micro_step}", "quiet"
    if part.update is not None:
        yield f"update {part.update}", "quiet"
    if part.iteration:
        yield f"iteration {part.iteration}", "quiet"
    if part.consumed:
        names = [
            one_line(found.sample_id, _NAME) if (found := rollouts.get(ref)) else f"span {ref.span_id[:8]}"
            for ref in part.consumed
        ]
        yield f"learned from {len(names)}: {', '.join(names)}", "call"
    if part.consumed_groups:
        groups = [one_line(name or ref.span_id[:8], _NAME) for ref, name in part.consumed_groups]
        yield f"learned from {figures.plural(len(groups), 'group')}: {', '.join(groups)}", "call"


# --- rollouts -------------------------------------------------------------------------------------
def _groups(rollouts: Sequence[RolloutRecord], consumption: Consumption, style: Style) -> Iterator[Line]:
    groups = groups_of(rollouts)
    shown = groups if style.full else groups[:_GROUPS]
    for group in shown:
        yield Line()
        yield from _group(group, consumption, style)
    if len(shown) < len(groups):
        yield Line()
        yield Line.of(f"and {len(groups) - len(shown)} more groups: --full", "quiet")
    loose = [one for one in rollouts if one.group is None]
    if loose:
        yield Line()
        yield Line.of("rollouts without a group", "title")
        yield from _table(loose, consumption, style)


def _group(group: Group[RolloutRecord], consumption: Consumption, style: Style) -> Iterator[Line]:
    line = Line.of(f"group {one_line(group.name, _NAME)}", "title")
    if any(one.mode == "eval" for one in group.members):
        line.add("  evaluation", "quiet")
    if group.mean is not None:
        line.add(f"  reward {figure(group.mean)} ± {figure(group.std)}")
    if group.has_no_spread:
        line.add("  no spread: nothing to learn from", "warn")
    yield _within(line, style)
    yield from _table(group.members, consumption, style)


def _table(rollouts: Sequence[RolloutRecord], consumption: Consumption, style: Style) -> Iterator[Line]:
    components = list(dict.fromkeys(name for one in rollouts for name in one.rewards))
    headings = (
        "rollout", "rank", "reward", *(one_line(name, 20) for name in components), "advantage", "tokens", "stale",
        "learned from in",
    )  # fmt: skip
    rows: list[Row] = []
    for one in rollouts:
        tokens = figures.count(one.output_tokens)
        rows.append(
            [
                one_line(one.sample_id, _NAME),
                str(one.rank),
                Cell(*reward_of(one)),
                *(figure(one.rewards.get(name)) for name in components),
                signed(one.advantage),
                Cell(f"{tokens}…" if one.truncated else tokens, "warn" if one.truncated else ""),
                figures.count(one.staleness) if one.staleness else "",
                Cell("; ".join(consumer_text(found) for found in consumption.of(one)), "quiet"),
            ]
        )
    yield from table("", headings, rows, style.width, remark=True)


def reward_of(one: RolloutRecord) -> tuple[str, str]:
    """Return a rollout's reward and the style that it is written in."""
    if one.reward is None:
        return "missing" if one.mode != "eval" else "", "bad"
    return figure(one.reward), "" if is_finite(one.reward) else "bad"


def signed(value: float | None) -> str:
    """Return a number with its sign."""
    return "" if value is None else f"{value:+.3g}"


def consumer_text(consumer: Consumer) -> str:
    """Return `loss · rank 0 · micro-batch 1`; of a step, that it is one."""
    said = [one_line(consumer.kind, _NAME), f"rank {consumer.rank}"]
    if consumer.micro_step is not None:
        said.append(f"micro-batch {consumer.micro_step}")
    if consumer.update is not None:
        said.append(f"update {consumer.update}")
    if consumer.iteration:
        said.append(f"iteration {consumer.iteration}")
    return " ".join(said)
