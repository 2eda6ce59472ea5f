"""vLLM's own spans: in our traces, on a provider whose ids do not repeat, and without its known crash."""

from __future__ import annotations

import random
import types
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_llm_vllm
from otel_llm import drops, testing
from otel_llm.testing import Captured
from tests.vllm.fakes import LLM, AsyncLLM, LLMEngine, SamplingParams

ENDPOINT = "http://127.0.0.1:4318/v1/traces"


def traceparent(span: Any) -> str:
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


def test_requests_continue_the_call_s_trace_where_vllm_makes_spans(captured: Captured) -> None:
    llm = LLM(otlp_traces_endpoint=ENDPOINT)
    llm.generate(["a", "b"])
    [call] = captured.calls()
    assert llm.llm_engine.requests == [
        ("0", {"traceparent": traceparent(call)}),
        ("1", {"traceparent": traceparent(call)}),
    ]


def test_nothing_is_added_where_vllm_would_drop_it(captured: Captured) -> None:
    llm = LLM()
    llm.generate("a")
    assert llm.llm_engine.requests == [("0", None)]


@pytest.mark.parametrize("positional", [False, True])
def test_headers_that_the_program_set_stay(captured: Captured, positional: bool) -> None:
    engine = LLMEngine(ENDPOINT)
    theirs = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    with trace.get_tracer("program").start_as_current_span("around"):
        if positional:
            engine.add_request("r", "p", None, None, None, None, None)
        else:
            engine.add_request("r", "p", None, trace_headers=theirs)
    assert engine.requests == [("r", None if positional else theirs)]


def test_a_request_outside_of_any_span_gets_no_headers(captured: Captured) -> None:
    engine = LLMEngine(ENDPOINT)
    engine.add_request("r", "p", None)
    assert engine.requests == [("r", None)]


async def test_a_stream_s_requests_continue_its_trace(captured: Captured) -> None:
    engine = AsyncLLM(ENDPOINT)
    async for _ in engine.generate("p", SamplingParams(), "r"):
        pass
    [call] = captured.calls()
    assert engine.headers == [{"traceparent": traceparent(call)}]


async def test_in_a_server_a_call_continues_the_trace_that_the_request_brought(captured: Captured) -> None:
    engine = AsyncLLM(ENDPOINT)
    theirs = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    async for _ in engine.generate("p", SamplingParams(), "r", trace_headers=theirs):
        pass
    assert engine.headers == [theirs]
    [call] = captured.calls()
    assert (call.context.trace_id, call.parent.span_id) == (int("1" * 32, 16), int("2" * 16, 16))


# --- the crash: spans without log stats -----------------------------------------------------------


def test_stats_are_switched_on_where_vllm_fails_without(
    captured: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    assert LLM(otlp_traces_endpoint=ENDPOINT).given["disable_log_stats"] is False
    LLM(otlp_traces_endpoint=ENDPOINT)
    assert [record.message.split(" fails")[0] for record in caplog.records] == [
        "LLM(otlp_traces_endpoint=...)"
    ]


def test_stats_are_left_alone_otherwise(captured: Captured, caplog: pytest.LogCaptureFixture) -> None:
    assert "disable_log_stats" not in LLM().given
    explicit = LLM(otlp_traces_endpoint=ENDPOINT, disable_log_stats=True)
    assert explicit.given["disable_log_stats"] is True
    assert caplog.records == []
    explicit.generate("a")  # the program's own choice, so it is told what will happen
    assert "vllm#25352" in caplog.text


@pytest.mark.parametrize(("stats", "given"), [("on", False), ("off", None)])
def test_stats_can_be_asked_for_or_refused(captured: Captured, stats: str, given: bool | None) -> None:
    otel_llm_vllm.configure(stats=stats)
    endpoint = None if stats == "on" else ENDPOINT
    assert LLM(otlp_traces_endpoint=endpoint).given.get("disable_log_stats") is given


# --- the provider ---------------------------------------------------------------------------------


def vllms_provider() -> tuple[TracerProvider, InMemorySpanExporter]:
    """As vLLM makes it: with ids from `random`, and an exporter to its endpoint."""
    provider, exporter = (
        TracerProvider(resource=Resource({"vllm.instrumenting_module_name": "vllm.llm_engine"})),
        InMemorySpanExporter(),
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_our_provider_stays_and_vllm_s_exporter_gets_vllm_s_spans(vllm: types.ModuleType) -> None:
    with testing.capture(instrumentations=("otel_llm_vllm",)) as captured:
        ours = trace.get_tracer_provider()
        theirs, exporter = vllms_provider()
        vllm.set_tracer_provider(theirs)
        assert trace.get_tracer_provider() is ours
        with trace.get_tracer("vllm.tracing.otel").start_as_current_span("llm_request"):
            pass
        LLM().generate("a")
        assert {span.name for span in captured.spans()} == {
            "llm_request",
            "text_completion tiny",
            "vllm sample",
        }
        assert [span.name for span in exporter.get_finished_spans()] == ["llm_request"]


def test_ids_do_not_repeat_when_vllm_seeds_random(vllm: types.ModuleType) -> None:
    with testing.capture(instrumentations=("otel_llm_vllm",)) as captured:
        vllm.set_tracer_provider(vllms_provider()[0])
        for _ in range(2):
            random.seed(0)  # as vLLM does at each start
            before = random.getstate()
            LLM().generate("a")
            trace.get_tracer("vllm.tracing.otel").start_span("llm_request").end()
            captured.spans()
            assert random.getstate() == before
        ids = [span.context.span_id for span in captured.spans()]
        assert len(ids) == len(set(ids)) == 6


def test_a_provider_of_the_program_is_its_own_business(
    vllm: types.ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    programs = TracerProvider()
    trace.set_tracer_provider(programs)
    with testing.capture(instrumentations=("otel_llm_vllm",)):
        vllm.set_tracer_provider(vllms_provider()[0])
        assert trace.get_tracer_provider() is programs
    assert "not allowed" in caplog.text  # OpenTelemetry's own word, as without us


def test_without_us_vllm_sets_its_provider(vllm: types.ModuleType) -> None:
    with testing.capture(instrumentations=("otel_llm_vllm",)):
        pass
    theirs, _ = vllms_provider()
    vllm.set_tracer_provider(theirs)
    assert trace.get_tracer_provider() is theirs


def test_it_is_said_when_vllm_was_first(vllm: types.ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    vllm.set_tracer_provider(vllms_provider()[0])
    with testing.capture(instrumentations=("otel_llm_vllm",)):
        assert "before LLM(...)" in caplog.text


def test_spans_are_not_sent_twice_to_one_place(vllm: types.ModuleType) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from otel_llm.batching import BoundedBatchProcessor
    from otel_llm_vllm.joining import _endpoint

    made = [
        BoundedBatchProcessor(Http(endpoint=ENDPOINT), "otlp", max_bytes=1 << 20),
        BatchSpanProcessor(Http(endpoint=ENDPOINT)),
        BatchSpanProcessor(Grpc(endpoint="http://127.0.0.1:4318", insecure=True)),
    ]
    assert {_endpoint(processor) for processor in made} == {"127.0.0.1:4318"}
    for processor in made:
        processor.shutdown()
    drops.reset()
