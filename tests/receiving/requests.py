"""OTLP requests made by hand."""

from __future__ import annotations

import itertools

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
GRPC_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_numbers = itertools.count(1)


def pair(key, value):
    return KeyValue(key=key, value=AnyValue(string_value=value))


def span(name="s", **fields):
    """A span that no other is; `attributes` as a dict of texts."""
    number = next(_numbers)
    attributes = [pair(k, v) for k, v in fields.pop("attributes", {}).items()]
    given = {
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "start_time_unix_nano": 1_700_000_000_000_000_000,
        "end_time_unix_nano": 1_700_000_001_000_000_000,
        **fields,
    }
    return Span(name=name, attributes=attributes, **given)


def traces(*spans):
    """A request with spans of one resource and scope."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.append(pair("service.name", "sender"))
    of_resource.scope_spans.add().spans.extend(spans)
    return request


def body(*spans):
    """The same as bytes."""
    return traces(*spans).SerializeToString()


def partial(answer):
    """What a protobuf answer says of spans that were not kept: how many, and why."""
    found = ExportTraceServiceResponse.FromString(answer).partial_success
    return found.rejected_spans, found.error_message
