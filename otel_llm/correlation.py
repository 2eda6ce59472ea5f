"""Trace ids on the records of Python's `logging`, without a change to the program's calls.

A record gets `trace_id` (32 hexadecimal digits) and `span_id` (16) of the span that is current where it is logged,
both empty where there is none, so that a format may name them: `%(trace_id)s`. They are set when the record is
handled, not when it is made: the program's own record factory stays, and a program that gives `trace_id` itself
(`extra=`, its factory) keeps its own; `logging` would refuse it if the factory had set one before. Imports the
OpenTelemetry API alone.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import trace

TRACE_ID: Final = "trace_id"
SPAN_ID: Final = "span_id"

_wanted: set[str] = set()
_original: Callable[..., Any] | None = None
_replacement: Callable[..., Any] | None = None


def install(by: str) -> None:
    """Turn it on.

    Args:
        by: who wants it; it stays on until everybody who did has taken it back.
    """
    global _original, _replacement
    _wanted.add(by)
    if _replacement is not None:  # others may have wrapped ours since: it is still there, and works again
        return
    original = logging.Logger.handle

    @functools.wraps(original)
    def handle(self: logging.Logger, record: logging.LogRecord) -> Any:
        if _wanted:
            correlate(record)
        return original(self, record)

    logging.Logger.handle = handle  # type: ignore[method-assign]
    _original, _replacement = original, handle


def remove(by: str) -> None:
    """Turn it off, unless somebody else wants it."""
    global _original, _replacement
    _wanted.discard(by)
    if not _wanted and _original is not None and logging.Logger.handle is _replacement:
        logging.Logger.handle = _original  # type: ignore[method-assign]
        _original = _replacement = None


def correlate(record: logging.LogRecord) -> None:
    """Give a record the ids of the current span, where it has none yet. Never raises."""
    try:
        fields = record.__dict__
        if TRACE_ID in fields:
            fields.setdefault(SPAN_ID, "")
            return
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            fields[TRACE_ID] = f"{context.trace_id:032x}"
            fields.setdefault(SPAN_ID, f"{context.span_id:016x}")
        else:
            fields[TRACE_ID] = ""
            fields.setdefault(SPAN_ID, "")
    except Exception:
        return
