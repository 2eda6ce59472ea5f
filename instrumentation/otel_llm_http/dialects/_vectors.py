"""Embeddings: how long the vectors are, without keeping or parsing them."""

from __future__ import annotations

from typing import Any, Final

from otel_llm_http.dialects._parts import base64_size

_SMALL: Final = 2048
_SHORT: Final = 64
_COUNTED: Final = 16
_DIGITS: Final = frozenset(bytes([byte]) for byte in b"-0123456789")
_SPACES: Final = frozenset({b" ", b"\t", b"\r", b"\n"})


def slimmed(body: bytes) -> bytes:
    """Return JSON in which long lists of numbers are replaced: the first ones by their length, the others by nothing.

    `{"embedding": [0.1, 0.2, …]}` becomes `{"embedding": [[1536]]}`. It is done without parsing, so it may happen
    within a text, too: what is put in is valid there as well, and what holds a quote is left alone.
    """
    if len(body) < _SMALL:
        return body
    pieces: list[bytes] = []
    begin = 0
    at = body.find(b"[")
    while at >= 0:
        inner = at + 1
        while body[inner : inner + 1] in _SPACES:
            inner += 1
        if body[inner : inner + 1] not in _DIGITS:
            at = body.find(b"[", at + 1)
            continue
        end = body.find(b"]", inner)
        if end < 0:
            break
        if end - at > _SHORT and body.find(b'"', inner, end) < 0:
            length = b"[%d]" % (body.count(b",", inner, end) + 1) if len(pieces) < 2 * _COUNTED else b""
            pieces += (body[begin : at + 1], length)
            begin = end
        at = body.find(b"[", end)
    if not pieces:
        return body
    pieces.append(body[begin:])
    return b"".join(pieces)


def dimension(vector: Any, encoding: str = "float") -> int | None:
    """Return how many numbers a vector has: a list, one that `slimmed` replaced, or base64 of 32-bit floats."""
    if type(vector) is str:
        return base64_size(vector) // 4 or None
    if type(vector) is not list or not vector:
        return None
    length = len(vector)
    if type(vector[0]) is list:
        length = vector[0][0] if vector[0] and type(vector[0][0]) is int else 0
    return length * 8 if encoding in {"binary", "ubinary"} else length or None
