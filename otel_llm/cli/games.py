"""`otel-llm show --game`, `--games` and `--stats`: games at a glance, as a list, and in figures."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.analysis import OUTSIDE, GameRecord, PhaseRecord, load_games
from otel_llm.cli import documents, figures, game_documents, reading
from otel_llm.cli.errors import CliError
from otel_llm.cli.filters import Filters
from otel_llm.cli.game_view import ended, game_lines, title
from otel_llm.cli.lines import Line, Output
from otel_llm.cli.render import Style
from otel_llm.cli.stats_view import stats_lines
from otel_llm.cli.tables import Cell, Row, table
from otel_llm.cli.text import one_line

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan, StoreReader

_NAMED: Final = 10
_NAME: Final = 60
_ANY_WIDTH: Final = 10_000
_UNFINISHED: Final = "unfinished"


def show_game(
    game_id: str, *, phase: str | None, stats: bool, full: bool, as_json: bool, store: Path | None
) -> int:
    """Print one game: at a glance, its figures, or one of its phases as trees.

    Args:
        game_id: its id, as it is or as it is printed, or the only one that begins so.
        phase: the traces of this phase instead.
        stats: its figures instead.
        full: everything of which there may be many.
        as_json: as one JSON document.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no such game or phase, or no store.
    """
    reader = reading.open_store(store)
    game = find_game(reader, game_id)
    if phase is not None:
        from otel_llm.cli.show import show_found

        show_found(_traces(reader, game, phase), full=full, as_json=as_json)
    elif stats:
        _print_stats([game], full=full, as_json=as_json)
    elif as_json:
        _write(game_documents.game(game, full=full))
    else:
        output = Output()
        style = Style(width=output.width, now_ns=time.time_ns(), full=full)
        output.write_all(game_lines(game, style))
        output.flush()
        _advise(game)
    reading.report(reader)
    return 0


def show_games(filters: Filters, *, last: int | None, as_json: bool, store: Path | None) -> int:
    """Print a list of games, the newest last.

    Args:
        filters: of these `since_ns` alone.
        last: so many games at most; None for all.
        as_json: as one JSON document.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no store.
    """
    reader = reading.open_store(store)
    games = load_games(reader, since_ns=filters.since_ns, limit=last)
    if as_json:
        _write(game_documents.games([game for game in games if game.game_id != OUTSIDE]))
    else:
        # Calls of ordinary programs are no business of this list; an interaction without a game is.
        listed = [game for game in games if game.game_id != OUTSIDE or game.totals.interactions]
        if listed:
            output = Output()
            now_ns = time.time_ns()
            output.write_all(_list(listed, now_ns, output.width))
            output.flush()
        else:
            Output(sys.stderr).write(Line.of("the store has no games yet", "quiet"))
    reading.report(reader)
    return 0


def show_stats(filters: Filters, *, full: bool, as_json: bool, store: Path | None) -> int:
    """Print the figures of all games, and of what is outside any.

    Args:
        filters: of these `since_ns` alone.
        full: all rows.
        as_json: as one JSON document.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no store.
    """
    reader = reading.open_store(store)
    _print_stats(load_games(reader, since_ns=filters.since_ns), full=full, as_json=as_json)
    reading.report(reader)
    return 0


# --- one game -------------------------------------------------------------------------------------
def find_game(reader: StoreReader, wanted: str) -> GameRecord:
    """Return the game with an id, as it is, as it is printed, or by its first characters.

    Raises:
        CliError: there is none, or there are several.
    """
    found = load_games(reader, game_id=wanted)
    if found:
        return found[0]
    from otel_llm.redaction import Scrubber

    # What was typed may be how the id is printed, its beginning, or hold a secret that the store does not.
    known = sorted(
        {
            str(span.attributes[sc.GAME_ID])
            for span in reader.spans(name=f"{sc.INVOKE_WORKFLOW}*")
            if sc.GAME_ID in span.attributes
        }
    )
    typed = Scrubber().text(wanted)
    exact = [name for name in known if typed and typed in (name, one_line(name))]
    begun = [name for name in known if typed and (name.startswith(typed) or one_line(name).startswith(typed))]
    for matching in (exact, begun):
        if len(matching) == 1:
            return load_games(reader, game_id=matching[0])[0]
        if matching:
            several = ", ".join(one_line(name, _NAME) for name in matching[:_NAMED])
            raise CliError(f"several games begin with {one_line(wanted, _NAME)}: {several}", code=1)
    reading.report(reader)
    raise CliError(
        f"there is no game {one_line(wanted, _NAME)} in the store; `otel-llm show --games` lists them", code=1
    )


def _traces(reader: StoreReader, game: GameRecord, name: str) -> list[tuple[str, list[StoredSpan]]]:
    """Return the traces of a phase, those of calls that lost their context included; of a larger trace its part."""
    phases = [phase for phase in game.phases if phase.name == name]
    phases = phases or [phase for phase in game.phases if phase.name.lower() == name.strip().lower()]
    if not phases:
        names = dict.fromkeys(phase.name for phase in game.phases)
        known = ", ".join(one_line(known, _NAME) for known in list(names)[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        has = f"it has {known}{more}" if names else "it has none"
        raise CliError(f"the game has no phase {one_line(name, _NAME)}; {has}", code=1)
    found: dict[str, list[StoredSpan]] = {}
    for phase in phases:
        inside = {phase.trace_id: None} | {record.trace_id: None for record in phase.interactions}
        inside |= {call.trace_id: None for call in phase.calls}
        for trace_id in inside:
            spans = _part(reader.trace(trace_id), phase)
            if spans:
                found.setdefault(trace_id, []).extend(spans)
    return list(found.items())


def _part(spans: list[StoredSpan], phase: PhaseRecord) -> list[StoredSpan]:
    """Return what belongs to a phase among the spans of a trace that may hold several."""
    others = {
        span.span_id
        for span in spans
        if span.attributes.get(sc.SCOPE_KIND) in {"phase", "game"} and span.span_id != phase.span_id
    }
    if not others:
        return spans
    parents = {span.span_id: span.parent_id for span in spans}

    def inside(span_id: str | None) -> bool:
        met: set[str] = set()
        while span_id is not None and span_id not in others and span_id not in met:
            if span_id == phase.span_id:
                return True
            met.add(span_id)
            span_id = parents.get(span_id)
        return False

    return [span for span in spans if inside(span.span_id)]


def _advise(game: GameRecord) -> None:
    """Say, where somebody is watching, how to go on."""
    output = Output(sys.stderr)
    if not output.is_terminal or not game.phases:
        return
    name = shlex.quote(one_line(game.game_id))
    phase = game.phases[-1]
    said = [
        f"otel-llm show {phase.trace_id[:8]} shows {one_line(phase.name, _NAME)}",
        f"otel-llm show --game {name} --stats the figures",
        f"otel-llm report --game {name} a page with all of it",
    ]
    output.write("", *(Line.of(line, "quiet") for line in said))


# --- lists and figures ----------------------------------------------------------------------------
_HEADINGS: Final = (
    "game", "name", "status", "began", "took", "phases", "players", "interactions", "calls", "cost", "failed",
)  # fmt: skip


def _list(games: list[GameRecord], now_ns: int, columns: int) -> list[Line]:
    """Return a line a game; what says least goes where there is no room: a name that all share, a word for no end."""
    rows = [_row(game, now_ns) for game in games]
    lines = list(table("", _HEADINGS, rows, _ANY_WIDTH, left=3))
    if max(line.width for line in lines) <= columns:
        return lines
    one_name = len({game.name for game in games}) == 1
    rows = [
        [row[0], "" if one_name else row[1], _shortly(game), *row[3:]]
        for game, row in zip(games, rows, strict=True)
    ]
    return list(table("", _HEADINGS, rows, columns, left=3))


def _shortly(game: GameRecord) -> Cell:
    """Return how a game ended; of one that was stopped before its end how that came, where the program says it."""
    if game.status == _UNFINISHED and game.outcome and not game.winners:
        return Cell(one_line(game.outcome, _NAME))
    return ended(game)


def _row(game: GameRecord, now_ns: int) -> Row:
    failed = game.totals.failed_interactions
    return [
        title(game),
        one_line(game.name or "", _NAME),
        ended(game),
        figures.ago((now_ns - game.start_ns) / 1e9),
        figures.duration(game.duration_s) + ("…" if game.status == "running" else ""),
        figures.count(len(game.phases)),
        figures.count(len(game.players)),
        figures.count(game.totals.interactions),
        figures.count(game.totals.calls),
        figures.money(game.totals.cost_usd),
        Cell(figures.count(failed) if failed else "", "bad"),
    ]


def _print_stats(games: list[GameRecord], *, full: bool, as_json: bool) -> None:
    if as_json:
        _write(game_documents.stats(games))
        return
    if not games:
        Output(sys.stderr).write(Line.of("the store has nothing to count yet", "quiet"))
        return
    output = Output()
    output.write_all(stats_lines(games, output.width, full=full))
    output.flush()


def _write(document: dict[str, Any]) -> None:
    sys.stdout.write(documents.dumps(document, indent=2) + "\n")
