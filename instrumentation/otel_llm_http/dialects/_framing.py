"""How a body is framed: told by its content type, or by its first bytes where that says nothing, or lies."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from otel_llm_http.dialects._eventstream import EventStreamDecoder
from otel_llm_http.dialects._frames import LineDecoder, SSEDecoder

Decoder = SSEDecoder | LineDecoder | EventStreamDecoder

DECODERS: Final[dict[str, Callable[[int], Decoder]]] = {
    "sse": SSEDecoder,
    "lines": LineDecoder,
    "binary": EventStreamDecoder,
}
"""Framing -> what takes it apart; a framing that is not here is read whole."""

_LINES: Final = ("ndjson", "jsonl", "stream+json", "json-seq", "jsonlines")
_FIELDS: Final = (b"data:", b"event:", b":", b"id:", b"retry:")
_ENOUGH: Final = max(map(len, _FIELDS))


@lru_cache(maxsize=256)
def _told(content_type: str) -> str:
    """Return the framing that a content type stands for, empty where it says nothing of the kind."""
    kind = content_type.lower()
    if "amazon.eventstream" in kind:
        return "binary"
    if any(mark in kind for mark in _LINES):
        return "lines"
    return "sse" if "event-stream" in kind else ""


def framing(content_type: str, data: bytes, *, final: bool) -> str:
    """Return `json`, `sse`, `lines` or `binary`; empty where more of the body is needed to tell.

    Args:
        content_type: the header, empty without one.
        data: the beginning of the body.
        final: whether that is all there is.
    """
    told = _told(content_type)
    if told in {"lines", "binary"}:
        return told
    if data[:1] == b"{":
        # Some gateways answer a request for a stream with plain JSON, whatever the header says.
        return "json"
    head = data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if len(head) < _ENOUGH and not final:
        return ""
    if head[:1] in {b"{", b"["}:
        return "json"
    if head.startswith(_FIELDS):
        return "sse"
    return told or "json"
