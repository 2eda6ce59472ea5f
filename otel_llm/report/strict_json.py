"""JSON that any browser parses, and that cannot end the element it stands in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

_MAX_DEPTH: Final = 60
_ESCAPES: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def dumps(value: Any) -> bytes:
    """Return `value` as strict JSON in UTF-8: NaN and infinities are null, what JSON does not know is text."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        # Half a surrogate pair, an integer beyond 64 bits, a structure without end: rare, so it may take longer.
        return json.dumps(_plain(value), allow_nan=False).encode()


def for_script(value: Any) -> bytes:
    """Return `value` as JSON that may stand in a `<script>` element: it holds no `<`, `>`, `&` and line separator.

    All of these can only be inside of strings, where an escape means the same.
    """
    text = dumps(value)
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _plain(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [_plain(inner, depth + 1) for inner in value]
    return str(value)
