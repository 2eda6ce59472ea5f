"""Compressed bodies, opened a piece at a time, so that no body becomes larger than it may."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Literal

import zstandard

Coding = Literal["identity", "gzip", "deflate", "zstd"]
CODINGS: Final[frozenset[str]] = frozenset({"identity", "gzip", "deflate", "zstd"})

_PIECE: Final = 1 << 18
_ZSTD_PIECE: Final = 1024
"""A block of 4 bytes can become 128 KiB, and zstandard opens all that it is given: at most 32 MiB at once so."""
_MAX_WINDOW: Final = 1 << 27
_ANY_HEADER: Final = zlib.MAX_WBITS | 32  # gzip's or zlib's, whichever it is


class TooLargeError(Exception):
    """The body is larger than allowed once it is opened."""


class DamagedError(Exception):
    """The body is not compressed as it is said to be."""


def opened(body: bytes, coding: Coding, max_bytes: int, grown: Callable[[int], None]) -> bytes:
    """Return a body without its compression.

    Args:
        body: as it came.
        coding: how it is compressed.
        max_bytes: how large the result may be.
        grown: told each number of bytes that the result grows by, before it does; may raise to stop.

    Raises:
        TooLargeError: the result would be larger.
        DamagedError: it cannot be opened.
    """
    if coding == "identity":
        return body
    try:
        return _zstd(body, max_bytes, grown) if coding == "zstd" else _zlib(body, max_bytes, grown)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise DamagedError(f"the body is no {coding}") from error


def _zlib(body: bytes, max_bytes: int, grown: Callable[[int], None]) -> bytes:
    found: list[bytes] = []
    size = 0
    stream = zlib.decompressobj(_ANY_HEADER)
    for start in range(0, len(body), _PIECE):
        rest = body[start : start + _PIECE]
        while rest:
            if stream.eof:  # gzip may have several members, one after the other
                stream = zlib.decompressobj(_ANY_HEADER)
            piece = stream.decompress(rest, _PIECE)
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
            size = _checked(size, piece, max_bytes, grown)
            found.append(piece)
    # What was held back because of the bound on a piece.
    while not stream.eof and (piece := stream.decompress(b"", _PIECE)):
        size = _checked(size, piece, max_bytes, grown)
        found.append(piece)
    if not stream.eof:
        raise DamagedError("the body ends early")
    return b"".join(found)


def _zstd(body: bytes, max_bytes: int, grown: Callable[[int], None]) -> bytes:
    found: list[bytes] = []
    size = 0
    # The window is what a frame may make us hold at once.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    stream = decompressor.decompressobj()
    for start in range(0, len(body), _ZSTD_PIECE):
        rest = body[start : start + _ZSTD_PIECE]
        while rest:
            if stream.eof:
                stream = decompressor.decompressobj()
            piece = stream.decompress(rest)
            rest = stream.unused_data if stream.eof else b""
            size = _checked(size, piece, max_bytes, grown)
            found.append(piece)
    if not stream.eof:
        raise DamagedError("the body ends early")
    return b"".join(found)


def _checked(size: int, piece: bytes, max_bytes: int, grown: Callable[[int], None]) -> int:
    size += len(piece)
    if size > max_bytes:
        raise TooLargeError
    grown(len(piece))
    return size
