"""The writer's present file: made when it is needed, changed when it is full or gone, let go when it fails.

Used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from otel_llm import drops
from otel_llm.store import schema
from otel_llm.store.database import Batch, Database
from otel_llm.store.retention import Retention, Sweeper
from otel_llm.store.trouble import Trouble
from otel_llm.version import VERSION

IDLE_CHECKPOINT_S: Final = 2.0
"""After so long without a commit the log is moved into the file, onto the disk."""

_ROW_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)
"""What SQLite says about a row rather than about the file."""


class Committer:
    """Writes batches to one file after the other.

    Args:
        directory: the run directory.
        retention: which old files to remove.
        resource: what describes the process, for rows that do not say.
        meta: facts about the process, kept in each file.
        dropped: told `(what, reason, how many)` of what cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        retention: Retention,
        resource: Mapping[str, Any],
        meta: Mapping[str, str],
        dropped: Callable[[str, str, int], None],
    ) -> None:
        self._directory = directory
        self._resource = resource
        self._meta = meta
        self._dropped = dropped
        self._database: Database | None = None
        self._writer_id = schema.new_writer_id()
        self._since = 0.0
        self._checkpoint_at: float | None = None
        self.files = 0
        self.trouble = Trouble(directory)
        self.sweeper = Sweeper(directory, retention)
        self.written: dict[str, int] = {"span": 0, "open_span": 0, "point": 0, "log": 0, "series": 0}

    @property
    def path(self) -> Path | None:
        """The file that is being written."""
        database = self._database
        return None if database is None else database.path

    @property
    def checkpoint_at(self) -> float | None:
        """When `checkpoint_if_due` has something to do, in monotonic seconds."""
        return self._checkpoint_at

    def write(self, batch: Batch) -> bool:
        """Write one batch; False if it is to be tried again later (`trouble` says when and why)."""
        try:
            failed = self._ready().write(batch)
        except _ROW_ERRORS:
            self._let_go(batch)
            return True
        except (sqlite3.Error, OSError, schema.UnusableError) as error:
            self.trouble.happened(error, time.monotonic())
            self._give_up_file(error)
            return False
        except Exception:
            self._let_go(batch)
            return True
        self.trouble.gone()
        self._checkpoint_at = time.monotonic() + IDLE_CHECKPOINT_S
        for what, n in batch.counts().items():
            self.written[what] += n
        for what, n in failed.items():
            self.written[what] -= n
            self._dropped(what, "store_unreadable", n)
        return True

    def _let_go(self, batch: Batch) -> None:
        # Something in it cannot be written; holding on to it would stop all that follows.
        drops.internal_error("store: writing")
        for what, n in batch.counts().items():
            if n and what != "open_span":
                self._dropped(what, "store_internal_error", n)

    def _ready(self) -> Database:
        """Return the file to write to: the present one, or a new one if that is full, old, or was removed."""
        database = self._database
        if database is None:
            return self._new_database()
        if not database.is_in_place():
            drops.warn_once(
                f"store-removed:{database.path}",
                "otel_llm: the store's file %s was removed while it was written; going on with a new one",
                database.path,
            )
            self._database = None
            _close(database)
            return self._new_database()
        if self.sweeper.is_full(database.nbytes(), time.time() - self._since):
            return self._rotate(database)
        return database

    def _new_database(self) -> Database:
        # For its owner alone, unless somebody made it before: it may hold prompts.
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / schema.file_name(self._writer_id, self.files + 1)
        meta = {
            "version": VERSION,
            "pid": str(os.getpid()),
            "created_ns": str(time.time_ns()),
            **self._meta,
        }
        database = Database(path, self._resource, meta)
        self._database = database
        self.files += 1
        self._since = time.time()
        self.sweeper.start(path.name)
        return database

    def _rotate(self, full: Database) -> Database:
        """Go on in a new file; spans that are open move over to it."""
        database = self._new_database()
        database.take_open(full)
        _close(full)
        return database

    def _give_up_file(self, error: Exception) -> None:
        """Let go of a file that is damaged, or in which writing fails; keep one where only the disk is full.

        A file that never took anything is kept, or a broken disk would gather empty ones.
        """
        database = self._database
        broken = type(error) is sqlite3.DatabaseError or "i/o error" in str(error).lower()
        if database is not None and broken and database.commits:
            self._database = None
            _close(database)

    def checkpoint_if_due(self, now: float) -> None:
        """Move the log into the file if nothing was written for a while."""
        if self._checkpoint_at is not None and now >= self._checkpoint_at:
            self._checkpoint_at = None
            if self._database is not None:
                self._database.checkpoint()

    def close(self) -> None:
        """Close the file."""
        self._checkpoint_at = None
        database, self._database = self._database, None
        if database is not None:
            _close(database)

    def abandon(self) -> sqlite3.Connection | None:
        """Return the connection so that somebody keeps it: a forked child must not even close it."""
        return None if self._database is None else self._database.abandon()


def _close(database: Database) -> None:
    try:
        database.close()
    except sqlite3.Error:
        pass
