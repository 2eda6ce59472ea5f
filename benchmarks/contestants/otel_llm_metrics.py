"""As `otel_llm` with a MeterProvider, which collects at each flush and exports to nowhere."""

from benchmarks import sinks
from benchmarks.contestants import otel_llm

VENV = "otel_llm"


def setup() -> None:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        MetricExporter,
        MetricExportResult,
        PeriodicExportingMetricReader,
    )

    class Null(MetricExporter):
        def export(self, *_args, **_kwargs):
            return MetricExportResult.SUCCESS

        def force_flush(self, *_args, **_kwargs):
            return True

        def shutdown(self, *_args, **_kwargs):
            pass

    provider = MeterProvider([PeriodicExportingMetricReader(Null())])
    metrics.set_meter_provider(provider)
    otel_llm.setup()
    sinks.on_flush(provider.force_flush)
