"""What every test gets: a process as if nobody had instrumented it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from opentelemetry import metrics, trace
from opentelemetry._logs import _internal as logs_internal
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.util._once import Once

from otel_llm import drops, runtime
from otel_llm.training import runs

# In CI the same examples each time, however slow the machine; `OTEL_LLM_FUZZ_EXAMPLES` is for a long random run.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[None]:
    """No OpenTelemetry or otel_llm variables, no providers, no counts; and nothing left behind."""
    for name in list(os.environ):
        if name.startswith(("OTEL_LLM_", "OTEL_")) and not name.startswith(
            ("OTEL_LLM_TEST_", "OTEL_LLM_CASSETTES")
        ):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # the default store goes to the working directory
    _forget_providers()
    drops.reset()
    runs._times.clear()
    yield
    runtime.shutdown(5)
    _forget_providers()


def _forget_providers() -> None:
    trace._TRACER_PROVIDER = None
    trace._TRACER_PROVIDER_SET_ONCE = Once()
    metrics_internal._METER_PROVIDER = None
    metrics_internal._METER_PROVIDER_SET_ONCE = Once()
    metrics_internal._PROXY_METER_PROVIDER = metrics_internal._ProxyMeterProvider()
    logs_internal._LOGGER_PROVIDER = None
    logs_internal._LOGGER_PROVIDER_SET_ONCE = Once()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert metrics.get_meter_provider() is metrics_internal._PROXY_METER_PROVIDER
