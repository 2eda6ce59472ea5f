"""Values to bytes and back, without loss: JSON for what JSON can say, tagged objects for the rest.

| value | stored as |
|---|---|
| str, bool, int up to 64 bits, finite float, None, mapping with text keys | itself |
| any sequence | an array; reads back as a tuple |
| NaN and infinities | `{"$float": "nan"}` |
| int beyond 64 bits | `{"$int": "123…"}` |
| bytes | `{"$bytes": "base64"}` |
| text with lone surrogates | `{"$str": "base64 of its UTF-8, surrogates passed"}` |
| a mapping with other keys, or whose first key starts with `$` | `{"$map": [[key, value], …]}` |
| anything else, or nested too deep | `{"$repr": "its repr"}`; reads back as text |

The common case is one call into orjson; values are only walked where its output shows that something needs a
tag. Imports nothing of ours.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import orjson
import zstandard

_MAX_DEPTH: Final = 100
_MAX_REPR: Final = 10_000
_MAX_DECIMAL_BITS: Final = 8192  # Python refuses to write or read much longer decimals
_INT64: Final = range(-(1 << 63), 1 << 63)


def encode(value: Any) -> bytes:
    """Return `value` as one line of JSON. Never raises for a value, whatever it is."""
    try:
        data = orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_tagged(value, 0))
    # orjson writes NaN as null, and a mapping of the program's own may look like a tag. (A search for one byte is
    # ten times as fast as one for three; most texts hold no dollar sign.)
    if (b"$" in data and b'{"$' in data) or (b"null" in data and _has_odd_float(value, 0)):
        return orjson.dumps(_tagged(value, 0))
    return data


def decode(data: bytes) -> Any:
    """Return the value that `encode` was given, with sequences as tuples."""
    return _restored(orjson.loads(data))


def _has_odd_float(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is not dict and kind is not tuple and kind is not list:
        return isinstance(value, float) and not math.isfinite(value)
    for v in value.values() if kind is dict else value:
        kind = type(v)
        if kind is str or kind is int:
            continue
        if kind is float:
            if v - v != 0.0:  # neither NaN nor infinity minus itself is nought
                return True
        elif depth < _MAX_DEPTH and _has_odd_float(v, depth + 1):
            return True
    return False


def _tagged(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return (
            int(value)
            if int(value) in _INT64  # `in` counts through the range for a subclass of int
            else {"$int": f"{value:d}" if value.bit_length() < _MAX_DECIMAL_BITS else hex(value)}
        )
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": b64encode(bytes(value)).decode()}
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return _mapping(value, depth)
        if isinstance(value, Sequence | AbstractSet):
            return [_tagged(v, depth + 1) for v in value]
    try:
        return {"$repr": _text(repr(value)[:_MAX_REPR])}
    except Exception:
        return {"$repr": f"<{type(value).__name__}>"}


def _text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"$str": b64encode(value.encode("utf-8", "surrogatepass")).decode()}
    return str(value)


def _mapping(value: Mapping[Any, Any], depth: int) -> Any:
    plain = {k: _tagged(v, depth + 1) for k, v in value.items() if isinstance(k, str)}
    if len(plain) == len(value) and all(not k.startswith("$") and _text(k) == k for k in plain):
        return plain
    return {"$map": [[_tagged(k, depth + 1), _tagged(v, depth + 1)] for k, v in value.items()]}


def _restored(value: Any) -> Any:
    if type(value) is dict:
        if len(value) == 1:
            key, inner = next(iter(value.items()))
            if key in _TAGS:
                return _TAGS[key](inner)
        for k, v in value.items():
            if type(v) is dict or type(v) is list:
                value[k] = _restored(v)
        return value
    if type(value) is list:
        return tuple([_restored(v) if type(v) is dict or type(v) is list else v for v in value])
    return value


def _hashable(key: Any) -> Any:
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key


_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "$float": float,
    "$int": lambda text: int(text, 0),
    "$bytes": b64decode,
    "$str": lambda text: b64decode(text).decode("utf-8", "surrogatepass"),
    "$map": lambda pairs: {_hashable(_restored(k)): _restored(v) for k, v in pairs},
    "$repr": _restored,
}

# --- blocks: some dozens of lines, compressed together ----------------------------------------------

LEVEL: Final = 1
"""On blocks of spans level 3 takes a third more time and saves 1 %; what saves is that spans share a block."""


class Packer:
    """Compresses blocks. For one thread at a time, so each file that is written has its own."""

    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor(LEVEL).compress

    def pack(self, lines: list[bytes]) -> bytes:
        """Return lines that hold no raw newline (JSON has none) as one block."""
        return self._compress(b"\n".join(lines))


def unpack(block: bytes) -> list[bytes]:
    """Return the lines of a block.

    Raises:
        ValueError: the block is damaged.
    """
    try:
        return zstandard.ZstdDecompressor().decompress(block).split(b"\n")
    except zstandard.ZstdError as error:
        raise ValueError(f"a damaged block: {error}") from None
