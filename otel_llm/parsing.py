"""What the core asks of a plug-in that understands a protocol: an endpoint, and a parser of its exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from otel_llm.llm import Limits, LLMCall


class CallParser(Protocol):
    """What turns the bytes of one exchange into an `LLMCall`; never raises. Used on the worker only."""

    def request(self, body: bytes | None, content_type: str | None) -> None:
        """Take the request's body; None where it is not at hand."""

    def response(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the response's status and headers, with lower-case names."""

    def feed(self, data: bytes) -> None:
        """Take a piece of the response's body, uncompressed; split anywhere."""

    def end(self) -> LLMCall:
        """Return what the exchange said; also of one that was cut short."""
        ...


class Endpoint(Protocol):
    """What is known of a call before it is sent."""

    @property
    def operation(self) -> str:
        """`gen_ai.operation.name`."""
        ...

    @property
    def provider(self) -> str:
        """`gen_ai.provider.name`."""
        ...

    def parser(self, limits: Limits) -> CallParser:
        """Return a parser for one exchange with this endpoint."""
        ...


def headers_of(headers: Any) -> dict[str, str]:
    """Return headers as text with lower-case names, from a mapping or from pairs of bytes or text."""
    if headers is None:
        return {}
    raw = getattr(headers, "raw", None)  # httpx: its own `items()` joins and decodes, slowly
    pairs = raw if raw is not None else headers.items() if hasattr(headers, "items") else headers
    return {
        _name(name): value.decode("latin-1") if type(value) is bytes else str(value) for name, value in pairs
    }


def _name(name: Any) -> str:
    known = _names.get(name)
    if known is None:
        known = (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()
        if len(_names) >= _MAX_NAMES:
            _names.clear()
        _names[name] = known
    return known


_MAX_NAMES: Final = 4096
_names: dict[Any, str] = {}
"""The same twenty names come with every response."""
