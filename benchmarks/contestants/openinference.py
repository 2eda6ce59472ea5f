"""openinference-instrumentation-openai (Arize Phoenix), its defaults: content on."""

from benchmarks import sinks

VENV = "openinference"


def setup() -> None:
    provider = sinks.tracer_provider()
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)
