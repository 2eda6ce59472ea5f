"""What came of the games, from the board and from otel_llm's store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from otel_llm.analysis.loading import load_games
from otel_llm.analysis.records import GameRecord, InteractionRecord
from otel_llm.store import StoreReader
from selfplay.board import POWERS
from selfplay.table import Outcome

_IN_FULL = 3
"""Of so many games at most everything is shown, of more a line each."""


def say(outcomes: Iterable[Outcome], store: Path | None, since_ns: int, console: Console) -> None:
    """Print it.

    Args:
        outcomes: of the games.
        store: otel_llm's store, None where it is switched off.
        since_ns: when they began, in nanoseconds since the epoch.
        console: where to.
    """
    played = list(outcomes)
    records: dict[str, GameRecord] = {}
    if store is not None:
        records = {game.game_id: game for game in load_games(StoreReader(store), since_ns=since_ns)}
    if len(played) <= _IN_FULL:
        for outcome in played:
            record = records.get(outcome.game_id)
            console.print(_title(outcome))
            console.print(_centres(outcome, record))
            if record is not None:
                console.print(_figures(record))
    else:
        console.print("\n", _overview(played, records))
    if store is None:
        console.print("The store is off (OTEL_LLM_STORE): nothing more is known of the games.")
        return
    if played:
        console.print("\nLook closer:")
        game = f"--game {played[0].game_id}"
        for command in (f"show {game}", f"report {game}", *(["show --games"] if len(played) > 1 else [])):
            console.print(Text(f"  otel-llm {command}"), soft_wrap=True)


def _title(outcome: Outcome) -> Text:
    ranks = sorted(outcome.centres.items(), key=lambda item: -item[1])
    said = f"{outcome.winners[0]} has won" if outcome.winners else f"{ranks[0][0]} leads with {ranks[0][1]}"
    return Text.assemble("\n", (outcome.game_id, "bold"), f": {len(outcome.phases)} phases, {said}")


def _overview(played: list[Outcome], records: dict[str, GameRecord]) -> Grid:
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("game", min_width=max(len(outcome.game_id) for outcome in played))  # it is to be copied
    grid.add_column("leads")
    for title in ("phases", "interactions", "failed", "calls", "tokens", "cost", "invalid"):
        grid.add_column(title, justify="right")
    for outcome in played:
        power, owned = max(outcome.centres.items(), key=lambda item: item[1])
        cells = [outcome.game_id, f"{power} {owned}", str(len(outcome.phases))]
        if (record := records.get(outcome.game_id)) is not None:
            totals = record.totals
            cost = "" if totals.cost_usd is None else f"${totals.cost_usd:.2f}"
            tokens = (totals.input_tokens or 0) + (totals.output_tokens or 0)
            cells += [f"{totals.interactions:,}", f"{totals.failed_interactions:,}", f"{totals.calls:,}"]
            cells += [f"{tokens:,}", cost, f"{totals.invalid_orders:,}"]
        grid.add_row(*map(Text, cells))
    return grid


def _centres(outcome: Outcome, record: GameRecord | None) -> Grid:
    grid = Grid(box=None, pad_edge=False)
    for title in ("power", "model", "centres", "", "interactions"):
        grid.add_column(title, justify="right" if title in {"centres", "interactions"} else "left")
    # The store's word for a model: what it holds of it is scrubbed, the program's own is not.
    models = record.models if record is not None else {}
    for power in POWERS:
        owned = outcome.centres[power]
        acted = record.totals.interactions_by_power.get(power, 0) if record is not None else 0
        grid.add_row(power, Text(models.get(power, "")), str(owned), "■" * owned, str(acted or ""))
    return grid


def _figures(record: GameRecord) -> Text:
    totals = record.totals
    cost = "" if totals.cost_usd is None else f", ${totals.cost_usd:.2f} by list prices"
    lines = [
        f"{totals.interactions:,} interactions, {totals.failed_interactions:,} failed",
        f"{totals.calls:,} calls, {totals.failed_calls:,} failed",
        f"{totals.input_tokens or 0:,} → {totals.output_tokens or 0:,} tokens{cost}",
        f"{totals.invalid_orders} of {totals.valid_orders + totals.invalid_orders} orders invalid",
    ]
    slow = max(record.all_interactions(), key=lambda it: it.duration_s or 0, default=None)
    if slow is not None:
        lines.append(f"slowest: {_name(slow)}, {slow.duration_s or 0:.2f} s")
    return Text("\n".join(lines))


def _name(record: InteractionRecord) -> str:
    return f"{record.type} of {record.power} in {record.phase}"
