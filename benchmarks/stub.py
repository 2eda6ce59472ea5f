"""Endpoints that answer at once: mock transports in the process, and a loopback server of its own process.

`python -m benchmarks.stub` prints its port; it answers the model API and takes OTLP/HTTP, counting the spans.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from typing import Any, Final

from benchmarks.payloads import respond

_JSON: Final = {"content-type": "application/json", "x-request-id": "req_zq"}
_WEAVE: Final = json.dumps(
    {
        "trace_server_version": "99.0.0",
        "min_required_weave_python_version": "0.0.1",
        **dict.fromkeys(("id", "digest", "project_name"), "x"),
        "res": [],
    },
).encode()
"""An answer that suits every request of weave's client."""
_EVENTS: Final = {"content-type": "text/event-stream", "x-request-id": "req_zq"}


def http_library() -> Any:
    """The HTTP library under the installed openai: httpx2 from version 3 on, httpx before."""
    import openai

    if int(openai.__version__.split(".")[0]) >= 3:
        import httpx2

        return httpx2
    import httpx

    return httpx


def mock_clients() -> tuple[Any, Any]:
    """A sync and an async HTTP client whose requests are answered in the process, without a socket."""
    library = http_library()

    class Events(library.SyncByteStream):
        def __init__(self, parts: list[bytes]) -> None:
            self._parts = parts

        def __iter__(self):
            return iter(self._parts)

    def response(answer: bytes | list[bytes]) -> Any:
        if isinstance(answer, bytes):
            return library.Response(200, content=answer, headers=_JSON)
        return library.Response(200, stream=Events(answer), headers=_EVENTS)

    def handle(request: Any) -> Any:
        return response(respond(request.url.path, request.read()))

    async def ahandle(request: Any) -> Any:
        return response(respond(request.url.path, await request.aread()))

    return (
        library.Client(transport=library.MockTransport(handle)),
        library.AsyncClient(transport=library.MockTransport(ahandle)),
    )


def _fields(data: memoryview, number: int) -> list[memoryview]:
    """The length-delimited fields `number` of a protobuf message that has no other kinds than varint and bytes."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        size = varint()
        if key & 7 == 2:
            if key >> 3 == number:
                found.append(data[at : at + size])
            at += size
    return found


def count_spans(body: bytes) -> int:
    """How many spans an OTLP ExportTraceServiceRequest holds."""
    return sum(
        len(_fields(scope, 2)) for resource in _fields(memoryview(body), 1) for scope in _fields(resource, 2)
    )


class _Server(asyncio.Protocol):
    stats: Final = {"requests": 0, "bytes": 0, "spans": 0}

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._buffer = b""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:head_end].lower()
            start = head_end + 4
            if b"transfer-encoding: chunked" in head:  # weave's client; its bodies are only counted
                end = self._buffer.find(b"0\r\n\r\n", start)
                if end < 0:
                    return
                rest = end + 5
            else:
                at = head.find(b"content-length:")
                size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                end = rest = start + size
                if len(self._buffer) < end:
                    return
            body, self._buffer = self._buffer[start:end], self._buffer[rest:]
            self._answer(head.split(b" ", 2)[1].decode(), body, zipped=b"content-encoding: gzip" in head)

    def _answer(self, path: str, body: bytes, *, zipped: bool) -> None:
        if path == "/stats":
            self._send(json.dumps(self.stats).encode())
        elif path.endswith(("/chat/completions", "/embeddings", "/weather")):
            answer = respond(path, body)
            if isinstance(answer, bytes):
                self._send(answer)
            else:
                self._stream(answer)
        else:
            self.stats["requests"] += 1
            self.stats["bytes"] += len(body)
            if path.endswith("/v1/traces"):
                self.stats["spans"] += count_spans(gzip.decompress(body) if zipped else body)
                self._send(b"", "application/x-protobuf")
            else:
                self._send(_WEAVE)

    def _send(self, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def _stream(self, events: list[bytes]) -> None:
        write = self._transport.write
        write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for event in events:
            write(b"%x\r\n%b\r\n" % (len(event), event))
        write(b"0\r\n\r\n")


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
