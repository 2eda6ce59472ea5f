"""The store's files: their names, their tables, and how they are opened.

One file a process (`<host>-<pid>-<random>.db`, later ones of the same process `….2.db`, `….3.db`), in SQLite's
WAL mode with `synchronous=NORMAL`. A commit is in the operating system's hands when it returns, so a killed
process loses nothing that was committed; a power cut may take what was committed since the last checkpoint
(2 s after the writer became idle, or 1 MB of writes), but never leaves a damaged file.

Spans, log records and metric points keep a few columns to search by; the rest of each is a line of a block
(`codec`), some dozens to a block: compressed together they take half of what they take alone, and the file is
written in few, large pieces.

**Versions.** `PRAGMA user_version` is the version of the tables. A file belongs to one process and is written
by one version of this package, so there is nothing to migrate in place: a new version writes new files and
reads the old ones for as long as `READABLE` lists them; a reader leaves a file of a newer version alone and
says so. Adding a column or table that old readers can ignore does not raise the version.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import sqlite3

VERSION: Final = 1
READABLE: Final = frozenset({1})
APPLICATION_ID: Final = 0x4F4C4C4D  # "OLLM"
SUFFIX: Final = ".db"
BUSY_TIMEOUT_S: Final = 1.0

# Few and short: SQLite parses all of it each time a file is opened, and a look-up may open 500.
_TABLES: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE shared(id INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE blocks(id INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE spans(id INTEGER PRIMARY KEY, trace_id, span_id, parent_id, name, kind, start_ns, end_ns, status,
 operation, model, error, input_tokens, output_tokens, cost, flags, resource, scope, block, line);
CREATE INDEX spans_trace ON spans(trace_id);
CREATE INDEX spans_start ON spans(start_ns);
CREATE TABLE open_spans(id INTEGER PRIMARY KEY, trace_id, span_id, parent_id, name, kind, start_ns, end_ns, status,
 operation, model, error, input_tokens, output_tokens, cost, flags, resource, scope, data BLOB);
CREATE TABLE points(id INTEGER PRIMARY KEY, metric, time_ns, resource, scope, block, line);
CREATE TABLE logs(id INTEGER PRIMARY KEY, time_ns, severity, event, trace_id, span_id, resource, scope, block, line);
CREATE TABLE series(id INTEGER PRIMARY KEY, name, step, value, time_ns, attributes);
CREATE TABLE delivered(id INTEGER PRIMARY KEY, sink, keys BLOB);
"""

SPAN_COLUMNS: Final = (
    "trace_id, span_id, parent_id, name, kind, start_ns, end_ns, status, operation, model, error, "
    "input_tokens, output_tokens, cost, flags, resource, scope"
)
"""What `spans` and `open_spans` share; the first refers to a block, the second, which changes, has its own data."""


class FileName(NamedTuple):
    """The parts of a file's name. `writer` is what all files of one writer share."""

    host: str
    pid: int
    writer: str
    number: int


def host_name() -> str:
    """Return this host's name as it is in names of files."""
    import socket

    return re.sub(r"[^A-Za-z0-9_]+", "_", socket.gethostname())[:64] or "host"


def new_writer_id() -> str:
    """Return `<host>-<pid>-<random>` for a writer of this process."""
    # Not `random`: the program may have seeded it.
    return f"{host_name()}-{os.getpid()}-{os.urandom(4).hex()}"


def file_name(writer: str, number: int) -> str:
    """Return the name of a writer's file; `number` counts from 1."""
    return f"{writer}{SUFFIX}" if number == 1 else f"{writer}.{number}{SUFFIX}"


_NAME: Final = re.compile(r"(?P<writer>(?P<host>\w+)-(?P<pid>\d+)-[0-9a-f]+)(?:\.(?P<number>\d+))?\.db")


def parse_name(name: str) -> FileName | None:
    """Return the parts of a file's name, None if it is not one of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return FileName(match["host"], int(match["pid"]), match["writer"], int(match["number"] or 1))


class UnusableError(Exception):
    """A file cannot be used as a store; the text says why."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a file for writing, without looking at what is in it. Used by any thread, one at a time."""
    import sqlite3

    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def create(path: Path) -> sqlite3.Connection:
    """Make a new file with its tables and return the connection that writes it.

    Raises:
        sqlite3.Error: it cannot be made.
        UnusableError: the file system lacks what several processes need to share a file (network file systems).
    """
    db = connect(path)
    try:
        mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise UnusableError(
                "the file system has no shared memory or locks, as some network file systems; "
                "put the store on a local disk"
            )
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA wal_autocheckpoint=0")  # `Database` does it, and truncates the log
        db.executescript(
            f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};{_TABLES}COMMIT;"
        )
    except BaseException:
        db.close()
        for side in ("", "-wal", "-shm", "-journal"):  # the name is ours alone
            try:
                Path(f"{path}{side}").unlink()
            except OSError:
                pass
        raise
    return db
