"""Which old files go: by age, then by total size, finished processes' files first and only those.

Runs on a thread of its own when a writer makes a file, so that no commit waits for it. A file that some process still has open is never touched, and
whether one has is asked of SQLite's own locks: that holds across containers and for process ids that were used
again, and costs nothing for the many files that were closed (they have no write-ahead log any more).
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_llm import drops, threads
from otel_llm.store import schema

SIDE_FILES: Final = ("-wal", "-shm")
_QUIET_S: Final = 60.0
"""Left-over logs younger than this are let be: their writer is probably alive."""

_MAX_FINISHED: Final = 512
"""So many files of killed processes are put in order at a time."""

_MIN_FILE_AGE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Retention:
    """What may stay.

    Attributes:
        max_age_s: files that were last written longer ago are removed; None for any age.
        max_bytes: size of all files together above which the oldest are removed; None for any size.
        max_file_bytes: a writer goes on in a new file when its file is so large, so that old parts can go.
    """

    max_age_s: float | None = None
    max_bytes: int | None = None
    max_file_bytes: int = 1 << 30


@dataclass(slots=True)
class _Found:
    path: Path
    nbytes: int
    written: float
    has_log: bool


class Sweeper:
    """Applies a retention to a run directory.

    Args:
        directory: the run directory.
        retention: what may stay.
    """

    def __init__(self, directory: Path, retention: Retention) -> None:
        self._directory = directory
        self._retention = retention
        self._max_file_bytes = retention.max_file_bytes
        if retention.max_bytes is not None:  # several files, or none could go
            self._max_file_bytes = min(self._max_file_bytes, max(retention.max_bytes // 8, 1 << 16))
        self._max_file_age_s = None
        if retention.max_age_s is not None:
            self._max_file_age_s = max(retention.max_age_s / 4, _MIN_FILE_AGE_S)
        self.busy = threading.RLock()
        """Held while a file is looked into: no fork may come between (see `forks`)."""
        self._thread: threads.Worker | None = None

    def is_full(self, nbytes: int, age_s: float) -> bool:
        """Say whether a writer should go on in a new file."""
        return nbytes >= self._max_file_bytes or (
            self._max_file_age_s is not None and age_s >= self._max_file_age_s
        )

    def start(self, own: str) -> None:
        """Sweep on a thread of its own, unless one is at it already."""
        if self._thread is not None and self._thread.is_alive():
            return
        try:
            self._thread = threads.start(self.sweep, "otel_llm-store-sweep", (own,))
        except RuntimeError:
            return  # the interpreter is shutting down; the next process does it

    def join(self, timeout_s: float) -> None:
        """Wait for a sweep that was started; a program that is over quickly sweeps too."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def sweep(self, own: str) -> list[str]:
        """Remove what may not stay, and put in order what killed processes left.

        Args:
            own: name of the file that the caller writes; it stays.

        Returns:
            Names of the files that were removed.
        """
        try:
            return self._sweep(own)
        except Exception:
            drops.internal_error("store: retention")
            return []

    def _sweep(self, own: str) -> list[str]:
        files = sorted(_files(self._directory, own), key=lambda f: f.written)
        now = time.time()
        removed = self._remove_old(files, now)
        quiet = [f for f in files if f.has_log and now - f.written > _QUIET_S and f.path.name not in removed]
        for found in quiet[:_MAX_FINISHED]:
            with self.busy:
                finish(found.path)
        return removed

    def _remove_old(self, files: list[_Found], now: float) -> list[str]:
        keep = self._retention
        total = sum(f.nbytes for f in files)
        removed = []
        for found in files:
            too_old = keep.max_age_s is not None and now - found.written > keep.max_age_s
            too_much = keep.max_bytes is not None and total > keep.max_bytes
            if not (too_old or too_much):
                continue
            with self.busy:
                if found.has_log and not finish(found.path):
                    continue
                remove(found.path)
            removed.append(found.path.name)
            total -= found.nbytes
        return removed


def _files(directory: Path, own: str) -> list[_Found]:
    found = []
    entries = {entry.name: entry for entry in os.scandir(directory)}
    for name, entry in entries.items():
        if schema.parse_name(name) is None or name == own:
            continue
        try:
            stat = entry.stat(follow_symlinks=False)
            nbytes, written = stat.st_size, stat.st_mtime
            for side in SIDE_FILES:
                if name + side in entries:
                    stat = entries[name + side].stat(follow_symlinks=False)
                    nbytes += stat.st_size
                    if side == "-wal":  # the other changes when it is read, too
                        written = max(written, stat.st_mtime)
        except OSError:
            continue  # another process has just removed it
        found.append(_Found(Path(entry.path), nbytes, written, f"{name}-wal" in entries))
    return found


def finish(path: Path) -> bool:
    """Move a killed process's write-ahead log into its file, if no process has the file open.

    Leaving WAL mode needs SQLite's exclusive lock, which nobody gets while another connection is open: that is
    the test. A file that is no longer in WAL mode opens faster and needs no side files.

    Returns:
        Whether no process has it open.
    """
    import sqlite3

    try:
        db = sqlite3.connect(path.absolute().as_uri() + "?mode=rw", uri=True, timeout=0, isolation_level=None)
    except sqlite3.Error:
        return False
    try:
        return bool(db.execute("PRAGMA journal_mode=DELETE").fetchone()[0] == "delete")
    except sqlite3.OperationalError:
        return False  # locked, or gone
    except sqlite3.DatabaseError:
        return True  # damaged beyond reading: certainly nobody writes it
    finally:
        db.close()


def remove(path: Path) -> None:
    """Remove a file and what SQLite keeps beside it."""
    for name in (f"{path}-wal", f"{path}-shm", str(path)):
        try:
            Path(name).unlink()
        except OSError:
            pass
