"""The document that the page reads: names, games with their phases, items as columns, and figures by view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from otel_llm.analysis import OUTSIDE, GameRecord, holdings
from otel_llm.report.items import Columns, Item, items_of, milliseconds
from otel_llm.report.statistics import View, short
from otel_llm.version import VERSION

SCHEMA: Final = "otel_llm.report/1"
MAX_VIEWS: Final = 100
"""Games that get figures of their own, the latest of them; the figures of all together are over all of them."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a report is made of.

    Attributes:
        title: what the page is called.
        data: JSON for the page.
        items: what the page's list has, in its order.
        t0_ns: when the document's time begins.
    """

    title: str
    data: dict[str, Any]
    items: list[Item]
    t0_ns: int


def build(games: Sequence[GameRecord], *, made_ns: int, content: bool, **extra: Any) -> Document:
    """Return the document of games.

    Args:
        games: as `otel_llm.analysis.load_games` returns them.
        made_ns: when the report is made.
        content: whether what was said may be shown.
        extra: further members of the document.
    """
    items = items_of(games)
    starts = [game.start_ns for game in games if game.start_ns]
    t0_ns = min([*starts, *(item.record.start_ns for item in items[:1])], default=made_ns)
    columns = Columns(t0_ns, list(dict.fromkeys(power for game in games for power in game.players)))
    rows = columns.of(items, content=content)
    place = {item.record.span_id: number for number, item in enumerate(items)}
    for number, item in enumerate(items):
        for call in getattr(item.record, "calls", ()):
            place.setdefault(call.span_id, number)
    view = View(columns, place, t0_ns)
    views = [view.of(games, None if len(games) != 1 else 0)]
    if len(games) > 1:
        latest = sorted(range(len(games)), key=lambda n: games[n].last_ns, reverse=True)[:MAX_VIEWS]
        views += [view.of([games[number]], number) for number in sorted(latest)]
    kind, title = _title(games)
    data = {
        "schema": SCHEMA,
        "version": VERSION,
        "made": round(made_ns / 1e6),
        "kind": kind,
        "title": title,
        "t0": round(t0_ns / 1e6),
        "content": content,
        **extra,
        "games": [_game_row(game, columns, t0_ns) for game in games],
        "items": rows,
        "views": views,
    }
    # The names come last: what was made above has numbered some of them.
    for name in ("powers", "types", "models", "errors", "traces", "parties"):
        data[name] = getattr(columns, name).list()
    return Document(title, data, items, t0_ns)


def _game_row(game: GameRecord, columns: Columns, t0_ns: int) -> dict[str, Any]:
    """Return what the page says of one game, with its phases."""
    held = {id(at.phase): at for at in holdings(game)}
    number = columns.powers.number
    return {
        "id": game.game_id,
        "name": game.name,
        "status": game.status,
        "outcome": game.outcome,
        "winners": [number(power) for power in game.winners],
        "start": milliseconds(game.start_ns, t0_ns),
        "end": milliseconds(game.last_ns if game.end_ns is None else game.end_ns, t0_ns),
        "players": [number(power) for power in game.players],
        "models": [[number(power), columns.models.number(model)] for power, model in game.models.items()],
        "episode": game.episode,
        "step": game.step,
        "training": game.training,
        "reward": game.reward,
        "error": game.error_type,
        "message": short(game.error_message),
        "interactions": game.totals.interactions,
        "failed": game.totals.failed_interactions,
        "calls": game.totals.calls,
        "cost": game.totals.cost_usd,
        "phases": [
            {
                "name": phase.name, "year": phase.year, "type": phase.type, "trace": phase.trace_id,
                "start": milliseconds(phase.start_ns, t0_ns),
                "end": None if phase.end_ns is None else milliseconds(phase.end_ns, t0_ns),
                "centers": [[number(p), n] for p, n in held[id(phase)].centers.items()] if id(phase) in held else [],
                "error": phase.error_type, "message": short(phase.error_message),
                "n": phase.totals.interactions, "failed": phase.totals.failed_interactions,
                "cost": phase.totals.cost_usd,
            }
            for phase in game.phases
        ],
    }  # fmt: skip


def _title(games: Sequence[GameRecord]) -> tuple[str, str]:
    real = [game for game in games if game.game_id != OUTSIDE]
    if not real:
        return "calls", "Interactions" if any(game.totals.interactions for game in games) else "Model calls"
    if len(real) == 1:
        name = real[0].name
        return "game", f"{name} · {real[0].game_id}" if name and name != real[0].game_id else real[0].game_id
    names = {game.name for game in real if game.name}
    return "games", f"{len(real)} games" + (f" of {names.pop()}" if len(names) == 1 else "")
