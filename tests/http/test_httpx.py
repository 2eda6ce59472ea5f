"""httpx and httpx2: the program sees what it would have seen, and every call is one whole span."""

from __future__ import annotations

import asyncio
import gc
import gzip
import importlib
import json
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm import testing
from tests.http.payloads import ANSWER, URL, events, request, span

COST = frozenset({sc.COST_INPUT, sc.COST_OUTPUT, sc.COST_TOTAL})
WITHOUT = testing.VOLATILE | COST


@pytest.fixture(params=["httpx", "httpx2"])
def hx(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


@pytest.fixture
def captured() -> Iterator[testing.Captured]:
    with testing.capture(content="none", metrics=False) as captured:
        yield captured


def streams(hx: Any, chunks: list[bytes], error: Exception | None = None) -> tuple[Any, Any]:
    class Sync(hx.SyncByteStream):
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            yield from chunks
            if error is not None:
                raise error

        def close(self) -> None:
            Sync.closed += 1

    class Async(hx.AsyncByteStream):
        closed = 0

        async def __aiter__(self):
            for chunk in chunks:
                yield chunk
            if error is not None:
                raise error

        async def aclose(self) -> None:
            Async.closed += 1

    return Sync, Async


def clients(hx: Any, **response: Any) -> tuple[Any, Any]:
    """A sync and an async client whose transport always answers so."""
    factory = response.pop("stream", None)

    def answer(_request: Any, asynchronous: bool) -> Any:
        kwargs = dict(response)
        if factory is not None:
            kwargs["stream"] = factory[asynchronous]()
            kwargs.setdefault("headers", {"content-type": "text/event-stream"})
        return hx.Response(kwargs.pop("status", 200), **kwargs)

    async def aanswer(request: Any) -> Any:
        return answer(request, True)

    return (
        hx.Client(transport=hx.MockTransport(lambda request: answer(request, False))),
        hx.AsyncClient(transport=hx.MockTransport(aanswer)),
    )


async def test_a_call_is_one_whole_span(hx: Any, captured: testing.Captured) -> None:
    sync, asynchronous = clients(hx, json=ANSWER)
    assert sync.post(URL, json=request()).json() == ANSWER
    assert (await asynchronous.post(URL, json=request())).json() == ANSWER
    assert captured.shape(without=WITHOUT) == [span(), span()]


async def test_a_stream_read_to_its_end_is_one_whole_span(hx: Any, captured: testing.Captured) -> None:
    sync, asynchronous = clients(hx, stream=streams(hx, events()))
    with sync.stream("POST", URL, json=request(stream=True)) as response:
        assert list(response.iter_bytes()) == events()
    async with asynchronous.stream("POST", URL, json=request(stream=True)) as response:
        assert [chunk async for chunk in response.aiter_bytes()] == events()
    streamed = span(attributes={"gen_ai.request.stream": True})
    assert captured.shape(without=WITHOUT) == [streamed, streamed]
    for ended in captured.spans():
        assert ended.attributes["otel_llm.stream.chunks"] == 6
        assert 0 <= ended.attributes["gen_ai.response.time_to_first_chunk"] < 5


async def test_lines_and_text_are_seen_as_well_as_bytes(hx: Any, captured: testing.Captured) -> None:
    sync, asynchronous = clients(hx, stream=streams(hx, events()))
    for read in ("iter_lines", "iter_text", "iter_raw"):
        with sync.stream("POST", URL, json=request(stream=True)) as response:
            assert list(getattr(response, read)())
        async with asynchronous.stream("POST", URL, json=request(stream=True)) as response:
            assert [piece async for piece in getattr(response, f"a{read}")()]
    assert captured.shape(without=WITHOUT) == [span(attributes={"gen_ai.request.stream": True})] * 6


async def test_a_stream_left_at_done_is_complete(hx: Any, captured: testing.Captured) -> None:
    """OpenAI's SDK stops reading at `[DONE]`: the end of the bytes never comes."""
    sync, asynchronous = clients(hx, stream=streams(hx, [*events(), b": more that nobody reads\n\n"]))
    with sync.stream("POST", URL, json=request(stream=True)) as response:
        for chunk in response.iter_bytes():
            if b"[DONE]" in chunk:
                break
    async with asynchronous.stream("POST", URL, json=request(stream=True)) as response:
        async for chunk in response.aiter_bytes():
            if b"[DONE]" in chunk:
                break
    assert captured.shape(without=WITHOUT) == [span(attributes={"gen_ai.request.stream": True})] * 2


CANCELLED = {
    "error.type": "cancelled",
    "gen_ai.request.stream": True,
    "gen_ai.response.finish_reasons": ("error",),
    "otel_llm.error.message": "the stream was closed before its end",
}
BROKEN_OFF = span(
    attributes=CANCELLED,
    without=("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
    status="ERROR",
)


async def test_a_stream_left_early_is_cancelled_however_it_is_left(
    hx: Any, captured: testing.Captured
) -> None:
    sync, asynchronous = clients(hx, stream=streams(hx, events()))
    with sync.stream("POST", URL, json=request(stream=True)) as response:  # break, then close
        for _ in response.iter_bytes():
            break
    response = sync.send(sync.build_request("POST", URL, json=request(stream=True)), stream=True)
    iterator = response.iter_bytes()  # close, then forget the iterator
    next(iterator)
    response.close()
    response.close()
    del iterator
    async with asynchronous.stream("POST", URL, json=request(stream=True)) as response:
        async for _ in response.aiter_bytes():
            break
    response = await asynchronous.send(
        asynchronous.build_request("POST", URL, json=request(stream=True)), stream=True
    )
    chunks = response.aiter_bytes()
    await anext(chunks)
    await chunks.aclose()
    await response.aclose()
    assert captured.shape(without=WITHOUT) == [BROKEN_OFF] * 4


def test_a_stream_that_nobody_reads_ends_when_it_is_forgotten(hx: Any, captured: testing.Captured) -> None:
    sync, _ = clients(hx, stream=streams(hx, events()))
    response = sync.send(sync.build_request("POST", URL, json=request(stream=True)), stream=True)
    assert captured.spans() == ()
    del response
    gc.collect()
    assert captured.shape(without=WITHOUT) == [
        span(
            attributes=CANCELLED,
            without=(
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.output_tokens",
                "gen_ai.response.id",
                "gen_ai.response.model",
            ),
            status="ERROR",
        )
    ]


async def test_a_stream_may_be_finished_in_another_task(hx: Any, captured: testing.Captured) -> None:
    _, asynchronous = clients(hx, stream=streams(hx, events()))
    response = await asynchronous.send(
        asynchronous.build_request("POST", URL, json=request(stream=True)), stream=True
    )
    iterator = response.aiter_bytes()
    await anext(iterator)

    async def rest() -> list[bytes]:
        return [chunk async for chunk in iterator]

    assert await asyncio.create_task(rest()) == events()[1:]
    assert captured.shape(without=WITHOUT) == [span(attributes={"gen_ai.request.stream": True})]


async def test_a_connection_lost_in_a_stream_is_seen_by_both(hx: Any, captured: testing.Captured) -> None:
    sync, asynchronous = clients(hx, stream=streams(hx, events()[:3], hx.ReadError("connection reset")))
    with pytest.raises(hx.ReadError), sync.stream("POST", URL, json=request(stream=True)) as response:
        list(response.iter_bytes())
    with pytest.raises(hx.ReadError):
        async with asynchronous.stream("POST", URL, json=request(stream=True)) as response:
            async for _ in response.aiter_bytes():
                pass
    lost = span(
        attributes={
            **CANCELLED,
            "error.type": "connection",
            "otel_llm.error.message": "connection reset",
            "exception.type": f"{hx.__name__}.ReadError",
        },
        without=("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        status="ERROR",
    )
    assert captured.shape(without=WITHOUT) == [lost, lost]


async def test_exceptions_of_the_transport_pass_unchanged(hx: Any, captured: testing.Captured) -> None:
    boom = hx.ConnectTimeout("took too long")

    def fail(_request: Any) -> Any:
        raise boom

    with pytest.raises(hx.ConnectTimeout) as caught:
        hx.Client(transport=hx.MockTransport(fail)).post(URL, json=request())
    assert caught.value is boom
    (seen,) = captured.shape(without=WITHOUT)
    assert seen["status"] == "ERROR"
    assert seen["attributes"]["error.type"] == "timeout"
    assert seen["attributes"]["exception.type"] == f"{hx.__name__}.ConnectTimeout"


async def test_a_cancelled_task_ends_its_span(hx: Any, captured: testing.Captured) -> None:
    async def never(_request: Any) -> Any:
        await asyncio.sleep(60)

    client = hx.AsyncClient(transport=hx.MockTransport(never))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.post(URL, json=request()), 0.05)
    (seen,) = captured.shape(without=WITHOUT)
    assert seen["attributes"]["error.type"] == "cancelled"
    assert seen["status"] == "ERROR"


def test_what_is_no_llm_call_passes_untouched_and_unseen(hx: Any, captured: testing.Captured) -> None:
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request)
        return hx.Response(200, json={"fine": True})

    client = hx.Client(transport=hx.MockTransport(answer))
    client.get("https://api.openai.com/v1/models")
    client.post("https://example.com/v1/orders", json={"model": "T-shirt", "messages": []})
    client.post("https://example.com/generate", json={"report": 1})
    client.post(URL, content=iter([b"{", b"}"]))  # a streamed upload is never consumed by us
    assert [r.method for r in seen] == ["GET", "POST", "POST", "POST"]
    assert all("traceparent" not in r.headers for r in seen)
    assert [s["name"] for s in captured.shape()] in ([], ["chat"])


def test_a_body_that_was_compressed_is_understood(hx: Any, captured: testing.Captured) -> None:
    packed = gzip.compress(json.dumps(ANSWER).encode())
    sync, _ = clients(
        hx, content=packed, headers={"content-encoding": "gzip", "content-type": "application/json"}
    )
    assert sync.post(URL, json=request()).json() == ANSWER
    assert captured.shape(without=WITHOUT) == [span()]


def test_a_compressed_body_that_is_read_raw_says_that_it_shows_nothing(
    hx: Any, captured: testing.Captured
) -> None:
    packed = gzip.compress(b"".join(events()))
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    sync, _ = clients(hx, stream=streams(hx, [packed[:20], packed[20:]]), headers=headers)
    with sync.stream("POST", URL, json=request(stream=True)) as response:
        assert b"".join(response.iter_raw()) == packed
    (seen,) = captured.shape(without=WITHOUT)
    assert seen["attributes"]["otel_llm.content_unavailable"] is True
    assert seen["status"] == "UNSET"


def test_traceparent_goes_to_near_and_allowed_hosts_only_and_is_gone_afterwards(hx: Any) -> None:
    sent: dict[str, Any] = {}

    def answer(request: Any) -> Any:
        sent[request.url.host] = dict(request.headers)
        return hx.Response(200, json=ANSWER)

    hosts = ["127.0.0.1", "10.1.2.3", "vllm", "api.openai.com", "llm.example.com", "other.example.org"]
    with testing.capture(propagate_hosts=["*.example.com"]) as captured:
        client = hx.Client(transport=hx.MockTransport(answer))
        for host in hosts:
            request_ = client.build_request("POST", f"https://{host}/v1/chat/completions", json=request())
            before = list(request_.headers.raw)
            client.send(request_)
            assert list(request_.headers.raw) == before
    ids = {s.attributes["server.address"]: s.context for s in captured.spans()}
    for host in ("127.0.0.1", "10.1.2.3", "vllm", "llm.example.com"):
        context = ids[host]
        assert sent[host]["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
    for host in ("api.openai.com", "other.example.org"):
        assert "traceparent" not in sent[host]


def test_a_traceparent_of_the_program_stays(hx: Any, captured: testing.Captured) -> None:
    sent: list[str] = []

    def answer(request: Any) -> Any:
        sent.append(request.headers["traceparent"])
        return hx.Response(200, json=ANSWER)

    own = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    client = hx.Client(transport=hx.MockTransport(answer))
    client.post("http://localhost/v1/chat/completions", json=request(), headers={"Traceparent": own})
    assert sent == [own]


def test_retries_are_spans_of_their_own_linked_to_the_attempt_before(
    hx: Any, captured: testing.Captured
) -> None:
    statuses = iter([503, 429, 200, 200])

    def answer(_request: Any) -> Any:
        status = next(statuses)
        return hx.Response(status, json=ANSWER if status == 200 else {"error": {"message": "try again"}})

    client = hx.Client(transport=hx.MockTransport(answer))
    for _ in range(4):
        client.post(URL, json=request())
    spans = sorted(captured.spans(), key=lambda s: s.start_time)
    assert [s.attributes.get("http.request.resend_count") for s in spans] == [None, 1, 2, None]
    assert [s.attributes.get("error.type") for s in spans] == ["overloaded", "rate_limit", None, None]
    assert [[link.context.span_id for link in s.links] for s in spans] == [
        [],
        [spans[0].context.span_id],
        [spans[1].context.span_id],
        [],
    ]
    assert dict(spans[1].links[0].attributes) == {"otel_llm.link": "retry_of"}


async def test_retries_are_never_linked_across_concurrent_calls(hx: Any, captured: testing.Captured) -> None:
    failures = {"a": 1, "b": 1}

    async def answer(request: Any) -> Any:
        await asyncio.sleep(0.01)
        user = json.loads(request.content)["user"]
        failures[user] -= 1
        return hx.Response(503 if failures[user] >= 0 else 200, json=ANSWER)

    client = hx.AsyncClient(transport=hx.MockTransport(answer))

    async def with_retry(user: str) -> None:
        for _ in range(2):
            await client.post(URL, json=request(user=user))

    await asyncio.gather(with_retry("a"), with_retry("b"))
    # A failure in this task, and then tasks that inherit its context: they retry nothing.
    failures["c"] = 1
    await client.post(URL, json=request(user="c"))
    await asyncio.gather(client.post(URL, json=request(user="c")), client.post(URL, json=request(user="c")))
    spans = captured.spans()
    linked = [s for s in spans if s.links]
    assert len(spans) == 7
    assert len(linked) == 2
    assert len({s.links[0].context.span_id for s in linked}) == 2
    assert all(s.attributes["http.request.resend_count"] == 1 for s in linked)


def test_threads_and_subclasses_and_clients_made_before_are_seen(hx: Any) -> None:
    class Sub(hx.Client):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            return super().send(*args, **kwargs)

    client = Sub(transport=hx.MockTransport(lambda _: hx.Response(200, json=ANSWER)))
    with testing.capture(content="none", metrics=False) as captured:
        threads = [
            threading.Thread(target=client.post, args=(URL,), kwargs={"json": request()}) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert captured.shape(without=WITHOUT) == [span()] * 8
    client.post(URL, json=request())
    assert len(captured.exporter.get_finished_spans()) == 8  # nothing is seen any more


def test_a_response_can_be_pickled_and_headers_are_as_they_were(hx: Any, captured: testing.Captured) -> None:
    sync, _ = clients(hx, stream=streams(hx, events()))
    response = sync.send(sync.build_request("POST", URL, json=request(stream=True)), stream=True)
    response.read()
    assert pickle.loads(pickle.dumps(response)).content == b"".join(events())
    assert captured.shape(without=WITHOUT) == [span(attributes={"gen_ai.request.stream": True})]


def test_everything_is_put_back(hx: Any) -> None:
    names = [
        (hx.Client, "send"),
        (hx.AsyncClient, "send"),
        (hx.Response, "iter_bytes"),
        (hx.Response, "aclose"),
        (hx.Client, "_redirect_headers"),
    ]
    before = [owner.__dict__.get(name) for owner, name in names]
    with testing.capture():
        assert not any(owner.__dict__[name] is was for (owner, name), was in zip(names, before, strict=True))
    assert [owner.__dict__.get(name) for owner, name in names] == before
    assert "_redirect_headers" not in hx.Client.__dict__  # it is inherited


def test_a_hook_that_breaks_breaks_nothing(hx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of our own steps fails on purpose; the program must not notice."""
    from otel_llm import calls, drops, recording
    from otel_llm.attributes import Describer
    from otel_llm_http import capture

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken on purpose")

    module = importlib.import_module("otel_llm_http.clients._httpx")
    for owner, name in (
        (module, "begin"),
        (module, "recognise"),
        (capture.Exchange, "enter"),
        (capture.Exchange, "responded"),
        (recording.Recorder, "begin"),
        (calls.CallRecord, "end"),
        (calls.CallRecord, "feed"),
        (Describer, "attributes"),
    ):
        with testing.capture(metrics=False) as captured, monkeypatch.context() as patched:
            patched.setattr(owner, name, broken)
            sync, _ = clients(hx, json=ANSWER)
            assert sync.post(URL, json=request()).json() == ANSWER, name
            sync, _ = clients(hx, stream=streams(hx, events()))
            with sync.stream("POST", URL, json=request(stream=True)) as response:
                assert list(response.iter_bytes()) == events(), name
            failing = hx.Client(transport=hx.MockTransport(broken))
            with pytest.raises(RuntimeError, match="broken on purpose"):
                failing.post(URL, json=request())
            captured.spans()
        assert any(what == "internal_error" for what, _ in drops.counts()), name
        drops.reset()


def test_a_redaction_that_asks_a_model_is_not_recorded_itself(hx: Any) -> None:
    judge = hx.Client(transport=hx.MockTransport(lambda _: hx.Response(200, json=ANSWER)))

    def redact(text: str) -> str:
        judge.post(URL, json=request())
        return text

    with testing.capture(content="full", metrics=False, redact=redact) as captured:
        sync, _ = clients(hx, json=ANSWER)
        sync.post(URL, json=request())
        assert len(captured.spans()) == 1
