"""Spans as a backend received them, from either form that OTLP has: protobuf (a sink) and JSON (Jaeger's API)."""

from __future__ import annotations

import json
import threading
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

INTERNAL, SERVER, CLIENT = 1, 2, 3
UNSET, OK, ERROR = 0, 1, 2

_KINDS = {"SPAN_KIND_INTERNAL": INTERNAL, "SPAN_KIND_SERVER": SERVER, "SPAN_KIND_CLIENT": CLIENT}
_CODES = {"STATUS_CODE_OK": OK, "STATUS_CODE_ERROR": ERROR}


@dataclass(frozen=True)
class ReceivedLink:
    trace_id: str
    span_id: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Received:
    """One span: ids in hex, times in nanoseconds since 1970, `parent_id` empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    attributes: dict[str, Any]
    links: list[ReceivedLink]
    events: list[str]
    resource: dict[str, Any]
    scope: str = ""

    @property
    def service(self) -> str:
        return self.resource["service.name"]

    def messages(self, key: str) -> Any:
        """An attribute that holds JSON."""
        return json.loads(self.attributes[key])


def value_of(value: dict[str, Any]) -> Any:
    """What an OTLP AnyValue holds."""
    if "arrayValue" in value:
        return [value_of(item) for item in value["arrayValue"].get("values", [])]
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)


def attributes_of(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: value_of(pair["value"]) for pair in pairs}


def spans_of(
    resource_spans: list[dict[str, Any]], *, id_of: Callable[[str], str] = str
) -> Iterator[Received]:
    """Every span of `resourceSpans`, by start."""
    found = []
    for of_resource in resource_spans:
        resource = attributes_of(of_resource.get("resource", {}).get("attributes", []))
        for of_scope in of_resource.get("scopeSpans", []):
            for span in of_scope["spans"]:
                code = span.get("status", {}).get("code", UNSET)
                kind = span.get("kind", 0)
                found.append(
                    Received(
                        trace_id=id_of(span["traceId"]),
                        span_id=id_of(span["spanId"]),
                        parent_id=id_of(span.get("parentSpanId", "")),
                        name=span["name"],
                        kind=_KINDS.get(kind, kind),
                        start_ns=int(span["startTimeUnixNano"]),
                        end_ns=int(span["endTimeUnixNano"]),
                        status=_CODES.get(code, code),
                        attributes=attributes_of(span.get("attributes", [])),
                        links=[
                            ReceivedLink(
                                id_of(link["traceId"]),
                                id_of(link["spanId"]),
                                attributes_of(link.get("attributes", [])),
                            )
                            for link in span.get("links", [])
                        ],
                        events=[event["name"] for event in span.get("events", [])],
                        resource=resource,
                        scope=of_scope.get("scope", {}).get("name", ""),
                    )
                )
    yield from sorted(found, key=lambda span: span.start_ns)


def eventually(look: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """What `look` returns once that is true; its last answer when the time is over."""
    deadline = monotonic() + seconds
    while not (answer := look()) and monotonic() < deadline:
        sleep(0.05)
    return answer


@dataclass
class Sink:
    """What an OTLP/HTTP receiver on loopback got."""

    endpoint: str
    spans: list[Received] = field(default_factory=list)

    def of_trace(self, trace_id: str) -> list[Received]:
        return [span for span in list(self.spans) if span.trace_id == trace_id]


@contextmanager
def otlp_sink() -> Iterator[Sink]:
    """Receives spans over OTLP/HTTP in protobuf; takes other signals and lets them go."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding"):
                body = zlib.decompress(body, wbits=47)  # gzip or zlib, whichever it is
            if self.path == "/v1/traces":
                batch = MessageToDict(ExportTraceServiceRequest.FromString(body))
                sink.spans += spans_of(batch.get("resourceSpans", []), id_of=_hex)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink = Sink(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield sink
        server.shutdown()
        thread.join()


def _hex(text: str) -> str:
    """Bytes as protobuf's JSON form has them, in the form that ids are read in."""
    return b64decode(text).hex()
