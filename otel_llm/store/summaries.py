"""Traces at a glance, from the columns alone: no block is read unless an attribute is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from otel_llm.store import decoding
from otel_llm.store.files import Opened
from otel_llm.store.filters import Filter
from otel_llm.store.rows import STATUSES, TraceSummary

_COLUMNS: Final = (
    "trace_id, span_id, parent_id, name, start_ns, end_ns, status, model, error,"
    " input_tokens, output_tokens, cost, resource"
)


_ERROR: Final = STATUSES.index("error")


class _Row(NamedTuple):
    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    name: str
    start_ns: int
    end_ns: int | None
    status: int
    model: str | None
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    service: Any


def latest_traces(file: Opened, wanted: Filter, limit: int, latest: dict[bytes, int]) -> list[None]:
    """Note the traces of a file that hold a span that fits, with the start of the last such span.

    Args:
        file: the file.
        wanted: what a span must be.
        limit: how many traces are wanted in all.
        latest: trace ids and times so far; is added to.
    """
    where, values = wanted.where()
    for source in (decoding.OPEN, decoding.ENDED):
        seen: set[bytes] = set()
        enough = sorted(latest.values(), reverse=True)[limit - 1] if 0 < limit <= len(latest) else 0
        for row in file.db.execute(f"{source} WHERE {where} ORDER BY start_ns DESC", values):
            trace_id, start_ns = row[0], row[5] or 0
            if start_ns < enough or (trace_id not in seen and len(seen) >= limit):
                break
            if trace_id in seen:
                continue
            if wanted.attributes and not (
                decoding.may_match(file, row, wanted)
                and wanted.matches(decoding.stored_span(file, row).attributes)
            ):
                continue
            seen.add(trace_id)
            latest[trace_id] = max(latest.get(trace_id, 0), start_ns)
    return []


def summarise(
    chosen: list[bytes], read_all: Callable[[Callable[[Opened], Iterator[_Row]]], list[_Row]]
) -> list[TraceSummary]:
    """Return summaries of traces, in the given order.

    Args:
        chosen: trace ids.
        read_all: reads something from all files.
    """
    if not chosen:
        return []
    by_trace: dict[bytes, dict[bytes, _Row]] = {trace: {} for trace in chosen}
    for row in read_all(lambda file: _rows(file, chosen)):
        spans = by_trace[row.trace_id]
        known = spans.get(row.span_id)
        if known is None or (known.end_ns is None and row.end_ns is not None):
            spans[row.span_id] = row
    return [_summary(trace, list(rows.values())) for trace, rows in by_trace.items() if rows]


def _rows(file: Opened, chosen: list[bytes]) -> Iterator[_Row]:
    some = 500  # SQLite's bound on parameters was once 999
    for table in ("spans", "open_spans"):
        for i in range(0, len(chosen), some):
            part = chosen[i : i + some]
            sql = f"SELECT {_COLUMNS} FROM {table} WHERE trace_id IN ({','.join('?' * len(part))})"  # noqa: S608
            for *columns, resource in file.db.execute(sql, part):
                found = file.shared(resource)
                yield _Row._make([*columns, found[0].get("service.name") if found else None])


def _summary(trace: bytes, rows: list[_Row]) -> TraceSummary:
    rows.sort(key=lambda row: row.start_ns or 0)
    here = {row.span_id for row in rows}
    root = next((r for r in rows if r.parent_id is None), None) or next(
        (r for r in rows if r.parent_id not in here), rows[0]
    )
    still_open = sum(row.end_ns is None for row in rows)
    costs = [row.cost for row in rows if row.cost is not None]
    return TraceSummary(
        trace_id=trace.hex(),
        name=root.name,
        start_ns=rows[0].start_ns or 0,
        end_ns=None if still_open else max(row.end_ns or 0 for row in rows),
        spans=len(rows),
        open=still_open,
        errors=sum(row.status == _ERROR or row.error is not None for row in rows),
        models=tuple(dict.fromkeys(row.model for row in rows if row.model)),
        input_tokens=sum(row.input_tokens or 0 for row in rows),
        output_tokens=sum(row.output_tokens or 0 for row in rows),
        cost_usd=sum(costs) if costs else None,
        services=tuple(dict.fromkeys(str(row.service) for row in rows if row.service)),
    )
