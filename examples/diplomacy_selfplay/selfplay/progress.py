"""One bar a game, as it goes from year to year."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from selfplay.board import Board
from selfplay.table import FIRST_YEAR

_SEASONS = 3


class Bars:
    """Progress of games, on stderr; nothing where that is no terminal.

    Args:
        game_ids: the games.
        max_year: when they end.
    """

    def __init__(self, game_ids: list[str], max_year: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[phase]:9} {task.fields[leader]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._total = (max_year - FIRST_YEAR + 1) * _SEASONS
        self._tasks: list[TaskID] = [
            self._progress.add_task(game_id, total=self._total, phase="", leader="") for game_id in game_ids
        ]

    def show(self, number: int, board: Board) -> None:
        """Show where a game is."""
        done = (board.year - FIRST_YEAR) * _SEASONS + board.season
        over = board.is_over or done >= self._total
        power, owned = max(board.centres.items(), key=lambda item: len(item[1]))
        self._progress.update(
            self._tasks[number],
            completed=self._total if over else done,
            phase="over" if over else board.phase,
            leader=f"{power} {len(owned)}",
        )

    def __enter__(self) -> Self:
        if not self._progress.disable:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._progress.disable:  # older releases of rich end a line that was never begun
            self._progress.stop()
