"""What goes into the store besides spans, and what comes out of it: plain data.

Imports nothing of OpenTelemetry until a span is asked for as one (`StoredSpan.to_readable`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

STATUSES = ("unset", "ok", "error")
"""`StatusCode` by its number."""

KINDS = ("internal", "server", "client", "producer", "consumer")
"""`SpanKind` by its number."""


class Scope(NamedTuple):
    """The instrumentation scope that made something."""

    name: str = ""
    version: str | None = None
    schema_url: str = ""
    attributes: dict[str, Any] = {}  # noqa: RUF012 (a NamedTuple's default; never changed)


class StoredEvent(NamedTuple):
    """An event of a span.

    `time_ns` is nanoseconds since the epoch, `dropped` how many attributes the SDK had dropped.
    """

    name: str
    time_ns: int
    attributes: dict[str, Any]
    dropped: int = 0


class StoredLink(NamedTuple):
    """A link of a span; ids are lower-case hex as in W3C Trace Context."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]
    flags: int = 0
    remote: bool = False
    trace_state: str = ""
    dropped: int = 0


@dataclass(slots=True)
class StoredSpan:
    """One span as it was stored.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_id: 16 hex digits, None for a root.
        name: the span's name.
        kind: `internal`, `server`, `client`, `producer` or `consumer`.
        start_ns: nanoseconds since the epoch.
        end_ns: nanoseconds since the epoch; None while the span is open (or was, when its process died).
        status: `unset`, `ok` or `error`.
        status_description: the status's text.
        attributes: the span's attributes, content that only the store keeps included. Sequences are tuples.
        events: events in the order in which they were added.
        links: links likewise.
        resource: what describes the process.
        resource_schema_url: the resource's schema.
        scope: the instrumentation scope.
        flags: W3C trace flags; bit 0 says sampled.
        trace_state: W3C tracestate header, empty for none.
        parent_remote: whether the parent was in another process.
        dropped: how many attributes, events and links the SDK had dropped.
        file: name of the file it came from.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int | None
    status: str
    status_description: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[StoredEvent] = field(default_factory=list)
    links: list[StoredLink] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)
    resource_schema_url: str = ""
    scope: Scope = field(default_factory=Scope)
    flags: int = 1
    trace_state: str = ""
    parent_remote: bool = False
    dropped: tuple[int, int, int] = (0, 0, 0)
    file: str = ""

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None while it is open."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9

    def to_readable(self) -> ReadableSpan:
        """Return the span as OpenTelemetry's exporters take it.

        What OTLP cannot carry (integers beyond 64 bits, text that is not Unicode) is made text that it can.
        """
        from otel_llm.store.readable import to_readable

        return to_readable(self)


@dataclass(slots=True)
class TraceSummary:
    """One trace at a glance.

    Attributes:
        trace_id: 32 hex digits.
        name: name of its root, or of its earliest span where the root is not (yet) there.
        start_ns: start of its earliest span.
        end_ns: end of its last span; None while a span is open.
        spans: how many spans it has, open ones included.
        open: how many of them are open.
        errors: how many failed.
        models: models that were asked, in order of first use.
        input_tokens: sum over its spans.
        output_tokens: sum over its spans.
        cost_usd: sum over its spans in US dollars; None where no span has a cost.
        services: `service.name` of the processes that took part.
    """

    trace_id: str
    name: str
    start_ns: int
    end_ns: int | None
    spans: int = 0
    open: int = 0
    errors: int = 0
    models: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    services: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float | None:
        """Seconds from first start to last end; None while a span is open."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9


@dataclass(slots=True)
class PointRow:
    """One metric point.

    Attributes:
        metric: the instrument's name.
        kind: `gauge`, `sum`, `histogram` or `exponential_histogram`.
        value: a number, or for histograms a mapping with `count`, `sum`, `min`, `max`, `bucket_counts` …
        unit: the instrument's unit.
        attributes: the point's attributes.
        start_ns: start of the interval in nanoseconds since the epoch; None for a gauge.
        time_ns: end of the interval.
        temporality: `cumulative`, `delta`, or None for a gauge.
        monotonic: whether a sum only grows; None where it is no sum.
        description: the instrument's description.
        exemplars: sampled measurements: mappings with `value`, `time_ns`, `trace_id`, `span_id`, `attributes`.
        resource: what describes the process; None stands for the writer's.
        scope: the instrumentation scope.
        file: name of the file it came from; set when it is read.
    """

    metric: str
    kind: str
    value: Any
    unit: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    start_ns: int | None = None
    time_ns: int = 0
    temporality: str | None = None
    monotonic: bool | None = None
    description: str = ""
    exemplars: list[dict[str, Any]] = field(default_factory=list)
    resource: Mapping[str, Any] | None = None
    scope: Scope = field(default_factory=Scope)
    file: str = field(default="", compare=False)


@dataclass(slots=True)
class LogRow:
    """One log record or event.

    Attributes:
        time_ns: when it happened, in nanoseconds since the epoch; None where the source did not say.
        observed_ns: when it was seen.
        body: text or any nested value.
        severity_number: 1-24 as in OpenTelemetry, None where unset.
        severity_text: the source's own word for it.
        event_name: set for an event.
        attributes: the record's attributes.
        trace_id: 32 hex digits of the trace it belongs to.
        span_id: 16 hex digits of the span it belongs to.
        flags: W3C trace flags.
        resource: what describes the process; None stands for the writer's.
        scope: the instrumentation scope.
        file: name of the file it came from; set when it is read.
    """

    time_ns: int | None
    observed_ns: int | None = None
    body: Any = None
    severity_number: int | None = None
    severity_text: str | None = None
    event_name: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None
    span_id: str | None = None
    flags: int = 0
    resource: Mapping[str, Any] | None = None
    scope: Scope = field(default_factory=Scope)
    file: str = field(default="", compare=False)


@dataclass(slots=True)
class SeriesRow:
    """One scalar of a training run at one step.

    Attributes:
        name: the scalar's name, such as `loss`.
        step: the step it belongs to; None for none.
        value: the number: any int or float, NaN and infinities included.
        time_ns: when it was recorded, in nanoseconds since the epoch.
        attributes: what it belongs to (run, rank …); few distinct sets, stored once each.
        file: name of the file it came from; set when it is read.
    """

    name: str
    step: int | None
    value: float
    time_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    file: str = field(default="", compare=False)
