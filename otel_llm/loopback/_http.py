"""HTTP/1.1 on asyncio streams, as much of it as a server for clients on the same machine needs.

Keep-alive, chunked bodies both ways, absolute request targets (so that the server can be named as an
`http_proxy`), and content encodings that are flushed at every frame.
"""

from __future__ import annotations

import asyncio
import importlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

HEAD_LIMIT = 1 << 20
"""Bytes that a request's head may have."""

Encoder = tuple[Callable[[bytes], bytes], Callable[[], bytes]]
"""Compress-and-flush, and finish."""


class BadRequestError(Exception):
    """What came is no HTTP request."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A request as it was read; `host` is the one that the client meant, which a proxy's is not."""

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


async def read_request(reader: asyncio.StreamReader) -> Raw | None:
    """The next request of a connection, None where the client closed it.

    Raises:
        BadRequestError: what came is not HTTP.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequestError("the head is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        headers.pop("", None)
        body = await _read_body(reader, headers)
    except (ValueError, asyncio.IncompleteReadError) as error:
        raise BadRequestError(first) from error
    url = urlsplit(target)
    host = url.hostname or headers.get("host", "").partition(":")[0]
    keep_alive = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Raw(method, host, unquote(url.path), url.query, headers, body, keep_alive)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while size := int((await reader.readline()).partition(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while (await reader.readline()).strip():  # trailers
        pass
    return b"".join(parts)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """A response's head as bytes."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Overloaded"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def encoder(encoding: str | None) -> Encoder:
    """How to compress a body piece by piece, each flushed so that the client can read it at once.

    Raises:
        ImportError: `br` and `zstd` need the packages brotli and zstandard.
        ValueError: any other name.
    """
    match encoding:
        case None:
            return lambda data: data, lambda: b""
        case "gzip" | "deflate":
            deflate = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
            return lambda data: deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH), deflate.flush
        case "br":
            brotli = importlib.import_module("brotli").Compressor()
            return lambda data: bytes(brotli.process(data) + brotli.flush()), lambda: bytes(brotli.finish())
        case "zstd":
            zstandard = importlib.import_module("zstandard")
            zstd = zstandard.ZstdCompressor().compressobj()
            block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
            return lambda data: bytes(zstd.compress(data) + zstd.flush(block)), lambda: bytes(zstd.flush())
        case _:
            raise ValueError(f"no such content encoding: {encoding!r} (gzip, deflate, br, zstd)")
