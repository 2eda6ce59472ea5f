"""What response headers tell: the request's id, when to try again, how much of the rate limit is left.

Rate limits come as `x-ratelimit-remaining-tokens` (OpenAI, Groq, Azure …), `anthropic-ratelimit-tokens-remaining`,
`x-ratelimit-limit` (Together) and the like; all become `otel_llm.rate_limit.{limit|remaining|reset}.{what}`, with
resets in seconds from the response.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue

_REQUEST_IDS: Final = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "x-goog-request-id",
    "x-ms-request-id",
)
_FIELDS: Final = frozenset({"limit", "remaining", "reset"})
_MARK: Final = "ratelimit"
_MAX_RATE_LIMITS: Final = 24
_TIME_OF_DAY: Final = 1e9
_MILLISECONDS: Final = 1e12
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_WHOLE_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|d|h|m|s))+")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RESOURCE: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")


def describe(headers: Mapping[str, str], out: dict[str, AttributeValue]) -> None:
    """Add what the headers (lower-case names) tell to `out`."""
    limits = 0
    for name in headers:
        if _MARK in name and limits < _MAX_RATE_LIMITS:
            limits += 1
            _rate_limit(name, headers[name], headers, out)
    for name in _REQUEST_IDS:
        if name in headers:
            out[sc.REQUEST_ID] = headers[name]
            break
    if (wait := retry_after(headers)) is not None:
        out[sc.RETRY_AFTER] = wait


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait, from `retry-after-ms` or `retry-after` (seconds or a date)."""
    if (value := headers.get("retry-after-ms")) is not None and (wait := _plain(value)) is not None:
        return wait / 1000
    if (value := headers.get("retry-after")) is not None:
        return _plain(value) if (wait := _until(value, headers)) is None else wait
    return None


def duration(value: str) -> float | None:
    """Return seconds for `6m0s`, `17ms`, `1.5s`; None for anything else."""
    value = value.strip()
    if _WHOLE_DURATION.fullmatch(value) is None:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(value))


def _rate_limit(name: str, value: str, headers: Mapping[str, str], out: dict[str, AttributeValue]) -> None:
    words = name[name.index(_MARK) + len(_MARK) :].strip("-").split("-")
    field = next((word for word in words if word in _FIELDS), None)
    if field is None:
        return
    words.remove(field)
    what = "_".join(word for word in words if word) or "requests"
    if _RESOURCE.fullmatch(what) is None:
        return
    seconds = _reset(value, headers) if field == "reset" else _plain(value)
    if seconds is None:
        return
    number: float | int = seconds if field == "reset" or not seconds.is_integer() else int(seconds)
    out[f"{sc.RATE_LIMIT_PREFIX}{field}.{what}"] = number


def _reset(value: str, headers: Mapping[str, str]) -> float | None:
    for read in (duration, _plain):
        if (seconds := read(value)) is not None:
            # Some tell the time of day as seconds, others as milliseconds since 1970.
            if seconds > _MILLISECONDS:
                seconds /= 1000
            return max(seconds - _now(headers), 0.0) if seconds > _TIME_OF_DAY else seconds
    return _until(value, headers)


def _plain(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number < 2**53 else None


def _until(value: str, headers: Mapping[str, str]) -> float | None:
    """Return the seconds until a time in RFC 3339 or HTTP format, counted from the response's own date."""
    when = _moment(value)
    return None if when is None else max(when - _now(headers), 0.0)


def _now(headers: Mapping[str, str]) -> float:
    sent = _moment(headers.get("date", ""))
    return time.time() if sent is None else sent


def _moment(value: str) -> float | None:
    if len(value) < len("2026-01-01") or not (value[0].isdigit() or value[0].isalpha()):
        return None
    try:
        when = datetime.fromisoformat(value) if value[0].isdigit() else parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return when.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
