"""Parquet files: a directory a table, files that appear when they are complete, all tables' files at the same time.

A Parquet file can be read only when it is closed, so rows are for good from then on: a kill costs what was written
since, which the store still has. Needs pyarrow, imported when a sink is made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from otel_llm.views.files import FileSink
from otel_llm.views.model import KINDS, Batch, Cell, Receipt, Rows, Type
from otel_llm_tabular.flat import tables_of
from otel_llm_tabular.settings import ParquetSettings

_GROUP_BYTES: Final = 32 << 20
_CELL_BYTES: Final = 16


class _Open:
    """A table's file while it is written: complete row groups, and rows that wait for company."""

    def __init__(self, path: Path, rows: Rows, settings: ParquetSettings) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        types: dict[Type, Any] = {
            "text": pa.string(),
            "int": pa.int64(),
            "float": pa.float64(),
            "bool": pa.bool_(),
        }
        self.columns = rows.columns
        self.path = path
        self._settings = settings
        self._pa = pa
        self._schema = pa.schema([(name, types[kind]) for name, kind in rows.columns])
        self._writer = ParquetWriter(path, self._schema, compression=settings.compression)
        self._cells: list[tuple[Cell, ...]] = []
        self._nbytes = 0

    def add(self, rows: Rows) -> None:
        self._cells += rows.cells
        for row in rows.cells:
            self._nbytes += _CELL_BYTES * len(row)
            for cell in row:
                if type(cell) is str:
                    self._nbytes += len(cell)
        if len(self._cells) >= self._settings.row_group or self._nbytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._cells:
            arrays = [
                self._pa.array(_floats(column) if kind == "float" else column, type=field.type)
                for column, field, (_, kind) in zip(
                    zip(*self._cells, strict=True), self._schema, self.columns, strict=True
                )
            ]
            table = self._pa.Table.from_arrays(arrays, schema=self._schema)
            self._writer.write_table(table, row_group_size=len(self._cells))
        self._cells, self._nbytes = [], 0

    def close(self) -> None:
        self._write_group()
        self._writer.close()

    def abandon(self) -> None:
        try:
            self._writer.close()
        except Exception:
            pass  # what is in it is of no use anyway
        self.path.unlink(missing_ok=True)


def _floats(column: Iterable[Cell]) -> list[float | None]:
    """Return numbers as floats: pyarrow refuses an integer that loses digits, and curves may have such."""
    made: list[float | None] = []
    for value in column:
        try:
            made.append(None if value is None else float(value))
        except OverflowError:
            made.append(math.inf if isinstance(value, int) and value > 0 else -math.inf)
    return made


class ParquetSink(FileSink):
    """Writes Parquet.

    Args:
        settings: see there.
        directory: instead of the settings' one.
        alone: whether nobody else may write into it meanwhile, as a replay wants it.

    Raises:
        ImportError: pyarrow is not installed.
        OSError: the directory cannot be used.
    """

    name = "parquet"

    def __init__(
        self, settings: ParquetSettings | None = None, directory: Path | None = None, *, alone: bool = False
    ) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ImportError("it needs pyarrow: pip install 'otel-llm[tabular]'") from None
        self._settings = settings or ParquetSettings()
        super().__init__(directory or self._settings.directory, alone=alone)
        self._open: dict[str, _Open] = {}
        self._receipts: list[Receipt] = []
        self._keys: dict[str, list[int]] = {}
        self._rows = 0
        self._since: float | None = None
        self._numbers: dict[str, int] = self.journal.state.setdefault("numbers", {})
        self._unplaced: dict[str, str] = {}
        """Complete files that could not be put in their places yet. The journal knows of them: they are for good."""
        self._broken = False

    def write(self, batch: Batch) -> bool:
        """Take a batch; it is settled when the files are closed."""
        try:
            if batch.config:
                self.write_config(batch.config)
            tables = list(tables_of(batch, self._settings.tables))
            is_new = any(
                rows.table in self._open and self._open[rows.table].columns != rows.columns for rows in tables
            )
            if (is_new or self._rows >= self._settings.max_rows) and not self._close_files():
                return False
            for rows in tables:
                self._table(rows).add(rows)
                self._rows += len(rows.cells)
        except Exception as error:
            self._fail(error)
            return False
        if self._since is None:
            self._since = time.monotonic()
        self._receipts.append(batch.receipt)
        self._keys = {kind: self._keys.get(kind, []) + batch.keys.get(kind, []) for kind in KINDS}
        self.worked()
        return True

    def _table(self, rows: Rows) -> _Open:
        found = self._open.get(rows.table)
        if found is None:
            found = self._open[rows.table] = _Open(self._part(rows.table), rows, self._settings)
        return found

    def _part(self, table: str) -> Path:
        path, number = self.journal.part(table), 1
        while str(path.relative_to(self.directory)) in self._unplaced:
            number += 1
            path = self.journal.part(f"{table}-{number}")
        return path

    def due_s(self) -> float | None:
        """Return when the open files are to be closed."""
        if self._since is None:
            return None
        return max(0.0, self._since + self._settings.flush_interval - time.monotonic())

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002 (nothing takes long)
        """Close the files, so that they can be read."""
        return self._close_files()

    def close(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Close the files and let go of the directory."""
        done = self._close_files()
        self.journal.close()
        return done

    def _close_files(self) -> bool:
        """Close all files and put them in their places, in one step."""
        if not self._receipts:
            return self._put_in_place() and not self._broken
        try:
            renames = dict(self._unplaced)
            for table, written in self._open.items():
                written.close()
                renames[str(written.path.relative_to(self.directory))] = self._place(table)
            self.journal.state["renames"] = renames
            self.journal.commit(self._keys)
        except Exception as error:
            self._fail(error)
            return False
        self._unplaced = renames
        self._open, self._rows, self._since = {}, 0, None
        for receipt in self._receipts:
            receipt.settle()
        # The keys stay in the journal; they are noted in the store before it is written again.
        self._receipts, self._keys = [], {}
        return self._put_in_place()

    def _put_in_place(self) -> bool:
        """Rename what is complete. What cannot be now is the next time, or by whoever uses the directory next."""
        for there, here in list(self._unplaced.items()):
            try:
                (self.directory / here).parent.mkdir(exist_ok=True)
                (self.directory / there).rename(self.directory / here)
            except OSError as error:
                self.failed(error)
            else:
                del self._unplaced[there]
        return not self._unplaced

    def _place(self, table: str) -> str:
        """Return the next free place of a table's file."""
        directory = self.directory / table
        directory.mkdir(exist_ok=True)
        number = self._numbers.get(table, 0)
        while True:
            number += 1
            slot = self.journal.slot
            name = f"{number:04d}.parquet" if slot == 1 else f"s{slot}-{number:04d}.parquet"
            if not (directory / name).exists() and f"{table}/{name}" not in self._unplaced.values():
                self._numbers[table] = number
                return f"{table}/{name}"

    def _fail(self, error: Exception) -> None:
        """Let go of what is not complete: the store has it, and a replay sends it."""
        self.failed(error)
        self._broken = self._broken or bool(self._receipts)
        for written in self._open.values():
            written.abandon()
        self._open, self._rows, self._since = {}, 0, None
        self._receipts, self._keys = [], {}

    def forget(self) -> None:
        """Leave the parent's files alone."""
        # A writer that is collected would write its end into the parent's file.
        _kept_for_ever.extend(self._open.values())
        self._open = {}
        self.journal.close()


_kept_for_ever: Final[list[_Open]] = []
