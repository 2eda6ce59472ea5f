"""OpenAI's SDK with somebody else's GenAI instrumentor active: `OTEL_LLM_TEST_OTHER` names which."""

import os

import harness
from openai_sdk import *  # noqa: F403 (the same scenarios)


def genai(provider):
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)


def openinference(provider):
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)


if __name__ == "__main__":
    harness.main({"genai": genai, "openinference": openinference}[os.environ["OTEL_LLM_TEST_OTHER"]])
