"""What to look for, as SQL where the columns say it and as a test where only the attributes do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

_WILDCARDS: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Filter:
    """What spans to find; what is None or empty is not asked for.

    Attributes:
        since_ns: started then or later, in nanoseconds since the epoch.
        until_ns: started before.
        model: the model that was asked for; may hold the wildcards `*`, `?` and `[abc]`.
        name: the span's name, likewise.
        errors: failed spans only.
        min_duration_s: took at least so many seconds; an open span counts until now.
        attributes: values as text by attribute name; one element is enough where the value is a sequence.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    model: str | None = None
    name: str | None = None
    errors: bool = False
    min_duration_s: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def where(self) -> tuple[str, list[Any]]:
        """Return an SQL condition on the columns, and its parameters."""
        parts: list[str] = ["1"]
        values: list[Any] = []
        if self.since_ns is not None:
            parts.append("start_ns>=?")
            values.append(self.since_ns)
        if self.until_ns is not None:
            parts.append("start_ns<?")
            values.append(self.until_ns)
        for column, wanted in (("model", self.model), ("name", self.name)):
            if wanted is not None:
                parts.append(f"{column} {'GLOB' if _WILDCARDS & set(wanted) else '='} ?")
                values.append(wanted)
        if self.errors:
            parts.append("(status=2 OR error IS NOT NULL)")
        if self.min_duration_s is not None:
            parts.append("coalesce(end_ns,?)-start_ns>=?")
            values += [time.time_ns(), int(self.min_duration_s * 1e9)]
        return " AND ".join(parts), values

    def may_match(self, line: bytes) -> bool:
        """Say whether a span's line can have the attributes; cheap, and never wrongly no."""
        return all(_key(name) in line for name in self.attributes)

    def matches(self, attributes: Mapping[str, Any]) -> bool:
        """Say whether a span with these attributes is looked for."""
        return all(
            name in attributes and _equals(attributes[name], text) for name, text in self.attributes.items()
        )


def _key(name: str) -> bytes:
    try:
        return orjson.dumps(name) + b":"
    except TypeError:
        return b""  # text that is not Unicode is stored in another form


def _equals(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, tuple):
        return any(_equals(v, text) for v in value) or text == str(list(value))
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return str(value) == text
