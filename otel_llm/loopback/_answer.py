"""One answer on its way: the plan carried out, byte by byte, and what was sent noted on the request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import typing
from collections.abc import AsyncIterator, Iterable

from otel_llm.loopback import _http
from otel_llm.loopback.exchange import JSON, Exchange, Request, Sent, Usage
from otel_llm.loopback.plans import Plan
from otel_llm.loopback.protocols import Protocol, find


class Speaker(typing.Protocol):
    """Who knows what to say: the server."""

    def exchange(self, protocol: Protocol, request: Request, plan: Plan) -> Exchange:
        """The neutral side of an answer."""


class Answer:
    """Sends one answer by plan; `send` tells whether the connection can be used again."""

    def __init__(
        self,
        speaker: Speaker,
        request: Request,
        plan: Plan,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.speaker = speaker
        self.request = request
        self.sent: Sent = request.sent
        self.plan = plan
        self.reader = reader
        self.writer = writer
        self.headers: dict[str, str] = {"server": "otel-llm-loopback"}

    async def send(self) -> bool:
        """Carries the plan out.

        Raises:
            OSError: the client is gone.
        """
        try:
            return await self._send()
        except OSError:
            self.sent.complete = False
            raise

    async def _send(self) -> bool:
        plan, request = self.plan, self.request
        if plan.delay:
            await asyncio.sleep(plan.delay)
        protocol = find(request)
        request.protocol = protocol.name if protocol else None
        if plan.body is not None:
            return await self._whole(plan.status, plan.body, plan.content_type)
        if protocol is None:
            return await self._json(404, {"error": {"message": f"no such path: {request.path}", "code": 404}})
        try:
            exchange = self.speaker.exchange(protocol, request, plan)
            self.headers |= protocol.headers(exchange)
        except Exception as error:  # a body that makes no sense, or a reply callback that failed
            self.sent.error = "server_error"
            return await self._json(
                500, {"error": {"message": f"{type(error).__name__}: {error}", "code": 500}}
            )
        if plan.error is not None and not protocol.answers_error(plan.error):
            return await self._error(protocol, exchange)
        blocked = plan.error is not None
        self.sent.error = plan.error
        self._note(protocol, exchange, blocked=blocked)
        if exchange.ask.stream:
            frames = [protocol.blocked(exchange)] if blocked else protocol.frames(exchange)
            return await self._stream(protocol, frames)
        return await self._json(
            200, protocol.blocked_body(exchange) if blocked else protocol.answer(exchange)
        )

    def _note(self, protocol: Protocol, exchange: Exchange, *, blocked: bool) -> None:
        sent, ask, reply = self.sent, exchange.ask, exchange.reply
        sent.stream = ask.stream
        sent.id = protocol.response_id(exchange)
        sent.model = protocol.response_model(ask.model)
        if protocol.tells_usage and (ask.usage_in_stream or not ask.stream):
            sent.usage = Usage(exchange.usage.input) if blocked else protocol.usage(exchange)
        if protocol.talks and not blocked:
            sent.finish_reasons = (protocol.finish(reply),) * ask.choices
            sent.tool_calls = tuple(call.name for call in reply.tool_calls) * ask.choices

    async def _error(self, protocol: Protocol, exchange: Exchange) -> bool:
        kind = self.plan.error
        assert kind is not None  # noqa: S101 (only called for a planned error)
        self.sent.error = kind
        status, body = protocol.error(kind, exchange)
        if self.plan.retry_after is not None:
            self.headers["retry-after"] = f"{self.plan.retry_after:g}"
        return await self._json(status, body)

    async def _json(self, status: int, body: JSON | list[JSON]) -> bool:
        return await self._whole(status, json.dumps(body).encode(), "application/json")

    async def _whole(self, status: int, body: bytes, content_type: str) -> bool:
        """A body of known length."""
        if self.plan.breaks_with == "hang":
            return await self._hang()
        encode, finish = _http.encoder(self.plan.encoding)
        data = encode(body) + finish()
        self._head(status, content_type, {"content-length": str(len(data))})
        if self.plan.breaks_with == "reset":
            await self._write(data[: len(data) // 2])
            return self._reset()
        self.sent.complete = (
            True  # said before the last byte leaves: the client may look as soon as it has it
        )
        for piece in self._split(data):
            await self._write(piece)
        return True

    async def _stream(self, protocol: Protocol, frames: Iterable[bytes]) -> bool:
        """A chunked body, frame by frame."""
        if self.plan.breaks_with == "hang" and self.plan.breaks_after == 0:
            return await self._hang()
        self._head(200, protocol.stream_type, {"transfer-encoding": "chunked"})
        encode, finish = _http.encoder(self.plan.encoding)
        async for frame in self._paced(frames):
            if frame is None:
                return self._reset() if self.plan.breaks_with == "reset" else await self._hang()
            if self.plan.breaks_with == "error" and self.sent.error is None and frame == b"":
                self.sent.error = "overloaded"
                self.sent.finish_reasons, self.sent.usage = (), None
                frame = protocol.broken("overloaded")  # noqa: PLW2901 (the frame that takes its place)
            for piece in self._split(encode(frame)):
                await self._write(_http.chunk(piece))
        self.sent.complete = self.sent.error is None  # said before the last byte leaves, as above
        for piece in self._split(finish()):
            await self._write(_http.chunk(piece))
        await self._write(_http.LAST_CHUNK)
        return True

    async def _paced(self, frames: Iterable[bytes]) -> AsyncIterator[bytes | None]:
        """The frames with their delays; None where the plan breaks them off, empty where an error is told."""
        for index, frame in enumerate(frames):
            if index and self.plan.chunk_delay:
                await asyncio.sleep(self.plan.chunk_delay)
            if self.plan.breaks_with is not None and index >= self.plan.breaks_after:
                yield b"" if self.plan.breaks_with == "error" else None
                return
            yield frame

    def _head(self, status: int, content_type: str, more: dict[str, str]) -> None:
        self.sent.status = status
        headers = {"content-type": content_type, **self.headers, **more}
        if self.plan.encoding is not None:
            headers["content-encoding"] = self.plan.encoding
        self.writer.write(_http.head(status, headers | dict(self.plan.headers)))

    def _split(self, data: bytes) -> Iterable[bytes]:
        size = self.plan.split_every or len(data) or 1
        return (data[i : i + size] for i in range(0, len(data), size))

    async def _write(self, data: bytes) -> None:
        self.writer.write(data)
        self.sent.bytes += len(data)
        await self.writer.drain()
        if self.plan.split_every is not None:
            await asyncio.sleep(0)  # a write of its own

    async def _hang(self) -> bool:
        """Waits until the client gives up."""
        await self.reader.read()
        return False

    def _reset(self) -> bool:
        """A reset rather than an orderly end: what a killed server or a cut line looks like."""
        connection = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
