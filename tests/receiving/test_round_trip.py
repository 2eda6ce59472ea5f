"""What OpenTelemetry's own exporters send is in the store as it was: every field of every span."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from . import sender
from .requests import JSON

needs_grpc = pytest.mark.skipif(
    importlib.util.find_spec("grpc") is None, reason="grpcio is not installed: OTLP over gRPC was NOT tested"
)


def plain(span):
    """A stored span in the form of `sender.fields`."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "parent_remote": span.parent_remote,
        "trace_state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": span.status,
        "status_description": span.status_description,
        "attributes": sender.attributes_of(span.attributes),
        "events": [[e.name, e.time_ns, sender.attributes_of(e.attributes), e.dropped] for e in span.events],
        "links": [
            [k.trace_id, k.span_id, sender.attributes_of(k.attributes), k.remote, k.trace_state, k.dropped]
            for k in span.links
        ],
        "dropped": list(span.dropped),
        "resource": sender.attributes_of(span.resource),
        "resource_schema_url": span.resource_schema_url,
        "scope": [*span.scope[:3], sender.attributes_of(span.scope.attributes)],
    }


def by_id(spans):
    found = {(span["trace_id"], span["span_id"]): span for span in spans}
    assert len(found) == len(spans)
    return found


def send(protocol, endpoint, compression, number):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.receiving.sender", protocol, endpoint, compression, str(number)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
    )


def printed(processes):
    found = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert err == ""
        found += [json.loads(line) for line in out.splitlines()]
    return found


def test_spans_of_several_processes_over_http_arrive_whole(receiving):
    running = receiving()
    ways = ["none", "gzip", "deflate"]
    sent = printed([send("http", running.url, way, number) for number, way in enumerate(ways)])
    running.stop()
    assert by_id([plain(span) for span in running.reader.spans()]) == by_id(sent)
    assert len({span.resource["process.pid"] for span in running.reader.spans()}) == 3
    assert {span.file for span in running.reader.spans()} == {running.reader.files()[0].name}


def test_spans_as_json_arrive_whole(receiving):
    made = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "browser", "n": (1, 2)}, "https://schema"))
    provider.add_span_processor(SimpleSpanProcessor(made))
    sender.make(provider, 5)
    spans = made.get_finished_spans()
    running = receiving()
    status, headers, answer = running.post(json.dumps(as_json(encode_spans(spans))), content_type=JSON)
    assert (status, headers["content-type"], answer) == (200, JSON, b"{}")
    sent = [json.loads(json.dumps(sender.fields(span))) for span in spans]
    assert by_id([plain(span) for span in running.reader.spans()]) == by_id(sent)


def as_json(message):
    """OTLP's JSON: as protobuf's, with ids in hex and enumerations as numbers."""
    from base64 import b64decode

    def hexed(value):
        if isinstance(value, dict):
            ids = {"traceId", "spanId", "parentSpanId"}
            return {k: b64decode(v).hex() if k in ids else hexed(v) for k, v in value.items()}
        return [hexed(item) for item in value] if isinstance(value, list) else value

    return hexed(MessageToDict(message, use_integers_for_enums=True))


def test_what_the_examples_of_the_specification_say_is_understood(receiving):
    """Ids in hex of either case, integers as text or numbers, snake case, unknown fields, no kind, no end."""
    request = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "my.library", "version": "1.0.0"},
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "parentSpanId": "",
                                "name": "I'm a server span",
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": 1544712661000000000,
                                "kind": 2,
                                "somethingNew": {"traceId": "0011"},
                                "attributes": [
                                    {"key": "traceId", "value": {"stringValue": "not hex"}},
                                    {"key": "n", "value": {"intValue": "9007199254740993"}},
                                    {
                                        "key": "m",
                                        "value": {
                                            "kvlistValue": {
                                                "values": [{"key": "spanId", "value": {"doubleValue": 1.5}}]
                                            }
                                        },
                                    },
                                ],
                            },
                            {
                                "trace_id": "5b8efff798038103d269b633813fc60c",
                                "span_id": "eee19b7ec3c1b175",
                                "name": "open",
                                "start_time_unix_nano": "1544712660000000001",
                            },
                        ],
                    }
                ],
            }
        ]
    }
    running = receiving()
    assert running.post(json.dumps(request), content_type=f"{JSON}; charset=utf-8")[0] == 200
    first, second = running.reader.trace("5b8efff7")
    assert (first.name, first.kind, first.parent_id) == ("I'm a server span", "server", None)
    assert first.end_ns == 1544712661000000000
    assert first.attributes == {"traceId": "not hex", "n": 9007199254740993, "m": {"spanId": 1.5}}
    assert (second.name, second.kind, second.end_ns) == ("open", "internal", None)
