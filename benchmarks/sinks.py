"""What a contestant's spans go to, chosen by BENCH_SINK: `null`, `otlp` (a loopback sink) or `memory`.

A contestant calls `tracer_provider()`, or takes `exporter()` or `processor()` where a library insists on a
provider of its own; one that is not built on OpenTelemetry calls `bump()` for every record.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

MODE: Final = os.environ.get("BENCH_SINK", "null")
URL: Final = os.environ.get("BENCH_URL", "http://127.0.0.1:9")

seen = 0
"""Spans that the exporter, or records that the library, has been given."""
memory: Final[list[Any]] = []
"""Finished spans, in memory mode."""
records: Final[list[Any]] = []
"""What a contestant without OpenTelemetry wants the capture check to see, in memory mode."""
_flushes: Final[list[Callable[[], Any]]] = []
_exporter: Any = None


def exporter() -> Any:
    """The one exporter of this process; it counts spans in every mode."""
    global _exporter
    if _exporter is None:
        _exporter = _otlp() if MODE == "otlp" else _null()
    return _exporter


def _otlp() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class Counting(OTLPSpanExporter):
        def export(self, spans, *args, **kwargs):
            bump(len(spans))
            return super().export(spans, *args, **kwargs)

    return Counting(endpoint=URL + "/v1/traces")


def _null() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Null(SpanExporter):
        def export(self, spans):
            bump(len(spans))
            if MODE == "memory":
                memory.extend(spans)
            return SpanExportResult.SUCCESS

    return Null()


def processor() -> Any:
    """The SDK's batch processor, with its defaults, before `exporter()`."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    batch = BatchSpanProcessor(exporter())
    on_flush(batch.force_flush)
    return batch


def tracer_provider() -> Any:
    """A provider with `processor()`, registered for the process."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(processor())
    trace.set_tracer_provider(provider)
    return provider


def on_flush(function: Callable[[], Any], *, first: bool = False) -> None:
    """Call `function` when everything recorded so far must be handed on."""
    _flushes.insert(0 if first else len(_flushes), function)


def flush() -> None:
    """Hand on everything recorded so far."""
    for function in _flushes:
        function()


def bump(count: int = 1) -> None:
    """Count records."""
    global seen
    seen += count
