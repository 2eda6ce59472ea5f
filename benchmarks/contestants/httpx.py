"""opentelemetry-instrumentation-httpx on the SDK's HTTP client: plain HTTP spans."""

from typing import Any

from benchmarks import sinks

VENV = "httpx"


def setup() -> None:
    import opentelemetry.instrumentation.httpx  # noqa: F401

    sinks.tracer_provider()


def on_http_client(client: Any) -> None:
    from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

    HTTPX2ClientInstrumentor.instrument_client(client)
