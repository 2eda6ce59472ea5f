"""Opening the files of a run directory for reading, never for writing.

A file that was closed is opened as immutable: no locks, no side files, the fastest way. A file with a
write-ahead log (its process lives, or was killed) is read through SQLite's own protocol: a reader and the writer
do not wait for each other, and a log that was torn by a kill is read up to its last good transaction.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from otel_llm.store import codec, schema

_CACHED_BLOCKS: Final = 8


class UnreadableError(Exception):
    """A file cannot be read; the text says why."""


class FoundFile(NamedTuple):
    """A file of a run directory as it was at one moment."""

    path: Path
    parts: schema.FileName
    has_log: bool

    def signature(self) -> tuple[int, ...]:
        """Return sizes and times (nanoseconds) that change with every commit."""
        found: list[int] = []
        for name in (str(self.path), f"{self.path}-wal"):
            try:
                stat = Path(name).stat()
            except OSError:
                found += (0, 0)
            else:
                found += (stat.st_mtime_ns, stat.st_size)
        return tuple(found)

    def written_ns(self) -> int:
        """Return when it was last written, in nanoseconds since the epoch."""
        signature = self.signature()
        return max(signature[0], signature[2])


def find(directory: Path) -> list[FoundFile]:
    """Return the store's files in a directory, none if there is no such directory."""
    try:
        with os.scandir(directory) as entries:
            names = {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for name in sorted(names):
        parts = schema.parse_name(name) if name.endswith(schema.SUFFIX) else None
        if parts is not None:
            found.append(FoundFile(directory / name, parts, f"{name}-wal" in names))
    return found


class Opened:
    """One file, open for reading.

    Args:
        db: the connection.
        name: the file's name.
    """

    def __init__(self, db: sqlite3.Connection, name: str) -> None:
        self.db = db
        self.name = name
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()
        self._shared: dict[int, Any] = {}

    def line(self, block: int, line: int) -> bytes:
        """Return a line of a block.

        Raises:
            ValueError: the block is missing or damaged.
        """
        return self.block(block)[line]

    def block(self, block: int) -> list[bytes]:
        """Return the lines of a block.

        Raises:
            ValueError: the block is missing or damaged.
        """
        lines = self._blocks.get(block)
        if lines is None:
            row = self.db.execute("SELECT data FROM blocks WHERE id=?", (block,)).fetchone()
            if row is None:
                raise ValueError("a block is missing")
            lines = codec.unpack(row[0])
            if len(self._blocks) >= _CACHED_BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[block] = lines
        return lines

    def shared(self, number: int | None) -> Any:
        """Return what many rows share: a resource, a scope, a set of attributes, a name."""
        if number is None:
            return None
        if number not in self._shared:
            row = self.db.execute("SELECT data FROM shared WHERE id=?", (number,)).fetchone()
            self._shared[number] = None if row is None else codec.decode(row[0])
        return self._shared[number]


@contextmanager
def opened(file: FoundFile) -> Iterator[Opened | None]:
    """Open a file; None for one that is still empty.

    Raises:
        UnreadableError: it is of a newer version, or none of ours.
        sqlite3.Error: it cannot be read.
    """
    db, version, scratch = _connect(file)
    try:
        yield Opened(db, file.path.name) if _is_readable(db, version) else None
    finally:
        db.close()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _connect(file: FoundFile) -> tuple[sqlite3.Connection, int, str | None]:
    """Return a connection, the version of the tables, and a directory to remove afterwards."""
    if not file.has_log:
        try:
            return *_open(file.path, "immutable=1"), None
        except sqlite3.DatabaseError:  # its writer may just have begun
            return *_open(file.path, "mode=ro"), None
    try:
        return *_open(file.path, "mode=ro"), None
    except sqlite3.OperationalError:
        if os.access(file.path.parent, os.W_OK):
            raise
    # A log in a directory where nothing can be written: SQLite cannot make its index beside it, so read a copy.
    scratch = tempfile.mkdtemp(prefix="otel_llm-")
    try:
        copy = Path(scratch) / file.path.name
        shutil.copyfile(file.path, copy)
        shutil.copyfile(f"{file.path}-wal", f"{copy}-wal")
        return *_open(copy, "mode=rw"), scratch
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _open(path: Path, how: str) -> tuple[sqlite3.Connection, int]:
    db = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{how}",
        uri=True,
        timeout=schema.BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        return db, db.execute("PRAGMA user_version").fetchone()[0]
    except BaseException:
        db.close()
        raise


def _is_readable(db: sqlite3.Connection, version: int) -> bool:
    if version == 0:
        # Perhaps its writer has only just made it, and fills it right now: look at one moment.
        db.execute("BEGIN")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute("ROLLBACK")
        if version == 0 and pages <= 1:
            return False
    if version in schema.READABLE:
        return True
    if version > schema.VERSION:
        raise UnreadableError(
            f"it was written by a newer otel_llm (store version {version}, this one reads up to {schema.VERSION})"
        )
    raise UnreadableError("it is not a store of otel_llm")
