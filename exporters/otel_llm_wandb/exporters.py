"""OpenTelemetry exporters: `OTEL_TRACES_EXPORTER=otlp,otel_llm_wandb`, `OTEL_METRICS_EXPORTER=otel_llm_wandb`."""

from __future__ import annotations

from otel_llm.views.exporters import ViewMetricExporter, ViewSpanExporter


class WandbSpanExporter(ViewSpanExporter):
    """Spans as rows of the process's W&B run."""

    sink = "wandb"


class WandbMetricExporter(ViewMetricExporter):
    """Metric points as curves of the process's W&B run."""

    sink = "wandb"
