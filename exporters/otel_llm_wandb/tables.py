"""Rows of tables until they go to W&B, many at a time: each flush costs W&B a file, an artifact version and milliseconds.

What was measured (wandb 0.31; 20 columns, 3 kB a row): a new immutable table each 500 rows takes 4,400 rows a second and
stays linear; one mutable table is quadratic; an incremental table lists all earlier increments with every new one, so it
is begun anew after `ROTATE` of them. A table is cut at 10,000 rows without a word: a flush is smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from otel_llm.views.model import Rows
from otel_llm_wandb.outbox import ROW, Entry, TableRows
from otel_llm_wandb.rows import Distribution
from otel_llm_wandb.settings import MAX_ROWS, WandbSettings

ROTATE: Final = 90
"""Increments of one table object: W&B shows the last 100, and each lists all before it."""

_MAX_INTERVAL_S: Final = 600.0
_SHARE: Final = 0.05
"""The interval between flushes is this share of the run's age, once that is longer: some hundred files a day."""

_FLUSH_BYTES: Final = 16 << 20
_TYPES: Final = {"text": str, "int": int, "float": float, "bool": bool}
_INT64: Final = 1 << 63


class Queue:
    """Rows of one table that wait.

    Args:
        name: the table.
    """

    def __init__(self, name: str) -> None:
        self.rows = TableRows(name, ())
        self.batches: list[int] = []
        self.since: float | None = None
        self.flushes = 0
        self._nbytes = 0

    def add(
        self, columns: tuple[tuple[str, str], ...], cells: list[tuple[Any, ...]], batch: int | None
    ) -> None:
        """Take rows; columns may have come at the end since the last time."""
        rows = self.rows
        if len(columns) > len(rows.columns):
            short = len(columns) - len(rows.columns)
            rows.cells = [(*row, *(None,) * short) for row in rows.cells]
            rows.columns = columns
        elif len(columns) < len(rows.columns):
            short = len(rows.columns) - len(columns)
            cells = [(*row, *(None,) * short) for row in cells]
        rows.cells += cells
        self._nbytes += sum(len(cell) for row in cells for cell in row if type(cell) is str)
        if batch is not None:
            self.batches.append(batch)
        if self.since is None:
            self.since = time.monotonic()

    def is_due(self, settings: WandbSettings, age_s: float) -> bool:
        """Say whether they are to be written, `age_s` seconds after the run's start."""
        if self.since is None:
            return False
        enough = min(MAX_ROWS, settings.table_rows * (1 + self.flushes // 50))
        return (
            len(self.rows.cells) >= enough
            or self._nbytes >= _FLUSH_BYTES
            or time.monotonic() - self.since >= interval_s(settings, age_s)
        )

    def take(self) -> tuple[TableRows, tuple[int, ...]]:
        """Return the next rows to write, at most 10,000, and the batches that are complete with them."""
        rows = self.rows
        taken = TableRows(rows.name, rows.columns, rows.cells[:MAX_ROWS])
        del rows.cells[:MAX_ROWS]
        self.flushes += 1
        if rows.cells:
            return taken, ()
        batches, self.batches = tuple(self.batches), []
        self.since, self._nbytes = None, 0
        return taken, batches


def interval_s(settings: WandbSettings, age_s: float) -> float:
    """Return how long a row waits at most in a run of this age."""
    return max(settings.table_interval_s, min(_MAX_INTERVAL_S, _SHARE * age_s))


def bounded(rows: Rows, limit: int) -> list[tuple[Any, ...]]:
    """Return cells that W&B can write: a cell that JSON cannot hold would make every later version of a table fail."""
    return [tuple([_cell(cell, limit) for cell in row]) for row in rows.cells]


def _cell(value: Any, limit: int) -> Any:
    kind = type(value)
    if kind is str:
        text: str = value
        if len(text) > limit:
            text = f"{text[:limit]}...[truncated, original {len(text)} chars]"
        return text if text.isascii() else text.encode("utf-8", "replace").decode()
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else float(value)
    return _cell(str(value), limit)


class Tables:
    """Makes W&B's tables.

    Args:
        incremental: increments of one table instead of a new table each time.
    """

    def __init__(self, *, incremental: bool) -> None:
        self._incremental = incremental
        self._open: dict[str, tuple[Any, int, tuple[tuple[str, str], ...]]] = {}

    def make(self, rows: TableRows) -> Any:
        """Return the object to log under the table's name."""
        import wandb

        names: list[str | int] = [name for name, _ in rows.columns]
        if not self._incremental:
            table = wandb.Table(columns=names, data=[], dtype=[_TYPES[kind] for _, kind in rows.columns])
            # Not `add_data`: it infers the types of each row anew, ten times the cost of all the rest.
            table.data = [list(row) for row in rows.cells]
            return table
        table, used, columns = self._open.get(rows.name, (None, ROTATE, ()))
        if used >= ROTATE or columns != rows.columns:
            if table is not None:
                table.data = []
            table = wandb.Table(columns=names, allow_mixed_types=True, log_mode="INCREMENTAL")
            used = 0
        self._open[rows.name] = (table, used + 1, rows.columns)
        for row in rows.cells:
            table.add_data(*row)
        return table

    def values(
        self, entry: Entry, histogram: Callable[[Sequence[int], Sequence[float]], Any]
    ) -> dict[str, Any]:
        """Return a row as W&B takes it: with its number, and W&B's own objects in the place of ours."""
        row = {
            name: histogram(value.counts, value.edges) if isinstance(value, Distribution) else value
            for name, value in entry.row.items()
        }
        if entry.table is not None:
            row[entry.table.name] = self.make(entry.table)
        row[ROW] = entry.number
        return row

    def logged(self, entry: Entry, values: Mapping[str, Any]) -> None:
        """Let go of the rows of a table that was logged: W&B keeps the objects of some hundred versions."""
        if entry.table is not None and not self._incremental:
            values[entry.table.name].data = []

    def begin_anew(self) -> None:
        """Forget tables that belong to a run that was lost."""
        self._open.clear()
