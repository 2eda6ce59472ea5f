"""From OpenTelemetry's tracing to the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_llm.store.writer import StoreWriter

_MAX_EXTRAS: Final = 1024


class StoreSpanProcessor(SpanProcessor):
    """Hands every span to a store, at its start and at its end.

    The store is not closed when a provider shuts down, only flushed: it may serve another provider, and belongs
    to whoever made it.

    Args:
        writer: the store.
        shutdown_timeout_s: bound for the flush at shutdown, in seconds.
    """

    def __init__(self, writer: StoreWriter, *, shutdown_timeout_s: float = 10.0) -> None:
        self._writer = writer
        self._shutdown_timeout_s = shutdown_timeout_s
        self._extras: dict[tuple[int, int], Mapping[str, Any]] = {}

    def attach_extra(self, trace_id: int, span_id: int, extra: Mapping[str, Any]) -> None:
        """Give content that only the store keeps to a span that is about to end.

        Args:
            trace_id: the span's trace.
            span_id: the span.
            extra: attributes; they are read back among the span's own.
        """
        if len(self._extras) >= _MAX_EXTRAS:  # spans that never reached us
            self._extras.clear()
        self._extras[trace_id, span_id] = extra

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 (the interface)
        """Take a span that started."""
        self._writer.started(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that ended."""
        extra = None
        if self._extras and (context := span.get_span_context()) is not None:
            extra = self._extras.pop((context.trace_id, context.span_id), None)
        self._writer.ended(span, extra)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until everything is committed."""
        return self._writer.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Wait until everything is committed, within the bound."""
        self._writer.flush(self._shutdown_timeout_s)
