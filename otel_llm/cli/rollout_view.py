"""One rollout as lines: what it was worth, what was said, the calls below it, and the losses that learned from it.

Pure: from records to `Line`s for a given width. Everything that comes out of a record is made clean here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_llm.analysis.training import Consumer, Group, RolloutRecord, RunRecord
from otel_llm.cli import figures
from otel_llm.cli.lines import Line
from otel_llm.cli.render import Style, trace_lines
from otel_llm.cli.run_view import figure
from otel_llm.cli.step_view import consumer_text, reward_of, signed
from otel_llm.cli.tables import Cell, Row, joined, table
from otel_llm.cli.text import fit, many_lines, one_line, wrap

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

_NAME: Final = 60
_LINES: Final = 30
"""Lines of one turn, unless it is asked for in full."""
_TOKENS: Final = 40
_OF_ALL: Final = "OTEL_LLM_TRL_TRAJECTORY_SAMPLES=0 (--log-trajectory-samples 0)"
_SOME_KEPT: Final = (
    "what was said was kept of other rollouts, not of this one: TRL's trainers keep 5 of a batch and rank; "
    f"{_OF_ALL} keeps it of all from now on"
)
_NONE_KEPT: Final = (
    "what was said was not kept; OTEL_LLM_STORE_CONTENT=full keeps it from now on, "
    f"in TRL's trainers of 5 rollouts of a batch and rank, with {_OF_ALL} of all"
)


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """What is shown of a rollout.

    Attributes:
        run: its run.
        rollout: the rollout.
        group: the samples it is compared with; None for none.
        surprise: see `otel_llm.analysis.training.groups`.
        conversation: what was said, as (role, text).
        others_told: whether the store has what was said in other rollouts of the run; of no account where it has this.
        spans: its span and those below it.
        consumers: the losses, or steps, that learned from it.
    """

    run: RunRecord
    rollout: RolloutRecord
    group: Group[RolloutRecord] | None
    surprise: float | None
    conversation: Sequence[tuple[str, str]]
    others_told: bool
    spans: Sequence[StoredSpan]
    consumers: Sequence[Consumer]


def rollout_lines(page: RolloutPage, style: Style) -> Iterator[Line]:
    """Yield the lines of one rollout: figures, rewards, conversation, calls, who learned from it."""
    yield from _header(page, style)
    yield from _rewards(page.rollout, style)
    yield Line()
    yield from _conversation(page, style)
    if len(page.spans) > 1:
        yield Line()
        yield from trace_lines(page.rollout.span.trace_id, page.spans, style)
    yield from _tokens(page.rollout, style)
    yield Line()
    yield from _path(page, style)


def _header(page: RolloutPage, style: Style) -> Iterator[Line]:
    one = page.rollout
    yield Line.of(fit(f"rollout {one_line(one.sample_id, 120)}", style.width), "title")
    told = [f"run {one_line(page.run.run_id, _NAME)}"]
    if len(page.run.attempts) > 1:
        told.append(f"attempt {one.attempt + 1}")
    told.append("outside any step" if one.step is None else f"step {one.step}")
    told += [f"rank {one.rank}", one_line(one.mode, _NAME)]
    told.append(f"took {figures.duration(one.duration_s)}" if one.end_ns is not None else "has not ended")
    told.append(f"trace {one.span.trace_id}")
    yield from joined(told, style.width, "  ", "quiet")
    text, kind = reward_of(one)
    worth = [f"reward {text or 'none'}"]
    if one.advantage is not None:
        worth.append(f"advantage {signed(one.advantage)}")
    if page.surprise is not None:
        worth.append(f"surprise {signed(page.surprise)}")
    yield from joined(worth, style.width, "  ", kind)
    if page.group is not None:
        said = [
            f"group {one_line(page.group.name, _NAME)}",
            figures.plural(len(page.group.members), "sample"),
        ]
        if page.group.mean is not None:
            said.append(f"their reward {figure(page.group.mean)} ± {figure(page.group.std)}")
        if page.group.has_no_spread:
            said.append("no spread")
        yield from joined(said, style.width, "  ")
    yield from joined(_facts(one), style.width, "  ", "quiet")
    for word in one.problems:
        yield Line.of(f"  {one_line(word.replace('_', ' '), _NAME)}", "warn")
    if one.error_type is not None:
        for piece in wrap(one_line(f"{one.error_type}: {one.error_message or ''}", 400), style.width - 2):
            yield Line.of("  ").add(piece, "bad")


def _facts(one: RolloutRecord) -> list[str]:
    said = []
    if one.input_tokens is not None or one.output_tokens is not None:
        said.append(
            f"{figures.count(one.input_tokens) or '?'} → {figures.count(one.output_tokens) or '?'} tokens"
        )
    if one.truncated:
        said.append("cut off")
    if one.turns is not None:
        said.append(figures.plural(one.turns, "turn"))
    if one.policy_step is not None:
        version = f" ({one_line(one.policy_version, _NAME)})" if one.policy_version else ""
        said.append(f"made by the weights of step {one.policy_step}{version}")
    elif one.policy_version:
        said.append(f"made by weights {one_line(one.policy_version, _NAME)}")
    if one.staleness is not None:
        said.append(f"staleness {one.staleness}")
    return said


def _rewards(one: RolloutRecord, style: Style) -> Iterator[Line]:
    if not one.rewards:
        return
    yield Line()
    rows: list[Row] = [
        [
            one_line(name, _NAME),
            figure(score),
            figure(one.weights.get(name)),
            Cell(one_line(one.explanations.get(name, ""), 1000), "quiet"),
        ]
        for name, score in one.rewards.items()
    ]
    yield from table("", ("reward", "score", "weight", ""), rows, style.width, remark=True)


def _conversation(page: RolloutPage, style: Style) -> Iterator[Line]:
    if not page.conversation:
        advice = _SOME_KEPT if page.others_told else _NONE_KEPT
        yield from (Line.of(piece, "quiet") for piece in wrap(advice, style.width))
        return
    for role, text in page.conversation:
        yield Line.of(one_line(role, _NAME), "role")
        lines = [piece for line in many_lines(text) for piece in wrap(line, style.width - 2)]
        shown = lines if style.full else lines[:_LINES]
        for piece in shown:
            yield Line.of("  ").add(piece)
        if len(shown) < len(lines):
            yield Line.of(f"  … {len(lines) - len(shown)} more lines: --full", "quiet")


def _tokens(one: RolloutRecord, style: Style) -> Iterator[Line]:
    columns = one.token_ids, one.token_logprobs, one.token_ratios
    n = max(map(len, columns))
    if not n:
        return
    yield Line()
    rows: list[Row] = []
    for place in range(n if style.full else min(n, _TOKENS)):
        cells = [str(place), *(_at(column, place) for column in columns)]
        rows.append(cells)
    yield from table("tokens", ("place", "id", "logprob", "ratio"), rows, style.width)
    if len(rows) < n:
        yield Line.of(f" … {n - len(rows)} more: --full", "quiet")


def _at(column: Sequence[object], place: int) -> str:
    value = column[place] if place < len(column) else None
    return figure(value) if isinstance(value, float) else "" if value is None else one_line(value, 20)


def _path(page: RolloutPage, style: Style) -> Iterator[Line]:
    if not page.consumers:
        yield Line.of("no loss says that it learned from this rollout", "quiet")
        return
    yield Line.of("learned from in", "title")
    for found in page.consumers:
        said = [f"step {found.step}", consumer_text(found)]
        if found.loss is not None:
            said.append(f"loss {figure(found.loss)}")
        said += [
            f"with {found.n - 1} more" if found.n > 1 else "alone",
            f"trace {found.span.trace_id[:8]}",
            f"span {found.span.span_id}",
        ]
        yield from joined(said, style.width, "  ")
