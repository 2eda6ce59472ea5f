"""Any bytes are either read or said to be unreadable; what is read has no secrets."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_llm.receiving import bodies, counting, json_form
from otel_llm.receiving.decoding import CrowdedError, Decoder, MalformedError
from otel_llm.receiving.reading import Head, RefusedError, parsed_head
from otel_llm.receiving.scrubbing import Cleaner
from otel_llm.store import codec

from .requests import body, pair, span, traces
from .test_round_trip import as_json

SIGNALS = st.sampled_from(["traces", "metrics", "logs"])
GOOD = body(span("a", attributes={"k": "v"}), span("b"))


def decode(signal, form, data):
    try:
        return Decoder(Cleaner()).decode(signal, form, data)
    except MalformedError:
        return None


@given(SIGNALS, st.sampled_from(["protobuf", "json"]), st.binary(max_size=300))
def test_any_bytes(signal, form, data):
    decode(signal, form, data)


@given(SIGNALS, st.integers(0, len(GOOD) - 1), st.binary(max_size=6), st.integers(0, 6))
def test_a_good_request_that_was_damaged(signal, at, put, cut):
    decode(signal, "protobuf", GOOD[:at] + put + GOOD[at + cut :])


KEYS = st.sampled_from(
    [
        "resourceSpans",
        "scopeSpans",
        "spans",
        "traceId",
        "spanId",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "kvlistValue",
        "values",
        "arrayValue",
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        "body",
        "timeUnixNano",
        "resourceMetrics",
        "scopeMetrics",
        "metrics",
        "gauge",
        "dataPoints",
        "kind",
        "status",
        "flags",
        "links",
        "events",
        "resource",
        "scope",
        "name",
        "bytesValue",
        "asDouble",
    ]
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["00" * 16, "11" * 8]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=30,
)


@given(SIGNALS, JSON_VALUES)
def test_any_json(signal, value):
    decode(signal, "json", json.dumps(value).encode())


@given(st.binary(max_size=400))
def test_any_head(data):
    try:
        assert isinstance(parsed_head(data + b"\r\n\r\n"), Head)
    except RefusedError:
        pass


@given(st.binary(max_size=200), st.sampled_from(sorted(bodies.CODINGS)))
def test_any_compressed_body(data, coding):
    try:
        bodies.opened(data, coding, 1000, lambda _: None)
    except (bodies.DamagedError, bodies.TooLargeError):
        pass


@given(st.lists(st.binary(max_size=3000), max_size=4), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_a_compressed_body_is_opened_whole(parts, coding):
    import zlib

    import zstandard

    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[coding]
    grown = []
    data = b"".join(map(compress, parts))
    if data:
        assert bodies.opened(data, coding, 1 << 20, grown.append) == b"".join(parts)
        assert sum(grown) == sum(map(len, parts))


@pytest.mark.parametrize("kind", [ExportLogsServiceRequest, ExportMetricsServiceRequest])
def test_json_says_what_protobuf_says(kind):
    request = kind()
    if kind is ExportLogsServiceRequest:
        record = (
            request.resource_logs.add(schema_url="s")
            .scope_logs.add()
            .log_records.add(
                time_unix_nano=2**63, severity_number=13, flags=1, trace_id=b"t" * 16, event_name="e"
            )
        )
        record.body.kvlist_value.values.add(key="b").value.bytes_value = b"\xff\xfe\x00"
        record.body.kvlist_value.values.add(key="none")
        record.attributes.add(key="empty").value.string_value = ""
    else:
        scope = request.resource_metrics.add().scope_metrics.add()
        scope.metrics.add(name="g").gauge.data_points.add(as_double=float("-inf"), time_unix_nano=1)
        histogram = scope.metrics.add(name="h").exponential_histogram
        histogram.aggregation_temporality = 2
        point = histogram.data_points.add(count=2**64 - 1, sum=-1.5, scale=-3, min=0.0)
        point.negative.bucket_counts.extend([1, 2])
        point.exemplars.add(as_int=-(2**63), span_id=b"s" * 8)
    assert json_form.parse(json.dumps(as_json(request)).encode(), kind) == request


def line_of(encoded):
    return codec.decode(encoded[0])


SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"


def test_secrets_are_taken_out_wherever_text_can_be():
    dirty = span(
        f"call {SECRET}", attributes={"a": f"key {SECRET} end", "url.full": "https://h/p?code=abc&x=1"}
    )
    dirty.attributes.append(pair("http.request.header.authorization", "whatever"))
    nested = dirty.attributes.add(key="nested")
    nested.value.kvlist_value.values.append(pair("password", "hunter2"))
    nested.value.kvlist_value.values.add(key="list").value.array_value.values.add(string_value=SECRET)
    dirty.status.message = f"refused: {SECRET}"
    dirty.events.add(name=f"e {SECRET}", attributes=[pair("exception.message", SECRET)])
    dirty.links.add(trace_id=b"1" * 16, span_id=b"2" * 8, attributes=[pair("why", SECRET)])
    clean = span("clean", attributes={"text": "nothing to see", "gen_ai.usage.input_tokens": "12"})
    request = traces(clean, dirty)
    request.resource_spans[0].resource.attributes.append(
        pair("process.command_line", f"run --api-key {SECRET}")
    )
    request.resource_spans[0].scope_spans[0].scope.attributes.append(pair("s", SECRET))
    found = decode("traces", "protobuf", request.SerializeToString())
    (_, first), (_, second) = found.spans
    assert SECRET not in repr(found.spans)
    assert line_of(first)["a"] == {"text": "nothing to see", "gen_ai.usage.input_tokens": "12"}
    line, columns, resource, _ = second
    assert line_of(second)["a"] == {
        "a": "key [redacted] end",
        "url.full": "https://h/p?code=[redacted]&x=1",
        "http.request.header.authorization": "[redacted]",
        "nested": {"password": "[redacted]", "list": ("[redacted]",)},
    }
    assert columns[3] == "call [redacted]"
    assert resource["service.name"] == "sender"
    assert line.count(b"[redacted]") == 9


def test_secrets_are_taken_out_of_logs_and_metrics():
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1)
    record.body.string_value = f"token {SECRET}"
    record.attributes.append(pair("password", "x"))
    (row,) = decode("logs", "protobuf", logs.SerializeToString()).logs
    assert (row.body, row.attributes) == ("token [redacted]", {"password": "[redacted]"})
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    point = metric.gauge.data_points.add(as_int=3, time_unix_nano=1, attributes=[pair("a", SECRET)])
    point.exemplars.add(as_double=1.0, filtered_attributes=[pair("b", SECRET)])
    (found,) = decode("metrics", "protobuf", metrics.SerializeToString()).points
    assert SECRET not in repr(found)
    assert (found.value, found.attributes) == (3, {"a": "[redacted]"})


def test_redaction_of_the_users_own_sees_every_text_and_keeps_json_json():
    message = json.dumps([{"role": "user", "content": 'say "Bob"'}])
    request = body(span("for Bob", attributes={"m": message, "n": "Bob", "password": "Bob"}))
    decoder = Decoder(Cleaner(["Bob"]))
    ((_, found),) = decoder.decode("traces", "protobuf", request).spans
    attributes = line_of(found)["a"]
    assert json.loads(attributes["m"]) == [{"role": "user", "content": 'say "[redacted]"'}]
    assert (attributes["n"], attributes["password"], found[1][3]) == (
        "[redacted]",
        "[redacted]",
        "for [redacted]",
    )


@pytest.mark.parametrize(
    ("flags", "stored", "remote"), [(0, 1, False), (1, 1, False), (0x103, 3, False), (0x301, 1, True)]
)
def test_flags_say_what_was_sampled_and_whether_the_parent_was_remote(flags, stored, remote):
    ((_, found),) = decode("traces", "protobuf", body(span(parent_span_id=b"p" * 8, flags=flags))).spans
    assert found[1][-1] == stored
    assert line_of(found).get("r", False) is remote


def test_a_link_keeps_its_trace_state_and_flags():
    one = span(trace_state="a=b")
    one.links.add(
        trace_id=b"1" * 16, span_id=b"2" * 8, trace_state="c=d", flags=0x301, dropped_attributes_count=4
    )
    ((_, found),) = decode("traces", "protobuf", body(one)).spans
    assert line_of(found)["t"] == "a=b"
    assert line_of(found)["l"] == (("31" * 16, "32" * 8, {}, 1, True, "c=d", 4),)


SECRET = "sk-proj-" + "a1B2" * 8
HIDDEN = "hunter2hunter2"


def test_secrets_are_taken_out_of_names_bytes_maps_and_all_that_is_no_attribute():
    logs = ExportLogsServiceRequest()
    of_scope = logs.resource_logs.add().scope_logs.add()
    of_scope.scope.version = SECRET
    of_scope.schema_url = f"https://me:{HIDDEN}@schemas/?api_key={HIDDEN}"
    record = of_scope.log_records.add(event_name=f"said {SECRET}")
    record.body.bytes_value = b"\xff " + SECRET.encode()
    record.attributes.add(key="authorization").value.bytes_value = HIDDEN.encode()
    record.attributes.add(key="password").value.kvlist_value.values.add(key="is").value.string_value = HIDDEN
    record.attributes.add(key=f"of {SECRET}").value.int_value = 1
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name=SECRET, unit=SECRET)
    metric.gauge.data_points.add(as_int=1)
    other = span("s", trace_state=f"a={SECRET}")
    other.links.add(trace_id=b"t" * 16, span_id=b"s" * 8, trace_state=f"a={SECRET}")
    for signal, request in (("logs", logs), ("metrics", metrics), ("traces", traces(other))):
        told = repr(decode(signal, "protobuf", request.SerializeToString()))
        assert SECRET not in told
        assert HIDDEN not in told
        assert "[redacted]" in told
    [found] = decode("logs", "protobuf", logs.SerializeToString()).logs
    assert found.body == b"\xff [redacted]"
    assert found.attributes == {
        "authorization": "[redacted]",
        "password": "[redacted]",
        "of [redacted]": 1,
    }


def test_bytes_without_a_secret_stay_what_they_were():
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = SECRET  # so that everything is looked at
    record.attributes.add(key="bytes").value.bytes_value = bytes(range(256))
    [found] = decode("logs", "protobuf", logs.SerializeToString()).logs
    assert found.attributes == {"bytes": bytes(range(256))}


def test_json_too_deep_for_the_users_own_redaction_is_redacted_as_text():
    decoder = Decoder(Cleaner(("tomato",)))
    for depth in (100, 400, 600, 1000, 5000):
        text = "[" * depth + '"tomato"' + "]" * depth
        [(_, encoded)] = decoder.decode("traces", "protobuf", body(span("s", attributes={"t": text}))).spans
        assert b"tomato" not in encoded[0]
        assert b"[redacted]" in encoded[0]


@pytest.mark.parametrize("where", ["spans", "attributes", "after a group", "json"])
def test_a_body_of_countless_small_messages_is_refused_before_it_is_read(monkeypatch, where):
    monkeypatch.setattr(counting.too_many, "__defaults__", (1000,))

    def within(tag, data):
        return bytes([tag]) + _varint(len(data)) + data

    many = {
        "spans": b"\x12\x00" * 1100,
        "attributes": within(0x12, b"\x4a\x00" * 1100),
        "after a group": b"\x1b\x1c" + b"\x12\x00" * 1100,
        "json": b"",
    }[where]
    data, form = within(0x0A, within(0x12, many)), "protobuf"
    if where == "json":
        data, form = b'{"resourceSpans":[' + b"{}," * 1100 + b"{}]}", "json"
    with pytest.raises(CrowdedError):
        Decoder(Cleaner()).decode("traces", form, data)
    fine = body(span("s", attributes={"said": json.dumps([{"a": "["}] * 900)}))
    assert len(fine) > 2000
    Decoder(Cleaner()).decode("traces", "protobuf", fine)


@given(st.binary(max_size=300))
def test_any_bytes_are_counted_without_harm(data):
    counting.too_many(data, ExportLogsServiceRequest, "protobuf", 3)


def test_resources_of_many_large_senders_are_not_held():
    decoder = Decoder(Cleaner())
    for number in range(40):
        request = traces(span())
        request.resource_spans[0].resource.attributes.append(pair("n", f"{number}" + "x" * 1_000_000))
        decoder.decode("traces", "protobuf", request.SerializeToString())
    assert len(decoder._origins._resources) < 10
    decoder._origins._cleaner.look_at("k" * 100_000)
    assert max(map(len, decoder._origins._cleaner.special)) < 1000


def _varint(n):
    found = b""
    while n > 127:
        found, n = found + bytes([n & 127 | 128]), n >> 7
    return found + bytes([n])
