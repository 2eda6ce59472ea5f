"""From OTLP's attributes to plain values, with all texts that were met on the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from otel_llm.receiving.scrubbing import Cleaner


class Values:
    """Reads the values of one request.

    Args:
        cleaner: takes out what the attribute's key alone gives away as a secret.

    Attributes:
        texts: every text that was read, in order: for one scan over all of them.
    """

    def __init__(self, cleaner: Cleaner) -> None:
        self.cleaner = cleaner
        self.texts: list[str] = []

    def attributes(self, pairs: Iterable[Any]) -> dict[str, Any]:
        """Return `KeyValue` messages as a dict; of a key that is there twice the last counts."""
        found: dict[str, Any] = {}
        texts, special = self.texts, self.cleaner.special
        for pair in pairs:
            key, given = pair.key, pair.value
            kind = given.WhichOneof("value")
            if kind == "string_value":
                value: Any = given.string_value
                texts.append(value)
            elif kind == "int_value":
                value = given.int_value
            else:
                value = self._other(kind, given)
            needs_look = special.get(key)
            if needs_look is None:
                needs_look = self.cleaner.look_at(key)
            if needs_look:
                found[self.cleaner.key(key)] = self.cleaner.value(key, value)
            else:
                found[key] = value
        return found

    def any(self, given: Any) -> Any:
        """Return an `AnyValue`: text, bool, int, float, bytes, list, dict or None."""
        kind = given.WhichOneof("value")
        if kind == "string_value":
            return self.text(given.string_value)
        return given.int_value if kind == "int_value" else self._other(kind, given)

    def text(self, text: str) -> str:
        """Return a text that is none of an attribute, and remember it for the scan."""
        self.texts.append(text)
        return text

    def _other(self, kind: str | None, given: Any) -> Any:
        if kind == "double_value":
            return given.double_value
        if kind == "bool_value":
            return given.bool_value
        if kind == "array_value":
            return [self.any(item) for item in given.array_value.values]
        if kind == "kvlist_value":
            return self.attributes(given.kvlist_value.values)
        if kind == "bytes_value":
            data: bytes = given.bytes_value
            self.texts.append(data.decode("latin-1"))
            return data
        return None
