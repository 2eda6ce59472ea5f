"""Log records as rows of a CSV file, written by a thread of its own."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from otel_llm import drops
from otel_llm.content import dumps
from otel_llm.logging._background import Background
from otel_llm.logging._formatters import iso_time
from otel_llm.logging._scrubbing import scrub
from otel_llm.numeric import as_text, is_on_device

MAX_BYTES: Final = 64 << 20
_CLOSE_S: Final = 10.0
_CELL_BYTES: Final = 64
_SHORTEST_SECRET: Final = 8
_ALWAYS: Final = frozenset({"timestamp", "level", "levelname", "name", "trace_id", "span_id", "step"})
"""Columns that every record can fill; a record that fills no other is no row."""


class CSVHandler(logging.Handler):
    """Writes records that have something to say to its columns, off the caller's thread.

    A column is filled from the record's `row` (as `log_model_output` gives it), from what was given as `extra=`, or
    from the record itself (`timestamp`, `level`, `name`, `message`). Secrets are scrubbed.

    Args:
        filename: the file; its directory is made, rows are appended. If it has other columns already, a file with a
            number beside it is used.
        columns: the columns, in order.
        buffer_size: so many rows are written at once without waiting for more.
        flush_interval: seconds after which rows are written in any case.
        max_queue_bytes: what may wait; when it is full, rows are dropped and counted.
        level: as for any handler.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        columns: Sequence[str],
        buffer_size: int = 100,
        flush_interval: float = 5.0,
        max_queue_bytes: int = MAX_BYTES,
        level: int | str = logging.NOTSET,
    ) -> None:
        super().__init__(level)
        self.columns = tuple(columns)
        if not self.columns or not all(isinstance(column, str) for column in self.columns):
            raise ValueError(f"columns is {columns!r}; it accepts a list of names")
        if buffer_size < 1 or flush_interval <= 0:
            raise ValueError(
                "buffer_size accepts a whole number of at least 1, flush_interval seconds above 0"
            )
        self.path = Path(filename).expanduser().absolute()  # the program may change its directory
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._checked = False
        self._background = Background(
            self._write,
            what="csv_row",
            size=buffer_size,
            interval_s=flush_interval,
            max_bytes=max_queue_bytes,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; never raises."""
        try:
            cells = self._cells(record)
            if cells is not None:
                self._background.put(cells, sum(map(len, cells)) + _CELL_BYTES * len(cells))
        except Exception:
            drops.internal_error("logging: a CSV row")

    def _cells(self, record: logging.LogRecord) -> list[str] | None:
        given = getattr(record, "row", None)
        row: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        cells: list[str] = []
        says_something = False
        for column in self.columns:
            value = row.get(column)
            if value is None:
                value = _of_record(column, record)
            says_something = says_something or (value is not None and column not in _ALWAYS)
            cells.append(_text(value))
        return cells if says_something else None

    def _write(self, rows: Sequence[list[str]]) -> None:
        if not self._checked or not self.path.exists():
            self._checked = False
            self.path = self._settle(self.path)
        self._append(_lines([[_clean(cell) for cell in row] for row in rows]))
        self._checked = True

    def _append(self, data: bytes) -> None:
        # One write in append mode, under a lock: rows of several processes do not mix, and there is one header.
        with self.path.open("ab", buffering=0) as file:
            _lock(file)
            start, written = os.fstat(file.fileno()).st_size, 0
            if start == 0:
                data = _lines([self.columns]) + data
            elif not self._checked and not _ends_line(
                self.path
            ):  # of a process that was killed while it wrote
                data = b"\n" + data
            try:
                while written < len(data):
                    written += file.write(data[written:]) or 0
            except OSError:
                # The disk is full: all of it is tried again, so none of it may stay.
                self._checked = False
                if os.fstat(file.fileno()).st_size == start + written:
                    os.ftruncate(file.fileno(), start)
                raise

    def _settle(self, path: Path) -> Path:
        """Return a file that has our columns, or nothing in it yet."""
        number = 1
        candidate = path
        while not _is_empty(candidate) and _header(candidate) != list(self.columns):
            number += 1
            candidate = path.with_name(f"{path.stem}.{number}{path.suffix}")
        if candidate != path:
            drops.warn_once(f"csv:{path}", "%s has other columns; rows go to %s", path, candidate)
        return candidate

    def flush(self) -> None:
        """Write what waits."""
        self._background.flush(_CLOSE_S)

    def close(self) -> None:
        """Write what waits and stop the thread; a record that comes later starts another."""
        self._background.close(_CLOSE_S)
        super().close()


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def _clean(cell: str) -> str:
    return scrub(cell) if len(cell) >= _SHORTEST_SECRET else cell


def _lock(file: Any) -> None:
    """Keep other processes from writing until the file is closed; where that cannot be had, go without."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return


def _of_record(column: str, record: logging.LogRecord) -> Any:
    if column == "timestamp":
        return iso_time(record)
    if column == "message":
        return None if hasattr(record, "row") else record.getMessage()
    return getattr(record, "levelname" if column == "level" else column, None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    return as_text(value) if is_on_device(value) else dumps(value)


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return True


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
