"""A real Jaeger receives what a program's model calls left, and its query API gives it back whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from processes import OTEL_LLM_RUN, Jaeger, RunProgram
from received import CLIENT, ERROR, INTERNAL, UNSET, Received, eventually

from otel_llm.loopback import LoopbackServer, Reply, ToolCall, plans

pytestmark = pytest.mark.jaeger

# Every kind of call that the GenAI view draws, under a span of the program's own.
STORY = """
import contextlib, json, os, sys

import openai
import requests
from opentelemetry import trace

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
url = sys.argv[1]
gpt = openai.OpenAI(base_url=f"{url}/v1", api_key="no-key")

with trace.get_tracer("program").start_as_current_span("story") as story:
    tools = [{"type": "function", "function": {"name": "weather", "description": "Now.", "parameters": WEATHER}}]
    messages = [{"role": "user", "content": "Is it raining in Vienna?"}]
    asked = gpt.chat.completions.create(model="gpt-5", messages=messages, tools=tools, temperature=0.5, max_tokens=99)
    message = asked.choices[0].message
    [call] = message.tool_calls
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "12 degrees, rain"},
    ]
    stream = gpt.chat.completions.create(
        model="gpt-5", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    gpt.responses.create(
        model="gpt-5", instructions="Be brief.", input="Why does it rain?", reasoning={"effort": "low"}
    )
    for _ in range(2):  # the first writes the provider's cache, the second reads it
        claude = {"model": "claude-next", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello."}]}
        claude["system"] = [{"type": "text", "text": "Know all this. " * 9, "cache_control": {"type": "ephemeral"}}]
        requests.post(f"{url}/v1/messages", json=claude, headers={"x-api-key": "no-key"}).raise_for_status()
    gpt.embeddings.create(model="text-embedding-3-small", input=["rain", "sun"])
    gpt.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Once more?"}])
    with contextlib.suppress(openai.AuthenticationError):
        gpt.chat.completions.create(model="gpt-5-nano", messages=[{"role": "user", "content": "May I?"}])

print(json.dumps({"trace_id": f"{story.get_span_context().trace_id:032x}", "said": said}))
"""

INSTRUMENTED = """
import otel_llm
otel_llm.instrument(content="full", service_name="{service}")
"""

CALLS = [
    "chat gpt-5",
    "chat gpt-5",
    "chat gpt-5",
    "chat claude-next",
    "chat claude-next",
    "embeddings text-embedding-3-small",
    "chat gpt-5-mini",
    "chat gpt-5-mini",
    "chat gpt-5-nano",
]


class Told:
    """The story as Jaeger tells it: the root, the calls in the order in which the server saw them, and that server."""

    def __init__(self, root: Received, calls: list[Received], server: LoopbackServer, said: str) -> None:
        self.root = root
        self.calls = calls
        self.server = server
        self.said = said
        self.tool, self.stream, self.reasoning, self.first, self.second = calls[:5]
        self.embedding, self.limited, self.retry, self.refused = calls[5:]


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def told(
    request: pytest.FixtureRequest, jaeger: Jaeger, server: LoopbackServer, run_program: RunProgram
) -> Told:
    """Runs the story, over HTTP started by `otel-llm run`, over gRPC with one line of code and the older names."""
    protocol = request.param
    service = "story-over-" + protocol.partition("/")[0]
    server.clear()
    server.script(
        plans.answer(Reply(tool_calls=(ToolCall("weather", {"city": "Vienna"}),))),
        plans.stream(20, delay=0.002),
        plans.answer(Reply("Clouds cool.", reasoning="Think of clouds, then of heat.")),
        plans.answer("Hello to you."),
        plans.answer("Hello again."),
        plans.answer(),
        plans.rate_limited(0.01),
        plans.answer("Then it worked."),
        plans.unauthorized(),
    )
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp[protocol], "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    if protocol == "grpc":
        env["OTEL_LLM_SEMCONV"] = "1.41"
        printed = run_program(INSTRUMENTED.format(service=service) + STORY, server.url, env=env)
    else:
        env |= {"OTEL_LLM_CONTENT": "full", "OTEL_SERVICE_NAME": service}
        printed = run_program(STORY, server.url, by=OTEL_LLM_RUN, env=env)
    spans = whole_trace(jaeger, printed["trace_id"], 1 + len(CALLS))
    by_id = {span.span_id: span for span in spans}
    # Which span belongs to which request is what the request itself said: its traceparent.
    sent = [seen.headers["traceparent"].split("-")[1:3] for seen in server.requests]
    assert {trace_id for trace_id, _ in sent} == {printed["trace_id"]}
    [root] = [span for span in spans if not span.parent_id]
    return Told(root, [by_id[span_id] for _, span_id in sent], server, printed["said"])


def whole_trace(jaeger: Jaeger, trace_id: str, size: int) -> list[Received]:
    """The trace when all of its spans are there, or what is there of it after a while."""
    eventually(lambda: len(jaeger.trace(trace_id)) >= size)
    spans = jaeger.trace(trace_id)
    assert len(spans) == size, [span.name for span in spans]
    return spans


def text(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}], **more}


def usage(span: Received) -> dict[str, int]:
    prefix = "gen_ai.usage."
    return {key.removeprefix(prefix): n for key, n in span.attributes.items() if key.startswith(prefix)}


def test_every_call_is_one_span_under_the_program_s_own_span(told: Told) -> None:
    assert [span.name for span in told.calls] == CALLS
    assert (told.root.name, told.root.kind, told.root.scope) == ("story", INTERNAL, "program")
    for span in told.calls:
        assert (span.kind, span.parent_id, span.trace_id) == (CLIENT, told.root.span_id, told.root.trace_id)
        assert told.root.start_ns <= span.start_ns < span.end_ns <= told.root.end_ns
    assert told.calls == sorted(told.calls, key=lambda span: span.start_ns)


def test_the_resource_names_the_service(told: Told, jaeger: Jaeger) -> None:
    assert {span.service for span in told.calls} == {told.root.service}
    assert told.root.service in jaeger.services()
    assert told.root.resource["telemetry.sdk.name"] == "opentelemetry"


def test_what_the_genai_view_reads_is_what_was_asked_and_answered(told: Told) -> None:
    for span, seen in zip(told.calls[:-1], told.server.requests, strict=False):
        if seen.sent.error:
            continue
        provider = "anthropic" if "/messages" in seen.path else "openai"
        assert span.attributes["gen_ai.operation.name"] == span.name.split()[0]
        assert span.attributes["gen_ai.provider.name"] == provider
        assert span.attributes["gen_ai.request.model"] == seen.json["model"] == span.name.split()[1]
        assert span.attributes["gen_ai.response.model"] == seen.sent.model
        assert span.attributes.get("gen_ai.response.id") == seen.sent.id
        assert span.attributes.get("gen_ai.response.finish_reasons", []) == list(seen.sent.finish_reasons)
        assert span.attributes["server.address"] == "127.0.0.1"
        assert span.attributes["server.port"] == int(told.server.url.rpartition(":")[2])
        assert span.attributes["http.response.status_code"] == 200
        assert span.status == UNSET
    asked = told.tool.attributes
    assert (asked["gen_ai.request.temperature"], asked["gen_ai.request.max_tokens"]) == (0.5, 99)


def test_tokens_are_those_that_the_provider_counted(told: Told) -> None:
    requests = told.server.requests
    write = (
        "cache_creation" if "grpc" in told.root.service else "cache_write"
    )  # by the dialect that was asked for
    for span, seen in zip(told.calls, requests, strict=True):
        if seen.sent.usage is None:
            assert usage(span) == {}
            continue
        counted = usage(span)
        assert counted["input_tokens"] == seen.sent.usage.input > 0
        assert counted.get("output_tokens", 0) == seen.sent.usage.output
        assert counted.get("reasoning.output_tokens", 0) == seen.sent.usage.reasoning
        assert counted.get("cache_read.input_tokens", 0) == seen.sent.usage.cache_read
        assert counted.get(f"{write}.input_tokens", 0) == seen.sent.usage.cache_write
    assert usage(told.reasoning)["reasoning.output_tokens"] > 0
    assert usage(told.first)[f"{write}.input_tokens"] > 0
    assert usage(told.second)["cache_read.input_tokens"] > 0


def test_messages_are_json_with_parts(told: Told) -> None:
    question = text("user", "Is it raining in Vienna?")
    call = {"type": "tool_call", "id": told.stream.messages("gen_ai.input.messages")[1]["parts"][0]["id"]}
    call |= {"name": "weather", "arguments": {"city": "Vienna"}}
    assert told.tool.messages("gen_ai.input.messages") == [question]
    assert told.tool.messages("gen_ai.output.messages") == [
        {"role": "assistant", "parts": [call], "finish_reason": "tool_calls"}
    ]
    result = {"type": "tool_call_response", "id": call["id"], "response": "12 degrees, rain"}
    assert told.stream.messages("gen_ai.input.messages") == [
        question,
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [result]},
    ]
    assert told.stream.messages("gen_ai.output.messages") == [
        text("assistant", told.said, finish_reason="stop")
    ]
    assert told.reasoning.messages("gen_ai.system_instructions") == [{"type": "text", "content": "Be brief."}]
    assert told.second.messages("gen_ai.output.messages")[0]["parts"] == [
        {"type": "text", "content": "Hello again."}
    ]


def test_tools_that_were_offered_are_described(told: Told) -> None:
    [tool] = told.tool.messages("gen_ai.tool.definitions")
    assert (tool["type"], tool["name"], tool["description"]) == ("function", "weather", "Now.")
    assert tool["parameters"]["required"] == ["city"]


def test_a_stream_tells_when_it_began_to_answer(told: Told) -> None:
    assert told.stream.attributes["gen_ai.request.stream"] is True
    seconds = (told.stream.end_ns - told.stream.start_ns) / 1e9
    # The server waits 2 ms before each frame but the first.
    assert 0 < told.stream.attributes["gen_ai.response.time_to_first_chunk"] < seconds - 0.03


def test_a_failed_attempt_and_its_retry_are_two_linked_spans(told: Told) -> None:
    assert (told.limited.status, told.limited.attributes["error.type"]) == (ERROR, "rate_limit")
    assert told.limited.attributes["http.response.status_code"] == 429
    assert "gen_ai.response.id" not in told.limited.attributes
    [link] = told.retry.links
    assert (link.trace_id, link.span_id) == (told.limited.trace_id, told.limited.span_id)
    assert told.retry.attributes["http.request.resend_count"] == 1
    assert [span.links for span in told.calls if span is not told.retry] == [[]] * (len(CALLS) - 1)


def test_an_error_that_reaches_the_program_is_on_its_span(told: Told) -> None:
    assert (told.refused.status, told.refused.attributes["error.type"]) == (ERROR, "auth")
    assert told.refused.attributes["http.response.status_code"] == 401
    # The program caught it, so its own span is as it would have been without us.
    assert (told.root.status, told.root.events) == (UNSET, [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"operation": "embeddings text-embedding-3-small"}, True),
        ({"attributes": {"gen_ai.request.model": "gpt-5-nano", "error.type": "auth"}}, True),
        ({"attributes": {"gen_ai.request.model": "gpt-5", "error.type": "auth"}}, False),
    ],
    ids=str,
)
def test_the_trace_is_found_by_what_its_calls_say(
    told: Told, jaeger: Jaeger, query: Any, found: bool
) -> None:
    assert (told.root.trace_id in jaeger.find(told.root.service, **query)) is found


LONG_CONVERSATIONS = """
import json, sys

import openai
import otel_llm
from opentelemetry import trace

otel_llm.instrument(content="full", service_name="long-conversations")
gpt = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="no-key")
with trace.get_tracer("program").start_as_current_span("many") as many:
    for number in range(40):
        gpt.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": f"{number} " + "word " * 50_000}])
print(json.dumps({"trace_id": f"{many.get_span_context().trace_id:032x}"}))
"""


def test_ten_megabytes_of_conversation_arrive_over_grpc(
    jaeger: Jaeger, server: LoopbackServer, run_program: RunProgram
) -> None:
    """A receiver refuses a message of more than 4 MiB, and with it all of its spans: batches must be bounded."""
    server.clear()
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp["grpc"], "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    printed = run_program(LONG_CONVERSATIONS, server.url, env=env)
    calls = [span for span in whole_trace(jaeger, printed["trace_id"], 41) if span.parent_id]
    starts = {span.messages("gen_ai.input.messages")[0]["parts"][0]["content"].split()[0] for span in calls}
    assert starts == {str(number) for number in range(40)}
