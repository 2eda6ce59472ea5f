"""Spans that no program made, sent as an SDK sends them."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.collector.processes import eventually
from tests.collector.servers import Collector


@dataclass
class Span:
    """A span to send; ids in hex, made up where they are not given, times in nanoseconds since 1970."""

    name: str = "chat gpt-5"
    trace: str = field(default_factory=lambda: os.urandom(16).hex())
    id: str = field(default_factory=lambda: os.urandom(8).hex())
    parent: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.1
    start_ns: int = 0
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def encoded(spans: Iterable[Span], resource: Mapping[str, Any] | None = None) -> bytes:
    """The spans as one OTLP request in protobuf."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    set_attributes(of_resource.resource.attributes, {"service.name": "fabricated", **(resource or {})})
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "tests"
    for span in spans:
        made = of_scope.spans.add()
        made.trace_id, made.span_id = bytes.fromhex(span.trace), bytes.fromhex(span.id)
        made.parent_span_id = bytes.fromhex(span.parent)
        made.name, made.kind = span.name, 1
        start = span.start_ns or time.time_ns()
        made.start_time_unix_nano, made.end_time_unix_nano = start, start + int(span.seconds * 1e9)
        set_attributes(made.attributes, span.attributes)
        for name, attributes in span.events:
            event = made.events.add()
            event.name, event.time_unix_nano = name, start
            set_attributes(event.attributes, attributes)
        if span.error is not None:
            made.status.code, made.status.message = 2, span.error
    return request.SerializeToString()


def set_attributes(out: Any, attributes: Mapping[str, Any]) -> None:
    for key, value in attributes.items():
        _value(out.add(key=key).value, value)


def _value(out: Any, value: Any) -> None:
    match value:
        case bool():
            out.bool_value = value
        case int():
            out.int_value = value
        case float():
            out.double_value = value
        case str():
            out.string_value = value
        case _:
            out.array_value.SetInParent()
            for item in value:
                _value(out.array_value.values.add(), item)


def post(
    url: str, body: bytes, token: str | None = None, path: str = "/v1/traces", timeout: float = 30
) -> int:
    """Send a request; the HTTP status of the answer, 0 where there was none."""
    headers = {"content-type": "application/x-protobuf"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url + path, body, headers), timeout=timeout
        ) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
        return 0


def send(to: Collector, spans: Iterable[Span], resource: Mapping[str, Any] | None = None) -> None:
    """Send spans to an agent, as an SDK does: again while it says that it cannot take them now."""
    body = encoded(spans, resource)
    status = eventually(lambda: (s := post(to.otlp, body)) in {200, 400, 401, 413} and s, seconds=30)
    assert status == 200, status
