"""Numbers as people read them: durations, counts, money, sizes, ages. Standard library only."""

# ruff: noqa: PLR2004 (thresholds of rounding say what they are where they stand)
from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(seconds: float | None) -> str:
    """Return a duration in about three figures: `0.4 ms`, `12 ms`, `1.24 s`, `3 m 04 s`, `2 h 05 m`."""
    if seconds is None:
        return ""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 0.00095:
        return f"{seconds * 1e3:.1f} ms" if seconds >= 0.00005 else "<0.1 ms" if seconds else "0 ms"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} m {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} m"


def count(number: float | None) -> str:
    """Return a count with thousands marked, and from ten million on in millions."""
    if number is None:
        return ""
    if abs(number) >= 10_000_000:
        return f"{number / 1e6:,.1f}M"
    return f"{number:,.0f}"


def money(usd: float | None) -> str:
    """Return US dollars: cents where that is enough, down to millionths where it is not."""
    if usd is None:
        return ""
    if usd == 0:
        return "$0"
    if abs(usd) >= 0.995:
        return f"${usd:,.2f}"
    if abs(usd) >= 0.00095:
        return f"${usd:.4f}"
    return f"${usd:.6f}" if abs(usd) >= 0.000001 else "<$0.000001"


def size(number: int) -> str:
    """Return bytes: `512 B`, `3.4 kB`, `1.2 GB`."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def plural(number: int, noun: str) -> str:
    """Return `1 call`, `2 calls`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def moment(time_ns: int, now_ns: int) -> str:
    """Return local time and, as long as it says something, how long ago that is."""
    at = datetime.fromtimestamp(time_ns / 1e9, UTC).astimezone()
    today = datetime.fromtimestamp(now_ns / 1e9, UTC).astimezone()
    text = f"{at:%H:%M:%S}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M:%S}"
    return f"{text} ({ago((now_ns - time_ns) / 1e9)})"


def ago(seconds: float) -> str:
    """Return an age in one unit: `now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`."""
    if seconds < 1:
        return "now"
    for limit, step, unit in ((90, 1, "s"), (90 * _MINUTE, _MINUTE, "min"), (36 * _HOUR, _HOUR, "h")):
        if seconds < limit:
            return f"{seconds / step:.0f} {unit} ago"
    return f"{seconds / _DAY:.0f} d ago"


def iso(time_ns: int) -> str:
    """Return a time as ISO 8601 in UTC, with microseconds."""
    at = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // 1000:06d}Z"
