"""A stored span as OpenTelemetry's own, for exporters: replay sends what a live export would have sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_llm.store.rows import KINDS, STATUSES, StoredLink, StoredSpan

_INT64: Final = range(-(1 << 63), 1 << 63)
_MAX_SHARED: Final = 256

_resources: dict[tuple[int, str], tuple[Mapping[str, Any], Resource]] = {}


def to_readable(span: StoredSpan) -> ReadableSpan:
    """Return `span` as an exporter takes it; see `StoredSpan.to_readable`."""
    state = TraceState.from_header([span.trace_state]) if span.trace_state else TraceState()
    flags = TraceFlags(span.flags)
    trace_id = int(span.trace_id, 16)
    parent = None
    if span.parent_id is not None:
        parent = SpanContext(trace_id, int(span.parent_id, 16), span.parent_remote, flags, state)
    dropped_attributes, dropped_events, dropped_links = span.dropped
    return ReadableSpan(
        name=_text(span.name),
        context=SpanContext(trace_id, int(span.span_id, 16), False, flags, state),
        parent=parent,
        resource=_resource(span.resource, span.resource_schema_url),
        attributes=_attributes(span.attributes, dropped_attributes),
        events=_bounded(
            [Event(_text(e.name), _attributes(e.attributes, e.dropped), e.time_ns) for e in span.events],
            dropped_events,
        ),
        links=_bounded([_link(link) for link in span.links], dropped_links),
        kind=SpanKind(KINDS.index(span.kind)),
        status=_status(span),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope(
            span.scope.name, span.scope.version, span.scope.schema_url, exportable(span.scope.attributes)
        ),
    )


def _status(span: StoredSpan) -> Status:
    code = StatusCode(STATUSES.index(span.status))
    # OpenTelemetry logs a warning for a description of anything but an error.
    return Status(
        code, _text(span.status_description) if code is StatusCode.ERROR and span.status_description else None
    )


def _link(link: StoredLink) -> Link:
    state = TraceState.from_header([link.trace_state]) if link.trace_state else TraceState()
    context = SpanContext(
        int(link.trace_id, 16), int(link.span_id, 16), link.remote, TraceFlags(link.flags), state
    )
    return Link(context, _attributes(link.attributes, link.dropped))


def _resource(attributes: Mapping[str, Any], schema_url: str) -> Resource:
    # One object for all spans of a process: exporters group by it, and hashing one costs a JSON dump.
    key = (id(attributes), schema_url)
    known = _resources.get(key)
    if known is None:
        if len(_resources) >= _MAX_SHARED:
            _resources.clear()
        # The entry keeps the mapping alive, so its id() is not given to another.
        known = _resources[key] = attributes, Resource(exportable(attributes), schema_url)
    return known[1]


def _attributes(attributes: Mapping[str, Any], dropped: int) -> Any:
    values = exportable(attributes)
    if not dropped:
        return values
    bounded = BoundedAttributes(attributes=values, immutable=False)
    bounded.dropped = dropped  # exporters report it
    return bounded


def _bounded(items: list[Any], dropped: int) -> Any:
    if not dropped:
        return items
    bounded = BoundedList.from_seq(None, items)
    bounded.dropped = dropped
    return bounded


def exportable(value: Any) -> Any:
    """Return `value` with what OTLP cannot carry made text: integers beyond 64 bits, text that is not Unicode."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is dict:
        return {_text(str(k)): exportable(v) for k, v in value.items()}
    if kind is tuple or kind is list:
        return tuple([exportable(v) for v in value])
    if kind is int and value not in _INT64:
        return str(value)
    return value


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
