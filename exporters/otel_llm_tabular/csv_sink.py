"""CSV files: one a table, appended to; the next is begun when it is full or the table has got a new column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from otel_llm.views.appending import Appender
from otel_llm.views.files import FileSink
from otel_llm.views.model import Batch, Rows
from otel_llm_tabular import csv_text
from otel_llm_tabular.flat import tables_of
from otel_llm_tabular.settings import CsvSettings


class CsvSink(FileSink):
    """Writes CSV.

    Args:
        settings: see there.
        directory: instead of the settings' one.
        alone: whether nobody else may write into it meanwhile, as a replay wants it.

    Raises:
        OSError: the directory cannot be used.
    """

    name = "csv"

    def __init__(
        self, settings: CsvSettings | None = None, directory: Path | None = None, *, alone: bool = False
    ) -> None:
        self._settings = settings or CsvSettings()
        self.linger_s = self._settings.flush_interval
        self.batch_size = self._settings.buffer_rows
        super().__init__(directory or self._settings.directory, alone=alone)
        self._files = Appender(self.journal)
        self._tables: dict[str, dict[str, Any]] = self.journal.state.setdefault("tables", {})

    def write(self, batch: Batch) -> bool:
        """Append a batch to its files."""
        try:
            if batch.config:
                self.write_config(batch.config)
            tables = list(tables_of(batch, self._settings.tables))
            self._begin([rows for rows in tables if not self._goes_on(rows)])
            encoded = {self._tables[rows.table]["file"]: self._encoded(rows) for rows in tables}
            self._files.append(encoded, batch.keys)
        except OSError as error:
            self.failed(error)
            return False
        self.worked()
        batch.settle()
        return True

    def _goes_on(self, rows: Rows) -> bool:
        """Say whether the table's present file takes these rows."""
        table = self._tables.get(rows.table)
        if table is None or table["columns"] != [list(column) for column in rows.columns]:
            return False
        length = self._files.length(table["file"])
        return length is not None and length < self._settings.max_bytes

    def _begin(self, tables: list[Rows]) -> None:
        begun, left = [], []
        for rows in tables:
            before = self._tables.get(rows.table)
            number = 1
            if before is not None:
                left.append(before["file"])
                number = before["number"] + 1
            while (self.directory / self._file_name(rows.table, number)).exists():
                number += 1
            name = self._file_name(rows.table, number)
            columns = [list(column) for column in rows.columns]
            self._tables[rows.table] = {"number": number, "file": name, "columns": columns}
            begun.append(name)
        if begun:
            self._files.begin(begun, instead_of=left)

    def _file_name(self, table: str, number: int) -> str:
        return self.own_name(table, ".csv" if number == 1 else f".{number:04d}.csv")

    def _encoded(self, rows: Rows) -> bytes:
        text = csv_text.lines(rows.cells, safe=self._settings.safe)
        if not self._files.length(self._tables[rows.table]["file"]):
            text = csv_text.header(rows.names) + text
        return text.encode()

    def close(self, timeout_s: float) -> bool:  # noqa: ARG002 (nothing takes long)
        """Close the files and let go of the directory."""
        self._files.close()
        self.journal.close()
        return True

    def forget(self) -> None:
        """Close the child's copies of the files; the parent's stay."""
        self._files.forget()
        self.journal.close()
