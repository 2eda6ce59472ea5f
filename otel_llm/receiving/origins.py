"""Resources and scopes: few, and each on thousands of spans, so each is read once."""

from __future__ import annotations

from typing import Any, Final

from otel_llm.receiving.scrubbing import Cleaner
from otel_llm.receiving.values import Values
from otel_llm.store.rows import Scope

_MAX_KNOWN: Final = 1024
_MAX_BYTES: Final = 8 << 20
"""Of all that are known, as they came; one may be large."""


class Resource(dict[str, Any]):
    """A resource's attributes, with its schema.

    Args:
        attributes: what describes the sender.
        schema_url: their schema.
    """

    def __init__(self, attributes: dict[str, Any], schema_url: str) -> None:
        super().__init__(attributes)
        self.schema_url = schema_url


class Origins:
    """Reads resources and scopes; the same bytes give the same object, which is what the store shares by.

    Args:
        cleaner: takes secrets out of them.
    """

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._resources: dict[tuple[bytes, str], Resource] = {}
        self._scopes: dict[tuple[bytes, str], Scope] = {}
        self._nbytes = 0

    def resource(self, of: Any) -> Resource:
        """Return the resource of a `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`."""
        key = of.resource.SerializeToString(deterministic=True), of.schema_url
        known = self._resources.get(key)
        if known is None:
            self._make_room(key)
            attributes = self._attributes(of.resource.attributes)
            known = self._resources[key] = Resource(attributes, self._cleaner.url(of.schema_url))
        return known

    def scope(self, of: Any) -> Scope:
        """Return the scope of a `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`."""
        key = of.scope.SerializeToString(deterministic=True), of.schema_url
        known = self._scopes.get(key)
        if known is None:
            self._make_room(key)
            given = of.scope
            known = self._scopes[key] = Scope(
                self._cleaner.text(given.name),
                self._cleaner.text(given.version),
                self._cleaner.url(of.schema_url),
                self._attributes(given.attributes),
            )
        return known

    def _make_room(self, key: tuple[bytes, str]) -> None:
        self._nbytes += len(key[0]) + len(key[1])
        if self._nbytes > _MAX_BYTES or max(len(self._resources), len(self._scopes)) >= _MAX_KNOWN:
            self._resources.clear()
            self._scopes.clear()
            self._nbytes = len(key[0]) + len(key[1])

    def _attributes(self, pairs: Any) -> dict[str, Any]:
        return self._cleaner.attributes(Values(self._cleaner).attributes(pairs))
