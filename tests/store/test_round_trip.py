"""What goes in comes out: whole spans, any value, any order of events."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otel_llm.store import (
    LogRow,
    PointRow,
    Scope,
    SeriesRow,
    StoredEvent,
    StoredLink,
    StoredSpan,
    StoreReader,
    StoreWriter,
)

from .conftest import RESOURCE, provider_of

SCOPE = Scope("tests", "1.2", "https://example.com/scope", {"layer": "test"})


def test_a_whole_span_comes_back_as_it_was(writer, reader, tracer):
    state = TraceState([("vendor", "a:b"), ("other", "1")])
    remote = SpanContext(0xABC << 64, 0xDEF, True, TraceFlags(1), state)
    linked = SpanContext(7, 8, False, TraceFlags(0), TraceState([("k", "v")]))
    span = tracer.start_span(
        "chat gpt-x",
        set_span_in_context(NonRecordingSpan(remote)),
        SpanKind.CLIENT,
        {"text": "ü", "n": 1, "x": 0.5, "yes": True, "list": ["a", "b"]},
        [Link(linked, {"why": "retry_of"})],
        start_time=1_000,
    )
    span.add_event("first", {"i": 1}, 1_500)
    span.add_event("second", {}, 1_600)
    span.set_status(Status(StatusCode.ERROR, "it broke"))
    span.end(2_000)
    assert writer.flush(5)
    assert reader.trace(f"{0xABC << 64:032x}") == [
        StoredSpan(
            trace_id=f"{0xABC << 64:032x}",
            span_id=f"{span.context.span_id:016x}",
            parent_id=f"{0xDEF:016x}",
            name="chat gpt-x",
            kind="client",
            start_ns=1_000,
            end_ns=2_000,
            status="error",
            status_description="it broke",
            attributes={"text": "ü", "n": 1, "x": 0.5, "yes": True, "list": ("a", "b")},
            events=[StoredEvent("first", 1_500, {"i": 1}), StoredEvent("second", 1_600, {})],
            links=[
                StoredLink(f"{7:032x}", f"{8:016x}", {"why": "retry_of"}, flags=0, trace_state="k=v"),
            ],
            resource=RESOURCE,
            resource_schema_url="https://example.com/schema",
            scope=SCOPE,
            flags=int(span.context.trace_flags),
            trace_state="vendor=a:b,other=1",
            parent_remote=True,
            file=writer.path.name,
        )
    ]


def test_content_that_only_the_store_keeps_is_read_among_the_attributes(writer, reader, tracer):
    from otel_llm.store.processor import StoreSpanProcessor

    processor = StoreSpanProcessor(writer)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    with provider.get_tracer("t").start_as_current_span("chat", attributes={"a": 1}) as span:
        context = span.get_span_context()
        processor.attach_extra(context.trace_id, context.span_id, {"gen_ai.input.messages": "hello"})
    with provider.get_tracer("t").start_as_current_span("other", attributes={"a": 2}):
        pass
    writer.flush(5)
    assert {s.name: s.attributes for s in reader.spans()} == {
        "chat": {"a": 1, "gen_ai.input.messages": "hello"},
        "other": {"a": 2},
    }
    assert span.attributes == {"a": 1}


def test_what_the_sdk_dropped_is_counted(writer, reader):
    from opentelemetry.sdk.trace import SpanLimits

    from otel_llm.store.processor import StoreSpanProcessor

    limits = SpanLimits(max_attributes=1, max_events=1, max_links=1)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(StoreSpanProcessor(writer))
    span = provider.get_tracer("t").start_span("s")
    span.set_attributes({"a": 1, "b": 2, "c": 3})
    for name in "xyz":
        span.add_event(name)
    span.add_link(SpanContext(1, 2, False))
    span.add_link(SpanContext(3, 4, False))
    span.end()
    writer.flush(5)
    (stored,) = reader.spans()
    assert stored.dropped == (2, 2, 1)
    readable = stored.to_readable()
    assert (readable.dropped_attributes, readable.dropped_events, readable.dropped_links) == (2, 2, 1)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 80), 1 << 80)
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]))  # lone surrogates
    | st.binary(max_size=20)
)
keys = st.text(min_size=1, max_size=8) | st.sampled_from(["$float", "$map", "$", "gen_ai.request.model"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(keys, values, max_size=5), st.text(max_size=8))
def test_any_attribute_value_and_name_comes_back_with_its_type(attributes, name):
    with tempfile.TemporaryDirectory() as directory:
        writer = StoreWriter(directory)
        span = ReadableSpan(name, SpanContext(1, 2, False), attributes=attributes, start_time=1, end_time=2)
        writer.ended(span)
        writer.logs([LogRow(1, body=attributes, attributes=attributes)])
        writer.points([PointRow("m", "gauge", 1, attributes=attributes)])
        assert writer.close(5)
        reader = StoreReader(directory)
        (stored,) = reader.spans()
        (log,) = reader.logs()
        (point,) = reader.points()
        assert stored.name == name
        for read in (stored.attributes, log.body, log.attributes, point.attributes):
            assert same(read, attributes)


def test_values_that_are_no_attribute_values_become_text_and_harm_nothing_else(writer, reader):
    class Odd:
        def __repr__(self):
            return "odd"

    class Broken:
        def __repr__(self):
            raise RuntimeError

    deep = []
    for _ in range(5000):
        deep = [deep]
    attributes = {"odd": Odd(), "broken": Broken(), "keys": {1: "a"}, "deep": deep, "fine": 1}
    writer.ended(ReadableSpan("s", SpanContext(1, 2, False), attributes=attributes, start_time=1, end_time=2))
    writer.ended(ReadableSpan("t", SpanContext(1, 3, False), attributes={"a": 1}, start_time=1, end_time=2))
    assert writer.flush(5)
    first, second = reader.trace(f"{1:032x}")
    assert {k: first.attributes[k] for k in ("odd", "broken", "keys", "fine")} == {
        "odd": "odd",
        "broken": "<Broken>",
        "keys": {1: "a"},
        "fine": 1,
    }
    assert second.attributes == {"a": 1}


COUNTING = """
import enum, math
from otel_llm.store.codec import decode, encode

class Season(enum.IntEnum):
    SPRING = 1
    LATE = 2**62

# Beside NaN values are walked one by one.
kept = decode(encode({"season": Season.SPRING, "late": [Season.LATE, math.nan]}))
assert type(kept["season"]) is int and kept["season"] == 1
assert type(kept["late"][0]) is int and kept["late"][0] == 2**62
"""


def test_a_whole_number_of_a_programs_own_kind_is_kept_and_takes_no_time():
    # To look for one in a range counts through the range, for years, and cannot be interrupted: in a process of its own.
    subprocess.run([sys.executable, "-c", COUNTING], check=True, timeout=60)


@given(st.integers(-(1 << 90), 1 << 90) | st.floats())
@settings(max_examples=25, deadline=None)
def test_any_number_of_a_series_comes_back(value):
    with tempfile.TemporaryDirectory() as directory:
        writer = StoreWriter(directory)
        writer.series([SeriesRow("loss", 3, value, 17, {"run": "r"}), SeriesRow("ü\ud800", None, 1.5, 18)])
        assert writer.close(5)
        first, second = StoreReader(directory).series()
        assert same(first.value, value)
        assert (first.name, first.step, first.time_ns, first.attributes) == ("loss", 3, 17, {"run": "r"})
        assert second == SeriesRow("ü\ud800", None, 1.5, 18, {})
        assert [row.step for row in StoreReader(directory).series("loss")] == [3]


def test_rows_of_every_kind_come_back_whole(writer, reader):
    scope = Scope("s", "1", "u", {"k": "v"})
    point = PointRow(
        "m", "histogram", {"count": 1, "sum": 2.5, "bucket_counts": (1, 0)}, "s", {"a": 1}, 1, 2,
        "delta", None, "what it is", [{"value": 2.5, "trace_id": "00"}], {"service.name": "x"}, scope,
    )  # fmt: skip
    log = LogRow(
        5, 6, {"nested": ("a", None)}, 9, "INFO", "gen_ai.evaluation.result", {"score": 1.0},
        f"{1:032x}", f"{2:016x}", 1, {"service.name": "x"}, scope,
    )  # fmt: skip
    writer.points([point])
    writer.logs([log, LogRow(7, body="plain")])
    assert writer.flush(5)
    assert list(reader.points()) == [point]
    assert list(reader.points("other")) == []
    assert list(reader.logs(trace_id=f"{1:032x}")) == [log]
    assert [row.time_ns for row in reader.logs(since_ns=6)] == [7]
    assert [row.body for row in reader.logs(event_name="gen_ai.evaluation.result")] == [log.body]


def test_a_writer_that_got_nothing_makes_no_file(directory, writer, reader):
    assert writer.flush(1)
    assert writer.close(1)
    assert not directory.exists()
    assert list(reader.spans()) == []
    assert reader.problems == []


class Order(RuleBasedStateMachine):
    """Starts, ends and flushes in any order: each span is there once, as open or as ended."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.writer = StoreWriter(Path(self.scratch.name), commit_interval_s=0.0)
        self.tracer = provider_of(self.writer).get_tracer("t")
        self.open = {}
        self.ended = set()

    @rule()
    def start(self):
        span = self.tracer.start_span("s")
        self.open[f"{span.get_span_context().span_id:016x}"] = span

    @rule(first=st.booleans())
    def end(self, first):
        if self.open:
            key = next(iter(self.open)) if first else next(reversed(self.open))
            self.open.pop(key).end()
            self.ended.add(key)

    @rule()
    def flush(self):
        assert self.writer.flush(5)
        reader = StoreReader(self.scratch.name)
        assert {s.span_id for s in reader.open_spans()} == set(self.open)
        assert sorted(s.span_id for s in reader.spans() if s.end_ns is not None) == sorted(self.ended)
        assert {s.span_id for t in reader.traces(limit=100) for s in reader.trace(t.trace_id)} == (
            self.ended | set(self.open)
        )

    @invariant()
    def nothing_is_dropped(self):
        assert self.writer.stats["dropped"] == {}

    def teardown(self):
        assert self.writer.close(5)
        reader = StoreReader(self.scratch.name)
        assert {s.span_id for s in reader.spans() if s.end_ns is not None} == self.ended
        self.scratch.cleanup()


TestOrder = Order.TestCase
TestOrder.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)


def test_closing_twice_and_writing_after_it_are_counted_not_raised(writer, tracer, reader):
    with tracer.start_as_current_span("before"):
        pass
    assert writer.close(5)
    assert writer.close(5)
    with tracer.start_as_current_span("after"):
        pass
    writer.series([SeriesRow("loss", 1, 1.0, 1)])
    assert [s.name for s in reader.spans()] == ["before"]
    assert writer.stats["dropped"] == {"store_closed": 2}


@pytest.mark.parametrize("size", [1_000, 3_000_000])
def test_content_of_any_size_comes_back(writer, reader, tracer, size):
    text = "".join(map(str, range(size // 5)))
    with tracer.start_as_current_span("s", attributes={"gen_ai.input.messages": text}):
        pass
    writer.flush(10)
    (span,) = reader.spans()
    assert span.attributes["gen_ai.input.messages"] == text


def test_closing_while_the_writer_is_at_work_loses_nothing(tmp_path):
    for i in range(40):
        writer = StoreWriter(tmp_path / str(i), commit_interval_s=0.0)
        tracer = provider_of(writer).get_tracer("t")
        for _ in range(20 + i * 5):
            with tracer.start_as_current_span("s"):
                pass
        assert writer.close(5)
        assert writer.stats["dropped"] == {}
        assert len(list(StoreReader(tmp_path / str(i)).spans())) == 20 + i * 5
