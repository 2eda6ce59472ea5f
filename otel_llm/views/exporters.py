"""OpenTelemetry exporters over live sinks: for `OTEL_TRACES_EXPORTER=otel_llm_csv` and `instrument(exporters=["csv"])`.

A backend's package makes its own by giving the sink's name:

    class CsvSpanExporter(ViewSpanExporter):
        sink = "csv"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm import drops
from otel_llm.views import registry
from otel_llm.views.model import POINTS


class ViewSpanExporter(SpanExporter):
    """Hands spans to the process's sink. `export` neither blocks nor raises, and takes some microseconds a span.

    Attributes:
        sink: the sink's name.
        live: the sink.
    """

    sink: ClassVar[str]

    def __init__(self) -> None:
        self.live = registry.use(self.sink)
        self._is_open = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans; a failure means that they were dropped, which is counted."""
        return SpanExportResult.SUCCESS if self.live.spans(spans) else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until the sink has everything."""
        return self.live.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Give the sink back; its last user closes it, within a bounded time."""
        if self._is_open:
            self._is_open = False
            registry.release(self.live, self.live.close_timeout_s)


class ViewMetricExporter(MetricExporter):
    """Hands metric points to the process's sink.

    Attributes:
        sink: the sink's name.
        live: the sink.
    """

    sink: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.live = registry.use(self.sink)
        self._is_open = True

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 (the interface)
        **kwargs: Any,  # noqa: ARG002
    ) -> MetricExportResult:
        """Take points."""
        from otel_llm.store.metrics import point_rows

        try:
            taken = self.live.rows(POINTS, list(point_rows(metrics_data)))
        except Exception:
            drops.internal_error(f"sink {self.sink}: metrics")
            taken = False
        return MetricExportResult.SUCCESS if taken else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Wait until the sink has everything."""
        return self.live.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ARG002 (the interface)
        """Give the sink back; its last user closes it, within a bounded time."""
        if self._is_open:
            self._is_open = False
            registry.release(self.live, min(self.live.close_timeout_s, timeout_millis / 1000))
