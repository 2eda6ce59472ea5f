"""From OpenTelemetry's metrics to the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    Sum,
)

from otel_llm import drops
from otel_llm.store.encoding import plain
from otel_llm.store.rows import PointRow, Scope
from otel_llm.store.writer import StoreWriter

_TEMPORALITIES = {AggregationTemporality.DELTA: "delta", AggregationTemporality.CUMULATIVE: "cumulative"}
_KINDS: dict[type, str] = {
    Gauge: "gauge",
    Sum: "sum",
    Histogram: "histogram",
    ExponentialHistogram: "exponential_histogram",
}


class StoreMetricExporter(MetricExporter):
    """Writes what a metric reader collects to a store. The store is not closed, only flushed.

    Args:
        writer: the store.
    """

    def __init__(self, writer: StoreWriter) -> None:
        super().__init__()
        self._writer = writer

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 (the interface)
        **kwargs: Any,  # noqa: ARG002
    ) -> MetricExportResult:
        """Hand all points over; they are committed a moment later."""
        try:
            self._writer.points(point_rows(metrics_data))
        except Exception:
            drops.internal_error("store: metrics")
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Wait until everything is committed."""
        return self._writer.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Wait until everything is committed, within the bound."""
        # The SDK's reader (1.45) calls it by another name than the SDK's interface does.
        self._writer.flush(kwargs.get("timeout", timeout_millis) / 1000)


def point_rows(data: MetricsData) -> Iterator[PointRow]:
    """Yield the points of collected metrics as rows."""
    for of_resource in data.resource_metrics:
        # One mapping for all of them: the store keeps it once.
        resource = plain(of_resource.resource.attributes)
        for of_scope in of_resource.scope_metrics:
            given = of_scope.scope
            scope = Scope()
            if given is not None:
                scope = Scope(given.name, given.version, given.schema_url or "", plain(given.attributes))
            for metric in of_scope.metrics:
                yield from _rows(metric, resource, scope)


def _rows(metric: Metric, resource: dict[str, Any], scope: Scope) -> Iterator[PointRow]:
    data = metric.data
    kind = _KINDS.get(type(data))
    if kind is None:
        return
    temporality = getattr(data, "aggregation_temporality", None)
    for point in data.data_points:
        yield PointRow(
            metric=metric.name,
            kind=kind,
            value=_value(point),
            unit=metric.unit or "",
            attributes=plain(point.attributes),
            start_ns=point.start_time_unix_nano,
            time_ns=point.time_unix_nano,
            temporality=None if temporality is None else _TEMPORALITIES.get(temporality),
            monotonic=getattr(data, "is_monotonic", None),
            description=metric.description or "",
            exemplars=[_exemplar(e) for e in point.exemplars],
            resource=resource,
            scope=scope,
        )


def _value(point: NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint) -> Any:
    if isinstance(point, NumberDataPoint):
        return point.value
    value: dict[str, Any] = {"count": point.count, "sum": point.sum, "min": point.min, "max": point.max}
    if isinstance(point, HistogramDataPoint):
        value["bucket_counts"] = tuple(point.bucket_counts)
        value["explicit_bounds"] = tuple(point.explicit_bounds)
        return value
    value |= {"scale": point.scale, "zero_count": point.zero_count, "flags": point.flags}
    for side in ("positive", "negative"):
        buckets = getattr(point, side)
        value[side] = {"offset": buckets.offset, "bucket_counts": tuple(buckets.bucket_counts)}
    return value


def _exemplar(exemplar: Any) -> dict[str, Any]:
    trace_id, span_id = exemplar.trace_id, exemplar.span_id
    return {
        "value": exemplar.value,
        "time_ns": exemplar.time_unix_nano,
        "trace_id": None if trace_id is None else f"{trace_id:032x}",
        "span_id": None if span_id is None else f"{span_id:016x}",
        "attributes": plain(exemplar.filtered_attributes),
    }
