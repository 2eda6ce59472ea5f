"""The reading end of the store: all files of a run directory as one, also while they are being written.

Files are opened one at a time, for as long as a question takes, so any number of them can be read and no writer
is held up. A file that cannot be read is left out and said in `problems`, once; it is never an error.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from otel_llm.store import decoding
from otel_llm.store.files import FoundFile, Opened, UnreadableError, find, opened
from otel_llm.store.filters import Filter
from otel_llm.store.rows import LogRow, PointRow, SeriesRow, StoredSpan, TraceSummary
from otel_llm.store.summaries import latest_traces, summarise

MIN_PREFIX: Final = 4
_TAIL_SPANS: Final = 10_000
_TRUSTED_AGE_NS: Final = 1_000_000_000
"""A file's time says reliably that nothing was written since only when it is a moment old."""


class AmbiguousTraceError(LookupError):
    """Several traces begin with the given digits.

    Attributes:
        candidates: some of their ids.
    """

    def __init__(self, prefix: str, candidates: list[str]) -> None:
        super().__init__(f"several traces begin with {prefix}: {', '.join(candidates)}")
        self.candidates = candidates


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the stream of commits; made and read by `StoreReader.tail` only."""

    positions: Mapping[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)


@dataclass(slots=True)
class FileInfo:
    """One file of the store.

    Attributes:
        name: the file's name.
        writer: what all files of one writer share.
        host: where it was written.
        pid: by which process.
        nbytes: its size with what SQLite keeps beside it.
        spans: how many ended spans it holds.
        open_spans: how many spans are open, or were when its process was killed.
        written_ns: when it was last written, in nanoseconds since the epoch.
        alive: whether its process runs; None where that cannot be known (another host).
        meta: facts about the process; `dropped.<reason>` are counts of what it dropped.
    """

    name: str
    writer: str
    host: str
    pid: int
    nbytes: int
    spans: int
    open_spans: int
    written_ns: int
    alive: bool | None
    meta: dict[str, str]


class StoreReader:
    """Reads the files of one run directory.

    Args:
        directory: the run directory; one that is not there reads as empty.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.problems: list[str] = []
        """Files that could not be read, and why; one line each."""
        self._said: set[str] = set()

    def trace(self, trace_id: str) -> list[StoredSpan]:
        """Return the spans of one trace, by start time.

        Args:
            trace_id: its hex digits, or at least four of the first of them.

        Returns:
            Its spans from all files; empty if there is none.

        Raises:
            AmbiguousTraceError: several traces begin so.
            ValueError: these are no hex digits, or too few.
        """
        digits = trace_id.strip().lower().removeprefix("0x")
        if not re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},32}}", digits):
            raise ValueError(f"{trace_id!r} is no trace id: {MIN_PREFIX} to 32 hex digits")
        low, high = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
        found: dict[bytes, list[StoredSpan]] = {}
        for identifier, span in self._each(lambda file: _in_range(file, low, high)):
            found.setdefault(identifier, []).append(span)
        if len(found) > 1:
            raise AmbiguousTraceError(digits, sorted(identifier.hex() for identifier in found)[:10])
        return deduplicated(next(iter(found.values()))) if found else []

    def traces(
        self,
        *,
        limit: int = 20,
        since_ns: int | None = None,
        until_ns: int | None = None,
        model: str | None = None,
        errors: bool = False,
        min_duration_s: float | None = None,
        attributes: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> list[TraceSummary]:
        """Return the latest traces that hold a span that fits (see `Filter`), the most recently active first."""
        wanted = Filter(since_ns, until_ns, model, name, errors, min_duration_s, attributes or {})
        latest: dict[bytes, int] = {}
        newest_first = sorted(self._files(since_ns), key=lambda f: f.written_ns(), reverse=True)
        for _ in self._each(lambda file: latest_traces(file, wanted, limit, latest), newest_first):
            pass
        chosen = sorted(latest, key=lambda trace: latest[trace], reverse=True)[:limit]
        return summarise(chosen, lambda read: list(self._each(read)))

    def spans(
        self,
        *,
        limit: int | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        model: str | None = None,
        errors: bool = False,
        min_duration_s: float | None = None,
        attributes: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> Iterator[StoredSpan]:
        """Iterate over spans that fit (see `Filter`).

        Args:
            limit: only so many, those that started last, by start time. None for all: file by file, in the order
                in which they were committed, without holding them in memory.
            since_ns: see `Filter`, as all that follow.
            until_ns: …
            model: …
            errors: …
            min_duration_s: …
            attributes: …
            name: …
        """
        wanted = Filter(since_ns, until_ns, model, name, errors, min_duration_s, attributes or {})
        if limit is None:
            yield from self._each(lambda file: _matching(file, wanted, None), self._files(since_ns))
            return
        found: list[StoredSpan] = []
        for span in self._each(lambda file: _matching(file, wanted, limit), self._files(since_ns)):
            found.append(span)
            if len(found) > limit * 4:
                found = _last(found, limit)
        yield from _last(found, limit)

    def open_spans(self) -> list[StoredSpan]:
        """Return the spans that are open, or were when their process was killed, by start time."""
        found = self._each(lambda file: _rows(file, decoding.OPEN, ()))
        return sorted(found, key=lambda span: span.start_ns)

    def tail(self, cursor: Cursor | None = None) -> tuple[list[StoredSpan], Cursor]:
        """Return the spans that ended, and were committed, since a cursor.

        Args:
            cursor: what the last call returned; None for now.

        Returns:
            The spans in the order of their commits (at most 10,000; the rest comes next time), and a new cursor.
        """
        if cursor is None:
            return [], Cursor({name: (last, ()) for name, last in self._each(_last_row)})
        positions = dict(cursor.positions)
        found: list[StoredSpan] = []
        for file in self._files():
            after, before = positions.get(file.path.name, (0, ()))
            signature = file.signature()
            if signature == before or len(found) >= _TAIL_SPANS:
                continue
            rows = list(self._each(lambda f, after=after: _since(f, after), [file]))  # type: ignore[misc]
            found += [span for _, span in rows]
            last = rows[-1][0] if rows else after
            settled = len(rows) < _TAIL_SPANS and time.time_ns() - max(signature) > _TRUSTED_AGE_NS
            positions[file.path.name] = last, signature if settled else ()
        return found, Cursor(positions)

    def points(
        self, metric: str | None = None, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Iterator[PointRow]:
        """Iterate over metric points, in the order in which they were written."""
        where, values = _between("time_ns", since_ns, until_ns)
        if metric is not None:
            where, values = f"{where} AND metric=?", [*values, metric]
        sql = f"SELECT resource, scope, block, line FROM points WHERE {where} ORDER BY id"  # noqa: S608
        yield from self._each(
            lambda file: (decoding.stored_point(file, row) for row in file.db.execute(sql, values)),
            self._files(since_ns),
        )

    def logs(
        self,
        *,
        trace_id: str | None = None,
        event_name: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Iterator[LogRow]:
        """Iterate over log records, in the order in which they were written."""
        where, values = _between("time_ns", since_ns, until_ns)
        if trace_id is not None:
            where, values = f"{where} AND trace_id=?", [*values, bytes.fromhex(trace_id)]
        if event_name is not None:
            where, values = f"{where} AND event=?", [*values, event_name]
        sql = f"SELECT resource, scope, block, line FROM logs WHERE {where} ORDER BY id"  # noqa: S608
        yield from self._each(
            lambda file: (decoding.stored_log(file, row) for row in file.db.execute(sql, values)),
            self._files(since_ns),
        )

    def series(self, name: str | None = None) -> Iterator[SeriesRow]:
        """Iterate over scalars of training runs, in the order in which they were written."""
        yield from self._each(lambda file: decoding.stored_series(file, name))

    def undelivered(
        self, sink: str, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Iterator[StoredSpan]:
        """Iterate over ended spans that were sampled and that a sink does not have yet.

        Args:
            sink: the sink's name, as it was given to `StoreWriter.delivered`.
            since_ns: started then or later, in nanoseconds since the epoch.
            until_ns: started before.
        """
        writers: dict[str, list[FoundFile]] = {}
        found = self._files()
        for file in found:
            writers.setdefault(file.parts.writer, []).append(file)
        where, values = Filter(since_ns, until_ns).where()
        # Nearly all notes are by the writer of the spans: with one writer's notes at a time in memory, few spans
        # are left to look for among the notes of others (a replay's, say).
        missing: set[int] = set()
        for group in writers.values():
            has = set(self._each(lambda file: decoding.delivered_keys(file, sink), group))
            keys = self._each(lambda file: decoding.span_keys(file, where, values), group)
            missing.update(key for key in keys if key not in has)
        if missing:
            missing.difference_update(self._each(lambda file: decoding.delivered_keys(file, sink), found))
        yield from self._each(lambda file: decoding.spans_of(file, missing, where, values), found)

    def files(self) -> list[FileInfo]:
        """Return what files there are, those that cannot be read left out."""
        found: list[FileInfo] = []
        for file in self._files():
            found += self._each(lambda it, file=file: [_info(it, file)], [file])  # type: ignore[misc]
        return found

    # --- files ----------------------------------------------------------------------------------------

    def _files(self, since_ns: int | None = None) -> list[FoundFile]:
        """Return the files that can hold what happened since a time: nothing is committed before it happens."""
        found = find(self.directory)
        return found if since_ns is None else [f for f in found if f.written_ns() >= since_ns]

    def _each(self, read: Callable[[Opened], Any], chosen: list[FoundFile] | None = None) -> Iterator[Any]:
        """Read file after file; one that cannot be read gives what it gave so far and a problem."""
        for file in self._files() if chosen is None else chosen:
            try:
                with opened(file) as it:
                    if it is not None:
                        yield from read(it)
            except FileNotFoundError:
                continue  # retention has just removed it
            except (sqlite3.Error, UnreadableError, ValueError, OSError) as error:
                if file.path.exists():
                    self._problem(file.path.name, error)

    def _problem(self, name: str, error: Exception) -> None:
        if name not in self._said:
            self._said.add(name)
            self.problems.append(f"{name}: {error}")


def deduplicated(spans: list[StoredSpan]) -> list[StoredSpan]:
    """Return spans by start time, each once: one that ended rather than the same one open."""
    best: dict[str, StoredSpan] = {}
    for span in spans:
        known = best.get(span.span_id)
        if known is None or (known.end_ns is None and span.end_ns is not None):
            best[span.span_id] = span
    return sorted(best.values(), key=lambda span: span.start_ns)


def _last(spans: list[StoredSpan], limit: int) -> list[StoredSpan]:
    return sorted(spans, key=lambda span: span.start_ns)[-limit:] if limit > 0 else []


def _rows(file: Opened, sql: str, values: Any) -> Iterator[StoredSpan]:
    for row in file.db.execute(sql, values):
        yield decoding.stored_span(file, row)


def _in_range(file: Opened, low: bytes, high: bytes) -> Iterator[tuple[bytes, StoredSpan]]:
    for source in (decoding.ENDED, decoding.OPEN):
        for row in file.db.execute(f"{source} WHERE trace_id BETWEEN ? AND ? LIMIT 100000", (low, high)):
            yield row[0], decoding.stored_span(file, row)


def _matching(file: Opened, wanted: Filter, limit: int | None) -> Iterator[StoredSpan]:
    where, values = wanted.where()
    order = "id" if limit is None else "start_ns DESC"
    for source in (decoding.ENDED, decoding.OPEN):
        left = limit
        for row in file.db.execute(f"{source} WHERE {where} ORDER BY {order}", values):
            if wanted.attributes and not decoding.may_match(file, row, wanted):
                continue
            span = decoding.stored_span(file, row)
            if wanted.matches(span.attributes):
                yield span
                if left is not None:
                    left -= 1
                    if left <= 0:
                        break


def _since(file: Opened, after: int) -> Iterator[tuple[int, StoredSpan]]:
    sql = f"{decoding.ENDED.replace('SELECT', 'SELECT id,', 1)} WHERE id>? ORDER BY id LIMIT ?"
    for number, *row in file.db.execute(sql, (after, _TAIL_SPANS)):
        yield number, decoding.stored_span(file, tuple(row))


def _last_row(file: Opened) -> list[tuple[str, int]]:
    return [(file.name, file.db.execute("SELECT coalesce(max(id),0) FROM spans").fetchone()[0])]


def _between(column: str, since_ns: int | None, until_ns: int | None) -> tuple[str, list[Any]]:
    parts, values = ["1"], []
    if since_ns is not None:
        parts.append(f"{column}>=?")
        values.append(since_ns)
    if until_ns is not None:
        parts.append(f"{column}<?")
        values.append(until_ns)
    return " AND ".join(parts), values


def _info(it: Opened, file: FoundFile) -> FileInfo:
    signature = file.signature()
    meta = {key: str(value) for key, value in it.db.execute("SELECT key, value FROM meta")}
    return FileInfo(
        name=file.path.name,
        writer=file.parts.writer,
        host=file.parts.host,
        pid=file.parts.pid,
        nbytes=signature[1] + signature[3],
        spans=_last_row(it)[0][1],
        open_spans=it.db.execute("SELECT count(*) FROM open_spans").fetchone()[0],
        written_ns=max(signature[0], signature[2]),
        alive=_is_alive(file),
        meta=meta,
    )


def _is_alive(file: FoundFile) -> bool | None:
    from otel_llm.store.schema import host_name

    if not file.has_log:
        return False
    if file.parts.host != host_name():
        return None
    try:
        os.kill(file.parts.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
