"""Embeddings: how long the vectors are, without keeping or parsing them."""

from __future__ import annotations

from typing import Any, Final

from otel_llm_http.dialects._parts import base64_size

_SMALL: Final = 2048
_SHORT: Final = 64
_DIGITS: Final = b"-0123456789"
_SPACES: Final = b" \t\r\n"


def slimmed(body: bytes) -> bytes:
    """Return JSON with every long list of numbers, but for the first, made empty; the first is made its length.

    `{"embedding": [0.1, 0.2, …]}` becomes `{"embedding": [1536]}`. Text cannot be mistaken for numbers: what holds
    a quote is left alone.
    """
    if len(body) < _SMALL:
        return body
    pieces: list[bytes] = []
    begin = 0
    at = body.find(b"[")
    while at >= 0:
        inner = at + 1
        while body[inner : inner + 1] in (b" ", b"\n", b"\t", b"\r"):
            inner += 1
        if body[inner : inner + 1] not in _DIGITS or inner >= len(body):
            at = body.find(b"[", at + 1)
            continue
        end = body.find(b"]", inner)
        if end < 0:
            break
        if end - at > _SHORT and body.find(b'"', inner, end) < 0:
            pieces += (
                body[begin:inner],
                b'{"%d":0}' % (body.count(b",", inner, end) + 1) if not pieces else b"",
            )
            begin = end
        at = body.find(b"[", end)
    if not pieces:
        return body
    pieces.append(body[begin:])
    return b"".join(pieces)


def dimension(vector: Any, encoding: str = "float") -> int | None:
    """Return how many numbers a vector has: a list, a list that `slimmed` has shortened, or base64 of 32-bit floats."""
    if type(vector) is str:
        return base64_size(vector) // 4 or None
    if type(vector) is not list or not vector:
        return None
    if type(vector[0]) is dict:
        for length in vector[0]:
            return int(length) if length.isdigit() else None
        return None
    return len(vector) * 8 if encoding in {"binary", "ubinary"} else len(vector)
