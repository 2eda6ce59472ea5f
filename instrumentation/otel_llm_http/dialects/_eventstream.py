"""The binary framing of AWS, `application/vnd.amazon.eventstream`.

A frame is its total length and the length of its headers (4 bytes each, big-endian), a checksum of those, headers,
payload, a checksum of all. Checksums are not verified: nothing of ours depends on them.
Source: docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream.
"""

from __future__ import annotations

import struct
from typing import Final

from otel_llm_http.dialects._frames import Frame

_PRELUDE: Final = struct.Struct(">II")
_OVERHEAD: Final = 16
_TEXT: Final = 7
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Type of a header's value -> its length in bytes; types 6 and 7 tell their own."""


class EventStreamDecoder:
    """Splits a stream of binary events; an event's name is its type, or its exception's.

    Args:
        max_event: a stream with a larger event is not read further, and `overflowed` set.
    """

    __slots__ = ("_carry", "_max", "cut", "overflowed")

    def __init__(self, max_event: int) -> None:
        self._carry = b""
        self._max = max_event
        self.cut = False
        self.overflowed = False

    @property
    def pending(self) -> int:
        """Bytes of an event that is not whole yet."""
        return len(self._carry)

    def feed(self, data: bytes, *, final: bool = False) -> list[Frame]:  # noqa: ARG002
        """Return the events that are whole now."""
        if self.overflowed:
            return []
        data = self._carry + data
        frames: list[Frame] = []
        at = 0
        while len(data) - at >= _OVERHEAD:
            total, headers = _PRELUDE.unpack_from(data, at)
            if total < _OVERHEAD + headers or total > self._max:
                # Not this framing, or more than we read: where the next event begins is not known.
                self.overflowed = True
                data = b""
                break
            if len(data) - at < total:
                break
            start = at + 12
            frames.append((_name(data[start : start + headers]), data[start + headers : at + total - 4]))
            at += total
        self._carry = data[at:]
        return frames


def _name(headers: bytes) -> str | None:
    found: dict[bytes, str] = {}
    at = 0
    while at < len(headers):
        size = headers[at]
        key = headers[at + 1 : at + 1 + size]
        at += 1 + size
        kind = headers[at] if at < len(headers) else -1
        at += 1
        if kind in {6, _TEXT}:
            size = int.from_bytes(headers[at : at + 2])
            if kind == _TEXT:
                found[key] = headers[at + 2 : at + 2 + size].decode("utf-8", "replace")
            at += 2 + size
        elif kind in _SIZES:
            at += _SIZES[kind]
        else:
            break
    return found.get(b":exception-type") or found.get(b":error-code") or found.get(b":event-type")
