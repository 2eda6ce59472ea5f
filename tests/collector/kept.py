"""What left a gateway: the spans in its archive."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.collector.servers import Collector


def archived(folder: Path) -> Iterator[dict[str, Any]]:
    """Every `resourceSpans` that a gateway has written to its archive; torn last lines are not there yet."""
    for path in sorted((folder / "archive").glob("traces*.jsonl")):
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield from json.loads(line).get("resourceSpans", [])


@dataclass(frozen=True)
class Kept:
    """A span as the archive has it."""

    trace: str
    id: str
    parent: str
    name: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    raw: dict[str, Any]


def kept(*gateways: Collector) -> list[Kept]:
    """The spans that left these gateways, in the order in which they left."""
    return [
        Kept(
            span["traceId"],
            span["spanId"],
            span.get("parentSpanId", ""),
            span.get("name", ""),
            attributes_of(span.get("attributes", [])),
            attributes_of(of_resource.get("resource", {}).get("attributes", [])),
            span,
        )
        for one in gateways
        for of_resource in archived(one.folder)
        for of_scope in of_resource.get("scopeSpans", [])
        for span in of_scope["spans"]
    ]


def attributes_of(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _any(pair["value"]) for pair in pairs}


def _any(value: dict[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_any(item) for item in value["arrayValue"].get("values", [])]
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)
