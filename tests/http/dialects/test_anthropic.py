"""Anthropic's messages."""

from __future__ import annotations

from typing import Any

from otel_llm import semconv as sc
from otel_llm.llm import CallError, LLMCall, Usage
from tests.http.dialects.exchanges import JSON, call, named, text

URL = "https://api.anthropic.com/v1/messages"
ASKED = {
    "model": "c",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://pictures.example/map.png"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "été"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "sss"},
                {"type": "redacted_thinking", "data": "zzz"},
                {"type": "tool_use", "id": "toolu_0", "name": "look", "input": {"at": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_0",
                    "content": [{"type": "text", "text": "a map"}],
                },
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "nothing", "is_error": True},
            ],
        },
    ],
    "tools": [
        {"name": "look", "description": "looks", "input_schema": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 1},
    ],
    "temperature": 0,
    "top_p": 0.9,
    "top_k": 40,
    "stop_sequences": ["END", "STOP"],
    "output_config": {"effort": "medium", "format": {"type": "json_schema", "schema": {}}},
}
USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 200,
    "cache_read_input_tokens": 3000,
    "output_tokens": 40,
}
COUNTED = Usage(3210, 40, cache_read_tokens=3000, cache_write_tokens=200)


def test_a_whole_answer() -> None:
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "c-2026",
        "content": [
            {"type": "thinking", "thinking": "Let me look.", "signature": "sss"},
            {"type": "text", "text": "Looking."},
            {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {"at": [1, 2]}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": USAGE,
    }
    assert call(URL, ASKED, answer, headers={**JSON, "request-id": "req_1"}) == LLMCall(
        "chat",
        "anthropic",
        request_model="c",
        request={
            sc.REQUEST_MAX_TOKENS: 100,
            sc.REQUEST_TEMPERATURE: 0.0,
            sc.REQUEST_TOP_P: 0.9,
            sc.REQUEST_TOP_K: 40,
            sc.REQUEST_STOP_SEQUENCES: ("END", "STOP"),
            sc.REQUEST_REASONING_LEVEL: "medium",
            sc.OUTPUT_TYPE: "json",
        },
        system_instructions=[text("Be brief.")],
        input_messages=[
            {
                "role": "user",
                "parts": [
                    text("What is this?"),
                    {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 3},
                    {"type": "uri", "modality": "image", "uri": "https://pictures.example/map.png"},
                    {"type": "file", "modality": "document", "file_id": "file_1"},
                    {"type": "blob", "modality": "document", "mime_type": "text/plain", "size": 5},
                ],
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "Hm."},
                    {"type": "reasoning", "content": "", "redacted": True},
                    {"type": "tool_call", "id": "toolu_0", "name": "look", "arguments": {"at": 1}},
                ],
            },
            {
                "role": "tool",
                "parts": [
                    {"type": "tool_call_response", "id": "toolu_0", "response": "a map"},
                    {"type": "tool_call_response", "id": "toolu_1", "response": "nothing"},
                ],
            },
        ],
        tool_definitions=[
            {"type": "function", "name": "look", "description": "looks", "parameters": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        output_messages=[
            {
                "role": "assistant",
                "finish_reason": "tool_use",
                "parts": [
                    {"type": "reasoning", "content": "Let me look."},
                    text("Looking."),
                    {"type": "tool_call", "id": "toolu_2", "name": "look", "arguments": {"at": [1, 2]}},
                ],
            }
        ],
        response_id="msg_1",
        response_model="c-2026",
        response={sc.REQUEST_ID: "req_1"},
        finish_reasons=["tool_use"],
        usage=COUNTED,
        complete=True,
    )


def delta(index: int, **fields: Any) -> tuple[str, Any]:
    return "content_block_delta", {"type": "content_block_delta", "index": index, "delta": fields}


def start(index: int, **block: Any) -> tuple[str, Any]:
    return "content_block_start", {"type": "content_block_start", "index": index, "content_block": block}


STREAM = (
    (
        "message_start",
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "role": "assistant",
                "model": "c-2026",
                "usage": {**USAGE, "output_tokens": 1},
            },
        },
    ),
    start(0, type="thinking", thinking="", signature=""),
    ("ping", {"type": "ping"}),
    delta(0, type="thinking_delta", thinking="Let me "),
    delta(0, type="thinking_delta", thinking="look."),
    delta(0, type="signature_delta", signature="sss"),
    ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    start(1, type="text", text=""),
    *(delta(1, type="text_delta", text=piece) for piece in ("Look", "ing", ' "far"', "\n", "away.")),
    start(2, type="tool_use", id="toolu_2", name="look", input={}),
    delta(2, type="input_json_delta", partial_json=""),
    delta(2, type="input_json_delta", partial_json='{"at": '),
    delta(2, type="input_json_delta", partial_json="[1, 2]}"),
    start(3, type="tool_use", id="toolu_3", name="wait", input={}),
    (
        "message_delta",
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 40}},
    ),
    ("message_stop", {"type": "message_stop"}),
)
ASKED_STREAM = {
    "model": "c",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
    "stream": True,
}
PARTS = [
    {"type": "reasoning", "content": "Let me look."},
    text('Looking "far"\naway.'),
    {"type": "tool_call", "id": "toolu_2", "name": "look", "arguments": {"at": [1, 2]}},
    {"type": "tool_call", "id": "toolu_3", "name": "wait", "arguments": {}},
]


def test_a_stream() -> None:
    assert call(URL, ASKED_STREAM, named(*STREAM)) == LLMCall(
        "chat",
        "anthropic",
        request_model="c",
        request={sc.REQUEST_MAX_TOKENS: 100},
        input_messages=[{"role": "user", "parts": [text("hi")]}],
        output_messages=[{"role": "assistant", "finish_reason": "tool_use", "parts": PARTS}],
        response_id="msg_1",
        response_model="c-2026",
        finish_reasons=["tool_use"],
        usage=COUNTED,
        complete=True,
        stream=True,
    )


def test_a_stream_that_broke_off_keeps_what_came() -> None:
    got = call(URL, ASKED_STREAM, named(*STREAM[:10]))
    assert (got.complete, got.error, got.finish_reasons) == (False, None, ["error"])
    assert got.output_messages == [
        {"role": "assistant", "finish_reason": "error", "parts": [PARTS[0], text("Looking")]}
    ]
    assert got.usage == Usage(3210, 1, cache_read_tokens=3000, cache_write_tokens=200)


def test_an_error_within_a_stream() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    got = call(URL, ASKED_STREAM, named(*STREAM[:10], ("error", error)))
    assert got.error == CallError("overloaded", "Overloaded", "overloaded_error")
    assert (got.complete, got.finish_reasons) == (False, ["error"])


def test_two_texts_that_are_not_adjacent_stay_apart() -> None:
    events = (
        start(0, type="text", text=""),
        delta(0, type="text_delta", text="a"),
        start(1, type="server_tool_use", id="srv", name="web_search", input={"query": "x"}),
        start(2, type="text", text=""),
        delta(2, type="text_delta", text="b"),
        delta(2, type="text_delta", text="c"),
    )
    parts = call(URL, ASKED_STREAM, named(*events, *STREAM[-2:])).output_messages[0]["parts"]
    assert [part["type"] for part in parts] == ["text", "server_tool_call", "text"]
    assert (parts[0]["content"], parts[1]["name"], parts[2]["content"]) == ("a", "web_search", "bc")
