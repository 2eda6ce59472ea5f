"""From OTLP's metrics and logs to rows of the store; scalars of training that travel as events become series again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.receiving.origins import Resource
from otel_llm.receiving.scrubbing import Cleaner
from otel_llm.receiving.values import Values
from otel_llm.store.rows import LogRow, PointRow, Scope, SeriesRow

_TEMPORALITIES: Final = {1: "delta", 2: "cumulative"}
_KINDS: Final = frozenset({"gauge", "sum", "histogram", "exponential_histogram", "summary"})
_NO_VALUE: Final = 1
"""The flag of a point that says only that there is no value; see metrics.proto, `DataPointFlags`."""


def points(metric: Any, resource: Resource, scope: Scope, values: Values) -> Iterator[PointRow]:
    """Yield the points of a `Metric`; none for a kind that this version does not know."""
    kind = metric.WhichOneof("data")
    if kind not in _KINDS:
        return
    data = getattr(metric, kind)
    is_sum = kind == "sum"
    for point in data.data_points:
        yield PointRow(
            metric=values.text(metric.name),
            kind=kind,
            value=_MAKERS[kind](point),
            unit=values.text(metric.unit),
            attributes=values.attributes(point.attributes),
            start_ns=point.start_time_unix_nano or None,
            time_ns=point.time_unix_nano,
            temporality=_TEMPORALITIES.get(getattr(data, "aggregation_temporality", 0)),
            monotonic=data.is_monotonic if is_sum else None,
            description=values.text(metric.description),
            exemplars=[_exemplar(e, values) for e in getattr(point, "exemplars", ())],
            resource=resource,
            scope=scope,
        )


def _number(point: Any) -> int | float | None:
    if point.flags & _NO_VALUE:
        return None
    return _as_number(point)


def _as_number(point: Any) -> int | float | None:
    kind = point.WhichOneof("value")
    return None if kind is None else getattr(point, kind)


def _summed(point: Any) -> dict[str, Any]:
    return {
        "count": point.count,
        "sum": point.sum if point.HasField("sum") else None,
        "min": point.min if point.HasField("min") else None,
        "max": point.max if point.HasField("max") else None,
    }


def _histogram(point: Any) -> dict[str, Any]:
    value = _summed(point)
    value["bucket_counts"] = list(point.bucket_counts)
    value["explicit_bounds"] = list(point.explicit_bounds)
    if point.flags:
        value["flags"] = point.flags
    return value


def _exponential(point: Any) -> dict[str, Any]:
    value = _summed(point)
    value |= {"scale": point.scale, "zero_count": point.zero_count, "flags": point.flags}
    if point.zero_threshold:
        value["zero_threshold"] = point.zero_threshold
    for side in ("positive", "negative"):
        buckets = getattr(point, side)
        value[side] = {"offset": buckets.offset, "bucket_counts": list(buckets.bucket_counts)}
    return value


def _summary(point: Any) -> dict[str, Any]:
    value = {
        "count": point.count,
        "sum": point.sum,
        "quantiles": [[q.quantile, q.value] for q in point.quantile_values],
    }
    if point.flags:
        value["flags"] = point.flags
    return value


_MAKERS: Final[dict[str, Any]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}


def _exemplar(exemplar: Any, values: Values) -> dict[str, Any]:
    return {
        "value": _as_number(exemplar),
        "time_ns": exemplar.time_unix_nano,
        "trace_id": exemplar.trace_id.hex() or None,
        "span_id": exemplar.span_id.hex() or None,
        "attributes": values.attributes(exemplar.filtered_attributes),
    }


def clean_point(row: PointRow, cleaner: Cleaner) -> PointRow:
    """Return a point without secrets."""
    exemplars = [
        {**exemplar, "attributes": cleaner.attributes(exemplar["attributes"])} for exemplar in row.exemplars
    ]
    return replace(
        row,
        metric=cleaner.text(row.metric),
        unit=cleaner.text(row.unit),
        attributes=cleaner.attributes(row.attributes),
        description=cleaner.text(row.description),
        exemplars=exemplars,
    )


def log(record: Any, resource: Resource, scope: Scope, values: Values, received_ns: int) -> LogRow:
    """Return a `LogRecord` as a row.

    Args:
        record: the record.
        resource: who sent it.
        scope: what made it.
        values: reads its attributes.
        received_ns: for a record that says neither when it happened nor when it was seen, as the specification has it.
    """
    observed = record.observed_time_unix_nano or None
    happened = record.time_unix_nano or None
    return LogRow(
        time_ns=happened,
        observed_ns=received_ns if observed is None and happened is None else observed,
        body=values.any(record.body) if record.HasField("body") else None,
        severity_number=record.severity_number or None,
        severity_text=values.text(record.severity_text) or None,
        event_name=values.text(getattr(record, "event_name", "")) or None,
        attributes=values.attributes(record.attributes),
        trace_id=record.trace_id.hex() or None,
        span_id=record.span_id.hex() or None,
        flags=record.flags,
        resource=resource,
        scope=scope,
    )


def clean_log(row: LogRow, cleaner: Cleaner) -> LogRow:
    """Return a log record without secrets."""
    text, event = row.severity_text, row.event_name
    return replace(
        row,
        event_name=None if event is None else cleaner.text(event),
        body=cleaner.text(row.body) if isinstance(row.body, str) else cleaner.value("body", row.body),
        severity_text=None if text is None else cleaner.text(text),
        attributes=cleaner.attributes(row.attributes),
    )


def series(row: LogRow) -> list[SeriesRow]:
    """Return the scalars that an event carries (see `otel_llm.series_events`); none if it is no such event."""
    if row.event_name != sc.EVENT_SERIES or not isinstance(row.body, dict) or row.time_ns is None:
        return []
    told = dict(row.attributes)
    step = told.pop(sc.SERIES_STEP, None)
    if step is not None and type(step) is not int:
        return []
    found = []
    for name, value in row.body.items():
        number = _scalar(value)
        if number is None:
            return []
        found.append(SeriesRow(name, step, number, row.time_ns, told))
    return found


def _scalar(value: Any) -> int | float | None:
    if type(value) is int or type(value) is float:
        return value
    try:  # beyond 64 bits
        return int(value) if isinstance(value, str) else None
    except ValueError:
        return None
