"""Log records as text and as JSON, both with the ids of the current span where they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from otel_llm.content import dumps
from otel_llm.correlation import SPAN_ID, TRACE_ID
from otel_llm.numeric import as_text, is_on_device

DEFAULT_FIELDS: Final = ("timestamp", "level", "name", "message", TRACE_ID, SPAN_ID)
DEFAULT_FORMAT: Final = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

_OTHERWISE: Final = {"level": "levelname", "logger": "name", "thread": "threadName", "process": "process"}
STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else came from the program, as `extra=`."""


class TextFormatter(logging.Formatter):
    """Python's formatter; a format may name `trace_id` and `span_id`, also where nothing sets them."""

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,
    ) -> None:
        super().__init__(
            fmt or DEFAULT_FORMAT, datefmt, style, validate, defaults={TRACE_ID: "", SPAN_ID: ""}
        )


class JSONFormatter(logging.Formatter):
    """One JSON object a line.

    Args:
        fields: what it holds, in order: `timestamp`, `level`, `name`, `message`, `trace_id`, `span_id`, `exception`,
            any attribute of a record and anything that the program gave as `extra=`. Default: the first six. What a
            record does not have is left out; an exception is always told.
        datefmt: format of `timestamp`, as for `time.strftime`; default ISO 8601 in UTC, with milliseconds.
    """

    def __init__(self, fields: Sequence[str] | None = None, datefmt: str | None = None) -> None:
        super().__init__(datefmt=datefmt)
        self.fields = tuple(fields or DEFAULT_FIELDS)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, Any] = {}
        for field in self.fields:
            if (value := self._value(field, record)) is not None:
                told[field] = value
        if record.exc_info and "exception" not in told:
            told["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = self.formatStack(record.stack_info)
        return dumps(told)

    def _value(self, field: str, record: logging.LogRecord) -> Any:
        if field in {"timestamp", "asctime"}:
            return self.formatTime(record, self.datefmt) if self.datefmt else iso_time(record)
        if field == "message":
            return record.getMessage()
        if field == "exception":
            return self.formatException(record.exc_info) if record.exc_info else None
        value = getattr(record, _OTHERWISE.get(field, field), None)
        return as_text(value) if is_on_device(value) else value


def iso_time(record: logging.LogRecord) -> str:
    """Return when a record was made: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
