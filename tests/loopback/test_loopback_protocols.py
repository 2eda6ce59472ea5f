"""Each provider's own shapes: answers and streams that say the same, tools, formats, thinking, caches."""

import base64
import json
import struct

import httpx
import pytest

from otel_llm.loopback import LoopbackServer, Reply, ToolCall, plans

SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}
SAID = Reply("Hold the line, please.", (ToolCall("look", {"place": "Rome"}),), "Let me see.")


@pytest.fixture
def server():
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=5) as client:
        yield client


def sse(text: str) -> list:
    lines = (line for line in text.splitlines() if line.startswith("data: "))
    return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]


def ndjson(text: str) -> list:
    return [json.loads(line) for line in text.splitlines()]


def openai_chat(told: list) -> tuple:
    deltas = [event["choices"][0]["delta"] for event in told if event["choices"]]
    text = "".join(delta.get("content") or "" for delta in deltas)
    thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    arguments = "".join(call["function"]["arguments"] for call in calls)
    usage = next(event["usage"] for event in told if event.get("usage"))
    return text, calls[0]["function"]["name"], json.loads(arguments), thought, usage["prompt_tokens"], usage["completion_tokens"]  # fmt: skip


def openai_responses(told: list) -> tuple:
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    text = "".join(e["delta"] for e in told if e["type"] == "response.output_text.delta")
    arguments = "".join(e["delta"] for e in told if e["type"] == "response.function_call_arguments.delta")
    whole = told[-1]["response"]
    thought, message, call = whole["output"]
    assert (message["content"][0]["text"], call["arguments"]) == (text, arguments)
    usage = whole["usage"]
    return text, call["name"], json.loads(arguments), thought["summary"][0]["text"], usage["input_tokens"], usage["output_tokens"]  # fmt: skip


def anthropic(told: list) -> tuple:
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]

    def joined(kind: str) -> str:
        return "".join(delta.get(kind, "") for delta in deltas)

    name = next(
        e["content_block"]["name"] for e in told if e.get("content_block", {}).get("type") == "tool_use"
    )
    started, ended = told[0]["message"]["usage"], told[-2]["usage"]
    assert told[-1]["type"] == "message_stop"
    return joined("text"), name, json.loads(joined("partial_json")), joined("thinking"), started["input_tokens"], ended["output_tokens"]  # fmt: skip


def gemini(told: list) -> tuple:
    parts = [part for event in told for part in event["candidates"][0]["content"]["parts"]]
    call = next(part["functionCall"] for part in parts if "functionCall" in part)
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    thought = "".join(part["text"] for part in parts if part.get("thought"))
    usage = told[-1]["usageMetadata"]
    assert told[-1]["candidates"][0]["finishReason"] == "STOP"
    output = usage["candidatesTokenCount"] + usage["thoughtsTokenCount"]
    return text, call["name"], call["args"], thought, usage["promptTokenCount"], output


def cohere(told: list) -> tuple:
    def deltas(kind: str) -> list:
        return [event["delta"]["message"] for event in told if event["type"] == kind]

    contents = [delta["content"] for delta in deltas("content-delta")]
    name = deltas("tool-call-start")[0]["tool_calls"]["function"]["name"]
    arguments = deltas("tool-call-delta")[0]["tool_calls"]["function"]["arguments"]
    usage = told[-1]["delta"]["usage"]["tokens"]
    text = "".join(content.get("text", "") for content in contents)
    thought = "".join(content.get("thinking", "") for content in contents)
    return text, name, json.loads(arguments), thought, usage["input_tokens"], usage["output_tokens"]


def cohere_v1(told: list) -> tuple:
    text = "".join(event.get("text", "") for event in told)
    end = told[-1]["response"]
    assert end["text"] == text
    call, usage = end["tool_calls"][0], end["meta"]["tokens"]
    return (
        text,
        call["name"],
        call["parameters"],
        SAID.reasoning,
        usage["input_tokens"],
        usage["output_tokens"],
    )


def ollama(told: list) -> tuple:
    messages = [event["message"] for event in told]
    call = next(m["tool_calls"][0]["function"] for m in messages if "tool_calls" in m)
    text = "".join(m["content"] for m in messages)
    thought = "".join(m.get("thinking", "") for m in messages)
    return (
        text,
        call["name"],
        call["arguments"],
        thought,
        told[-1]["prompt_eval_count"],
        told[-1]["eval_count"],
    )


USER = [{"role": "user", "content": "Look around."}]
STREAMS = {
    "openai": (
        "/v1/chat/completions", {"messages": USER, "stream": True, "stream_options": {"include_usage": True}},
        sse, lambda told: (*openai_chat(told)[:3], SAID.reasoning, *openai_chat(told)[4:]),
    ),
    "deepseek": ("/deepseek/chat/completions", {"messages": USER, "stream": True}, sse, openai_chat),
    "responses": ("/v1/responses", {"input": "Look around.", "stream": True}, sse, openai_responses),
    "anthropic": ("/v1/messages", {"messages": USER, "max_tokens": 99, "stream": True}, sse, anthropic),
    "gemini": (
        "/v1beta/models/g:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Look around."}]}]}, sse, gemini,
    ),
    "gemini array": (
        "/v1beta/models/g:streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Look around."}]}]}, json.loads, gemini,
    ),
    "cohere": ("/v2/chat", {"messages": USER, "stream": True}, sse, cohere),
    "cohere v1": ("/v1/chat", {"message": "Look around.", "stream": True}, ndjson, cohere_v1),
    "ollama": ("/api/chat", {"messages": USER}, ndjson, ollama),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_carries_text_thinking_tool_calls_and_counts(server, client, name):
    path, body, split, read = STREAMS[name]
    server.script(plans.answer(SAID))
    answer = client.post(path, json={"model": "m", **body})
    usage = server.requests[0].sent.usage
    assert read(split(answer.text)) == (
        SAID.text, "look", {"place": "Rome"}, SAID.reasoning, usage.input, usage.output,
    )  # fmt: skip
    assert usage.input == 2 + 1 + 3
    assert server.requests[0].sent.tool_calls == ("look",)


ANSWERS = {
    "/v1/chat/completions": (
        {"messages": USER},
        lambda a: (a["choices"][0]["message"]["content"], a["choices"][0]["finish_reason"], a["usage"]["prompt_tokens"], a["usage"]["completion_tokens"]),
        "stop", "length",
    ),
    "/v1/completions": (
        {"prompt": "Look around."},
        lambda a: (a["choices"][0]["text"], a["choices"][0]["finish_reason"], a["usage"]["prompt_tokens"], a["usage"]["completion_tokens"]),
        "stop", "length",
    ),
    "/v1/messages": (
        {"messages": USER},
        lambda a: (a["content"][0]["text"], a["stop_reason"], a["usage"]["input_tokens"], a["usage"]["output_tokens"]),
        "end_turn", "max_tokens",
    ),
    "/v2/chat": (
        {"messages": USER},
        lambda a: (a["message"]["content"][0]["text"], a["finish_reason"], a["usage"]["tokens"]["input_tokens"], a["usage"]["tokens"]["output_tokens"]),
        "COMPLETE", "MAX_TOKENS",
    ),
    "/v1/chat": (
        {"message": "Look around."},
        lambda a: (a["text"], a["finish_reason"], a["meta"]["tokens"]["input_tokens"], a["meta"]["tokens"]["output_tokens"]),
        "COMPLETE", "MAX_TOKENS",
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", ANSWERS)
def test_an_answer_is_cut_at_max_tokens_and_says_why_it_ends(server, client, path):
    body, read, stop, length = ANSWERS[path]
    server.script(plans.answer("one two three"), plans.answer("one two three"))
    full = client.post(path, json={"model": "m", "max_tokens": 9, **body}).json()
    cut = client.post(path, json={"model": "m", "max_tokens": 2, **body}).json()
    assert read(full) == ("one two three", stop, 6, 3)
    assert read(cut) == ("one two", length, 6, 2)
    assert [request.sent.finish_reasons for request in server.requests] == [(stop,), (length,)]


def test_ollama_generates_from_a_prompt_and_honours_its_options(server, client):
    server.script(plans.answer("one two three"))
    body = {
        "model": "m",
        "prompt": "hi",
        "system": "be brief",
        "stream": False,
        "options": {"num_predict": 2},
    }
    answer = client.post("/api/generate", json=body).json()
    assert (answer["response"], answer["done_reason"], answer["done"]) == ("one two", "length", True)
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (9, 2)


@pytest.mark.parametrize("n", [1, 3])
def test_openai_gives_as_many_choices_as_asked_for(server, client, n):
    server.script(plans.answer("one two"))
    answer = client.post("/v1/chat/completions", json={"model": "m", "messages": USER, "n": n}).json()
    assert [choice["index"] for choice in answer["choices"]] == list(range(n))
    assert answer["usage"]["completion_tokens"] == 2 * n
    assert server.requests[0].sent.finish_reasons == ("stop",) * n


TOOL = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
TOOL_ROUNDS = {
    "openai": (
        "/v1/chat/completions",
        {"messages": USER, "tools": [{"type": "function", "function": TOOL}]},
        {"messages": [*USER, {"role": "tool", "tool_call_id": "c", "content": "Sunny."}], "tools": [{"type": "function", "function": TOOL}]},
    ),
    "responses": (
        "/v1/responses",
        {"input": "Look.", "tools": [{"type": "function", **TOOL}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "Sunny."}], "tools": [{"type": "function", **TOOL}]},
    ),
    "anthropic": (
        "/v1/messages",
        {"messages": USER, "tools": [{"name": "look", "input_schema": SCHEMA}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "Sunny."}]}], "tools": [{"name": "look", "input_schema": SCHEMA}]},
    ),
    "gemini": (
        "/v1beta/models/g:generateContent",
        {"contents": [{"parts": [{"text": "Look."}]}], "tools": [{"functionDeclarations": [TOOL]}]},
        {"contents": [{"parts": [{"functionResponse": {"name": "look", "response": {"r": 1}}}]}], "tools": [{"functionDeclarations": [TOOL]}]},
    ),
    "cohere": (
        "/v2/chat",
        {"messages": USER, "tools": [{"type": "function", "function": TOOL}]},
        {"messages": [*USER, {"role": "tool", "tool_call_id": "c", "content": "Sunny."}], "tools": [{"type": "function", "function": TOOL}]},
    ),
    "cohere v1": (
        "/v1/chat",
        {"message": "Look.", "tools": [{"name": "look", "parameter_definitions": {"place": {"type": "str"}}}]},
        {"message": "Look.", "tools": [{"name": "look"}], "tool_results": [{"call": {}, "outputs": [{"r": 1}]}]},
    ),
    "ollama": (
        "/api/chat",
        {"messages": USER, "stream": False, "tools": [{"type": "function", "function": TOOL}]},
        {"messages": [*USER, {"role": "tool", "content": "Sunny."}], "stream": False, "tools": [{"type": "function", "function": TOOL}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOL_ROUNDS)
def test_a_tool_that_is_offered_is_called_and_its_result_is_answered_in_words(server, client, name):
    path, offered, answered = TOOL_ROUNDS[name]
    assert client.post(path, json={"model": "m", **offered}).status_code == 200
    assert client.post(path, json={"model": "m", **answered}).status_code == 200
    assert [request.sent.tool_calls for request in server.requests] == [("look",), ()]


CONTENTS = [{"parts": [{"text": "Look around."}]}]
FORMATS = {
    "/v1/chat/completions": (
        {"messages": USER, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
        lambda a: a["choices"][0]["message"]["content"],
    ),
    "/v1/responses": (
        {"input": "Look around.", "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}},
        lambda a: a["output"][0]["content"][0]["text"],
    ),
    "/v1/messages": (
        {"messages": USER, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        lambda a: a["content"][0]["text"],
    ),
    "/v1beta/models/g:generateContent": (
        {"contents": CONTENTS, "generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", "properties": {"place": {"type": "STRING"}}}}},
        lambda a: a["candidates"][0]["content"]["parts"][0]["text"],
    ),
    "/v2/chat": (
        {"messages": USER, "response_format": {"type": "json_object", "json_schema": SCHEMA}},
        lambda a: a["message"]["content"][0]["text"],
    ),
    "/api/chat": ({"messages": USER, "format": SCHEMA, "stream": False}, lambda a: a["message"]["content"]),
}  # fmt: skip


@pytest.mark.parametrize("path", FORMATS)
def test_an_answer_follows_the_schema_that_was_asked_for(client, path):
    body, read = FORMATS[path]
    answer = client.post(path, json={"model": "m", **body}).json()
    assert json.loads(read(answer)) == {"place": "Look around."}


def test_anthropic_counts_what_a_cache_took_and_served_beside_the_input(server, client):
    system = [{"type": "text", "text": "one two three", "cache_control": {"type": "ephemeral"}}]
    body = {"model": "m", "system": system, "messages": USER, "max_tokens": 9}
    first, second = (client.post("/v1/messages", json=body).json()["usage"] for _ in range(2))
    assert (
        first["input_tokens"],
        first["cache_creation_input_tokens"],
        first["cache_read_input_tokens"],
    ) == (9, 3, 0)
    assert (second["input_tokens"], second["cache_creation_input_tokens"], second["cache_read_input_tokens"]) == (9, 0, 3)  # fmt: skip
    assert [request.sent.usage.input for request in server.requests] == [12, 12]


def test_openai_tells_cached_tokens_from_the_second_time_on(client):
    body = {
        "model": "m",
        "prompt_cache_key": "k",
        "messages": [{"role": "system", "content": "a b c d"}, *USER],
    }
    answers = [client.post("/v1/chat/completions", json=body).json()["usage"] for _ in range(2)]
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in answers] == [0, 4]


def test_openai_tells_reasoning_tokens_where_reasoning_was_asked_for(client):
    body = {"model": "o4-mini", "reasoning_effort": "low", "messages": USER}
    usage = client.post("/v1/chat/completions", json=body).json()["usage"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


def test_openai_streams_tell_counts_only_where_they_were_asked_for(server, client):
    text = client.post("/v1/chat/completions", json={"model": "m", "messages": USER, "stream": True}).text
    assert '"usage"' not in text
    assert server.requests[0].sent.usage is None


def test_groq_tells_counts_unasked_and_in_its_own_place(server, client):
    body = {"model": "m", "messages": USER, "stream": True}
    told = sse(client.post("/groq/openai/v1/chat/completions", json=body).text)
    assert told[-1]["x_groq"]["usage"]["prompt_tokens"] == server.requests[0].sent.usage.input


def test_embeddings_come_as_floats_or_packed(server, client):
    body = {"model": "m", "input": ["one two", "three"], "dimensions": 4}
    plain = client.post("/v1/embeddings", json=body).json()
    packed = client.post("/v1/embeddings", json={**body, "encoding_format": "base64"}).json()
    for one, other in zip(plain["data"], packed["data"], strict=True):
        floats = struct.unpack("<4f", base64.b64decode(other["embedding"]))
        assert floats == pytest.approx(one["embedding"], abs=1e-6)
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


@pytest.mark.parametrize(
    ("path", "body", "read"),
    [
        (
            "/v1beta/models/e:embedContent",
            {"content": {"parts": [{"text": "x"}]}},
            lambda a: a["embedding"]["values"],
        ),
        (
            "/v1beta/models/e:batchEmbedContents",
            {"requests": [{"content": {"parts": [{"text": "x"}]}}]},
            lambda a: a["embeddings"][0]["values"],
        ),
        (
            "/v1/projects/p/locations/l/publishers/google/models/e:predict",
            {"instances": [{"content": "x"}]},
            lambda a: a["predictions"][0]["embeddings"]["values"],
        ),
        ("/v1/embed", {"model": "e", "texts": ["x"]}, lambda a: a["embeddings"][0]),
        ("/v2/embed", {"model": "e", "texts": ["x"]}, lambda a: a["embeddings"]["float"][0]),
        ("/api/embed", {"model": "e", "input": "x"}, lambda a: a["embeddings"][0]),
    ],
)
def test_every_provider_embeds_a_text_in_the_same_vector(server, client, path, body, read):
    assert (
        read(client.post(path, json=body).json())
        == client.post("/v1/embeddings", json={"model": "e", "input": "x"}).json()["data"][0]["embedding"]
    )
    assert server.requests[0].sent.finish_reasons == ()


def test_gemini_blocks_a_prompt_with_an_answer_that_has_no_candidates(server, client):
    server.script(plans.content_filter())
    answer = client.post("/v1beta/models/g:generateContent", json={"contents": [{"parts": [{"text": "x"}]}]})
    assert answer.status_code == 200
    assert answer.json()["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in answer.json()
    assert server.requests[0].sent.error == "content_filter"


@pytest.mark.parametrize(
    ("path", "body", "status", "where"),
    [
        ("/v1/messages", {"messages": USER}, 529, ("error", "type")),
        ("/v1beta/models/g:generateContent", {"contents": [{"parts": []}]}, 503, ("error", "status")),
        ("/v2/chat", {"messages": USER}, 503, ("message",)),
        ("/api/chat", {"messages": USER}, 503, ("error",)),
        ("/mistral/v1/chat/completions", {"messages": USER}, 503, ("code",)),
    ],
)
def test_every_provider_is_overloaded_in_its_own_way(server, client, path, body, status, where):
    server.script(plans.overloaded(retry_after=2))
    answer = client.post(path, json={"model": "m", **body})
    told = answer.json()
    for key in where:
        told = told[key]
    assert (answer.status_code, answer.headers["retry-after"], isinstance(told, str)) == (status, "2", True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages/count_tokens", {"messages": USER}),
        ("/v1beta/models/g:countTokens", {"contents": [{"parts": [{"text": "x"}]}]}),
    ],
)
def test_counting_tokens_is_no_model_call(server, client, path, body):
    assert client.post(path, json=body).status_code == 200
    assert (server.requests[0].sent.usage, server.requests[0].sent.finish_reasons) == (None, ())


def test_a_stored_response_can_be_fetched(client):
    answer = client.get("/v1/responses/resp_42").json()
    assert (answer["id"], answer["status"]) == ("resp_42", "completed")
