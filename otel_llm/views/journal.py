"""Files that several processes add to and that a kill cannot leave with half a row, or with one twice.

Each process writes files of its own in the output directory: the first as `NAME.csv`, one that comes while it runs as
`NAME.s2.csv`. Beside them `.otel_llm/` holds a lock for each, and what each has written for good: the length of every
file, and the keys of its last batch. Who comes after a killed process cuts its files back to that, and knows which
batch the store may not have noted. A replay waits for no one: it wants the directory for itself, or says who has it.

Locks are `flock`'s: the kernel lets them go when a process ends, however it ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

if sys.platform != "win32":
    import fcntl

from otel_llm import drops

HIDDEN: Final = ".otel_llm"
_MAX_SLOTS: Final = 10_000
_VERSION: Final = 1


class InUseError(OSError):
    """Somebody else writes into the directory."""


class Journal:
    """One process's place in an output directory.

    Args:
        directory: the output directory; made if it is not there.
        alone: nobody else may write into it meanwhile, and what killed processes left is put right for all of them.

    Attributes:
        slot: the number of this place, from 1.
        state: what the place's last owner wrote down; changed and written with `commit`.
        keys: keys of batches that are in the files, though the store may not know it.

    Raises:
        InUseError: another process writes here (or is alone here).
        OSError: the directory cannot be made or written.
    """

    def __init__(self, directory: Path, *, alone: bool) -> None:
        self.directory = directory
        self.state: dict[str, Any] = {}
        self.keys: dict[str, frozenset[int]] = {}
        self._hidden = directory / HIDDEN
        self._fds: list[int] = []
        self._hidden.mkdir(parents=True, exist_ok=True)
        try:
            self._enter(alone=alone)
            self.slot = self._take_slot()
            if alone:
                self._recover_all()
            else:
                self._recover(self.slot)
            self.state = self._read(self.slot)
        except BaseException:
            self.close()
            raise

    def _enter(self, *, alone: bool) -> None:
        fd = self._open("lock")
        if not _lock(fd, exclusive=alone):
            whose = self._owner()
            raise InUseError(
                f"{self.directory} is being written by another process{whose}; "
                + ("run this again when that has ended" if alone else "a replay, perhaps")
            )

    def _take_slot(self) -> int:
        for slot in range(1, _MAX_SLOTS):
            fd = self._open(f"slot-{slot}.lock")
            if _lock(fd, exclusive=True):
                os.ftruncate(fd, 0)
                os.pwrite(fd, str(os.getpid()).encode(), 0)
                return slot
            os.close(self._fds.pop())
        raise InUseError(f"{self.directory} is being written by too many processes")

    def _open(self, name: str) -> int:
        fd = os.open(self._hidden / name, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        self._fds.append(fd)
        return fd

    def _owner(self) -> str:
        for path in sorted(self._hidden.glob("slot-*.lock")):
            try:
                fd = os.open(path, os.O_RDONLY)
                try:
                    if not _lock(fd, exclusive=True):
                        return f" ({os.read(fd, 32).decode()})"
                finally:
                    os.close(fd)
            except OSError:
                continue
        return ""

    # --- what was written for good --------------------------------------------------------------------

    def _path(self, slot: int) -> Path:
        return self._hidden / f"slot-{slot}.json"

    def _read(self, slot: int) -> dict[str, Any]:
        try:
            found = json.loads(self._path(slot).read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            drops.warn_once(
                f"journal:{self.directory}", "%s cannot be read; new files are begun", self._path(slot)
            )
            return {}
        return found if isinstance(found, dict) and found.get("version") == _VERSION else {}

    def _recover_all(self) -> None:
        for path in sorted(self._hidden.glob("slot-*.json")):
            number = path.stem.removeprefix("slot-")
            if number.isdigit():
                self._recover(int(number))

    def _recover(self, slot: int) -> None:
        """Cut a place's files back to what was written for good, and finish what it had decided to do."""
        state = self._read(slot)
        for name, length in state.get("lengths", {}).items():
            path = self.directory / name
            try:
                if path.stat().st_size > length:
                    os.truncate(path, length)
            except FileNotFoundError:
                continue
        for there, here in state.get("renames", {}).items():
            part, place = self.directory / there, self.directory / here
            if part.exists():  # else it was renamed before the kill
                place.parent.mkdir(parents=True, exist_ok=True)  # its folder may have been removed since
                part.rename(place)
        for part in self._hidden.glob(f"slot-{slot}-*"):
            part.unlink(missing_ok=True)
        for kind, keys in state.get("keys", {}).items():
            self.keys[kind] = self.keys.get(kind, frozenset()) | frozenset(keys)

    def part(self, name: str) -> Path:
        """Return where to write a file that is not there before it is complete; who comes after a kill removes it.

        `state["renames"]` says where it goes: from a path to a path, both from the output directory.
        """
        return self._hidden / f"slot-{self.slot}-{name}"

    def commit(self, keys: Mapping[str, list[int]]) -> None:
        """Write the state down, in one step.

        Args:
            keys: of the batch that is written now.

        Raises:
            OSError: it cannot be written; what was written before still holds.
        """
        text = json.dumps({**self.state, "version": _VERSION, "keys": dict(keys)}, separators=(",", ":"))
        path = self._path(self.slot)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    def close(self) -> None:
        """Let go of the place."""
        while self._fds:
            os.close(self._fds.pop())


def _lock(fd: int, *, exclusive: bool) -> bool:
    if sys.platform == "win32":  # no locks there: one process a directory
        return True
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
