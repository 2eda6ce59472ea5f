"""OTLP over HTTP: one event loop, any number of connections up to a bound, one request at a time on each."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from otel_llm.receiving import reading, replies
from otel_llm.receiving.access import Access
from otel_llm.receiving.answers import FULL, NO_TOKEN, Answer, Kind
from otel_llm.receiving.bodies import CODINGS, Coding
from otel_llm.receiving.decoding import Form, Signal
from otel_llm.receiving.pressure import Budget, FullError
from otel_llm.receiving.reading import GoneError, Head, RefusedError, Timeouts
from otel_llm.receiving.writing import Parcel, Writing

_PATHS: Final[dict[str, Signal]] = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
_FORMS: Final[dict[str, Form]] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_HEALTH: Final = "/healthz"
_BUFFER: Final = 1 << 18
_ACCEPTED_S: Final = 0.02
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 4 << 20


class HttpEndpoint:
    """Serves OTLP over HTTP.

    Args:
        writing: takes what comes.
        access: who may send.
        budget: bytes that all requests together may hold.
        max_body: bytes of a body, as it comes and opened.
        max_connections: how many at a time; above it the one that has been idle for longest is closed.
        timeouts: how long to wait.
    """

    def __init__(
        self,
        writing: Writing,
        access: Access,
        budget: Budget,
        *,
        max_body: int,
        max_connections: int = 512,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._writing = writing
        self._access = access
        self._budget = budget
        self._max_body = max_body
        self._max_connections = max_connections
        self._timeouts = timeouts or Timeouts()
        self._server: asyncio.Server | None = None
        self._all: set[_Connection] = set()
        self._idle: dict[_Connection, None] = {}  # in order: who has been idle for longest comes first
        self._stopping = False

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen.

        Returns:
            The port, also where 0 was asked for.

        Raises:
            OSError: the address cannot be had.
        """
        more: dict[str, Any] = {}
        if tls is not None:  # asyncio's own are a minute and half of one
            more = {"ssl_handshake_timeout": self._timeouts.head, "ssl_shutdown_timeout": _LINGER_S}
        self._server = await asyncio.start_server(self._serve, host, port, limit=_BUFFER, ssl=tls, **more)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self, timeout_s: float) -> None:
        """Take no more connections; let requests that have begun end, for so long."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._idle):
            connection.abort()
        await asyncio.sleep(_ACCEPTED_S)  # connections that were just taken up begin, and end at once
        if tasks := [connection.task for connection in self._all]:
            await asyncio.wait(tasks, timeout=timeout_s)
        if tasks := [connection.task for connection in self._all]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (asyncio runs this as one)
        connection = _Connection(writer, task)
        self._all.add(connection)
        try:
            if self._stopping:
                return
            if len(self._all) > self._max_connections and not self._make_room():
                await self._refuse(connection, reader, RefusedError(503, "too many connections"))
                return
            while await self._request(connection, reader):
                pass
        except TimeoutError:
            connection.writer.transport.abort()  # closing would wait for what it does not take
        except (GoneError, ConnectionError):
            pass
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._idle.pop(connection, None)
            self._all.discard(connection)
            connection.abort()

    def _make_room(self) -> bool:
        for idle in self._idle:
            del self._idle[idle]
            idle.abort()
            return True
        return False

    async def _request(self, connection: _Connection, reader: asyncio.StreamReader) -> bool:
        """Serve one request; returns whether the connection may serve another."""
        self._idle[connection] = None
        try:
            head = await reading.head(reader, self._timeouts)
            self._idle.pop(connection, None)
            signal, form, coding = self._admit(head)
        except RefusedError as error:
            await self._refuse(connection, reader, error)
            return False
        except _Said as said:
            await self._write(connection, said.reply, keep_alive=head.keep_alive and head.length == 0)
            return head.keep_alive and head.length == 0
        answer = self._writing.refusal()
        if (
            answer is None
            and head.length is not None
            and self._budget.used + head.length > self._budget.limit
        ):
            answer = Answer(Kind.BUSY, FULL, retry_after_s=1.0)
        if answer is not None:
            self._writing.count(answer.kind.value)
            await self._write(connection, replies.of_answer(answer, signal, form), keep_alive=False)
            await self._linger(connection, reader, self._max_body)
            return False
        return await self._take(connection, reader, head, signal, form, coding)

    async def _take(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        head: Head,
        signal: Signal,
        form: Form,
        coding: Coding,
    ) -> bool:
        lease = self._budget.lease()
        handed_over = False
        try:
            if head.headers.get("expect", "").lower() == "100-continue":
                connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reading.Body(reader, head, self._max_body, self._timeouts, lease.grow).read()
            loop = asyncio.get_running_loop()
            told: asyncio.Future[Answer] = loop.create_future()

            def tell(answer: Answer) -> None:
                loop.call_soon_threadsafe(_set, told, answer)

            handed_over = True
            self._writing.put(Parcel(signal, form, coding, body, lease, tell))
            del body
            answer = await told
            keep_alive = head.keep_alive and not self._stopping
            await self._write(connection, replies.of_answer(answer, signal, form), keep_alive=keep_alive)
            return keep_alive
        except RefusedError as error:
            await self._refuse(connection, reader, error)
        except FullError:
            answer = Answer(Kind.BUSY, FULL, retry_after_s=1.0)
            self._writing.count(answer.kind.value)
            await self._write(connection, replies.of_answer(answer, signal, form), keep_alive=False)
            await self._linger(connection, reader, self._max_body)
        finally:
            if not handed_over:
                lease.end()
        return False

    def _admit(self, head: Head) -> tuple[Signal, Form, Coding]:
        """Look at a request's head, before any of its body.

        Raises:
            RefusedError: it is not taken.
        """
        if head.path == _HEALTH and head.method == "GET":
            raise _Said(replies.health(self._writing.refusal()))
        if not self._access.allows(head.headers.get("authorization")):
            raise RefusedError(401, NO_TOKEN)
        signal = _PATHS.get(head.path)
        if signal is None:
            raise RefusedError(404, "no such path; OTLP has " + ", ".join(_PATHS))
        if head.method != "POST":
            raise RefusedError(405, "OTLP is sent with POST")
        form = _FORMS.get(head.headers.get("content-type", "").partition(";")[0].strip().lower())
        if form is None:
            raise RefusedError(415, "the content type is neither " + " nor ".join(_FORMS))
        coding: Any = head.headers.get("content-encoding", "identity").strip().lower() or "identity"
        if coding not in CODINGS:
            raise RefusedError(415, "the content encoding is none of " + ", ".join(sorted(CODINGS)))
        if head.length is not None and head.length > self._max_body:
            raise RefusedError(413, "the body is larger than this receiver takes (--max-body)")
        return signal, form, coding

    async def _refuse(
        self, connection: _Connection, reader: asyncio.StreamReader, error: RefusedError
    ) -> None:
        self._writing.count(f"http_{error.status}")
        await self._write(connection, replies.of_refusal(error.status, str(error)), keep_alive=False)
        await self._linger(connection, reader)

    async def _write(self, connection: _Connection, reply: replies.Reply, *, keep_alive: bool) -> None:
        connection.writer.write(reply.head(keep_alive=keep_alive) + reply.body)
        async with asyncio.timeout(self._timeouts.answer):
            await connection.writer.drain()

    async def _linger(
        self, connection: _Connection, reader: asyncio.StreamReader, most: int = _LINGER_BYTES
    ) -> None:
        """Let the other side read an answer before its body is cut off: closing at once would reset the connection.

        Args:
            connection: the connection; nothing more is written to it.
            reader: what comes on it.
            most: bytes of the body to let go by. Who shall come again is let finish.
        """
        writer = connection.writer
        self._idle[connection] = None  # others may have its place
        try:
            if writer.can_write_eof():
                writer.write_eof()
            async with asyncio.timeout(self._timeouts.stall):
                while most > 0:
                    async with asyncio.timeout(_LINGER_S):
                        piece = await reader.read(_BUFFER)
                    if not piece:
                        break
                    most -= len(piece)
        except (TimeoutError, OSError):
            pass


class _Said(Exception):  # noqa: N818 (an answer, no error)
    """A request without a body that is answered right away."""

    def __init__(self, reply: replies.Reply) -> None:
        super().__init__()
        self.reply = reply


class _Connection:
    """One connection; equal to itself alone."""

    def __init__(self, writer: asyncio.StreamWriter, task: asyncio.Task[Any]) -> None:
        self.writer = writer
        self.task = task

    def abort(self) -> None:
        """Close it; what was written is still sent."""
        self.writer.close()


def _set(told: asyncio.Future[Answer], answer: Answer) -> None:
    if not told.done():  # its sender may have gone
        told.set_result(answer)
