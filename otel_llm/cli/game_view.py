"""One game at a glance, as lines: who played, what each phase took and cost, what went wrong.

Pure: from records to `Line`s for a given width. Everything that comes out of a record is made clean here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from otel_llm.analysis import OUTSIDE, GameRecord, PhaseRecord, Totals, holdings
from otel_llm.cli import figures
from otel_llm.cli.lines import Line
from otel_llm.cli.render import Style
from otel_llm.cli.tables import Cell, joined, share, table
from otel_llm.cli.text import fit, one_line, wrap
from otel_llm.cli.trouble_view import trouble_lines

PHASES: Final = 60
"""Phases of a game that is not asked for in full."""

_ID: Final = 200
_NAME: Final = 60
_TRACE: Final = 8
_STATUS: Final = {"killed": "bad", "failed": "bad", "running": "good", "completed": "good"}


def game_lines(game: GameRecord, style: Style) -> Iterator[Line]:
    """Yield the lines of one game: header, phases, what went wrong."""
    yield from _header(game, style)
    if game.phases or game.interactions or game.calls:
        yield Line()
        yield from _phases(game, style)
    trouble = list(trouble_lines(game, style))
    if trouble:
        yield Line()
        yield from trouble


def title(game: GameRecord) -> str:
    """Return the game's id, clean; of what is outside any game that it is."""
    return "outside any game" if game.game_id == OUTSIDE else one_line(game.game_id, _ID)


def ended(game: GameRecord) -> Cell:
    """Return how the game stands, or how it ended."""
    words = [game.status] if game.game_id != OUTSIDE else []
    if game.outcome:
        words.append(game.outcome)
    if game.winners:
        words.append("won by " + ", ".join(game.winners))
    return Cell(one_line(" · ".join(words), _ID), _STATUS.get(game.status, ""))


def _header(game: GameRecord, style: Style) -> Iterator[Line]:
    yield Line.of(fit(f"game {title(game)}", style.width), "title")
    status = ended(game)
    for piece in wrap(status.text, style.width - 2):
        yield Line.of("  ").add(piece, status.style)
    told = [one_line(game.name, _NAME)] if game.name else []
    told.append(figures.moment(game.start_ns, style.now_ns))
    so_far = " so far" if game.status == "running" else ""
    told.append(f"took {figures.duration(game.duration_s)}{so_far}")
    if game.episode is not None:
        told.append(f"episode {game.episode}")
    if game.step is not None:
        told.append(f"training step {game.step}")
    if game.reward is not None:
        told.append(f"reward {game.reward:.4g}")
    yield from joined(told, style.width, "  ", "quiet")
    if game.players:
        held = holdings(game)
        centers = held[-1].centers if held else {}
        yield from joined([_player(game, power, centers) for power in game.players], style.width, "  ")
    yield from joined(totals_parts(game), style.width, "  ")


def _player(game: GameRecord, power: str, centers: dict[str, int]) -> str:
    parts = [one_line(power, _NAME)]
    if model := game.models.get(power):
        parts.append(one_line(model, _NAME))
    if power in centers:
        parts.append(f"({figures.plural(centers[power], 'centre')})")
    return " ".join(parts)


def totals_parts(game: GameRecord) -> list[str]:
    """Return `12 phases`, `340 interactions`, `410 calls` …, as far as it is known."""
    t = game.totals
    parts = [figures.plural(len(game.phases), "phase"), figures.plural(t.interactions, "interaction")]
    parts.append(figures.plural(t.calls, "call"))
    if t.input_tokens is not None or t.output_tokens is not None:
        given, got = figures.count(t.input_tokens) or "?", figures.count(t.output_tokens) or "?"
        parts.append(f"{given} → {got} tokens")
    if t.cost_usd is not None:
        parts.append(figures.money(t.cost_usd))
    if t.messages:
        parts.append(figures.plural(t.messages, "message"))
    if t.success_rate is not None:
        parts.append(f"{share(t.success_rate)} succeeded")
    if t.failed_interactions:
        parts.append(f"{figures.plural(t.failed_interactions, 'interaction')} failed")
    if t.failed_calls:
        parts.append(f"{figures.plural(t.failed_calls, 'call')} failed")
    if t.open_interactions:
        parts.append(f"{t.open_interactions} open")
    if t.invalid_orders:
        parts.append(f"{figures.plural(t.invalid_orders, 'invalid order')}")
    return parts


_HEADINGS: Final = (
    "phase", "trace", "took", "calls", "in", "out", "cost", "failed", "invalid", "interactions",
)  # fmt: skip


def _phases(game: GameRecord, style: Style) -> Iterator[Line]:
    rows: list[list[Cell | str]] = []
    for item in _some(game.phases, None if style.full else PHASES):
        if isinstance(item, PhaseRecord):
            rows.append(_phase(item, game, style))
        else:
            rows.append([Cell(f"… {item} more", "quiet"), *[""] * (len(_HEADINGS) - 1)])
    if game.interactions or game.calls:
        loose = Totals.of(game.interactions, game.calls)
        rows.append([Cell("(no phase)", "quiet"), "", "", *_sums(loose)])
    yield from table("", _HEADINGS, rows, style.width, left=2, remark=True)


def _phase(phase: PhaseRecord, game: GameRecord, style: Style) -> list[Cell | str]:
    if phase.end_ns is not None:
        took = Cell(figures.duration(phase.duration_s))
    elif phase.span_id is None:
        took = Cell("?", "quiet")
    else:
        until = style.now_ns if game.status == "running" else game.last_ns
        took = Cell(f"{figures.duration((until - phase.start_ns) / 1e9)}…", "warn")
    name = Cell(one_line(phase.name, _NAME), "bad" if phase.error_type else "")
    return [name, Cell(phase.trace_id[:_TRACE], "quiet"), took, *_sums(phase.totals)]


def _sums(totals: Totals) -> list[Cell | str]:
    types = [f"{figures.count(n)} {one_line(kind, _NAME)}" for kind, n in totals.interactions_by_type.items()]
    known = sum(totals.interactions_by_type.values())
    if rest := totals.interactions - known:
        types.append(f"{figures.count(rest)} other")
    failed = totals.failed_interactions
    return [
        figures.count(totals.calls) if totals.calls else "",
        figures.count(totals.input_tokens),
        figures.count(totals.output_tokens),
        figures.money(totals.cost_usd),
        Cell(figures.count(failed) if failed else "", "bad"),
        Cell(figures.count(totals.invalid_orders) if totals.invalid_orders else "", "warn"),
        Cell(", ".join(types), "quiet"),
    ]


def _some(phases: Sequence[PhaseRecord], limit: int | None) -> Iterator[PhaseRecord | int]:
    """Yield phases, and how many were left out between them: those that failed stay, and the first and last."""
    if limit is None or len(phases) <= limit:
        yield from phases
        return
    kept = {*range(5), *range(len(phases) - 10, len(phases))}
    failed = [i for i, phase in enumerate(phases) if phase.error_type or phase.totals.failed_interactions]
    for index in (*failed, *range(len(phases) - 1, -1, -1)):
        if len(kept) >= limit:
            break
        kept.add(index)
    skipped = 0
    for index, phase in enumerate(phases):
        if index in kept:
            if skipped:
                yield skipped
            skipped = 0
            yield phase
        else:
            skipped += 1
