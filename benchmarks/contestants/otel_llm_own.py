"""otel_llm with a TracerProvider and an OTLP exporter of its own: what a program gets that sets up nothing."""

import os

from benchmarks import sinks

VENV = "otel_llm"


def setup() -> None:
    from opentelemetry import trace

    import otel_llm

    if sinks.MODE != "otlp":
        otel_llm.instrument(content="full", store=None)
        trace.get_tracer_provider().add_span_processor(sinks.processor())
    else:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = sinks.URL
        os.environ["OTEL_METRICS_EXPORTER"] = "none"
        otel_llm.instrument(content="full", store=None, exporters=["otlp"])
        _count(otel_llm)
    sinks.on_flush(otel_llm.force_flush, first=True)


def _count(otel_llm) -> None:
    for processor in otel_llm.runtime.current().processors:
        exporter = processor._exporter
        export = exporter.export

        def counting(spans, *args, export=export, **kwargs):
            sinks.bump(len(spans))
            return export(spans, *args, **kwargs)

        exporter.export = counting
