"""For tests, ours and our users': spans in memory, and a form of them without ids and times.

def test_my_agent():
    with otel_llm.testing.capture(content="full") as captured:
        my_agent()
    assert captured.shape() == [...]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_llm import runtime
from otel_llm import semconv as sc

VOLATILE: Final = frozenset(
    {
        sc.SERVER_PORT,
        sc.RESPONSE_TIME_TO_FIRST_CHUNK,
        sc.STREAM_CHUNK_MEAN,
        sc.STREAM_CHUNK_MAX,
        sc.STREAM_CHUNKS,
    },
)
"""Attributes that differ from run to run; `shape` leaves them out."""


@dataclass(slots=True)
class Captured:
    """Spans that were captured.

    Attributes:
        exporter: holds them.
    """

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def spans(self, timeout: float = 10.0) -> Sequence[ReadableSpan]:
        """Return all spans that ended so far, in the order in which they ended."""
        runtime.force_flush(timeout)
        return self.exporter.get_finished_spans()

    def calls(self) -> list[ReadableSpan]:
        """Return the spans of model calls among them."""
        return [s for s in self.spans() if sc.PROVIDER_NAME in (s.attributes or {})]

    def shape(self, *, without: frozenset[str] = VOLATILE) -> list[dict[str, Any]]:
        """Return whole spans as plain data, without what differs from run to run.

        Args:
            without: attributes to leave out.

        Returns:
            One dict a span, in the order in which they started: name, kind, parent (its name), status,
            attributes, links (names of the linked spans), events.
        """
        spans = sorted(self.spans(), key=lambda s: s.start_time or 0)
        names = {s.context.span_id: s.name for s in spans if s.context is not None}
        return [
            {
                "name": s.name,
                "kind": s.kind.name,
                "parent": None if s.parent is None else names.get(s.parent.span_id, "?"),
                "status": s.status.status_code.name,
                "attributes": {k: v for k, v in sorted((s.attributes or {}).items()) if k not in without},
                "links": [names.get(link.context.span_id, "?") for link in s.links],
                "events": [event.name for event in s.events],
            }
            for s in spans
        ]


@contextmanager
def capture(**settings: Any) -> Iterator[Captured]:
    """Instrument, keep all spans in memory for the length of a block, and restore everything.

    Args:
        **settings: as for `otel_llm.instrument`; `store` is off unless it is given.

    Raises:
        RuntimeError: the process is instrumented already.
    """
    if runtime.current() is not None:
        raise RuntimeError("otel_llm is instrumented already; capture() needs a process of its own choosing")
    runtime.instrument(**{"store": None, **settings})
    captured = Captured()
    active = runtime.current()
    if active is not None and hasattr(active.seat.provider, "add_span_processor"):
        active.seat.provider.add_span_processor(SimpleSpanProcessor(captured.exporter))  # type: ignore[union-attr]
    try:
        yield captured
        captured.spans()
    finally:
        runtime.shutdown()
