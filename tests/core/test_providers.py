"""Living with the program's own OpenTelemetry: before us, after us, or none."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_llm
from otel_llm import runtime
from otel_llm.providers import OwnTracerProvider


def provider_with_memory(batch: bool = False) -> tuple[TracerProvider, InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(memory) if batch else SimpleSpanProcessor(memory))
    return provider, memory


def one_span(name: str) -> None:
    """Make a span through the seat, as a call does."""
    active = runtime.current()
    assert active is not None
    active.seat.tracer().start_span(name).end()


def names(memory: InMemorySpanExporter) -> list[str]:
    return [span.name for span in memory.get_finished_spans()]


def test_without_a_provider_ours_takes_the_place_and_gives_it_back() -> None:
    otel_llm.instrument(store=None)
    assert isinstance(trace.get_tracer_provider(), OwnTracerProvider)
    otel_llm.shutdown()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_a_provider_that_was_set_before_is_joined_not_replaced_and_left_as_it_was() -> None:
    provider, memory = provider_with_memory()
    trace.set_tracer_provider(provider)
    before = provider._active_span_processor._span_processors
    otel_llm.instrument(store=None)
    assert trace.get_tracer_provider() is provider
    one_span("a")
    assert names(memory) == ["a"]
    otel_llm.shutdown()
    assert provider._active_span_processor._span_processors == before
    provider.get_tracer("x").start_span("still works").end()
    assert names(memory) == ["a", "still works"]


def test_we_move_over_to_a_provider_that_is_set_later_and_so_do_tracers_taken_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    early = trace.get_tracer("somebody", "1.2")  # a proxy
    otel_llm.instrument(store=None)
    late = trace.get_tracer("somebody else")  # one of ours
    one_span("ours")
    early.start_span("early, before").end()
    provider, memory = provider_with_memory()
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider
    one_span("call")
    early.start_span("early").end()
    with late.start_as_current_span("late"):
        one_span("child")
    assert names(memory) == ["call", "early", "child", "late"]
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert spans["child"].parent.span_id == spans["late"].context.span_id
    assert spans["early"].instrumentation_scope.name == "somebody"
    assert spans["early"].instrumentation_scope.version == "1.2"
    assert "Overriding" not in caplog.text


def test_on_somebody_elses_provider_only_named_exporters_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    provider, _ = provider_with_memory()
    trace.set_tracer_provider(provider)
    otel_llm.instrument(store=None)
    assert otel_llm.status()["exporters"] == {}
    otel_llm.shutdown()
    otel_llm.instrument(store=None, exporters=["console"])
    assert otel_llm.status()["exporters"] == {"console": "ours"}


def test_an_exporter_the_program_already_has_is_not_added_twice() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(provider)
    otel_llm.instrument(store=None, exporters=["console"])
    assert otel_llm.status()["exporters"] == {"console": "the program's own"}
    processors = provider._active_span_processor._span_processors
    assert [type(p) for p in processors if hasattr(p, "span_exporter") or "Batch" in type(p).__name__] == [
        BatchSpanProcessor
    ]
    provider.shutdown()


def test_what_waits_is_finished_before_the_providers_own_exporters_flush_or_shut_down() -> None:
    class Late:
        nbytes = 0

        def finish(self) -> None:
            one_span("finished late")

        def shed(self) -> None: ...
        def abandon(self) -> None: ...

    for end in ("force_flush", "shutdown"):
        provider, memory = provider_with_memory(batch=True)
        trace._TRACER_PROVIDER = provider
        otel_llm.instrument(store=None)
        active = runtime.current()
        assert active is not None
        active.finisher._linger_s = 60
        active.finisher.put(Late())
        getattr(provider, end)()
        assert names(memory) == ["finished late"], end
        otel_llm.shutdown()
        provider.shutdown()


def test_links_are_not_cut_at_128_on_our_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    otel_llm.instrument(store=None)
    tracer = trace.get_tracer("t")
    links = [trace.Link(trace.SpanContext(n + 1, n + 1, is_remote=False)) for n in range(1000)]
    assert len(tracer.start_span("step", links=links).links) == 1000  # type: ignore[attr-defined]


def test_a_second_instrument_changes_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    first = otel_llm.instrument(store=None)
    assert otel_llm.instrument() is first
    assert caplog.text == ""
    assert otel_llm.instrument(content="full") is first
    assert "changes nothing" in caplog.text
    assert first.settings.content is otel_llm.ContentPolicy.LENGTH


def test_the_sdk_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not otel_llm.instrument().enabled
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_our_ids_do_not_come_from_the_programs_random_numbers() -> None:
    def drawn(spans: int) -> tuple[list[float], list[int]]:
        random.seed(42)
        ids = []
        for _ in range(spans):
            span = trace.get_tracer("t").start_span("s")
            ids += [span.get_span_context().trace_id, span.get_span_context().span_id]
            span.end()
        return [random.random() for _ in range(5)], ids

    otel_llm.instrument(store=None)
    nothing, _ = drawn(0)
    first, ids = drawn(100)
    second, more = drawn(100)
    assert nothing == first == second  # not shifted by us
    assert len(set(ids + more)) == 400  # not repeated by the seed


def test_importing_is_cheap_in_modules() -> None:
    """No SDK, trainer, terminal or price list is imported unless the program does."""
    code = (
        "import sys, otel_llm; otel_llm.instrument(store=None);"
        "print([m for m in ('httpx', 'httpx2', 'aiohttp', 'requests', 'openai', 'torch', 'wandb', 'rich', 'typer',"
        " 'genai_prices', 'pydantic', 'sqlite3', 'grpc') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[]"
