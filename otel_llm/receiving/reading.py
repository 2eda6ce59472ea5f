"""HTTP/1.1 requests from a stream: the head, then the body, each within bounds of size and time.

Only what OTLP needs (RFC 9112): a length or chunks, no trailers that mean anything, no upgrades. What is ambiguous is
refused and the connection closed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

MAX_HEAD: Final = 32 << 10
_MAX_LINE: Final = 256
_MAX_TRAILERS: Final = 32
_CHUNKS_AT_ONCE: Final = 64
_PIECE: Final = 1 << 18
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,2048}) HTTP/1\.([01])")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


class RefusedError(Exception):
    """The request is answered with an HTTP status, and the connection closed.

    Args:
        status: the status.
        message: why.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GoneError(Exception):
    """The other side closed the connection, or says nothing any more."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds.

    Attributes:
        idle: for the next request on a connection.
        head: for all of a request's head, from its first byte.
        stall: for the next bytes of a body.
        slowest: bytes a second that a body must have on average, after twice `stall`.
        answer: for the other side to take an answer.
    """

    idle: float = 90.0
    head: float = 10.0
    stall: float = 10.0
    slowest: int = 16 << 10
    answer: float = 30.0


@dataclass(slots=True)
class Head:
    """A request without its body.

    Attributes:
        method: in capitals.
        path: without the query.
        headers: by lower-case name; of a header that is there twice the last.
        keep_alive: whether the connection may serve another request.
        length: of the body in bytes; None for chunks.
    """

    method: str
    path: str
    headers: dict[str, str]
    keep_alive: bool
    length: int | None


async def head(reader: asyncio.StreamReader, timeouts: Timeouts) -> Head:
    """Read a request's head.

    Args:
        reader: the connection.
        timeouts: how long to wait.

    Raises:
        GoneError: there is none.
        RefusedError: it is no request that is understood.
    """
    try:
        async with asyncio.timeout(timeouts.idle):
            first = await reader.readexactly(1)
        async with asyncio.timeout(timeouts.head):
            rest = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
        raise GoneError from error
    except asyncio.LimitOverrunError:
        raise RefusedError(431, "the request's head is too large") from None
    data = first + rest
    if len(data) > MAX_HEAD:
        raise RefusedError(431, "the request's head is too large")
    return parsed_head(data)


def parsed_head(data: bytes) -> Head:
    """Return a request's head, from its first byte to the empty line.

    Raises:
        RefusedError: it is none.
    """
    lines = data[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise RefusedError(400, "no HTTP/1.1 request")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            raise RefusedError(400, "a header that is none")
        key = name.decode().lower()
        if key in {"content-length", "transfer-encoding", "authorization"} and key in headers:
            raise RefusedError(400, f"the header {key} is there twice")
        headers[key] = value.strip(b" \t").decode("latin-1")
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection and (match[3] == b"1" or "keep-alive" in connection)
    return Head(match[1].decode(), match[2].decode().partition("?")[0], headers, keep_alive, _length(headers))


def _length(headers: dict[str, str]) -> int | None:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise RefusedError(400, "both a length and a transfer coding")
        if coding.lower() != "chunked":
            raise RefusedError(501, "a transfer coding other than chunked")
        return None
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise RefusedError(400, "a length that is none")
    return int(length)


class Body:
    """Reads one body.

    Args:
        reader: the connection.
        of: the request's head.
        max_bytes: how large it may be.
        timeouts: how long to wait.
        grown: told each number of bytes that it grows by; may raise to stop.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        of: Head,
        max_bytes: int,
        timeouts: Timeouts,
        grown: Callable[[int], None],
    ) -> None:
        self._reader = reader
        self._length = of.length
        self._max_bytes = max_bytes
        self._timeouts = timeouts
        self._grown = grown
        self._declared = 0
        self._came = 0
        self._began = asyncio.get_running_loop().time()

    async def read(self) -> bytes:
        """Return the body.

        Raises:
            GoneError: it ended early.
            RefusedError: it is too large, too slow or no body.
        """
        body = bytearray()  # a list of pieces would take many times their size where they are small
        try:
            if self._length is not None:
                await self._read(self._length, body)
            else:
                await self._read_chunks(body)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise GoneError from error
        return bytes(body)

    async def _read_chunks(self, body: bytearray) -> None:
        chunks = 0
        while (n := await self._chunk_size()) > 0:
            await self._read(n, body)
            chunks += 1
            if chunks % _CHUNKS_AT_ONCE == 0:
                await asyncio.sleep(0)  # what is there already is read without one
            if await self._within(self._reader.readexactly(2)) != b"\r\n":
                raise RefusedError(400, "a chunk without an end")
        for _ in range(_MAX_TRAILERS):
            if await self._within(self._line()) == b"\r\n":
                return
        raise RefusedError(400, "too many trailers")

    async def _read(self, n: int, body: bytearray) -> None:
        self._declared += n
        if self._declared > self._max_bytes:
            raise RefusedError(413, "the body is larger than this receiver takes (--max-body)")
        while n > 0:
            piece = await self._within(self._reader.read(min(n, _PIECE)))
            if not piece:
                raise GoneError
            self._grown(len(piece))
            n -= len(piece)
            self._came += len(piece)
            body += piece

    async def _chunk_size(self) -> int:
        match = _CHUNK.fullmatch(await self._within(self._line()))
        if match is None:
            raise RefusedError(400, "a chunk without a size")
        return int(match[1], 16)

    async def _line(self) -> bytes:
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError:
            raise RefusedError(400, "a line that does not end") from None
        if len(line) > _MAX_LINE:
            raise RefusedError(400, "a line that is too long")
        return line

    async def _within(self, reading: Awaitable[bytes]) -> bytes:
        timeouts = self._timeouts
        due = self._began + 2 * timeouts.stall + self._came / timeouts.slowest
        try:
            async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + timeouts.stall, due)):
                return await reading
        except TimeoutError:
            raise RefusedError(408, "the body came too slowly") from None
