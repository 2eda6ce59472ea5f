"""Step series over OTLP: one event a step, so that a receiver has the exact numbers that this process's store has.

OpenTelemetry's gauges keep only the last value of an export and know no step. Where log records are exported, the
scalars of a step therefore also travel as an event `otel_llm.series.recorded`: its body is a mapping from name to
value, `otel_llm.series.step` the step, the other attributes what the series belongs to, its timestamp when they were
logged. `otel-llm receive` makes rows of a series of it again; any other backend has a log record that can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.version import VERSION

if TYPE_CHECKING:
    from otel_llm.signals import OwnProvider

MAX_SCALARS: Final = 500
"""So many scalars are one event; more are several."""

_INT64: Final = range(-(1 << 63), 1 << 63)

Row = tuple[str, "int | float", "int | None"]
"""Name, value and step."""


def is_wanted(own: OwnProvider | None) -> bool:
    """Say whether anybody but the local store takes log records.

    Args:
        own: our place for a provider of logs, as `signals.own_logs` returned it.
    """
    from opentelemetry._logs import get_logger_provider
    from opentelemetry.sdk._logs import LoggerProvider

    from otel_llm.exporting import OTEL_LOGS_EXPORTER, named_by_environment

    if own is not None and own._provider is not None:
        return bool(named_by_environment(OTEL_LOGS_EXPORTER))
    return isinstance(get_logger_provider(), LoggerProvider)


def emit(rows: Iterable[Row], told: Mapping[str, Any], at_ns: int) -> None:
    """Hand scalars to OpenTelemetry's logs.

    Args:
        rows: name, value and step of each.
        told: what they belong to: source, run.
        at_ns: when they were logged, in nanoseconds since the epoch.
    """
    from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
    from opentelemetry.context import Context

    logger = get_logger("otel_llm", VERSION, schema_url=sc.SCHEMA_URL)
    for step, body in _events(rows):
        logger.emit(
            LogRecord(
                timestamp=at_ns,
                context=Context(),
                severity_number=SeverityNumber.INFO,
                event_name=sc.EVENT_SERIES,
                body=body,
                attributes=dict(told) if step is None else {**told, sc.SERIES_STEP: step},
            )
        )


def _events(rows: Iterable[Row]) -> Iterator[tuple[int | None, dict[str, int | float | str]]]:
    """Yield the scalars of each step; a name that comes again begins another event."""
    bodies: dict[int | None, dict[str, int | float | str]] = {}
    for name, value, step in rows:
        body = bodies.setdefault(step, {})
        if name in body or len(body) >= MAX_SCALARS:
            yield step, body
            body = bodies[step] = {}
        # OTLP's integers have 64 bits.
        body[name] = str(value) if isinstance(value, int) and value not in _INT64 else value
    yield from bodies.items()
