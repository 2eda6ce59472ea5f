"""64 bits that tell one span or row from all others: what the store's book of delivered things holds.

The same whether it is taken from the program or read back from the store. Spans have the key that the store gives them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from otel_llm.store.encoding import series_value
from otel_llm.store.rows import LogRow, PointRow, SeriesRow, StoredSpan
from otel_llm.views.cells import MisfitError, json_text
from otel_llm.views.model import LOGS, POINTS, SERIES, SPANS


def key_of(kind: str, row: StoredSpan | PointRow | SeriesRow | LogRow) -> int:
    """Return the key of a span or row of a kind."""
    key: int = _KEYS[kind](row)
    return key


def book_of(book: str, kind: str) -> str:
    """Return the name under which the store notes what a sink has of a kind."""
    return book if kind == SPANS else f"{book}/{kind}"


def _span(span: StoredSpan) -> int:
    return int(span.trace_id[-16:], 16) ^ int(span.span_id, 16)


def _series(row: SeriesRow) -> int:
    return _digest(row.name, row.step, repr(series_value(row.value)), row.time_ns, row.attributes)


def _point(row: PointRow) -> int:
    return _digest(row.metric, row.kind, row.start_ns, row.time_ns, row.attributes, row.value, row.scope.name)


def _log(row: LogRow) -> int:
    where = row.trace_id, row.span_id
    return _digest(row.time_ns, row.observed_ns, row.event_name, where, row.body, row.attributes)


def _digest(*parts: Any) -> int:
    try:
        text = json_text(parts)
    except MisfitError:
        text = repr(parts)
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


_KEYS: Any = {SPANS: _span, SERIES: _series, POINTS: _point, LOGS: _log}
