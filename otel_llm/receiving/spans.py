"""From OTLP's spans to what the store's tables hold, with no span object in between."""

from __future__ import annotations

from typing import Any, Final

from otel_llm.receiving.origins import Resource
from otel_llm.receiving.scrubbing import Cleaner
from otel_llm.receiving.values import Values
from otel_llm.store import codec
from otel_llm.store.database import EncodedSpan
from otel_llm.store.encoding import call_columns, text
from otel_llm.store.rows import KINDS, STATUSES, Scope

_TRACE_ID: Final = 16
_SPAN_ID: Final = 8
_MAX_TIME: Final = (1 << 63) - 1
_SAMPLED: Final = 1
_TRACE_FLAGS: Final = 0xFF
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
"""Bits of `flags`; see opentelemetry/proto/trace/v1/trace.proto, `SpanFlags`."""


class Draft:
    """A span that was read and may still hold secrets.

    Attributes:
        key: trace id and span id, 24 bytes; None while the span is open (it was sent without an end).
        texts: where its texts are among those of the request: first and one past the last.
    """

    __slots__ = ("_columns", "_line", "_name", "_origin", "key", "texts")

    def __init__(self, span: Any, resource: Resource, scope: Scope, values: Values) -> None:
        first = len(values.texts)
        self._origin = resource, scope
        self._name = values.text(span.name)
        line: dict[str, Any] = {"a": values.attributes(span.attributes)}
        if events := span.events:
            line["e"] = [
                [
                    values.text(event.name),
                    event.time_unix_nano,
                    values.attributes(event.attributes),
                    event.dropped_attributes_count,
                ]
                for event in events
            ]
        if links := span.links:
            line["l"] = [_link(link, values) for link in links]
        status = span.status
        if status.message:
            line["d"] = values.text(status.message)
        if span.trace_state:
            line["t"] = values.text(span.trace_state)
        flags = span.flags
        if flags & _HAS_IS_REMOTE and flags & _IS_REMOTE:
            line["r"] = True
        dropped = span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count
        if any(dropped):
            line["x"] = dropped
        self._line = line
        kind, end = span.kind, span.end_time_unix_nano
        self._columns = (
            span.trace_id,
            span.span_id,
            span.parent_span_id or None,
            # 0 is unspecified, which the specification lets one take for internal.
            kind - 1 if 0 < kind <= len(KINDS) else 0,
            span.start_time_unix_nano,
            end or None,
            status.code if 0 <= status.code < len(STATUSES) else 0,
            # Exporters do not say it (Python's sends 0), but what is exported was sampled.
            flags & _TRACE_FLAGS | _SAMPLED,
        )
        self.key = span.trace_id + span.span_id if end else None
        self.texts = first, len(values.texts)

    def clean(self, cleaner: Cleaner) -> None:
        """Take secrets out of all its texts."""
        line = self._line
        self._name = cleaner.text(self._name)
        line["a"] = cleaner.attributes(line["a"])
        for event in line.get("e", ()):
            event[0], event[2] = cleaner.text(event[0]), cleaner.attributes(event[2])
        for link in line.get("l", ()):
            link[2], link[5] = cleaner.attributes(link[2]), cleaner.text(link[5])
        for key in ("d", "t"):
            if key in line:
                line[key] = cleaner.text(line[key])

    def encoded(self) -> EncodedSpan:
        """Return what the store writes."""
        trace_id, span_id, parent_id, kind, start, end, status, flags = self._columns
        line = self._line
        return (
            codec.encode(line),
            (
                trace_id,
                span_id,
                parent_id,
                text(self._name),
                kind,
                start,
                end,
                status,
                *call_columns(line["a"]),
                flags,
            ),
            *self._origin,
        )


def _link(link: Any, values: Values) -> list[Any]:
    flags = link.flags
    return [
        link.trace_id.hex(),
        link.span_id.hex(),
        values.attributes(link.attributes),
        flags & _TRACE_FLAGS,
        bool(flags & _HAS_IS_REMOTE and flags & _IS_REMOTE),
        values.text(link.trace_state),
        link.dropped_attributes_count,
    ]


def problem(span: Any) -> str | None:
    """Say why a span cannot be kept; None if it can. Nothing about it is guessed or mended."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != _TRACE_ID or not any(trace_id):
        return "a span without a valid trace id"
    if len(span_id) != _SPAN_ID or not any(span_id):
        return "a span without a valid span id"
    if len(span.parent_span_id) not in {0, _SPAN_ID}:
        return "a span whose parent's id is invalid"
    if span.start_time_unix_nano > _MAX_TIME or span.end_time_unix_nano > _MAX_TIME:
        return "a span with a time after the year 2262"
    if any(len(link.trace_id) != _TRACE_ID or len(link.span_id) != _SPAN_ID for link in span.links):
        return "a span with a link to an invalid id"
    return None
