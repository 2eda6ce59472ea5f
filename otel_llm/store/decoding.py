"""Rows of an open file to what the reader gives out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from otel_llm.store import codec, schema
from otel_llm.store.encoding import read_series_value
from otel_llm.store.files import Opened
from otel_llm.store.filters import Filter
from otel_llm.store.rows import (
    KINDS,
    STATUSES,
    LogRow,
    PointRow,
    Scope,
    SeriesRow,
    StoredEvent,
    StoredLink,
    StoredSpan,
)

ENDED: Final = f"SELECT {schema.SPAN_COLUMNS}, block, line FROM spans"  # noqa: S608
OPEN: Final = f"SELECT {schema.SPAN_COLUMNS}, NULL, data FROM open_spans"  # noqa: S608

BLOCK: Final = 17
"""Index of `block` in a row of `ENDED` and `OPEN`; None in the latter."""


def span_data(file: Opened, row: tuple[Any, ...]) -> bytes:
    """Return the encoded rest of a span's row."""
    block, line = row[BLOCK:]
    return codec.unpack(line)[0] if block is None else file.line(block, line)


def stored_span(file: Opened, row: tuple[Any, ...]) -> StoredSpan:
    """Return the span of a row of `ENDED` or `OPEN`.

    Raises:
        ValueError: its block is damaged.
    """
    line = codec.decode(span_data(file, row))
    trace_id, span_id, parent_id, name, kind, start_ns, end_ns, status = row[:8]
    flags, resource, scope = row[14:BLOCK]
    attributes, schema_url = file.shared(resource) or ({}, "")
    return StoredSpan(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=None if parent_id is None else parent_id.hex(),
        name=line.get("n", name),
        kind=_named(KINDS, kind),
        start_ns=start_ns or 0,
        end_ns=end_ns,
        status=_named(STATUSES, status),
        status_description=line.get("d"),
        attributes=line.get("a", {}),
        events=[StoredEvent(*event) for event in line.get("e", ())],
        links=[
            StoredLink(trace, span, given, flags_, remote, state, dropped)
            for trace, span, given, flags_, remote, state, dropped in line.get("l", ())
        ],
        resource=attributes,
        resource_schema_url=schema_url,
        scope=stored_scope(file, scope),
        flags=flags,
        trace_state=line.get("t", ""),
        parent_remote=line.get("r", False),
        dropped=line.get("x", (0, 0, 0)),
        file=file.name,
    )


def stored_scope(file: Opened, number: int | None) -> Scope:
    """Return an instrumentation scope by its id."""
    found = file.shared(number)
    return Scope() if found is None else Scope(*found)


def stored_point(file: Opened, row: tuple[Any, ...]) -> PointRow:
    """Return the point of a row `(resource, scope, block, line)`."""
    resource, scope, block, line = row
    (
        metric,
        kind,
        value,
        unit,
        attributes,
        start_ns,
        time_ns,
        temporality,
        monotonic,
        description,
        exemplars,
    ) = codec.decode(file.line(block, line))
    return PointRow(
        metric=metric,
        kind=kind,
        value=value,
        unit=unit,
        attributes=attributes,
        start_ns=start_ns,
        time_ns=time_ns,
        temporality=temporality,
        monotonic=monotonic,
        description=description,
        exemplars=list(exemplars),
        resource=(file.shared(resource) or ({},))[0],
        scope=stored_scope(file, scope),
        file=file.name,
    )


def stored_log(file: Opened, row: tuple[Any, ...]) -> LogRow:
    """Return the log record of a row `(resource, scope, block, line)`."""
    resource, scope, block, line = row
    (time_ns, observed_ns, body, number, text, event, attributes, trace_id, span_id, flags) = codec.decode(
        file.line(block, line)
    )
    return LogRow(
        time_ns=time_ns,
        observed_ns=observed_ns,
        body=body,
        severity_number=number,
        severity_text=text,
        event_name=event,
        attributes=attributes,
        trace_id=trace_id,
        span_id=span_id,
        flags=flags,
        resource=(file.shared(resource) or ({},))[0],
        scope=stored_scope(file, scope),
        file=file.name,
    )


def _named(names: tuple[str, ...], number: Any) -> str:
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else names[0]


def may_match(file: Opened, row: tuple[Any, ...], wanted: Filter) -> bool:
    """Say whether a row can have the attributes that are asked for, without parsing it."""
    return wanted.may_match(span_data(file, row))


def stored_series(file: Opened, name: str | None) -> Iterator[SeriesRow]:
    """Iterate over the scalars of a file."""
    sql, values = "SELECT name, step, value, time_ns, attributes FROM series", []
    if name is not None:
        ids = _ids_of(file, name)
        sql, values = f"{sql} WHERE name IN ({','.join('?' * len(ids))})", ids
    for named, step, value, time_ns, attributes in file.db.execute(f"{sql} ORDER BY id", values):
        yield SeriesRow(
            name=file.shared(named),
            step=step,
            value=read_series_value(value),
            time_ns=time_ns,
            attributes=file.shared(attributes) or {},
            file=file.name,
        )


def delivered_keys(file: Opened, sink: str) -> Iterator[int]:
    """Iterate over the keys of the spans that a sink has (see `intake.packed_keys`)."""
    ids = _ids_of(file, sink)
    sql = f"SELECT keys FROM delivered WHERE sink IN ({','.join('?' * len(ids))})"  # noqa: S608
    for (keys,) in file.db.execute(sql, ids):
        yield from struct.unpack(f">{len(keys) // 8}Q", keys)


def span_keys(file: Opened, where: str, values: list[Any]) -> Iterator[int]:
    """Iterate over the keys of the sampled spans of a file (see `intake.packed_keys`)."""
    sql = f"SELECT trace_id, span_id FROM spans WHERE flags & 1 AND {where} ORDER BY id"  # noqa: S608
    for trace_id, span_id in file.db.execute(sql, values):
        yield _key(trace_id, span_id)


def spans_of(file: Opened, keys: set[int], where: str, values: list[Any]) -> Iterator[StoredSpan]:
    """Iterate over the sampled spans of a file that have one of `keys`, and take their keys out of it."""
    if not keys:
        return
    for row in file.db.execute(f"{ENDED} WHERE flags & 1 AND {where} ORDER BY id", values):
        key = _key(row[0], row[1])
        if key in keys:
            keys.discard(key)  # a span that a forked child ended too is sent once
            yield stored_span(file, row)


def _key(trace_id: bytes, span_id: bytes) -> int:
    return int.from_bytes(trace_id[-8:], "big") ^ int.from_bytes(span_id, "big")


def _ids_of(file: Opened, name: str) -> list[int]:
    # The same name may have been given several ids: after a failed commit the writer starts its book anew.
    return [
        number for (number,) in file.db.execute("SELECT id FROM shared WHERE data=?", (codec.encode(name),))
    ]
