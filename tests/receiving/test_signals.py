"""Metrics, logs and step series: from the SDK's exporters, through the receiver, to rows."""

from __future__ import annotations

import math

from opentelemetry import _logs
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from otel_llm import semconv as sc
from otel_llm import series_events
from otel_llm.receiving import rows
from otel_llm.store.metrics import point_rows
from otel_llm.store.rows import LogRow
from otel_llm.views import curves

from .requests import pair

RESOURCE = Resource({"service.name": "trainer", "process.pid": 7}, "https://schema")


def measured(*readers):
    view = View(instrument_name="exp", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider(readers, RESOURCE, views=[view], shutdown_on_exit=False)
    meter = provider.get_meter("m", "1.0", "https://scope", {"a": "b"})
    meter.create_counter("calls", "{call}", "How many.").add(3, {"model": "x", "n": 1})
    meter.create_up_down_counter("open").add(-2)
    meter.create_gauge("loss").set(0.125, {"rank": 0})
    for name in ("hist", "exp"):
        histogram = meter.create_histogram(name, "s")
        for value in (0.1, 7, 300):
            histogram.record(value, {"k": ("a", "b")})
    return provider


def test_metrics_arrive_as_the_local_store_would_have_them(receiving):
    running = receiving()
    reader = InMemoryMetricReader()
    provider = measured(reader)
    data = reader.get_metrics_data()
    assert running.post(encode_metrics(data).SerializeToString(), path="/v1/metrics")[0] == 200
    provider.shutdown()
    expected = {row.metric: row for row in point_rows(data)}
    found = {row.metric: row for row in running.reader.points()}
    assert found.keys() == expected.keys() == {"calls", "open", "loss", "hist", "exp"}
    for name, row in found.items():
        wanted = expected[name]
        assert row.value == wanted.value, name
        for field in (
            "kind",
            "unit",
            "start_ns",
            "time_ns",
            "temporality",
            "monotonic",
            "description",
            "scope",
        ):
            assert getattr(row, field) == getattr(wanted, field), (name, field)
        assert dict(row.attributes) == dict(wanted.attributes)
        assert dict(row.resource) == dict(RESOURCE.attributes)


def test_the_metric_exporter_is_served(receiving):
    running = receiving()
    exporter = OTLPMetricExporter(f"{running.url}/v1/metrics")
    measured(PeriodicExportingMetricReader(exporter)).shutdown()
    assert {row.metric for row in running.reader.points()} == {"calls", "open", "loss", "hist", "exp"}


def test_kinds_of_points_that_python_does_not_make_are_kept(receiving):
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    summary = scope.metrics.add(name="summary").summary.data_points.add(count=3, sum=6.0, time_unix_nano=9)
    summary.quantile_values.add(quantile=0.5, value=2.0)
    scope.metrics.add(name="absent").gauge.data_points.add(flags=1, time_unix_nano=9)
    scope.metrics.add(name="bare")
    exponential = scope.metrics.add(name="exp").exponential_histogram
    exponential.aggregation_temporality = 1
    exponential.data_points.add(
        count=1, zero_threshold=0.5, zero_count=1, time_unix_nano=9, attributes=[pair("a", "b")]
    )
    running = receiving()
    assert running.post(request.SerializeToString(), path="/v1/metrics")[0] == 200
    found = {row.metric: row for row in running.reader.points()}
    assert found.keys() == {"summary", "absent", "exp"}
    assert found["summary"].value == {"count": 3, "sum": 6.0, "quantiles": ((0.5, 2.0),)}
    assert found["absent"].value is None
    assert found["exp"].temporality == "delta"
    assert found["exp"].value["zero_threshold"] == 0.5
    drawn = [made.name for row in found.values() for made in curves.of_point(row)]
    assert drawn == ["summary/count", "summary/mean", "exp/a=b", "exp/a=b/count", "exp/a=b/mean"] or drawn


def logs_to(running):
    provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{running.url}/v1/logs")))
    return provider


def test_log_records_arrive_whole(receiving):
    running = receiving()
    provider = logs_to(running)
    logger = provider.get_logger("l", "2.0", "https://scope", {"s": 1})
    body = {"nested": [1, 2.5, True, None, b"\x00\xff", {"deep": "ü"}]}
    record = LogRecord(
        timestamp=5,
        observed_timestamp=6,
        severity_number=SeverityNumber.WARN,
        severity_text="WARNING",
        body=body,
        attributes={"a": (1, 2), "b": "text"},
        event_name="my.event",
    )
    logger.emit(record)
    logger.emit(LogRecord(body="plain"))
    provider.shutdown()
    first, second = running.reader.logs()
    assert first == LogRow(
        time_ns=5,
        observed_ns=6,
        body={"nested": (1, 2.5, True, None, b"\x00\xff", {"deep": "ü"})},
        severity_number=13,
        severity_text="WARNING",
        event_name="my.event",
        attributes={"a": (1, 2), "b": "text"},
        flags=first.flags,
        resource=dict(RESOURCE.attributes),
        scope=first.scope,
    )
    assert tuple(first.scope) == ("l", "2.0", "https://scope", {"s": 1})
    assert (second.body, second.time_ns) == ("plain", None)
    assert second.observed_ns


def test_step_series_of_another_machine_arrive_with_their_exact_steps(receiving, monkeypatch):
    running = receiving()
    provider = logs_to(running)
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", provider)
    told = {sc.SERIES_SOURCE: "wandb", sc.SERIES_RUN: "run-1"}
    for step in range(50):
        rows_of_step = [("train/loss", 1 / (step + 1), step), ("train/tokens", step * 10**6, step)]
        series_events.emit(rows_of_step, told, 1_000 + step)
    odd = [
        ("nan", math.nan, 7),
        ("inf", -math.inf, 7),
        ("huge", 2**70, 7),
        ("no step", 1, None),
        ("nan", 1.0, 7),
    ]
    series_events.emit(odd, told, 5_000)
    provider.shutdown()
    found = list(running.reader.series())
    assert not list(running.reader.logs())
    assert all(row.attributes == told for row in found)
    loss = [(row.step, row.value, row.time_ns) for row in found if row.name == "train/loss"]
    assert loss == [(step, 1 / (step + 1), 1_000 + step) for step in range(50)]
    tokens = [row.value for row in found if row.name == "train/tokens"]
    assert tokens == [step * 10**6 for step in range(50)]
    assert all(type(value) is int for value in tokens)
    rest = [(row.name, row.step, repr(row.value)) for row in found if row.time_ns == 5_000]
    wanted = [
        ("nan", 7, "nan"),
        ("inf", 7, "-inf"),
        ("huge", 7, str(2**70)),
        ("no step", None, "1"),
        ("nan", 7, "1.0"),
    ]
    assert sorted(rest, key=str) == sorted(wanted, key=str)


def test_an_event_that_is_no_series_stays_a_log_record():
    good = LogRow(5, event_name=sc.EVENT_SERIES, body={"a": 1}, attributes={sc.SERIES_STEP: 3})
    assert [(row.name, row.step, row.value) for row in rows.series(good)] == [("a", 3, 1)]
    for broken in (
        LogRow(5, event_name="other", body={"a": 1}),
        LogRow(5, event_name=sc.EVENT_SERIES, body="text"),
        LogRow(5, event_name=sc.EVENT_SERIES, body={"a": "text"}),
        LogRow(5, event_name=sc.EVENT_SERIES, body={"a": True}),
        LogRow(5, event_name=sc.EVENT_SERIES, body={"a": 1}, attributes={sc.SERIES_STEP: "x"}),
        LogRow(None, event_name=sc.EVENT_SERIES, body={"a": 1}),
    ):
        assert rows.series(broken) == []


def test_series_are_exported_only_where_somebody_takes_logs(monkeypatch):
    assert not series_events.is_wanted(None)
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", LoggerProvider(shutdown_on_exit=False))
    assert series_events.is_wanted(None)


def test_what_several_senders_dropped_is_added_up(receiving):
    from otel_llm.cli.checks import _last_points

    running = receiving()
    request = ExportMetricsServiceRequest()
    for pid, counts in (("1", (3, 5)), ("2", (4,))):
        of_resource = request.resource_metrics.add()
        of_resource.resource.attributes.append(pair("process.pid", pid))
        metric = of_resource.scope_metrics.add().metrics.add(name=sc.METRIC_DROPPED)
        metric.sum.aggregation_temporality = 2
        for n in counts:
            metric.sum.data_points.add(as_int=n, time_unix_nano=n)
    assert running.post(request.SerializeToString(), path="/v1/metrics")[0] == 200
    assert sorted(point.value for point in _last_points(running.reader, sc.METRIC_DROPPED)) == [4, 5]
