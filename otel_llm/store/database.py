"""One file while it is written: a batch is a transaction. Used by the writer's thread only."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_llm.store import codec, schema
from otel_llm.store.encoding import (
    from_hex,
    log_line,
    number,
    plain,
    point_line,
    resource_id,
    scope_id,
    series_value,
    span_line,
    text,
)
from otel_llm.store.rows import LogRow, PointRow, Scope, SeriesRow

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_BLOCK_LINES: Final = 64
_BLOCK_BYTES: Final = 1 << 19
_MAX_SHARED: Final = 4096
_MAX_SHARED_BYTES: Final = 16 << 20
"""Of what is remembered, encoded; a resource of somebody else's may be large."""
_MAX_LOG_BYTES: Final = 1 << 20
"""A log so large is moved into the file: who opens the file after a kill must first read the log."""

_INSERT_SPAN: Final = f"INSERT INTO spans({schema.SPAN_COLUMNS}, block, line) VALUES({','.join('?' * 19)})"
_INSERT_OPEN: Final = f"INSERT INTO open_spans({schema.SPAN_COLUMNS}, data) VALUES({','.join('?' * 18)})"
_INSERT_POINT: Final = "INSERT INTO points(metric, time_ns, resource, scope, block, line) VALUES(?,?,?,?,?,?)"
_INSERT_LOG: Final = (
    "INSERT INTO logs(time_ns, severity, event, trace_id, span_id, resource, scope, block, line)"
    " VALUES(?,?,?,?,?,?,?,?,?)"
)
_INSERT_SERIES: Final = "INSERT INTO series(name, step, value, time_ns, attributes) VALUES(?,?,?,?,?)"
_INSERT_DELIVERED: Final = "INSERT INTO delivered(sink, keys) VALUES(?,?)"

T = TypeVar("T")

EncodedSpan = tuple[bytes, tuple[Any, ...], Mapping[str, Any], Scope]
"""A span whose line and columns (see `encoding.span_line`) were made elsewhere, with its resource and scope."""


@dataclass(slots=True)
class Batch:
    """What one transaction writes."""

    ended: list[tuple[ReadableSpan, Mapping[str, Any] | None]] = field(default_factory=list)
    opened: list[ReadableSpan] = field(default_factory=list)
    points: list[PointRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)
    series: list[SeriesRow] = field(default_factory=list)
    delivered: list[tuple[str, bytes]] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    encoded: list[EncodedSpan] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many things of each kind it holds."""
        return {
            "span": len(self.ended) + len(self.encoded),
            "open_span": len(self.opened),
            "point": len(self.points),
            "log": len(self.logs),
            "series": len(self.series),
        }


class _Blocks:
    """Collects lines and writes them as blocks; rows that refer to a line follow the block's id."""

    def __init__(self, db: sqlite3.Connection, packer: codec.Packer, insert: str) -> None:
        self._db = db
        self._packer = packer
        self._insert = insert
        self._lines: list[bytes] = []
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add(self, line: bytes, row: tuple[Any, ...]) -> None:
        self._lines.append(line)
        self._rows.append(row)
        self._bytes += len(line)
        if len(self._lines) == _BLOCK_LINES or self._bytes > _BLOCK_BYTES:
            self.write()

    def write(self) -> None:
        if not self._lines:
            return
        data = self._packer.pack(self._lines)
        block = self._db.execute("INSERT INTO blocks(data) VALUES(?)", (data,)).lastrowid
        self._db.executemany(self._insert, [(*row, block, i) for i, row in enumerate(self._rows)])
        self._lines, self._rows, self._bytes = [], [], 0


class Database:
    """A file that this process writes.

    Args:
        path: the file; must not be there yet.
        resource: what describes the process, for rows that do not say.
        meta: facts about the process, kept in the file.

    Raises:
        sqlite3.Error: it cannot be made.
        UnusableError: the file system cannot be used.
    """

    def __init__(self, path: Path, resource: Mapping[str, Any], meta: Mapping[str, str]) -> None:
        self.path = path
        self._resource = resource
        self._db = schema.create(path)
        self._packer = codec.Packer()
        self._identity = _identity(path)
        self._shared: dict[int, tuple[int, object]] = {}
        self._by_content: dict[bytes, int] = {}
        self._shared_bytes = 0
        self._open: dict[tuple[int, int], int] = {}
        self.commits = 0
        with self._transaction():
            self._put_meta(meta)

    def is_in_place(self) -> bool:
        """Say whether the file is still where it was; somebody may have removed the directory."""
        return self._identity == _identity(self.path)

    def nbytes(self) -> int:
        """Return the file's size, its write-ahead log included."""
        return _nbytes(self.path) + _nbytes(f"{self.path}-wal")

    def write(self, batch: Batch) -> dict[str, int]:
        """Write a batch as one transaction: all of it, or nothing.

        Returns:
            How many things of which kind could not be encoded and were left out.

        Raises:
            sqlite3.Error: it was not written.
        """
        with self._transaction():
            failed = self._put(batch)
            opened = self._put_open(batch.opened)
            closed = self._remove_open(batch.ended)
        self.commits += 1
        self._open.update(opened)
        for key in closed:
            self._open.pop(key, None)
        if _nbytes(f"{self.path}-wal") > _MAX_LOG_BYTES:
            self.checkpoint()
        return failed

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # Ids that were given out in this transaction are void.
            self._shared.clear()
            self._by_content.clear()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _put(self, batch: Batch) -> dict[str, int]:
        failed = {
            "span": self._put_rows(self._blocks(_INSERT_SPAN), batch.ended, self._span)
            + self._put_rows(self._blocks(_INSERT_SPAN), batch.encoded, self._encoded),
            "point": self._put_rows(self._blocks(_INSERT_POINT), batch.points, self._point),
            "log": self._put_rows(self._blocks(_INSERT_LOG), batch.logs, self._log),
            "series": self._put_rows(None, batch.series, self._series),
        }
        for sink, keys in batch.delivered:
            self._db.execute(_INSERT_DELIVERED, (self._share(codec.encode(sink)), keys))
        self._put_meta(batch.meta)
        return {what: n for what, n in failed.items() if n}

    def _blocks(self, insert: str) -> _Blocks:
        return _Blocks(self._db, self._packer, insert)

    def _put_rows(
        self,
        blocks: _Blocks | None,
        things: Iterable[T],
        encoded: Callable[[T], tuple[bytes, tuple[Any, ...]]],
    ) -> int:
        """Encode and insert things; one that cannot be encoded is left out and counted."""
        failed = 0
        for thing in things:
            try:
                line, row = encoded(thing)
            except sqlite3.Error:
                raise
            except Exception:
                failed += 1
                continue
            if blocks is None:
                self._db.execute(_INSERT_SERIES, row)
            else:
                blocks.add(line, row)
        if blocks is not None:
            blocks.write()
        return failed

    def _span(self, item: tuple[ReadableSpan, Mapping[str, Any] | None]) -> tuple[bytes, tuple[Any, ...]]:
        span, extra = item
        line, columns = span_line(span, extra)
        shared = self._shared_id
        return line, (
            *columns,
            resource_id(shared, span.resource),
            scope_id(shared, span.instrumentation_scope),
        )

    def _encoded(self, item: EncodedSpan) -> tuple[bytes, tuple[Any, ...]]:
        line, columns, resource, scope = item
        return line, (*columns, resource_id(self._shared_id, resource), scope_id(self._shared_id, scope))

    def _point(self, point: PointRow) -> tuple[bytes, tuple[Any, ...]]:
        return point_line(point), (text(point.metric), number(point.time_ns), *self._origin(point))

    def _log(self, log: LogRow) -> tuple[bytes, tuple[Any, ...]]:
        columns = (
            number(log.observed_ns if log.time_ns is None else log.time_ns),
            number(log.severity_number),
            text(log.event_name),
            from_hex(log.trace_id),
            from_hex(log.span_id),
        )
        return log_line(log), (*columns, *self._origin(log))

    def _series(self, row: SeriesRow) -> tuple[bytes, tuple[Any, ...]]:
        name = self._share(codec.encode(row.name))
        attributes = self._share(codec.encode(plain(row.attributes))) if row.attributes else None
        return b"", (name, number(row.step), series_value(row.value), number(row.time_ns), attributes)

    def _put_open(self, spans: Sequence[ReadableSpan]) -> dict[tuple[int, int], int]:
        opened: dict[tuple[int, int], int] = {}
        for span in spans:
            try:
                line, row = self._span((span, None))
            except sqlite3.Error:
                raise
            except Exception:
                continue
            rowid = self._db.execute(_INSERT_OPEN, (*row, self._packer.pack([line]))).lastrowid
            assert rowid is not None  # noqa: S101 (an INSERT has one)
            opened[_key(span)] = rowid
        return opened

    def _remove_open(self, ended: Sequence[tuple[ReadableSpan, Any]]) -> list[tuple[int, int]]:
        if not self._open:
            return []
        closed = [key for span, _ in ended if (key := _key(span)) in self._open]
        self._db.executemany("DELETE FROM open_spans WHERE id=?", [(self._open[key],) for key in closed])
        return closed

    def _put_meta(self, meta: Mapping[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO meta(key, value) VALUES(?,?)", list(meta.items()))

    def _origin(self, row: PointRow | LogRow) -> tuple[int, int | None]:
        resource = self._resource if row.resource is None else row.resource
        return resource_id(self._shared_id, resource), scope_id(self._shared_id, row.scope)

    def _shared_id(self, thing: object, encoded: Callable[[], bytes]) -> int:
        # By identity first: hashing a Resource means JSON each time. The entry keeps the object alive, so its
        # id() is not given to another.
        known = self._shared.get(id(thing))
        if known is not None:
            return known[0]
        number = self._share(encoded())
        if len(self._shared) >= _MAX_SHARED:
            self._shared.clear()
        self._shared[id(thing)] = number, thing
        return number

    def _share(self, data: bytes) -> int:
        number = self._by_content.get(data)
        if number is None:
            number = self._db.execute("INSERT INTO shared(data) VALUES(?)", (data,)).lastrowid
            assert number is not None  # noqa: S101 (an INSERT has one)
            self._shared_bytes += len(data)
            if len(self._by_content) >= _MAX_SHARED or self._shared_bytes > _MAX_SHARED_BYTES:
                self._by_content.clear()
                self._shared.clear()
                self._shared_bytes = len(data)
            self._by_content[data] = number
        return number

    def take_open(self, other: Database) -> None:
        """Move the open spans of the writer's previous file here."""
        if not other._open:
            return
        keys = {rowid: key for key, rowid in other._open.items()}
        shared = dict(other._db.execute("SELECT id, data FROM shared"))
        rows = other._db.execute(f"SELECT id, {schema.SPAN_COLUMNS}, data FROM open_spans").fetchall()  # noqa: S608
        opened = {}
        with self._transaction():
            for rowid, *columns, resource, scope, data in rows:
                origin = [None if i is None else self._share(shared[i]) for i in (resource, scope)]
                made = self._db.execute(_INSERT_OPEN, (*columns, *origin, data)).lastrowid
                assert made is not None  # noqa: S101 (an INSERT has one)
                opened[keys[rowid]] = made
        self._open.update(opened)
        # Only now: a process that is killed in between leaves them twice, which readers see through.
        other._db.execute("DELETE FROM open_spans")
        other._open.clear()

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and onto the disk, as far as readers let it. Never fails."""
        try:
            self._db.execute(
                "PRAGMA busy_timeout=0"
            )  # whom readers hold up tries again after the next commit
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._db.execute(f"PRAGMA busy_timeout={int(schema.BUSY_TIMEOUT_S * 1000)}")
        except sqlite3.Error:
            pass  # a full disk, say: the data are in the log, and the next commit says what is wrong

    def close(self) -> None:
        """Close the file; the last one to close it moves the write-ahead log into it."""
        self._db.close()

    def abandon(self) -> sqlite3.Connection:
        """Return the connection so that somebody keeps it: a forked child must not even close it."""
        return self._db


def _key(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    return (0, 0) if context is None else (context.trace_id, context.span_id)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _nbytes(path: str | Path) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
