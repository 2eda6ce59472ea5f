"""Log records as OpenTelemetry's, with the current span as their context."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Mapping
from time import time_ns
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.content import ContentPolicy, dumps, marker
from otel_llm.correlation import SPAN_ID, TRACE_ID
from otel_llm.logging._formatters import STANDARD
from otel_llm.logging._scrubbing import content_policy, scrub
from otel_llm.numeric import as_text, is_on_device
from otel_llm.step_series import scalars_of, step_of

MAX_LENGTH: Final = 65_536
"""Longest body or attribute, in characters."""

_OURS: Final = frozenset({"row", "scalars", "step", TRACE_ID, SPAN_ID})
_NOT_SENT: Final = ("opentelemetry", "otel_llm")
_LEVELS: Final = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.DEBUG, SeverityNumber.DEBUG),
)


class OpenTelemetryHandler(logging.Handler):
    """Hands records to OpenTelemetry's logs: to the local store, and to what `OTEL_LOGS_EXPORTER` names.

    A record becomes one of the instrumentation scope of its logger's name: body, severity, where it was logged, its
    exception, what was given as `extra=`, its scalars. Secrets are scrubbed. Of a `row` (what models said) lengths
    are sent, texts only where `content` is `full`. Records of OpenTelemetry and of otel_llm itself are not sent: an
    exporter that fails would feed itself.
    """

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; never raises."""
        if record.name.partition(".")[0] in _NOT_SENT or getattr(self._here, "busy", False):
            return
        self._here.busy = True
        try:
            get_logger(record.name).emit(
                LogRecord(
                    timestamp=int(record.created * 1e9),
                    observed_timestamp=time_ns(),
                    context=context_api.get_current(),
                    severity_number=_severity(record.levelno),
                    severity_text=record.levelname,
                    body=_bounded(record.getMessage() if self.formatter is None else self.format(record)),
                    attributes=_attributes(record),
                )
            )
        except Exception:
            drops.internal_error("logging: an OpenTelemetry record")
        finally:
            self._here.busy = False


def _severity(level: int) -> SeverityNumber:
    return next((number for least, number in _LEVELS if level >= least), SeverityNumber.TRACE)


def _attributes(record: logging.LogRecord) -> dict[str, Any]:
    told: dict[str, Any] = {
        sc.CODE_FILE_PATH: record.pathname,
        sc.CODE_FUNCTION: record.funcName,
        sc.CODE_LINE: record.lineno,
    }
    fields = vars(record)
    if (step := step_of(fields.get("step"))) is not None:
        told[sc.TRAIN_STEP] = step
    told |= dict(scalars_of(fields.get("scalars")))
    for name, value in fields.items():
        if name not in STANDARD and name not in _OURS and value is not None:
            told[name] = value if isinstance(value, bool | int | float) else _bounded(value)
    if isinstance(row := fields.get("row"), Mapping):
        told |= _row(row)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        told[sc.EXCEPTION_TYPE] = type(error).__qualname__
        told[sc.EXCEPTION_MESSAGE] = _bounded(str(error))
        told[sc.EXCEPTION_STACKTRACE] = _bounded("".join(traceback.format_exception(error)))
    return told


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    keep = content_policy() is ContentPolicy.FULL
    for name, value in row.items():
        key = f"{sc.CUSTOM_PREFIX}{name}"
        if isinstance(value, bool | int | float):
            told[key] = value
        elif value is not None:
            text = (
                value if isinstance(value, str) else as_text(value) if is_on_device(value) else dumps(value)
            )
            told |= {key: _bounded(text)} if keep else {key + sc.LENGTH_SUFFIX: len(text)}
    return told


def _bounded(value: Any) -> str:
    text = value if isinstance(value, str) else as_text(value) if is_on_device(value) else dumps(value)
    return scrub(text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + marker(len(text)))
