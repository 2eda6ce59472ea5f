"""How the server behaves: plans, connections, what it remembers."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import httpx
import pytest

from otel_llm.loopback import LoopbackServer, Reply, plans

ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"


def body(text: str = "Hello there.", **more: object) -> dict:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def events(text: str) -> list:
    return [json.loads(x[6:]) for x in text.split("\n\n") if x.startswith("data: ") and x != "data: [DONE]"]


@pytest.fixture
def server():
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=5) as client:
        yield client


def test_it_remembers_what_it_saw_and_what_it_answered(server, client):
    answer = client.post(CHAT + "?x=1", json=body(), headers={"X-Mine": "yes"}).json()
    (request,) = server.requests
    assert (request.number, request.method, request.host, request.path, request.query) == (
        1, "POST", "127.0.0.1", CHAT, "x=1",
    )  # fmt: skip
    assert request.headers["x-mine"] == "yes"
    assert request.json == body()
    assert request.protocol == "openai.chat"
    sent = request.sent
    assert (sent.status, sent.stream, sent.complete, sent.error) == (200, False, True, None)
    assert (sent.id, sent.model, sent.finish_reasons) == (answer["id"], answer["model"], ("stop",))
    assert (sent.usage.input, sent.usage.output) == (
        answer["usage"]["prompt_tokens"],
        answer["usage"]["completion_tokens"],
    )


def test_plans_are_carried_out_in_order_and_then_it_answers_as_usual(server, client):
    server.script(
        plans.rate_limited(0.25), plans.overloaded(), plans.server_error(), plans.answer("At last.")
    )
    answers = [client.post(CHAT, json=body()) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [429, 503, 500, 200, 200]
    assert answers[0].headers["retry-after"] == "0.25"
    assert answers[3].json()["choices"][0]["message"]["content"] == "At last."
    assert [request.sent.error for request in server.requests] == [
        "rate_limit", "overloaded", "server_error", None, None,
    ]  # fmt: skip


def test_a_plan_for_a_path_waits_for_that_path(server, client):
    server.script(plans.unauthorized(), path="/embeddings")
    assert client.post(CHAT, json=body()).status_code == 200
    assert client.post("/v1/embeddings", json={"model": "m", "input": "x"}).status_code == 401
    assert client.post("/v1/embeddings", json={"model": "m", "input": "x"}).status_code == 200


@pytest.mark.parametrize(
    ("plan", "status", "code"),
    [
        (plans.unauthorized(), 401, "invalid_api_key"),
        (plans.context_length(), 400, "context_length_exceeded"),
        (plans.content_filter(), 400, "content_filter"),
    ],
)
def test_failures_come_in_the_providers_words(server, client, plan, status, code):
    server.script(plan)
    answer = client.post(CHAT, json=body())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_callback_supplies_the_words_and_may_leave_it_to_the_server():
    def reply(ask):
        return Reply(f"{ask.model} heard {ask.last}") if "army" in ask.last else None

    with LoopbackServer(reply=reply) as server, httpx.Client(base_url=server.url) as client:
        told = client.post(CHAT, json=body("the army")).json()["choices"][0]["message"]["content"]
        left = client.post(CHAT, json=body("the fleet")).json()["choices"][0]["message"]["content"]
    assert told == "gpt-4o-mini heard the army"
    assert left.startswith('You said "the fleet".')


def test_a_callback_that_fails_is_a_500_that_names_the_error_and_the_server_lives_on():
    def reply(ask):
        raise LookupError("no such line")

    with LoopbackServer(reply=reply) as server, httpx.Client(base_url=server.url) as client:
        answer = client.post(CHAT, json=body())
        assert (answer.status_code, "LookupError: no such line" in answer.text) == (500, True)
        assert client.get("/v1/models").status_code == 500  # asked for every answer
        assert server.served == 2


def test_a_stream_has_as_many_pieces_as_planned_with_the_time_between_them(server, client):
    server.script(plans.stream(5, delay=0.02))
    with client.stream("POST", CHAT, json=body(stream=True)) as answer:
        text = answer.read().decode()
    deltas = [event["choices"][0]["delta"].get("content") for event in events(text)]
    assert len([delta for delta in deltas if delta]) == 5
    assert answer.elapsed.total_seconds() >= 0.1
    assert text.endswith("data: [DONE]\n\n")


def test_a_stream_of_many_pieces_is_drawn_out(server, client):
    server.script(plans.stream(200))
    deltas = events(client.post(CHAT, json=body(stream=True)).text)
    assert len([d for d in deltas if d["choices"][0]["delta"].get("content")]) == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("stream", [False, True])
def test_bodies_are_compressed_as_planned_and_say_the_same(server, client, encoding, stream):
    plain = client.post(CHAT, json=body(stream=stream)).text
    server.script(plans.answer().compressed(encoding).split(7))
    answer = client.post(CHAT, json=body(stream=stream))
    assert answer.headers["content-encoding"] == encoding
    assert answer.text.replace("02", "01") == plain.replace("02", "01")  # the ids are numbered


def test_a_split_body_arrives_in_small_pieces(server, client):
    server.script(plans.answer("héllo").split(3))
    with client.stream("POST", CHAT, json=body(stream=True)) as answer:
        pieces = list(answer.iter_raw())
    assert max(map(len, pieces)) <= 3
    assert "héllo" in json.dumps(events(b"".join(pieces).decode()), ensure_ascii=False)


@pytest.mark.parametrize("after", [0, 3])
def test_a_hanging_stream_sends_its_frames_and_then_nothing(server, client, after):
    server.script(plans.hang(after))
    seen = b""
    with (
        pytest.raises(httpx.ReadTimeout),
        client.stream("POST", CHAT, json=body(stream=True), timeout=0.2) as answer,
    ):
        for piece in answer.iter_bytes():
            seen += piece
    assert seen.count(b"data: ") == after
    assert client.post(CHAT, json=body()).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_cuts_the_body(server, client, stream):
    server.script(plans.reset(2))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        client.post(CHAT, json=body(stream=stream))
    assert not server.requests[0].sent.complete


def test_an_error_can_be_told_inside_a_stream(server, client):
    server.script(plans.stream_error(2))
    told = events(client.post(CHAT, json=body(stream=True)).text)
    assert [next(iter(event)) for event in told] == ["id", "id", "error"]
    assert server.requests[0].sent.error == "overloaded"
    assert server.requests[0].sent.usage is None


def test_pages_and_broken_json_come_as_planned(server, client):
    server.script(plans.html(), plans.malformed())
    page, broken = client.post(CHAT, json=body()), client.post(CHAT, json=body())
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html; charset=utf-8")
    with pytest.raises(json.JSONDecodeError):
        broken.json()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"messages": 3}', b"\xff\xfe", b'{"messages": []}'])
def test_a_senseless_body_is_answered_and_kills_nothing(server, client, content):
    assert client.post(CHAT, content=content).status_code in {200, 500}
    assert client.post(CHAT, json=body()).status_code == 200


def test_an_unknown_path_is_a_404(server, client):
    assert client.get("/healthz").status_code == 404
    assert server.requests[0].protocol is None


def test_what_is_not_http_is_refused(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_client_that_wants_the_connection_closed_gets_its_answer_first(server, client):
    server.script(plans.answer("x " * 500_000))
    answer = client.post(CHAT, json=body(), headers={"Connection": "close"})
    assert len(answer.json()["choices"][0]["message"]["content"]) == 1_000_000


def test_a_chunked_request_body_is_put_together(server, client):
    content = json.dumps(body()).encode()
    client.post(CHAT, content=iter([content[:10], content[10:]]))
    assert server.requests[0].json == body()


def test_as_a_proxy_it_sees_the_host_that_was_meant(server):
    with httpx.Client(proxy=server.url) as client:
        answer = client.post("http://api.mistral.ai/v1/chat/completions", json=body())
    assert server.requests[0].host == "api.mistral.ai"
    assert answer.headers["mistral-correlation-id"]


def test_connections_are_kept_and_many_clients_are_served_at_once(server):
    def call():
        with httpx.Client(base_url=server.url) as client:
            for _ in range(5):
                assert client.post(CHAT, json=body()).status_code == 200

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.served == 40
    assert sorted(request.number for request in server.requests) == list(range(1, 41))


def test_it_keeps_as_many_requests_as_it_was_told_and_counts_all():
    with LoopbackServer(keep=3) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(5):
            client.post(CHAT, json=body())
        assert ([request.number for request in server.requests], server.served) == ([3, 4, 5], 5)
        server.clear()
        assert (server.requests, server.served) == ([], 0)


def test_it_stops_with_clients_still_connected_and_can_be_started_again():
    server = LoopbackServer()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    with server, httpx.Client(base_url=server.url) as client:
        client.post(CHAT, json=body())
        server.script(plans.hang())
        with contextlib.suppress(httpx.ReadTimeout):
            client.post(CHAT, json=body(), timeout=0.1)
        server.stop()
        with pytest.raises(httpx.TransportError):
            client.post(CHAT, json=body())
    with server:
        assert httpx.post(server.url + CHAT, json=body()).status_code == 200


def test_a_taken_port_is_an_error_of_the_caller(server):
    with pytest.raises(OSError, match="in use"):
        LoopbackServer(port=int(server.url.rsplit(":", 1)[1])).start()


def test_it_runs_by_itself_and_says_where():
    command = [sys.executable, "-m", "otel_llm.loopback"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/v1/models", timeout=5) as answer:
                assert answer.status == 200
        finally:
            process.terminate()


def test_it_imports_no_more_than_the_standard_library():
    code = (
        "import sys, importlib.abc; import otel_llm; before = set(sys.modules); import otel_llm.loopback;"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(sorted(new))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.strip() in {"['otel_llm']", "[]"}
