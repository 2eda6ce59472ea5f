"""opentelemetry-instrumentation-genai-openai (OpenTelemetry's own), content on spans."""

import os

from benchmarks import sinks

VENV = "official_genai"


def setup() -> None:
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"
    sinks.tracer_provider()
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
