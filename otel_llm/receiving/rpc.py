"""OTLP over gRPC. Imported only where grpcio is installed.

Messages come as bytes, compressed as they are: gRPC's own decompression knows no bound, ours does. Whoever has no token
is answered before a message is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.rpc.status_pb2 import Status

from otel_llm.receiving import replies
from otel_llm.receiving.access import Access
from otel_llm.receiving.answers import FULL, NO_TOKEN, SLOW, Answer, Kind
from otel_llm.receiving.bodies import Coding
from otel_llm.receiving.decoding import Signal
from otel_llm.receiving.pressure import Budget, FullError
from otel_llm.receiving.writing import Parcel, Writing

_METHODS: Final[dict[str, Signal]] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
}
_CODES: Final = {
    Kind.MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,  # RESOURCE_EXHAUSTED would come again
    Kind.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Kind.FAILED: grpc.StatusCode.INTERNAL,  # is not sent again
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
}
_GZIP: Final = b"\x1f\x8b"
"""Cannot begin a protobuf message: field 3 of a type that there is not. deflate (zlib) begins with 0x78: field 15, which
OTLP has not."""
_ZLIB: Final = b"\x78"
_MAX_CALLS: Final = 256
_MESSAGE_S: Final = 60.0
"""How long a message may take to come; senders give up long before."""


class GrpcEndpoint:
    """Serves OTLP over gRPC on the running event loop.

    Args:
        writing: takes what comes.
        access: who may send.
        budget: bytes that all requests together may hold.
        max_body: bytes of a message, as it comes and opened.
    """

    def __init__(self, writing: Writing, access: Access, budget: Budget, *, max_body: int) -> None:
        self._writing = writing
        self._access = access
        self._budget = budget
        self._server = grpc.aio.server(
            handlers=[_Handlers(self)],
            maximum_concurrent_rpcs=_MAX_CALLS,
            options=[
                ("grpc.per_message_decompression", 0),
                ("grpc.max_receive_message_length", max_body),
                ("grpc.max_metadata_size", 32 << 10),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.max_connection_idle_ms", 15 * 60_000),
                ("grpc.keepalive_time_ms", 60_000),  # whose machine has gone is noticed; else after two hours
                ("grpc.keepalive_timeout_ms", 20_000),
            ],
        )

    async def start(self, address: str, credentials: Any = None) -> int:
        """Listen.

        Args:
            address: host and port.
            credentials: for TLS; None: without.

        Returns:
            The port, also where 0 was asked for.

        Raises:
            OSError: the address cannot be had.
        """
        try:
            if credentials is None:
                port: int = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError("the address is taken, or is none of this machine") from error
        if port == 0:
            raise OSError("the address is taken, or is none of this machine")
        await self._server.start()
        return port

    async def stop(self, timeout_s: float) -> None:
        """Take no more calls; let those that have begun end, for so long."""
        await self._server.stop(timeout_s)

    def allows(self, details: Any) -> bool:
        """Say whether a call may come."""
        authorization = None
        for key, value in details.invocation_metadata or ():
            if key == "authorization":
                authorization = value
        return self._access.allows(authorization)

    async def refuse(self, answer: Answer, context: Any) -> NoReturn:
        """End a call with a status."""
        self._writing.count(answer.kind.value)
        await _abort(context, answer)
        raise AssertionError  # `abort` raises

    async def export(self, signal: Signal, message: bytes, context: Any) -> bytes:
        """Serve one call."""
        answer = self._writing.refusal()
        if answer is None:
            lease = self._budget.lease()
            try:
                lease.grow(len(message))
            except FullError:
                answer = Answer(Kind.BUSY, FULL, retry_after_s=1.0)
        if answer is not None:
            await self.refuse(answer, context)
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Answer] = loop.create_future()

        def tell(answer: Answer) -> None:
            loop.call_soon_threadsafe(_set, told, answer)

        self._writing.put(Parcel(signal, "protobuf", _coding(message), message, lease, tell))
        answer = await told
        if answer.kind is not Kind.ACCEPTED:
            await _abort(context, answer)
        made: bytes = replies.response(answer, signal).SerializeToString()
        return made


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, endpoint: GrpcEndpoint) -> None:
        self._endpoint = endpoint

    def service(self, handler_call_details: Any) -> Any:
        signal = _METHODS.get(handler_call_details.method)
        if not self._endpoint.allows(handler_call_details):
            # A handler of streams: its message is read only when it asks for it, which it does not.
            return grpc.stream_unary_rpc_method_handler(self._unauthenticated)
        if signal is None:
            return None
        # As of streams, so that the time that a message takes has a bound: gRPC reads for ever, and takes no more than
        # so many calls meanwhile.
        return grpc.stream_unary_rpc_method_handler(self._method(signal))

    async def _unauthenticated(self, _: Any, context: Any) -> None:
        await self._endpoint.refuse(Answer(Kind.UNAUTHENTICATED, NO_TOKEN), context)

    def _method(self, signal: Signal) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def export(messages: Any, context: Any) -> bytes:
            try:
                async with asyncio.timeout(_MESSAGE_S):
                    message: bytes = await anext(messages)
            except StopAsyncIteration:
                return await self._endpoint.refuse(
                    Answer(Kind.MALFORMED, "a call without a message"), context
                )
            except TimeoutError:
                return await self._endpoint.refuse(Answer(Kind.UNAVAILABLE, SLOW, retry_after_s=1.0), context)
            return await self._endpoint.export(signal, message, context)

        return export


def _coding(message: bytes) -> Coding:
    if message[:2] == _GZIP:
        return "gzip"
    return "deflate" if message[:1] == _ZLIB else "identity"


def _set(told: asyncio.Future[Answer], answer: Answer) -> None:
    if not told.done():  # its sender may have gone
        told.set_result(answer)


async def _abort(context: Any, answer: Answer) -> None:
    code = _CODES[answer.kind]
    trailers: tuple[tuple[str, bytes], ...] = ()
    if answer.retry_after_s is not None:
        info = replies.retry_info(answer)
        status = Status(code=code.value[0], message=answer.message)
        status.details.add().Pack(info)
        # The second is where OpenTelemetry's Python exporter looks.
        trailers = (
            ("grpc-status-details-bin", status.SerializeToString()),
            ("google.rpc.retryinfo-bin", info.SerializeToString()),
        )
    await context.abort(code, answer.message, trailers)
