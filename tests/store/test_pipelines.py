"""OpenTelemetry's own pipelines into the store: metrics and logs; what they show is what they would export."""

from __future__ import annotations

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from otel_llm.store import LogRow, PointRow, Scope
from otel_llm.store.logs import StoreLogProcessor
from otel_llm.store.metrics import StoreMetricExporter
from otel_llm.store.processor import StoreSpanProcessor


@pytest.fixture
def meters(writer):
    provider = MeterProvider(
        [PeriodicExportingMetricReader(StoreMetricExporter(writer), 3_600_000)],
        Resource({"service.name": "m"}),
        shutdown_on_exit=False,
        views=[View(instrument_name="exp", aggregation=ExponentialBucketHistogramAggregation())],
    )
    yield provider
    provider.shutdown()


def test_metric_points_of_every_kind_are_kept_whole(meters, reader):
    meter = meters.get_meter("scope", "1", "url", {"x": "y"})
    meter.create_counter("calls", "{call}", "how many").add(3, {"model": "m"})
    meter.create_up_down_counter("open").add(-2)
    meter.create_gauge("loss").set(0.25)
    meter.create_histogram("took", "s", explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1.5, {"a": 1})
    meter.create_histogram("exp").record(4.0)
    assert meters.force_flush()
    points = {p.metric: p for p in reader.points()}
    assert set(points) == {"calls", "open", "loss", "took", "exp"}
    calls = points["calls"]
    assert calls == PointRow(
        metric="calls",
        kind="sum",
        value=3,
        unit="{call}",
        attributes={"model": "m"},
        start_ns=calls.start_ns,
        time_ns=calls.time_ns,
        temporality="cumulative",
        monotonic=True,
        description="how many",
        resource={"service.name": "m"},
        scope=Scope("scope", "1", "url", {"x": "y"}),
    )
    assert calls.start_ns <= calls.time_ns
    assert (points["open"].value, points["open"].monotonic) == (-2, False)
    assert (points["loss"].kind, points["loss"].value, points["loss"].temporality) == (
        "gauge",
        0.25,
        None,
    )
    assert points["took"].value == {
        "count": 1,
        "sum": 1.5,
        "min": 1.5,
        "max": 1.5,
        "bucket_counts": (0, 1, 0),
        "explicit_bounds": (1.0, 2.0),
    }
    assert points["exp"].kind == "exponential_histogram"
    assert points["exp"].value["positive"]["bucket_counts"] == (1,)


def test_log_records_and_events_are_kept_whole_with_their_span(writer, reader, tracer):
    provider = LoggerProvider(Resource({"service.name": "l"}), shutdown_on_exit=False)
    provider.add_log_record_processor(StoreLogProcessor(writer))
    logger = provider.get_logger("scope", "1", "url", {"x": "y"})
    with tracer.start_as_current_span("s") as span:
        logger.emit(
            timestamp=5,
            observed_timestamp=6,
            severity_number=SeverityNumber.WARN,
            severity_text="WARNING",
            body={"k": ["v", 1]},
            attributes={"a": 1},
            event_name="gen_ai.evaluation.result",
        )
    assert provider.force_flush()
    context = span.get_span_context()
    trace_id = f"{context.trace_id:032x}"
    assert list(reader.logs(trace_id=trace_id)) == [
        LogRow(
            time_ns=5,
            observed_ns=6,
            body={"k": ("v", 1)},
            severity_number=13,
            severity_text="WARNING",
            event_name="gen_ai.evaluation.result",
            attributes={"a": 1},
            trace_id=trace_id,
            span_id=f"{context.span_id:016x}",
            flags=int(context.trace_flags),
            resource={"service.name": "l"},
            scope=Scope("scope", "1", "url", {"x": "y"}),
        )
    ]
    provider.shutdown()


def test_a_provider_s_shutdown_commits_and_leaves_the_store_to_its_owner(writer, reader, provider, tracer):
    with tracer.start_as_current_span("first"):
        pass
    provider.shutdown()
    assert [s.name for s in reader.spans()] == ["first"]
    assert writer.path is not None


def test_extras_of_spans_that_never_end_do_not_pile_up(writer):
    processor = StoreSpanProcessor(writer)
    for i in range(5000):
        processor.attach_extra(1, i, {"content": "x"})
    assert len(processor._extras) <= 1024


def test_rows_without_a_resource_have_the_writer_s(directory, make_writer, reader):
    writer = make_writer(resource={"service.name": "own"}, meta={"run": "7"})
    writer.logs([LogRow(1)])
    writer.points([PointRow("m", "gauge", 1)])
    assert writer.flush(5)
    assert [row.resource for row in (*reader.logs(), *reader.points())] == [{"service.name": "own"}] * 2
    assert reader.files()[0].meta["run"] == "7"
