"""From OpenTelemetry's logs and events to the store."""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.store.encoding import plain
from otel_llm.store.rows import LogRow, Scope
from otel_llm.store.writer import StoreWriter

_NO_SCOPE: Final = Scope()


class StoreLogProcessor(LogRecordProcessor):
    """Hands every log record to a store. The store is not closed, only flushed.

    Args:
        writer: the store.
        shutdown_timeout_s: bound for the flush at shutdown, in seconds.
    """

    def __init__(self, writer: StoreWriter, *, shutdown_timeout_s: float = 10.0) -> None:
        self._writer = writer
        self._shutdown_timeout_s = shutdown_timeout_s

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Take a log record; it is copied, since later processors may change it."""
        if log_record.log_record.event_name == sc.EVENT_SERIES:  # the store has the rows themselves
            return
        try:
            self._writer.logs([log_row(log_record)])
        except Exception:
            drops.internal_error("store: a log record")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until everything is committed."""
        return self._writer.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Wait until everything is committed, within the bound."""
        self._writer.flush(self._shutdown_timeout_s)


def log_row(data: ReadWriteLogRecord) -> LogRow:
    """Return a log record as a row."""
    record = data.log_record
    given = data.instrumentation_scope
    scope = _NO_SCOPE
    if given is not None:
        scope = Scope(given.name, given.version, given.schema_url or "", plain(given.attributes))
    severity = record.severity_number
    return LogRow(
        time_ns=record.timestamp,
        observed_ns=record.observed_timestamp,
        body=record.body,
        severity_number=None if severity is None else severity.value,
        severity_text=record.severity_text,
        event_name=record.event_name,
        attributes=plain(record.attributes),
        trace_id=f"{record.trace_id:032x}" if record.trace_id else None,
        span_id=f"{record.span_id:016x}" if record.span_id else None,
        flags=int(record.trace_flags or 0),
        resource=None if data.resource is None else plain(data.resource.attributes),
        scope=scope,
    )
