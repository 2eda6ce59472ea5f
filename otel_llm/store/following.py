"""Reading what was committed since the last look, of every kind, and what a sink has of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from otel_llm.store import decoding
from otel_llm.store.encoding import read_series_value
from otel_llm.store.files import Opened
from otel_llm.store.reader import StoreReader
from otel_llm.store.rows import SeriesRow

_LOOK: Final = 20_000
"""Rows of a file that are read in one go."""


def delivered(reader: StoreReader, sink: str) -> set[int]:
    """Return the keys (see `intake.packed_keys`) that are noted under a sink's name."""
    return set(reader._each(lambda file: decoding.delivered_keys(file, sink)))


class Tail:
    """Reads ended spans, points, series or logs file by file, each row once.

    Args:
        reader: the store.
        kind: `spans`, `points`, `series` or `logs`.
        from_now: leave out what is there already.
    """

    def __init__(self, reader: StoreReader, kind: str, *, from_now: bool = False) -> None:
        self._reader = reader
        self._kind = kind
        self._sql, self._decode = _KINDS[kind]
        self._last: dict[str, int] = {}
        if from_now:
            self._last = dict(reader._each(self._end))

    def read(self) -> Iterator[Any]:
        """Yield the rows that were committed since the last call, the oldest of a file first."""
        for file in self._reader._files():
            name = file.path.name
            while True:
                after = self._last.get(name, 0)
                rows = list(self._reader._each(lambda it, after=after: self._since(it, after), [file]))  # type: ignore[misc]
                for number, row in rows:
                    self._last[name] = number
                    yield row
                if len(rows) < _LOOK:
                    break

    def _since(self, file: Opened, after: int) -> Iterator[tuple[int, Any]]:
        sql = f"{self._sql} WHERE id>? ORDER BY id LIMIT ?"
        for number, *row in file.db.execute(sql, (after, _LOOK)):
            yield number, self._decode(file, tuple(row))

    def _end(self, file: Opened) -> list[tuple[str, int]]:
        sql = f"SELECT coalesce(max(id), 0) FROM {self._kind}"  # noqa: S608 (one of our own tables)
        return [(file.name, file.db.execute(sql).fetchone()[0])]


def _series(file: Opened, row: tuple[Any, ...]) -> SeriesRow:
    name, step, value, time_ns, attributes = row
    return SeriesRow(
        name=file.shared(name),
        step=step,
        value=read_series_value(value),
        time_ns=time_ns,
        attributes=file.shared(attributes) or {},
        file=file.name,
    )


_KINDS: Final[dict[str, tuple[str, Callable[[Opened, tuple[Any, ...]], Any]]]] = {
    "spans": (decoding.ENDED.replace("SELECT", "SELECT id,", 1), decoding.stored_span),
    "points": ("SELECT id, resource, scope, block, line FROM points", decoding.stored_point),
    "logs": ("SELECT id, resource, scope, block, line FROM logs", decoding.stored_log),
    "series": ("SELECT id, name, step, value, time_ns, attributes FROM series", _series),
}
