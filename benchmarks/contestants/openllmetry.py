"""opentelemetry-instrumentation-openai (OpenLLMetry, Traceloop), its defaults: content on."""

from benchmarks import sinks

VENV = "openllmetry"


def setup() -> None:
    sinks.tracer_provider()
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
