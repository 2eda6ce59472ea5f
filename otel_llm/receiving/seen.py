"""What was committed a while ago: senders repeat what they are unsure about, and nothing is to be there twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_llm.store.files import FoundFile, UnreadableError, find, opened


class Seen:
    """Remembers the last so many keys, and up to twice as many.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def __contains__(self, key: bytes) -> bool:
        return key in self._young or key in self._old

    def add(self, key: bytes) -> None:
        """Remember a key."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, set()
        self._young.add(key)


PROGRAM: Final = "otel-llm receive"
"""What files of a receiver say of who wrote them."""


def last_spans(store: Path, limit: int) -> Iterator[bytes]:
    """Yield the keys of the spans that receivers committed last, oldest first.

    A receiver that was killed may have committed what it did not answer any more; its senders repeat it to the next.

    Args:
        store: the store's directory.
        limit: how many.
    """
    found: list[bytes] = []
    for file in sorted(find(store), key=lambda file: file.written_ns(), reverse=True):
        if len(found) >= limit:
            break
        found += _of_file(file, limit - len(found))
    yield from reversed(found)


def _of_file(file: FoundFile, limit: int) -> list[bytes]:
    sql = "SELECT trace_id, span_id FROM spans WHERE end_ns IS NOT NULL ORDER BY id DESC LIMIT ?"
    try:
        with opened(file) as it:
            if it is None:
                return []
            program = it.db.execute("SELECT value FROM meta WHERE key='program'").fetchone()
            if program is None or program[0] != PROGRAM:
                return []
            return [trace_id + span_id for trace_id, span_id in it.db.execute(sql, (limit,))]
    except (sqlite3.Error, UnreadableError, OSError, ValueError):
        return []  # readers say what is wrong with it
