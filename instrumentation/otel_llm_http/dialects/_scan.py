"""Cheap looks into a request's body without parsing it. Hot path.

A JSON key `"x"` cannot occur inside of a string, where its quotes are escaped; so finding the bytes `"x":` means
that somewhere there is such a key. It may be nested, in a tool's schema say, hence all of this is a good guess,
which the parser corrects.
"""

from __future__ import annotations

import re
from typing import Final

_TAIL: Final = 4096
_HEAD: Final = 1024
_MAX_NAME: Final = 512

_KEY: Final = re.compile(rb'\s*:\s*"((?:[^"\\]|\\.){1,512})"')
_TRUE: Final = re.compile(rb"\s*:\s*(true|false)")


def string_of(body: bytes, key: bytes) -> str | None:
    """Return the value of a string that stands under `key` (in quotes), most likely on the top level.

    SDKs write what is short either before or after the messages, so the ends are looked at first.
    """
    size = len(body)
    start = size - _TAIL if size > _TAIL else 0
    at = body.rfind(key, start)
    while at >= 0:
        if (match := _KEY.match(body, at + len(key))) is not None:
            return _name(match[1])
        at = body.rfind(key, start, at)
    if not start:
        return None
    at = body.find(key, 0, _HEAD)
    if at < 0:
        at = body.find(key, _HEAD, start + len(key))
    if at >= 0 and (match := _KEY.match(body, at + len(key))) is not None:
        return _name(match[1])
    return None


def _name(raw: bytes) -> str:
    if b"\\" in raw:
        raw = raw.replace(b"\\/", b"/")
    return raw.decode("utf-8", "replace")[:_MAX_NAME]


def flag_of(body: bytes, key: bytes) -> bool | None:
    """Return the value of a boolean that stands under `key` (in quotes); only the ends of a large body are read."""
    size = len(body)
    start = size - _TAIL if size > _TAIL else 0
    at = body.rfind(key, start)
    if at < 0 and start:
        at = body.find(key, 0, _HEAD)
    if at < 0:
        return None
    match = _TRUE.match(body, at + len(key))
    return None if match is None else match[1] == b"true"


def has_any(body: bytes, keys: tuple[bytes, ...]) -> bool:
    """Say whether one of the keys (in quotes) is anywhere in the body."""
    return any(key in body for key in keys)
