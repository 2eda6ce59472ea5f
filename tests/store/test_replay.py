"""What a sink has not got is known, and is sent as a live export would have sent it."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_llm.store import Retention, StoreWriter
from otel_llm.store.readable import exportable


def key(span):
    context = span.get_span_context()
    return context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")


def test_a_replayed_span_is_encoded_byte_for_byte_as_the_live_one(writer, reader, provider, tracer):
    live = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(live))
    linked = SpanContext(7, 8, True, TraceFlags(1), TraceState([("k", "v")]))
    with tracer.start_as_current_span("root", attributes={"a": 1}):
        with tracer.start_as_current_span(
            "chat", kind=SpanKind.CLIENT, links=[Link(linked, {"b": True})], attributes={"l": ["x"], "f": 0.1}
        ) as span:
            span.add_event("e", {"c": "ü"}, 5)
            span.set_status(Status(StatusCode.ERROR, "broke"))
        with tracer.start_as_current_span("fine") as span:
            span.set_status(StatusCode.OK)
    writer.flush(5)
    sent = encode_spans(sorted(live.get_finished_spans(), key=lambda s: s.context.span_id))
    stored = [s.to_readable() for s in reader.undelivered("otlp")]
    replayed = encode_spans(sorted(stored, key=lambda s: s.context.span_id))
    assert replayed == sent
    assert len(replayed.resource_spans) == 1


def test_what_was_delivered_is_not_sent_again_to_that_sink(writer, reader, provider, tracer):
    live = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(live))
    for i in range(100):
        with tracer.start_as_current_span(str(i)):
            pass
    spans = live.get_finished_spans()
    writer.delivered("otlp", [key(s) for s in spans[:50]])
    writer.flush(5)
    writer.delivered("otlp", [key(s) for s in spans[60:70]])
    writer.delivered("other", [key(s) for s in spans[:1]])
    writer.flush(5)
    missing = [str(i) for i in (*range(50, 60), *range(70, 100))]
    assert [s.name for s in reader.undelivered("otlp")] == missing
    assert [s.name for s in reader.undelivered("other")] == [str(i) for i in range(1, 100)]
    assert len(list(reader.undelivered("a third"))) == 100
    assert [s.name for s in reader.undelivered("otlp", since_ns=spans[95].start_time)] == missing[-5:]


def test_a_delivery_noted_in_a_later_file_counts_for_an_earlier_one(directory, make_writer, reader):
    writer = make_writer(retention=Retention(max_file_bytes=100_000))
    spans = [
        ReadableSpan(str(i), SpanContext(1, i + 1, False, TraceFlags(1)), start_time=1, end_time=2,
                     attributes={"a": (str(i) * 20_000)})
        for i in range(50)
    ]  # fmt: skip
    for span in spans:
        writer.ended(span)
    writer.flush(5)
    import os

    filler = ReadableSpan("filler", SpanContext(1, 999, False, TraceFlags(0)), start_time=1, end_time=2,
                          attributes={"a": os.urandom(200_000).hex()})  # fmt: skip
    writer.ended(filler)
    writer.flush(5)
    writer.delivered("otlp", [key(s) for s in spans])
    writer.flush(5)
    assert len(list(directory.glob("*.db"))) > 1
    assert list(reader.undelivered("otlp")) == []


def test_a_delivery_noted_by_another_process_counts(writer, make_writer, reader, provider, tracer):
    live = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(live))
    for i in range(10):
        with tracer.start_as_current_span(str(i)):
            pass
    spans = live.get_finished_spans()
    writer.delivered("otlp", [key(s) for s in spans[:3]])
    writer.flush(5)
    replay = make_writer()
    replay.delivered("otlp", [key(s) for s in spans[3:8]])
    assert replay.close(5)
    assert [s.name for s in reader.undelivered("otlp")] == ["8", "9"]


def test_open_and_unsampled_spans_are_not_replayed(writer, reader, tracer):
    from otel_llm.store.processor import StoreSpanProcessor

    off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    off.add_span_processor(StoreSpanProcessor(writer))
    with off.get_tracer("t").start_as_current_span("not sampled"):
        pass
    writer.ended(
        ReadableSpan("recorded only", SpanContext(1, 2, False, TraceFlags(0)), start_time=1, end_time=2)
    )
    open_ = tracer.start_span("open")
    with tracer.start_as_current_span("sampled"):
        pass
    writer.flush(5)
    assert [s.name for s in reader.undelivered("otlp")] == ["sampled"]
    open_.end()


def test_what_otlp_cannot_carry_is_sent_as_text(writer, reader):
    attributes = {"big": 1 << 70, "surrogate": "a\ud800", "nested": {"k": (1 << 70, b"raw", None)}}
    writer.ended(
        ReadableSpan(
            "s", SpanContext(1, 2, False, TraceFlags(1)), attributes=attributes, start_time=1, end_time=2
        )
    )
    writer.flush(5)
    (span,) = reader.spans()
    assert span.attributes == attributes
    readable = span.to_readable()
    assert dict(readable.attributes) == {
        "big": str(1 << 70),
        "surrogate": "a?",
        "nested": {"k": (str(1 << 70), b"raw", None)},
    }
    (encoded,) = encode_spans([readable]).resource_spans[0].scope_spans[0].spans
    assert len(encoded.attributes) == 3


@pytest.mark.parametrize("value", ["text", 1, 1.5, True, None, b"x", ("a", 1), {"k": "v"}])
def test_what_otlp_can_carry_is_sent_as_it_is(value):
    assert exportable(value) == value


def test_a_delivered_span_costs_few_bytes(directory, reader):
    writer = StoreWriter(directory)
    keys = [(i.to_bytes(16, "big"), i.to_bytes(8, "big")) for i in range(1, 10_001)]
    writer.delivered("otlp", keys[:1])
    writer.flush(5)
    path = writer.path
    before = path.stat().st_size
    for i in range(0, 10_000, 500):
        writer.delivered("otlp", keys[i : i + 500])
    assert writer.close(5)
    assert path.stat().st_size - before < 16 * 10_000
