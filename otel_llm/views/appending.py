"""Appending to several files as one: either all of a batch is there for good, or nothing of it counts.

Bytes go to the end of each file; they count when the journal has the new lengths. What lies beyond them, after a full
disk or a kill, is written over or cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from otel_llm.views.journal import Journal


class Appender:
    """The files that one place of a directory appends to.

    Args:
        journal: the place.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._fds: dict[str, int] = {}
        self._keys: dict[str, list[int]] = {kind: list(keys) for kind, keys in journal.keys.items()}
        self._lengths: dict[str, int] = journal.state.setdefault("lengths", {})

    def length(self, name: str) -> int | None:
        """Return how long a file is for good, in bytes; None for one that was not begun, or that somebody removed or cut.

        Args:
            name: its path from the output directory.
        """
        length = self._lengths.get(name)
        if not length:
            return length
        try:
            size = (self._journal.directory / name).stat().st_size
        except FileNotFoundError:
            return None
        return length if size >= length else None

    def begin(self, names: Iterable[str], instead_of: Iterable[str] = ()) -> None:
        """Begin files. That is written down before they are made, so that a kill leaves none that nobody knows of.

        Args:
            names: paths from the output directory of files that are not there.
            instead_of: files that are not appended to any more.

        Raises:
            OSError: it cannot be written down.
        """
        for name in instead_of:
            self._close_file(name)
            self._lengths.pop(name, None)
        for name in names:
            self._lengths[name] = 0
        self._journal.commit(self._keys)

    def append(self, data: Mapping[str, bytes], keys: dict[str, list[int]]) -> None:
        """Append to files that were begun.

        Args:
            data: what to append, by path.
            keys: of the batch.

        Raises:
            OSError: it cannot be written; then nothing of it counts, and the files are closed.
        """
        before = dict(self._lengths)
        try:
            for name, added in data.items():
                self._write(name, added, self._lengths[name])
                self._lengths[name] += len(added)
            self._journal.commit(keys)
        except BaseException:
            self._lengths.clear()
            self._lengths.update(before)
            self.close()  # the disk may have been replaced, the directory removed
            raise
        self._keys = keys

    def _write(self, name: str, data: bytes, at: int) -> None:
        fd = self._fds.get(name)
        if fd is None:
            path = self._journal.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            self._fds[name] = fd
            os.ftruncate(fd, at)
        view = memoryview(data)
        while view:
            n = os.pwrite(fd, view, at)
            view, at = view[n:], at + n

    def close(self) -> None:
        """Close the files; what does not count is cut off, as far as that goes."""
        for name in list(self._fds):
            self._close_file(name)

    def _close_file(self, name: str) -> None:
        fd = self._fds.pop(name, None)
        if fd is None:
            return
        try:
            length = self._lengths.get(name)
            if length is not None and os.fstat(fd).st_size > length:
                os.ftruncate(fd, length)
        except OSError:
            pass  # who opens it next does it
        os.close(fd)

    def forget(self) -> None:
        """Close a forked child's copies of the files; the parent's stay as they are."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
