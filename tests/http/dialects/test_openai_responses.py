"""OpenAI's responses."""

from __future__ import annotations

from typing import Any

from otel_llm import semconv as sc
from otel_llm.llm import CallError, LLMCall, Usage
from tests.http.dialects.exchanges import call, named, text

URL = "https://api.openai.com/v1/responses"
ITEMS = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Thinking."}]},
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "x"},
    },
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "Hello.", "annotations": []},
            {"type": "refusal", "refusal": "But no."},
        ],
    },
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"at":1}'},
    {"type": "custom_tool_call", "id": "ct_1", "call_id": "call_2", "name": "run", "input": "print(1)"},
]
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "m-2026",
    "service_tier": "default",
    "output": ITEMS,
    "usage": {
        "input_tokens": 50,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 70,
    },
}
PARTS = [
    {"type": "reasoning", "content": "Thinking."},
    {"type": "server_tool_call", "name": "web_search_call", "id": "ws_1", "size": 102},
    text("Hello."),
    {"type": "refusal", "content": "But no."},
    {"type": "tool_call", "id": "call_1", "name": "look", "arguments": {"at": 1}},
    {"type": "tool_call", "id": "call_2", "name": "run", "arguments": "print(1)"},
]
ASKED = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": "Hi."},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}],
        },
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "zzz",
        },
        {"type": "function_call", "call_id": "call_0", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_0", "output": "nothing"},
    ],
    "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}],
    "text": {"format": {"type": "json_schema", "name": "x"}},
    "reasoning": {"effort": "high"},
    "previous_response_id": "resp_0",
    "conversation": {"id": "conv_1"},
    "max_output_tokens": 100,
    "service_tier": "auto",
}


def test_a_whole_answer() -> None:
    got = call(URL, ASKED, RESPONSE)
    assert got.output_messages[0]["parts"][1].pop("size") > 0
    expected = [dict(part) for part in PARTS]
    del expected[1]["size"]
    assert got == LLMCall(
        "chat",
        "openai",
        request_model="m",
        request={
            sc.REQUEST_REASONING_LEVEL: "high",
            sc.REQUEST_PREVIOUS_RESPONSE_ID: "resp_0",
            sc.REQUEST_MAX_TOKENS: 100,
            sc.OUTPUT_TYPE: "json",
            sc.CONVERSATION_ID: "conv_1",
        },
        input_messages=[
            {"role": "user", "parts": [text("Hi.")]},
            {
                "role": "user",
                "parts": [{"type": "blob", "modality": "image", "mime_type": "image/png", "size": 3}],
            },
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "call_0", "name": "look", "arguments": {}}],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "call_0", "response": "nothing"}],
            },
        ],
        system_instructions=[text("Be brief.")],
        tool_definitions=[{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        output_messages=[{"role": "assistant", "finish_reason": "completed", "parts": expected}],
        response_id="resp_1",
        response_model="m-2026",
        response={sc.OPENAI_RESPONSE_SERVICE_TIER: "default"},
        finish_reasons=["completed"],
        usage=Usage(50, 20, cache_read_tokens=10, reasoning_tokens=5),
        complete=True,
    )


def test_an_incomplete_answer_tells_why() -> None:
    cut = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    got = call(URL, {"model": "m", "input": "hi"}, cut)
    assert (got.finish_reasons, got.complete, got.error) == (["max_output_tokens"], True, None)


def test_a_failed_answer_is_an_error() -> None:
    failed = {
        **RESPONSE,
        "status": "failed",
        "output": [],
        "error": {"code": "server_error", "message": "Oh."},
    }
    got = call(URL, {"model": "m", "input": "hi"}, failed)
    assert got.error == CallError("overloaded", "Oh.", "server_error")
    assert (got.complete, got.finish_reasons) == (False, ["failed"])


def test_fetching_a_failed_answer_is_no_error_and_costs_no_tokens() -> None:
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "Oh."}}
    got = call(f"{URL}/resp_1", None, failed, method="GET")
    assert (got.operation, got.error, got.usage, got.complete) == ("fetch_response", None, None, True)
    assert got.response_id == "resp_1"


def events(*kinds_and_fields: tuple[str, dict[str, Any]]) -> list[bytes]:
    return named(*((kind, {"type": kind, **fields}) for kind, fields in kinds_and_fields))


BEGIN = (
    ("response.created", {"response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}}),
    ("response.output_item.added", {"output_index": 0, "item": {"type": "reasoning", "summary": []}}),
    ("response.output_item.done", {"output_index": 0, "item": ITEMS[0]}),
    ("response.output_item.added", {"output_index": 1, "item": {"type": "message", "content": []}}),
    ("response.content_part.added", {"output_index": 1, "part": {"type": "output_text", "text": ""}}),
    ("response.output_text.delta", {"output_index": 1, "delta": "Hel"}),
    ("response.output_text.delta", {"output_index": 1, "delta": "lo."}),
    (
        "response.output_item.added",
        {
            "output_index": 2,
            "item": {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": ""},
        },
    ),
    ("response.function_call_arguments.delta", {"output_index": 2, "delta": '{"at"'}),
)


def test_a_stream_ends_with_the_whole_response() -> None:
    got = call(
        URL,
        {"model": "m", "input": "hi", "stream": True},
        events(*BEGIN, ("response.completed", {"response": RESPONSE})),
    )
    whole = call(URL, {"model": "m", "input": "hi", "stream": True}, RESPONSE)
    assert got == whole
    assert got.stream


def test_a_stream_that_broke_off_keeps_what_came() -> None:
    got = call(URL, {"model": "m", "input": "hi", "stream": True}, events(*BEGIN))
    assert got == LLMCall(
        "chat",
        "openai",
        request_model="m",
        input_messages=[{"role": "user", "parts": [text("hi")]}],
        output_messages=[
            {
                "role": "assistant",
                "finish_reason": "error",
                "parts": [
                    {"type": "reasoning", "content": "Thinking."},
                    text("Hello."),
                    {"type": "tool_call", "id": "call_1", "name": "look", "arguments": '{"at"'},
                ],
            }
        ],
        response_id="resp_1",
        response_model="m-2026",
        finish_reasons=["error"],
        stream=True,
    )


def test_an_error_within_a_stream() -> None:
    got = call(
        URL,
        {"model": "m", "input": "hi", "stream": True},
        events(*BEGIN, ("error", {"code": "rate_limit_exceeded", "message": "Slow down."})),
    )
    assert got.error == CallError("rate_limit", "Slow down.", "rate_limit_exceeded")
    assert not got.complete
