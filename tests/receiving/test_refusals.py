"""Bad, huge, slow and unwelcome requests: each is told so, none is stored, and the next good one is served."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import json
import socket
import threading
import time
import zlib

import pytest
import zstandard
from google.rpc.status_pb2 import Status

from otel_llm.receiving.bodies import TooLargeError, opened
from otel_llm.receiving.reading import Body, Timeouts, parsed_head

from .requests import JSON, PROTOBUF, body, partial, span

TOKEN = "a-long-secret-token-of-somebody"
needs_grpc = pytest.mark.skipif(
    importlib.util.find_spec("grpc") is None, reason="grpcio is not installed: OTLP over gRPC was NOT tested"
)


def names(running):
    return sorted(found.name for found in running.reader.spans())


def raw(running, data, *, more=None, wait=5.0):
    """Send bytes as they are; returns all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=wait) as connection:
        connection.sendall(data)
        if more is not None:
            more(connection)
        found = b""
        try:
            while piece := connection.recv(65536):
                found += piece
        except ConnectionResetError:
            pass
        return found


def head(length=None, **headers):
    lines = ["POST /v1/traces HTTP/1.1", "Host: x", f"Content-Type: {PROTOBUF}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


# --- who may send ------------------------------------------------------------------------------------


def test_without_the_token_nothing_is_taken_and_with_it_everything(receiving):
    running = receiving(token=TOKEN)
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {TOKEN}x"},
    ):
        status, answered, answer = running.post(body(span("no")), **headers)
        assert (status, answered["www-authenticate"]) == (401, 'Bearer realm="otel-llm"')
        assert TOKEN not in Status.FromString(answer).message
    assert running.post(b"", path="/nowhere")[0] == 401  # not even which paths there are
    assert running.post(body(span("yes")), authorization=f"Bearer {TOKEN}")[0] == 200
    assert running.post(body(span("yes too")), authorization=f"bearer  {TOKEN} ")[0] == 200
    assert names(running) == ["yes", "yes too"]


def test_who_has_no_token_is_answered_before_the_body_is_sent(receiving):
    running = receiving(token=TOKEN)
    answer = raw(running, head(50_000_000))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in answer


# --- what is sent ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (400, {"body": b"\xff\xff garbage"}),
        (400, {"body": b"not json", "content_type": JSON}),
        (400, {"body": b"[1]", "content_type": JSON}),
        (400, {"body": b'{"resourceSpans": 7}', "content_type": JSON}),
        (
            400,
            {
                "body": b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
                "content_type": JSON,
            },
        ),
        (400, {"body": b'{"a":' * 5000 + b"1" + b"}" * 5000, "content_type": JSON}),
        (400, {"body": b"no gzip", "content_encoding": "gzip"}),
        (400, {"body": gzip.compress(b"\x0a" * 1000)[:-9], "content_encoding": "gzip"}),
        (400, {"body": zstandard.compress(b"x" * 9999)[:-3], "content_encoding": "zstd"}),
        (404, {"body": b"", "path": "/v1/profiles"}),
        (404, {"body": b"", "path": "/"}),
        (415, {"body": b"{}", "content_type": "text/plain"}),
        (415, {"body": b"", "content_type": ""}),
        (415, {"body": b"", "content_encoding": "br"}),
    ],
)
def test_what_is_no_request_is_refused_with_the_right_status(receiving, expected, given):
    running = receiving()
    given = dict(given)
    status, headers, answer = running.post(given.pop("body"), **given)
    assert status == expected
    if headers["content-type"] == JSON:
        assert json.loads(answer)["message"]
    else:
        assert Status.FromString(answer).message
    assert "retry-after" not in headers
    assert running.post(body(span("after it")))[0] == 200
    assert names(running) == ["after it"]


def test_other_methods_are_refused(receiving):
    running = receiving()
    assert raw(running, b"GET /v1/traces HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    assert raw(running, b"OPTIONS /v1/traces HTTP/1.1\r\nOrigin: http://evil\r\n\r\n").startswith(
        b"HTTP/1.1 405 "
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nX: " + b"x" * 400_000 + b"\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(receiving, data):
    running = receiving()
    answer = raw(running, data)
    assert answer[:10] in {b"HTTP/1.1 4", b"HTTP/1.1 5"}
    assert answer.count(b"Content-Length") == 1
    assert running.post(body(span("after it")))[0] == 200


# --- how much ----------------------------------------------------------------------------------------


def test_a_span_of_20_megabytes_is_stored(receiving):
    running = receiving()
    text = "größe " * 3_500_000
    assert running.post(body(span("huge", attributes={"text": text})))[0] == 200
    (found,) = running.reader.spans()
    assert found.attributes["text"] == text


def test_a_body_above_the_bound_is_refused_before_it_is_sent(receiving):
    running = receiving(max_body=100_000)
    assert raw(running, head(100_001)).startswith(b"HTTP/1.1 413 ")
    assert running.post(b"x" * 3_000_000)[0] == 413  # and the answer is read by who sends first
    chunks = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert raw(running, head(transfer_encoding="chunked") + chunks * 4).startswith(b"HTTP/1.1 413 ")
    assert names(running) == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_compressed_bomb_is_stopped_when_it_is_as_large_as_a_body_may_be(receiving, coding):
    zeros = b"\x00" * (300 << 20)
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[coding](zeros)
    del zeros
    assert len(bomb) < 1 << 20
    running = receiving(max_body=1 << 20)
    assert running.post(bomb, content_encoding=coding)[0] == 413
    grown = []
    with pytest.raises(TooLargeError):
        opened(bomb, coding, 1 << 20, grown.append)
    assert sum(grown) <= 1 << 20
    assert running.receiver._writing.counts.requests == {"too_large": 1}


def test_chunked_and_compressed_bodies_are_taken(receiving):
    running = receiving()
    data = gzip.compress(body(span("first"), span("second")))
    chunks = b"".join(
        b"%x;name=value\r\n%b\r\n" % (len(data[i : i + 9]), data[i : i + 9]) for i in range(0, len(data), 9)
    )
    request = head(transfer_encoding="chunked", content_encoding="gzip", connection="close")
    answer = raw(running, request + chunks + b"0\r\nTrailer: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    two = gzip.compress(body(span("third")))
    half = len(two) // 2
    members = gzip.compress(body(span("fourth"))[:9]) + gzip.compress(b"")
    assert running.post(two[:half] + two[half:], content_encoding="gzip")[0] == 200
    assert running.post(members, content_encoding="gzip")[0] == 400  # opened, but no request
    assert running.post(zstandard.compress(body(span("fifth"))), content_encoding="zstd")[0] == 200
    assert names(running) == ["fifth", "first", "second", "third"]


def test_many_requests_go_over_one_connection(receiving):
    running = receiving()
    one, two = body(span("one")), body(span("two"))
    data = head(len(one), expect="100-continue") + one + head(len(two), connection="close") + two
    answer = raw(running, data)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert names(running) == ["one", "two"]


# --- how fast ----------------------------------------------------------------------------------------


def test_who_sends_slowly_is_let_go(receiving, impatient):
    running = receiving(timeouts=impatient)
    began = time.monotonic()
    assert raw(running, b"") == b""  # says nothing
    assert raw(running, b"POST /v1/tr") == b""  # half a head

    def trickle(connection):
        for _ in range(30):
            try:
                connection.sendall(b"x")
            except OSError:
                return
            time.sleep(0.05)

    assert raw(running, b"POST /v1/traces HTTP/1.1\r\nX: ", more=trickle) == b""  # a head, a byte at a time
    assert raw(running, head(1000) + b"x").startswith(b"HTTP/1.1 408 ")  # no more of the body
    assert raw(running, head(100_000), more=trickle).startswith(b"HTTP/1.1 408 ")  # a body, a byte at a time
    assert time.monotonic() - began < 10
    assert running.post(body(span("fast")))[0] == 200


def test_connections_that_do_nothing_make_room_for_those_that_do(receiving):
    running = receiving(max_connections=8)
    held = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(30)]
    try:
        for number in range(5):
            assert running.post(body(span(f"s{number}")))[0] == 200
        assert len(running.receiver._http._all) <= 8
    finally:
        for connection in held:
            connection.close()
    assert len(names(running)) == 5


async def test_chunks_of_a_byte_cost_no_more_memory_than_their_size_and_let_others_have_their_turn():
    data = bytes(range(256)) * 80
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(b"1\r\n%b\r\n" % data[i : i + 1] for i in range(len(data))) + b"0\r\n\r\n")
    turns = 0

    async def another():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(another())
    grown = []
    request = parsed_head(head(transfer_encoding="chunked"))
    assert await Body(reader, request, 1 << 20, Timeouts(), grown.append).read() == data
    other.cancel()
    assert sum(grown) == len(data)
    assert turns > 200


def test_who_does_not_take_its_answers_is_cut_off(receiving, impatient):
    running = receiving(timeouts=impatient)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.settimeout(0.5)
        asked = b"GET /healthz HTTP/1.1\r\n\r\n" * 1000
        deadline = time.monotonic() + 30
        with pytest.raises((TimeoutError, ConnectionError)):
            while time.monotonic() < deadline:
                connection.sendall(asked)
        loop = running._loop
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and _open_transports(loop):
            time.sleep(0.1)
        assert not _open_transports(loop)


def _open_transports(loop):
    return [
        each
        for each in list(loop._transports.values())
        if each._sock is not None and each.get_extra_info("peername")
    ]


def test_who_lingers_after_a_refusal_makes_room(receiving):
    running = receiving(max_connections=4)
    held = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(4)]
    try:
        for connection in held:
            connection.sendall(head(1 << 40))  # refused, and what comes of it is let go by for a while
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
            connection.sendall(b"x")
        assert running.post(body(span("fine")))[0] == 200
    finally:
        for connection in held:
            connection.close()


def test_what_does_not_fit_is_told_to_come_again_and_is_there_when_it_does(receiving):
    running = receiving(max_body=200_000, max_queue=300_000)
    writing = running.receiver._writing
    gate, serve = threading.Event(), writing._serve
    writing._serve = lambda group: (gate.wait(30), serve(group))
    answers = {}

    def post(name):
        text = name * 150_000
        while True:
            status, headers, _ = running.post(body(span(name, attributes={"t": text})))
            answers.setdefault(name, []).append((status, headers.get("retry-after")))
            if status == 200:
                return
            assert status == 429
            assert gate.wait(30)
            time.sleep(0.05)

    threads = [threading.Thread(target=post, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while len(answers) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(found == [(429, "1")] for found in answers.values())
    assert len(answers) >= 2
    gate.set()
    for thread in threads:
        thread.join(30)
    assert names(running) == ["a", "b", "c", "d"]
    assert running.receiver._http._budget.used == 0


# --- in part -----------------------------------------------------------------------------------------


def test_spans_that_cannot_be_kept_are_rejected_by_number_and_the_others_kept(receiving):
    running = receiving()
    spans = [
        span("good"),
        span("no trace", trace_id=b""),
        span("zero", trace_id=bytes(16)),
        span("short", span_id=b"1234567"),
        span("parent", parent_span_id=b"123"),
        span("late", end_time_unix_nano=2**64 - 1),
        span("also good"),
    ]
    status, _, answer = running.post(body(*spans))
    assert status == 200
    assert partial(answer) == (5, "a span without a valid trace id")
    assert names(running) == ["also good", "good"]
    assert running.reader.files()[0].meta["dropped.rejected"] == "5"


def test_health_is_for_everybody(receiving):
    running = receiving(token=TOKEN)
    answer = raw(running, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\nok\n")
