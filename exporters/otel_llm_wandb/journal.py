"""What was handed to W&B, on disk before it is handed over: so that a run that was cut off is completed, and nothing doubled.

One file a run, `STORE/wandb/<run id>.journal`, a JSON object a line:

    run     a directory of the run (again whenever it is started again), and what it was started with
    config  what the run's config was told
    batch   a batch: its keys, its rows of scalars with the number of the first, its rows of tables
    table   `count` of the waiting rows of a table went to W&B as row `number`
    carry   what is still to be sent, in the place of all before: at the head of a file that follows a full one, and
            when a run is resumed
    end     its writer has ended in good order

W&B's own file says how far its rows have come (`datafile`); what the journal has beyond that is sent again by whoever
resumes the run. The writer holds a lock on the file: a run has one writer.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from otel_llm import drops
from otel_llm_wandb.outbox import Entry, TableRows
from otel_llm_wandb.rows import Distribution

DIRECTORY: Final = "wandb"
_SUFFIX: Final = ".journal"
_OLD: Final = ".journal.old"
_ROTATE_BYTES: Final = 32 << 20
_DISTRIBUTION: Final = "_otel_llm_distribution"
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")


class BusyError(RuntimeError):
    """The run has a writer already."""


@dataclass(slots=True)
class Left:
    """What the journal of a run says.

    Attributes:
        run_id: the run.
        started_with: what the run was started with: project, entity, group, job type, name, tags.
        directories: the run's directories, the last one last.
        config: what the run's config was told.
        keys: keys of all batches that were handed over, by kind.
        rows: `(number, row)` of all rows of scalars.
        tables: rows that wait, by table.
        flushed: `(number, rows)` of all tables that were handed over.
        next_number: the number that the next row gets.
        totals: running figures (see `aggregates`), as of the last row that had them.
        is_closed: whether its last writer has ended in good order.
    """

    run_id: str
    started_with: dict[str, Any] = field(default_factory=dict)
    directories: list[Path] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, set[int]] = field(default_factory=dict)
    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    tables: dict[str, TableRows] = field(default_factory=dict)
    flushed: list[tuple[int, TableRows]] = field(default_factory=list)
    next_number: int = 1
    totals: dict[str, dict[str, float]] = field(default_factory=dict)
    is_closed: bool = False

    def beyond(self, last_row: int) -> tuple[list[dict[str, Any]], dict[str, TableRows]]:
        """Return the rows of scalars and of tables that are not in a file which has come to `last_row`."""
        scalars = [row for number, row in self.rows if number > last_row]
        tables: dict[str, TableRows] = {}
        for number, flushed in self.flushed:
            if number > last_row:
                _add(tables, flushed)
        for waiting in self.tables.values():
            _add(tables, waiting)
        return scalars, {name: rows for name, rows in tables.items() if rows.cells}


class Journal:
    """The writing side; one a run and process.

    Args:
        store: the store's directory.
        run_id: the run.

    Raises:
        BusyError: another process writes this run.
        OSError: the file cannot be written.
    """

    def __init__(self, store: Path, run_id: str) -> None:
        self.path = path_of(store, run_id)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] | None = self._open()
        self._run: dict[str, Any] = {}
        self._config: dict[str, Any] = {}

    def _open(self) -> IO[bytes]:
        # Unbuffered: a forked child has nothing of the parent's to write when it lets go.
        file = self.path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise BusyError("another process is writing this W&B run") from None
        if file.tell():
            file.write(b"\n")  # what is written now does not follow a line that was cut off
        return file

    def started(self, run_id: str, started_with: Mapping[str, Any], directory: Path) -> None:
        """Note a directory of the run."""
        self._run = {"id": run_id, "with": dict(started_with), "directory": str(directory.resolve())}
        self._write({"is": "run", **self._run})

    def config(self, config: Mapping[str, Any]) -> None:
        """Note what the run's config is told."""
        self._config |= config
        self._write({"is": "config", "config": self._config})

    def batch(
        self,
        keys: Mapping[str, Iterable[int]],
        first: int,
        rows: list[dict[str, Any]],
        tables: Iterable[TableRows],
    ) -> None:
        """Note a batch before any of it is handed over."""
        self._write(
            {
                "is": "batch",
                "keys": {kind: list(some) for kind, some in keys.items()},
                "first": first,
                "rows": rows,
                "tables": [_plain(table) for table in tables],
            }
        )

    def table(self, number: int, name: str, count: int, totals: Mapping[str, float]) -> None:
        """Note that `count` of the waiting rows of a table become row `number`."""
        self._write({"is": "table", "number": number, "table": name, "count": count, "totals": dict(totals)})

    def rotate(
        self, entries: Callable[[], list[Entry]], waiting: Iterable[TableRows], totals: Mapping[str, Any]
    ) -> None:
        """Begin a new file where this one is full; it takes over what is still waiting. The old one is kept once."""
        if self._file is None or self._file.tell() < _ROTATE_BYTES:
            return
        old = self.path.with_suffix(_OLD)
        self.path.replace(old)
        before, self._file = self._file, self._open()
        before.close()
        self._write({"is": "run", **self._run})
        self._write({"is": "config", "config": self._config})
        self.carry(entries(), waiting, totals)

    def carry(self, entries: list[Entry], waiting: Iterable[TableRows], totals: Mapping[str, Any]) -> None:
        """Note what is still to be sent, in the place of all that was noted of that before."""
        carried = [
            {"number": one.number, "row": one.row, "table": one.table and _plain(one.table)}
            for one in entries
        ]
        tables = [_plain(table) for table in waiting]
        self._write({"is": "carry", "entries": carried, "tables": tables, "totals": dict(totals)})

    def end(self, next_number: int) -> None:
        """Note that nothing comes any more."""
        self._write({"is": "end", "next": next_number})

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def is_open(self) -> bool:
        """Whether it can be written."""
        return self._file is not None

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is None:
            return
        text = json.dumps(record, default=_default, separators=(",", ":"))
        # One write of a whole line: what is torn is the last line of a process that was killed.
        self._file.write(text.encode("utf-8", "replace") + b"\n")


class SafeJournal:
    """A journal that may not be there, or cannot be written: the run goes on without, and that is said once.

    Args:
        store: the store's directory; None for no journal.
    """

    def __init__(self, store: Path | None) -> None:
        self._store = store
        self._journal: Journal | None = None

    def started(self, run_id: str, started_with: Mapping[str, Any], directory: Path) -> None:
        """Open the journal, and note a directory of the run.

        Raises:
            BusyError: another process writes this run.
        """
        if self._store is None:
            return
        try:
            self._journal = self._journal or Journal(self._store, run_id)
            self._journal.started(run_id, started_with, directory)
        except OSError as error:
            _unwritable(error)

    def config(self, config: Mapping[str, Any]) -> None:
        """As `Journal.config`."""
        self._do(lambda journal: journal.config(config))

    def batch(
        self,
        keys: Mapping[str, Iterable[int]],
        first: int,
        rows: list[dict[str, Any]],
        tables: list[TableRows],
    ) -> None:
        """As `Journal.batch`."""
        self._do(lambda journal: journal.batch(keys, first, rows, tables))

    def table(self, number: int, name: str, count: int, totals: Mapping[str, float]) -> None:
        """As `Journal.table`."""
        self._do(lambda journal: journal.table(number, name, count, totals))

    def rotate(
        self, entries: Callable[[], list[Entry]], waiting: list[TableRows], totals: Mapping[str, Any]
    ) -> None:
        """As `Journal.rotate`."""
        self._do(lambda journal: journal.rotate(entries, waiting, totals))

    def carry(self, entries: list[Entry], waiting: list[TableRows], totals: Mapping[str, Any]) -> None:
        """As `Journal.carry`."""
        self._do(lambda journal: journal.carry(entries, waiting, totals))

    def end(self, next_number: int) -> None:
        """As `Journal.end`."""
        self._do(lambda journal: journal.end(next_number))

    def close(self) -> None:
        """Let go of the file."""
        if self._journal is not None:
            self._journal.close()

    @property
    def is_kept(self) -> bool:
        """Whether there is one."""
        return self._journal is not None and self._journal.is_open

    def _do(self, what: Callable[[Journal], None]) -> None:
        if self._journal is None:
            return
        try:
            what(self._journal)
        except OSError as error:
            _unwritable(error)


def _unwritable(error: OSError) -> None:
    drops.count("key", "wandb_journal_unwritable")
    drops.warn_once("wandb:journal", "no journal of the W&B run can be kept: %s", error)


def path_of(store: Path, run_id: str) -> Path:
    """Return the journal's path."""
    return store / DIRECTORY / (_NOT_A_NAME.sub("_", run_id) + _SUFFIX)


def runs(store: Path) -> list[Left]:
    """Return what is known of the runs that were written from a store, the latest last."""
    directory = store / DIRECTORY
    paths = (
        sorted(directory.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
        if directory.is_dir()
        else []
    )
    return [left for path in paths if (left := read(path)) is not None]


def read(path: Path) -> Left | None:
    """Return what a journal says; None where it names no run."""
    left = Left("")
    old = path.with_suffix(_OLD)
    if old.exists():
        for record in _records(old):
            _take(left, record)
    for record in _records(path):
        _take(left, record)
    return left if left.run_id else None


def is_busy(path: Path) -> bool:
    """Say whether a process is writing this journal."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line, object_hook=_restore)
                except ValueError:
                    continue  # torn: its writer was killed before anything of it was handed over
                if isinstance(record, dict):
                    yield record
    except OSError:
        return


def _take(left: Left, record: dict[str, Any]) -> None:
    match record.get("is"):
        case "run":
            left.run_id, left.started_with = record["id"], record["with"]
            directory = Path(record["directory"])
            if directory not in left.directories:
                left.directories.append(directory)
            left.is_closed = False
        case "config":
            left.config |= record["config"]
        case "batch":
            left.is_closed = False
            for kind, some in record["keys"].items():
                left.keys.setdefault(kind, set()).update(some)
            left.rows += enumerate(record["rows"], record["first"])
            left.next_number = max(left.next_number, record["first"] + len(record["rows"]))
            for table in record["tables"]:
                _add(left.tables, _table(table))
        case "table":
            waiting = left.tables.get(record["table"])
            if waiting is not None:
                taken = TableRows(waiting.name, waiting.columns, waiting.cells[: record["count"]])
                del waiting.cells[: record["count"]]
                left.flushed.append((record["number"], taken))
            left.totals[record["table"]] = record["totals"]
            left.next_number = max(left.next_number, record["number"] + 1)
        case "carry":
            left.rows, left.flushed, left.tables = [], [], {}
            for one in record["entries"]:
                if one["table"]:
                    left.flushed.append((one["number"], _table(one["table"])))
                else:
                    left.rows.append((one["number"], one["row"]))
                left.next_number = max(left.next_number, one["number"] + 1)
            for table in record["tables"]:
                _add(left.tables, _table(table))
            left.totals = record["totals"]
        case "end":
            left.is_closed = True
            left.next_number = max(left.next_number, record["next"])


def _add(tables: dict[str, TableRows], more: TableRows) -> None:
    there = tables.setdefault(more.name, TableRows(more.name, more.columns))
    there.columns = more.columns if len(more.columns) > len(there.columns) else there.columns
    there.cells += more.cells


def _plain(table: TableRows) -> dict[str, Any]:
    return {"name": table.name, "columns": table.columns, "cells": table.cells}


def _table(plain: dict[str, Any]) -> TableRows:
    columns = tuple((name, kind) for name, kind in plain["columns"])
    return TableRows(plain["name"], columns, [tuple(cells) for cells in plain["cells"]])


def _default(value: Any) -> Any:
    if isinstance(value, Distribution):
        return {_DISTRIBUTION: [value.counts, value.edges]}
    return str(value)


def _restore(value: dict[str, Any]) -> Any:
    if _DISTRIBUTION in value:
        counts, edges = value[_DISTRIBUTION]
        return Distribution(tuple(counts), tuple(edges))
    return value
