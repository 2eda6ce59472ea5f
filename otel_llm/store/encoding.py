"""Spans and rows to what the tables hold. Runs on the writer's thread only.

Keys of a span's line, all left out where empty: `a` attributes, `e` events, `l` links, `d` status description,
`t` trace state, `r` parent is remote, `x` dropped counts, `n` the name where a column cannot hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.store import codec
from otel_llm.store.rows import LogRow, PointRow, Scope

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import TraceState

_MAX_INT: Final = 1 << 63

SharedId = Callable[[object, Callable[[], bytes]], int]
"""`(object, its encoding) -> id` of what many rows share: resources, scopes, attribute sets."""


def span_line(span: ReadableSpan, extra: Mapping[str, Any] | None) -> tuple[bytes, tuple[Any, ...]]:
    """Encode a span.

    Returns:
        The span's line for a block, and its columns up to `cost` (see `schema.SPAN_COLUMNS`), then flags.
    """
    attributes = plain(span.attributes)
    if extra:
        attributes.update(extra)
    context = span.get_span_context()
    assert context is not None  # noqa: S101 (the writer takes no span without one)
    parent = span.parent
    status = span.status
    line: dict[str, Any] = {"a": attributes}
    if events := span.events:
        line["e"] = [
            [e.name, e.timestamp, plain(e.attributes), getattr(e, "dropped_attributes", 0)] for e in events
        ]
    if links := span.links:
        line["l"] = [
            [
                f"{link.context.trace_id:032x}",
                f"{link.context.span_id:016x}",
                plain(link.attributes),
                int(link.context.trace_flags),
                link.context.is_remote,
                tracestate(link.context.trace_state),
                link.dropped_attributes,
            ]
            for link in links
        ]
    if status.description is not None:
        line["d"] = status.description
    if context.trace_state:
        line["t"] = tracestate(context.trace_state)
    if parent is not None and parent.is_remote:
        line["r"] = True
    dropped = (span.dropped_attributes, span.dropped_events, span.dropped_links)
    if any(dropped):
        line["x"] = dropped
    name = text(span.name)
    if name != span.name:
        line["n"] = span.name
    return codec.encode(line), (
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
        None if parent is None else parent.span_id.to_bytes(8, "big"),
        name,
        span.kind.value,
        number(span.start_time),
        number(span.end_time),
        status.status_code.value,
        *call_columns(attributes),
        int(context.trace_flags),
    )


def call_columns(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the columns from `operation` to `cost` (see `schema.SPAN_COLUMNS`)."""
    get = attributes.get
    return (
        text(get(sc.OPERATION_NAME)),
        text(get(sc.REQUEST_MODEL) or get(sc.RESPONSE_MODEL)),
        text(get(sc.ERROR_TYPE)),
        number(get(sc.USAGE_INPUT_TOKENS)),
        number(get(sc.USAGE_OUTPUT_TOKENS)),
        number(get(sc.COST_TOTAL)),
    )


def resource_id(shared: SharedId, resource: Resource | Mapping[str, Any]) -> int:
    """Return the id of a resource."""
    return shared(resource, lambda: codec.encode(_resource(resource)))


def scope_id(shared: SharedId, scope: InstrumentationScope | Scope | None) -> int | None:
    """Return the id of an instrumentation scope, None for none."""
    if scope is None:
        return None
    return shared(
        scope,
        lambda: codec.encode([scope.name, scope.version, scope.schema_url, plain(scope.attributes)]),
    )


def _resource(resource: Resource | Mapping[str, Any]) -> list[Any]:
    attributes: Any = getattr(resource, "attributes", resource)
    return [plain(attributes), getattr(resource, "schema_url", "")]


def point_line(row: PointRow) -> bytes:
    """Encode what the columns of a metric point do not hold."""
    return codec.encode(
        [
            row.metric,
            row.kind,
            row.value,
            row.unit,
            plain(row.attributes),
            row.start_ns,
            row.time_ns,
            row.temporality,
            row.monotonic,
            row.description,
            row.exemplars,
        ]
    )


def log_line(row: LogRow) -> bytes:
    """Encode a log record."""
    return codec.encode(
        [
            row.time_ns,
            row.observed_ns,
            row.body,
            row.severity_number,
            row.severity_text,
            row.event_name,
            plain(row.attributes),
            row.trace_id,
            row.span_id,
            row.flags,
        ]
    )


def series_value(value: Any) -> Any:
    """Return a scalar as a column holds it: SQLite makes NaN NULL and knows 64 bits only, so those are text."""
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, int):
        return int(number) if -_MAX_INT <= number < _MAX_INT else str(int(number))
    return float(number) if number == number else "nan"  # noqa: PLR0124 (NaN is not itself)


def read_series_value(value: Any) -> Any:
    """Return the number that `series_value` was given."""
    if type(value) is str:
        return float(value) if value == "nan" else int(value)
    return value


def plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of attributes as a dict; OpenTelemetry's own mapping does it in one atomic step."""
    if not attributes:
        return {}
    copy = getattr(attributes, "copy", None)
    made = copy() if copy is not None else attributes
    return made if type(made) is dict else dict(made)


def tracestate(state: TraceState | None) -> str:
    """Return a trace state as its header has it."""
    return ",".join(f"{key}={value}" for key, value in state.items()) if state else ""


def text(value: Any) -> Any:
    """Return `value` if a text column can hold it; else what comes nearest."""
    if type(value) is str:
        if value.isascii():
            return value
        return value.encode("utf-8", "replace").decode()
    return None if value is None else text(str(value))


def number(value: Any) -> Any:
    """Return `value` if it is a number that a column can hold, else None: the span's line has it anyway."""
    kind = type(value)
    if kind is int:
        return value if -_MAX_INT <= value < _MAX_INT else None
    return value if kind is float else None


def from_hex(identifier: str | None) -> bytes | None:
    """Return an id's bytes; None for none, and for what is no id."""
    try:
        return None if identifier is None else bytes.fromhex(identifier)
    except (TypeError, ValueError):
        return None
