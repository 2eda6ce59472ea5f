"""What the store and OpenTelemetry have of a program's scalars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import otel_llm
from otel_llm import semconv as sc
from otel_llm.store import StoreReader


def series(directory: Path = Path(".otel_llm")) -> list[tuple[str, int | None, float]]:
    """Return name, step and value of every row, in the order in which they were logged."""
    otel_llm.force_flush()
    return [(row.name, row.step, row.value) for row in StoreReader(directory).series()]


def labels(directory: Path = Path(".otel_llm")) -> list[dict[str, Any]]:
    otel_llm.force_flush()
    return [dict(row.attributes) for row in StoreReader(directory).series()]


def gauges(directory: Path = Path(".otel_llm")) -> dict[str, float]:
    """Return the last value of every gauge."""
    otel_llm.force_flush()
    found = {}
    for point in StoreReader(directory).points():
        if point.kind == "gauge" and sc.SERIES_SOURCE in point.attributes:
            found[point.metric] = point.value
    return found
