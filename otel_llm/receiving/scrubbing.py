"""Secrets out of what others send, as out of what this library records itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from otel_llm.redaction import REDACTED, Scrubber

_MAX_KEYS: Final = 4096
_MAX_KEY: Final = 256
"""Longer keys are not remembered; what names a secret stands at the end."""
_BUILT_IN: Final = Scrubber()
_PROBES: Final = ("x", "?code=x")
"""Values that are changed only under keys that name a secret, or a URL."""


class Cleaner:
    """Scrubs attributes, at the cost of one scan over all texts of a request where there is nothing to scrub.

    Args:
        patterns: the user's regular expressions; each match becomes `[redacted]`.
        hook: the user's own redaction.

    Raises:
        re.error: a pattern is no regular expression.
    """

    def __init__(self, patterns: Iterable[str] = (), hook: Callable[[str], str] | None = None) -> None:
        patterns = tuple(patterns)
        self._scrubber = Scrubber(patterns, hook)
        self._has_own = bool(patterns) or hook is not None
        self.special: dict[str, bool] = {}
        """Keys that were seen, and whether `look_at` said yes."""

    def look_at(self, key: str) -> bool:
        """Say whether values under a key need more than `text`: it names a secret, or a URL."""
        ending = key[-_MAX_KEY:]
        found = (
            any(_BUILT_IN.attribute(ending, probe) != probe for probe in _PROBES)
            or _BUILT_IN.text(key) != key
        )
        if len(key) <= _MAX_KEY:
            if len(self.special) >= _MAX_KEYS:
                self.special.clear()
            self.special[key] = found
        return found

    def key(self, key: str) -> str:
        """Return an attribute's name without secrets."""
        return _BUILT_IN.text(key)

    def leaves_alone(self, texts: Iterable[str]) -> bool:
        """Say whether none of `texts` has to be scrubbed; False may mean only that each must be looked at."""
        return self._scrubber.leaves_alone(texts)

    def text(self, text: str) -> str:
        """Return a text without secrets; JSON stays JSON."""
        if self._has_own and text[:1] in {"{", "["}:
            try:
                return self._scrubber.json(text)
            except (ValueError, TypeError, RecursionError):  # only looks like it, or is too deep
                pass
        return self._scrubber.text(text)

    def url(self, url: str) -> str:
        """Return a URL without secrets."""
        return self._scrubber.url(url)

    def value(self, key: str, value: Any) -> Any:
        """Return an attribute's value without secrets, whatever its shape."""
        if isinstance(value, str):
            special = self.special.get(key)
            if special is None:
                special = self.look_at(key)
            return self._scrubber.attribute(key, value) if special else self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(key, item) for item in value]
        if isinstance(value, Mapping | bytes):
            if _BUILT_IN.attribute(key[-_MAX_KEY:], "x") != "x":
                return REDACTED
            return self._bytes(value) if isinstance(value, bytes) else self.attributes(value)
        return value

    def _bytes(self, value: bytes) -> bytes:
        try:
            text = value.decode()
        except UnicodeDecodeError:  # no text, but there may be one in it
            text = value.decode("latin-1")
            return _BUILT_IN.text(text).encode("latin-1")
        return self.text(text).encode(errors="replace")

    def attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes without secrets."""
        return {self.key(key): self.value(key, value) for key, value in attributes.items()}
