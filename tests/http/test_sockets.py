"""aiohttp, requests, httpx and httpx2 over real connections: whole spans however a body is read or breaks off."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import pathlib
import pickle
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

from otel_llm import drops, testing
from otel_llm.loopback import LoopbackServer, plans

aiohttp = pytest.importorskip("aiohttp")
requests = pytest.importorskip("requests")
httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")

BODY = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Count to three"}]}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
Call = Callable[[str, dict[str, Any]], Awaitable[bytes]]


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def captured() -> Iterator[testing.Captured]:
    with testing.capture(content="none", metrics=False) as captured:
        yield captured


# --- the ways to read a body, per client ------------------------------------------------------------
async def aiohttp_read(url: str, body: dict[str, Any]) -> bytes:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return await response.read()


async def aiohttp_data(url: str, body: dict[str, Any]) -> bytes:
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        response = await session.request("POST", url, data=json.dumps(body))
        return (await response.text()).encode()


async def aiohttp_lines(url: str, body: dict[str, Any]) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=json.dumps(body).encode()) as response,
    ):
        return b"".join([line async for line in response.content])


async def aiohttp_any(url: str, body: dict[str, Any]) -> bytes:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return b"".join([piece async for piece in response.content.iter_any()])


async def aiohttp_chunked(url: str, body: dict[str, Any]) -> bytes:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return b"".join([piece async for piece in response.content.iter_chunked(7)])


async def aiohttp_chunks(url: str, body: dict[str, Any]) -> bytes:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return b"".join([piece async for piece, _ in response.content.iter_chunks()])


async def aiohttp_base_url(url: str, body: dict[str, Any]) -> bytes:
    base, _, path = url.partition("/v1")
    async with aiohttp.ClientSession(base) as session, session.post("/v1" + path, json=body) as response:
        return await response.content.read()


async def requests_content(url: str, body: dict[str, Any]) -> bytes:
    return requests.post(url, json=body, timeout=10).content


async def requests_iter_content(url: str, body: dict[str, Any]) -> bytes:
    with requests.post(url, json=body, stream=True, timeout=10) as response:
        return b"".join(response.iter_content(11))


async def requests_iter_lines(url: str, body: dict[str, Any]) -> bytes:
    with (
        requests.Session() as session,
        session.post(url, data=json.dumps(body), stream=True, timeout=10) as response,
    ):
        return b"\n".join(response.iter_lines(decode_unicode=False))


async def requests_read_later(url: str, body: dict[str, Any]) -> bytes:
    response = requests.post(url, json=body, stream=True, timeout=10)
    return pickle.loads(pickle.dumps(response)).content if response.content else b""


async def httpx_post(url: str, body: dict[str, Any]) -> bytes:
    return httpx.post(url, json=body).content


async def httpx2_stream(url: str, body: dict[str, Any]) -> bytes:
    async with httpx2.AsyncClient() as client, client.stream("POST", url, json=body) as response:
        return b"".join([chunk async for chunk in response.aiter_bytes()])


READERS = [
    aiohttp_read, aiohttp_data, aiohttp_lines, aiohttp_any, aiohttp_chunked, aiohttp_chunks, aiohttp_base_url,
    requests_content, requests_iter_content, requests_iter_lines, requests_read_later, httpx_post, httpx2_stream,
]  # fmt: skip


DECODED = {
    "aiohttp": ("gzip", "br"),
    "requests": ("gzip",),
    "httpx": ("gzip", "br", "zstd"),
    "httpx2": ("gzip", "br"),
}
"""What each client decodes with the packages of the `dev` extra."""


@pytest.mark.parametrize(
    ("read", "encoding"),
    [(read, encoding) for read in READERS for encoding in (None, *DECODED[read.__name__.partition("_")[0]])],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
async def test_a_body_is_understood_however_it_is_read(
    server: LoopbackServer, captured: testing.Captured, read: Call, body: dict[str, Any], encoding: str | None
) -> None:
    server.script(plans.Plan(encoding=encoding))  # type: ignore[arg-type]
    got = await read(f"{server.url}/v1/chat/completions", body)
    assert b"chatcmpl" in got
    (sent,) = [request.sent for request in server.requests]
    (span,) = captured.spans()
    attributes = dict(span.attributes)
    assert span.name == "chat gpt-4.1-mini"
    assert span.status.status_code.name == "UNSET", attributes
    assert attributes["gen_ai.response.id"] == sent.id
    assert attributes["gen_ai.usage.input_tokens"] == sent.usage.input
    assert attributes["gen_ai.usage.output_tokens"] == sent.usage.output
    assert attributes["gen_ai.response.finish_reasons"] == sent.finish_reasons
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["server.port"] == int(server.url.rpartition(":")[2])
    assert ("gen_ai.response.time_to_first_chunk" in attributes) == (
        body is STREAM and read is not requests_content and read is not httpx_post
    )


async def aiohttp_break(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url, json=STREAM) as response:
        async for _ in response.content:
            break


async def aiohttp_closed(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.post(url, json=STREAM)
        await response.content.readline()
        response.close()


async def requests_break(url: str) -> None:
    with requests.post(url, json=STREAM, stream=True, timeout=10) as response:
        for _ in response.iter_content(16):
            break


async def requests_forgotten(url: str) -> None:
    requests.post(url, json=STREAM, stream=True, timeout=10)
    gc.collect()


@pytest.mark.parametrize("leave", [aiohttp_break, aiohttp_closed, requests_break, requests_forgotten])
async def test_a_stream_left_early_ends_exactly_once(
    server: LoopbackServer, captured: testing.Captured, leave: Callable[[str], Awaitable[None]]
) -> None:
    server.script(plans.stream(50, delay=0.005))
    await leave(f"{server.url}/v1/chat/completions")
    (span,) = captured.spans()
    assert span.attributes["error.type"] == "cancelled"
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert span.status.status_code.name == "ERROR"


@pytest.mark.parametrize(
    "read", [aiohttp_read, aiohttp_lines, requests_iter_content, httpx2_stream], ids=lambda r: r.__name__
)
async def test_a_connection_reset_in_a_stream_is_seen_by_the_program_and_by_us(
    server: LoopbackServer, captured: testing.Captured, read: Call
) -> None:
    server.script(plans.reset(3))
    with pytest.raises((aiohttp.ClientError, requests.RequestException, httpx2.HTTPError, OSError)):
        await read(f"{server.url}/v1/chat/completions", STREAM)
    (span,) = captured.spans()
    assert span.attributes["error.type"] == "connection"
    assert span.status.status_code.name == "ERROR"


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (plans.rate_limited(1.5), "rate_limit"),
        (plans.overloaded(), "overloaded"),
        (plans.server_error(), "overloaded"),
        (plans.unauthorized(), "auth"),
        (plans.context_length(), "context_length"),
        (plans.content_filter(), "content_filter"),
        (plans.html(502), "overloaded"),
        (plans.html(200), "malformed_response"),
        (plans.malformed(), "malformed_response"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("read", [aiohttp_read, requests_content, httpx_post], ids=lambda r: r.__name__)
async def test_what_a_server_does_wrong_is_named(
    server: LoopbackServer, captured: testing.Captured, read: Call, plan: plans.Plan, error: str
) -> None:
    server.script(plan)
    await read(f"{server.url}/v1/chat/completions", BODY)
    (span,) = captured.spans()
    assert span.attributes["error.type"] == error, dict(span.attributes)
    assert span.status.status_code.name == "ERROR"
    if error == "rate_limit":
        assert span.attributes["otel_llm.retry_after"] == 1.5
    if error != "malformed_response":
        assert span.attributes["http.response.status_code"] >= 400


async def test_a_server_that_hangs_is_a_timeout(server: LoopbackServer, captured: testing.Captured) -> None:
    url = f"{server.url}/v1/chat/completions"
    server.script(*[plans.hang()] * 3)
    with pytest.raises(requests.Timeout):
        requests.post(url, json=BODY, timeout=0.2)
    with pytest.raises(TimeoutError):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(0.2)) as session:
            await session.post(url, json=BODY)
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(url, json=BODY, timeout=0.2)
    assert [span.attributes["error.type"] for span in captured.spans()] == ["timeout"] * 3


async def test_a_cancelled_aiohttp_task_ends_its_span(
    server: LoopbackServer, captured: testing.Captured
) -> None:
    server.script(plans.hang(2))
    task = asyncio.create_task(aiohttp_lines(f"{server.url}/v1/chat/completions", STREAM))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (span,) = captured.spans()
    assert span.attributes["error.type"] == "cancelled"


async def test_other_requests_pass_untouched(server: LoopbackServer, captured: testing.Captured) -> None:
    url = f"{server.url}/somewhere/else"
    requests.get(url, timeout=10)
    requests.post(url, json={"model": 1}, timeout=10)
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            await response.read()
        async with session.post(url, json={"messages": []}) as response:
            assert type(response.content) is aiohttp.StreamReader
    assert captured.spans() == ()
    assert all("traceparent" not in request.headers for request in server.requests)


async def test_the_trace_goes_on_at_the_server(server: LoopbackServer, captured: testing.Captured) -> None:
    for read in (aiohttp_read, requests_content, httpx_post, httpx2_stream):
        await read(f"{server.url}/v1/chat/completions", BODY)
    for span, request in zip(captured.spans(), server.requests, strict=True):
        context = span.context
        assert request.headers["traceparent"].startswith(
            f"00-{context.trace_id:032x}-{context.span_id:016x}-"
        )


async def test_the_programs_headers_and_bodies_are_not_changed(
    server: LoopbackServer, captured: testing.Captured
) -> None:
    headers, body = {"x-mine": "1"}, dict(BODY)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/v1/chat/completions", json=body, headers=headers) as response,
    ):
        await response.read()
    prepared = requests.Request(
        "POST", f"{server.url}/v1/chat/completions", json=body, headers=headers
    ).prepare()
    before = dict(prepared.headers)
    with requests.Session() as session:
        session.send(prepared)
    assert dict(prepared.headers) == before
    assert (headers, body) == ({"x-mine": "1"}, BODY)
    assert len(captured.spans()) == 2


async def test_a_status_that_aiohttp_raises_is_what_it_says_not_a_broken_connection(
    server: LoopbackServer, captured: testing.Captured
) -> None:
    server.script(plans.rate_limited(retry_after=0.25), plans.answer())
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        with pytest.raises(aiohttp.ClientResponseError, match="429"):
            await session.post(f"{server.url}/v1/chat/completions", json=BODY)
        async with session.post(f"{server.url}/v1/chat/completions", json=BODY) as response:
            await response.read()
    refused, answered = captured.spans()
    assert refused.attributes["error.type"] == "rate_limit"
    assert refused.attributes["http.response.status_code"] == 429
    assert refused.attributes["otel_llm.retry_after"] == 0.25
    assert [link.context for link in answered.links] == [refused.context]
    assert "error.type" not in answered.attributes


async def test_what_aiohttp_refuses_it_still_refuses(captured: testing.Captured) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TypeError, match="not JSON serializable"):
            await session.post("http://127.0.0.1:9/v1/chat/completions", json={"model": object()})
        with pytest.raises(ValueError, match="data and json"):
            await session.post("http://127.0.0.1:9/v1/chat/completions", json=BODY, data=b"x")
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post("http://127.0.0.1:9/v1/chat/completions", json=BODY)
    assert [span.attributes["error.type"] for span in captured.spans()][-1] == "connection"


@pytest.mark.parametrize("client", ["_aiohttp", "_requests"])
async def test_a_hook_that_breaks_breaks_nothing(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    import importlib

    from otel_llm import calls, drops
    from otel_llm_http import capture

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken on purpose")

    module = importlib.import_module(f"otel_llm_http.clients.{client}")
    readers = [read for read in READERS if read.__name__.startswith(client.strip("_"))]
    url = f"{server.url}/v1/chat/completions"
    for owner, name in (
        (module, "begin"),
        (module, "_begin"),
        (capture.Exchange, "responded"),
        (calls.CallRecord, "chunk"),
        (calls.CallRecord, "end"),
    ):
        with testing.capture(metrics=False) as captured, monkeypatch.context() as patched:
            patched.setattr(owner, name, broken)
            for read in readers:
                assert b"chatcmpl" in await read(url, STREAM), name
            captured.spans()
        assert any(what == "internal_error" for what, _ in drops.counts()), name
        drops.reset()


async def test_a_redirect_takes_the_trace_to_no_host_that_may_not_have_it(
    server: LoopbackServer, captured: testing.Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    names = {"far.example.com", b"far.example.com"}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: resolve("127.0.0.1" if host in names else host, *a, **k)
    )
    near = f"{server.url}/v1/chat/completions"
    there = plans.Plan(
        body=b"", status=307, headers={"location": near.replace("127.0.0.1", "far.example.com")}
    )
    here = plans.Plan(body=b"", status=307, headers={"location": near})

    async def by_aiohttp() -> None:
        connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
        async with aiohttp.ClientSession(connector=connector) as session:
            await (await session.post(near, json=BODY)).read()

    async def by_async_httpx() -> None:
        async with httpx.AsyncClient(follow_redirects=True) as client:
            await client.post(near, json=BODY)

    async def by_httpx2() -> None:
        with httpx2.Client(follow_redirects=True) as client:
            client.post(near, json=BODY)

    async def by_requests() -> None:
        requests.post(near, json=BODY, timeout=10)

    for send in (by_aiohttp, by_async_httpx, by_httpx2, by_requests):
        for plan, goes_on in ((there, False), (here, True)):
            server.script(plan)
            with trace.get_tracer("program").start_as_current_span("around"):
                await send()
            first, second = (request.headers for request in server.requests[-2:])
            assert "traceparent" in first
            assert ("traceparent" in second) is goes_on, send.__name__
            assert second.get("traceparent") in {None, first["traceparent"]}
    assert len([span for span in captured.spans() if span.name.startswith("chat")]) == 8
    assert drops.counts() == {}


async def test_a_raw_reading_of_requests_shows_nothing_and_is_no_failure(
    server: LoopbackServer, captured: testing.Captured
) -> None:
    for body in (BODY, STREAM):
        with requests.post(
            f"{server.url}/v1/chat/completions", json=body, stream=True, timeout=10
        ) as response:
            assert response.raw.read()
    for span in captured.spans():
        assert span.attributes["otel_llm.content_unavailable"] is True
        assert "error.type" not in span.attributes
        assert span.status.status_code.name == "UNSET"


async def test_a_sessions_own_json_goes_over_the_wire_as_it_makes_it(
    server: LoopbackServer, captured: testing.Captured
) -> None:
    def as_bytes(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":"), default=str).encode()

    if "json_serialize_bytes" not in inspect.signature(aiohttp.ClientSession).parameters:
        pytest.skip("this aiohttp has no json_serialize_bytes")
    body = {**BODY, "metadata": {"at": pathlib.PurePosixPath("x")}}
    async with aiohttp.ClientSession(json_serialize_bytes=as_bytes) as session:
        await (await session.post(f"{server.url}/v1/chat/completions", json=body)).read()
    assert server.requests[-1].body == as_bytes(body)
    assert len(captured.spans()) == 1
    assert drops.counts() == {}
