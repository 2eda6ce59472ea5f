"""A program that sends spans with OpenTelemetry's own exporter: `python -m tests.receiving.sender PROTOCOL URL NUMBER`.

Prints what it sent, as JSON a span, in the form of `fields`.
"""

from __future__ import annotations

import json
import logging
import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

SCHEMA = "https://opentelemetry.io/schemas/1.30.0"


def exporter_of(protocol: str, endpoint: str, compression: str) -> SpanExporter:
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

        chosen = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}.get(compression)
        return OverGrpc(endpoint=endpoint, insecure=True, compression=chosen)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(f"{endpoint}/v1/traces", compression=Compression(compression))


def plain(value):
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def attributes_of(attributes):
    return {key: plain(value) for key, value in (attributes or {}).items()}


def fields(span) -> dict:
    """All that a `ReadableSpan` says, as plain data."""
    context, parent, scope = span.get_span_context(), span.parent, span.instrumentation_scope
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_id": None if parent is None else f"{parent.span_id:016x}",
        "parent_remote": parent is not None and parent.is_remote,
        "trace_state": context.trace_state.to_header(),
        "flags": 1,  # the exporter sends none (the SDK's own may say "random" too); what is exported was sampled
        "name": span.name,
        "kind": span.kind.name.lower(),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status": span.status.status_code.name.lower(),
        "status_description": span.status.description,
        "attributes": attributes_of(span.attributes),
        "events": [
            [e.name, e.timestamp, attributes_of(e.attributes), e.dropped_attributes] for e in span.events
        ],
        "links": [
            [
                f"{link.context.trace_id:032x}",
                f"{link.context.span_id:016x}",
                attributes_of(link.attributes),
                link.context.is_remote,
                "",  # the exporter sends no trace state of links
                link.dropped_attributes,
            ]
            for link in span.links
        ],
        "dropped": [span.dropped_attributes, span.dropped_events, span.dropped_links],
        "resource": attributes_of(span.resource.attributes),
        "resource_schema_url": span.resource.schema_url,
        "scope": [scope.name, scope.version, scope.schema_url, attributes_of(scope.attributes)],
    }


def make(provider: TracerProvider, number: int) -> None:
    """A few traces with everything that a span can have."""
    tracer = provider.get_tracer("tests.sender", "1.2.3", SCHEMA, {"scope.key": "value", "scope.n": number})
    state = TraceState([("vendor", "a"), ("other", "b")])
    remote = SpanContext(0xABCDEF << 64 | number + 1, 7 << 32 | number + 1, True, TraceFlags(1), state)
    parent = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    linked = SpanContext(5 << 100 | number, 99, True, TraceFlags(1))
    with tracer.start_as_current_span(
        "everything ✓ \U0001f600",
        parent,
        SpanKind.CLIENT,
        {
            **{f"old.{i}": i for i in range(3)},  # make room for the last
            "text": "grüße\n\x00\u2028 " + "x" * 2000,
            "empty": "",
            "int": -(2**63),
            "large": 2**63 - 1,
            "float": 0.1,
            "whole": 3.0,
            "true": True,
            "false": False,
            "texts": ("a", "", "ü"),
            "ints": (1, -2),
            "floats": (1.5, 2.0),
            "bools": (True, False),
            "none": (),
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-x",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 34,
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"content": "hello"}]}]),
        },
        links=[Link(linked, {"why": "retry_of", "n": 1}), Link(linked)],
    ) as span:
        span.add_event("first", {"a": 1, "b": ("x", "y")}, 1_700_000_000_000_000_001)
        span.add_event("second")
        for i in range(10):
            span.add_event(f"many {i}")
        for i in range(22):
            span.set_attribute(f"more.{i}", i)
        with tracer.start_as_current_span("child", kind=SpanKind.PRODUCER) as child:
            child.set_status(Status(StatusCode.ERROR, "it went wrong: ü"))
        with tracer.start_as_current_span("fine", kind=SpanKind.SERVER) as child:
            child.set_status(StatusCode.OK)
    with tracer.start_as_current_span("root", kind=SpanKind.CONSUMER):
        pass
    for i in range(20):
        with provider.get_tracer("other").start_as_current_span(f"n {i}", attributes={"i": i}):
            pass


class Printing(SpanExporter):
    def export(self, spans):
        for span in spans:
            sys.stdout.write(json.dumps(fields(span)) + "\n")
        return 0

    def shutdown(self): ...


def main() -> None:
    protocol, endpoint, compression, number = sys.argv[1:]
    logging.disable(logging.WARNING)  # that attributes are dropped is what is wanted
    limits = SpanLimits(max_span_attributes=40, max_events=6, max_links=4, max_event_attributes=1)
    resource = Resource(
        {
            "service.name": f"sender-{number}",
            "process.pid": 1000 + int(number),
            "host.name": "node-ü",
            "l": ("a", "b"),
        },
        "https://opentelemetry.io/schemas/1.29.0",
    )
    provider = TracerProvider(resource=resource, span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(Printing()))
    provider.add_span_processor(BatchSpanProcessor(exporter_of(protocol, endpoint, compression)))
    make(provider, int(number))
    provider.shutdown()


if __name__ == "__main__":
    main()
