"""Cohere's chat, v2 and v1."""

from __future__ import annotations

from typing import Any

from otel_llm import semconv as sc
from otel_llm.llm import LLMCall, Usage
from tests.http.dialects.exchanges import call, lines, named, text

V2 = "https://api.cohere.com/v2/chat"
V1 = "https://api.cohere.com/v1/chat"
USAGE = {
    "billed_units": {"input_tokens": 5, "output_tokens": 6},
    "tokens": {"input_tokens": 205, "output_tokens": 9},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
ASKED = {
    "model": "c",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "tool",
            "tool_call_id": "c0",
            "content": [{"type": "document", "document": {"data": "a map"}}],
        },
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
    "p": 0.9,
    "k": 10,
    "max_tokens": 50,
    "stop_sequences": ["END"],
    "seed": 7,
}


def expected(**changes: Any) -> LLMCall:
    fields: dict[str, Any] = {
        "request_model": "c",
        "request": {
            sc.REQUEST_TOP_P: 0.9,
            sc.REQUEST_TOP_K: 10,
            sc.REQUEST_MAX_TOKENS: 50,
            sc.REQUEST_STOP_SEQUENCES: ("END",),
            sc.REQUEST_SEED: 7,
        },
        "input_messages": [
            {"role": "system", "parts": [text("Be brief.")]},
            {"role": "user", "parts": [text("hi")]},
            {
                "role": "tool",
                "parts": [
                    {"type": "tool_call_response", "id": "c0", "response": [{"type": "document", "size": 47}]}
                ],
            },
        ],
        "tool_definitions": [{"type": "function", "name": "look", "parameters": {}}],
        "output_messages": [
            {
                "role": "assistant",
                "finish_reason": "TOOL_CALL",
                "parts": [
                    {"type": "reasoning", "content": "I will look."},
                    text("Looking."),
                    {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
                ],
            }
        ],
        "response_id": "r1",
        "finish_reasons": ["TOOL_CALL"],
        "usage": Usage(5, 6),
        "complete": True,
        **changes,
    }
    return LLMCall("chat", "cohere", **fields)


def test_a_whole_answer() -> None:
    answer = {
        "id": "r1",
        "finish_reason": "TOOL_CALL",
        "message": {
            "role": "assistant",
            "tool_plan": "I will look.",
            "content": [{"type": "text", "text": "Looking."}],
            "tool_calls": [CALL],
            "citations": [],
        },
        "usage": USAGE,
    }
    assert call(V2, ASKED, answer) == expected()


EVENTS = (
    {"type": "message-start", "id": "r1", "delta": {"message": {"role": "assistant"}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will "}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "look."}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Look"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "ing."}}}},
    {
        "type": "tool-call-start",
        "index": 0,
        "delta": {"message": {"tool_calls": {"id": "c1", "function": {"name": "look", "arguments": ""}}}},
    },
    {
        "type": "tool-call-delta",
        "index": 0,
        "delta": {"message": {"tool_calls": {"function": {"arguments": '{"at":1}'}}}},
    },
    {"type": "tool-call-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": USAGE}},
)


def test_a_stream() -> None:
    events = named(*((event["type"], event) for event in EVENTS))
    assert call(V2, {**ASKED, "stream": True}, events) == expected(stream=True)
    broken = call(V2, {**ASKED, "stream": True}, events[:5])
    assert (broken.complete, broken.finish_reasons) == (False, ["error"])
    assert broken.output_messages[0]["parts"] == [
        {"type": "reasoning", "content": "I will look."},
        text("Look"),
    ]


OLD = {
    "model": "c",
    "message": "hi",
    "preamble": "Be brief.",
    "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}],
    "conversation_id": "conv",
}
ANSWER = {
    "response_id": "r1",
    "generation_id": "g1",
    "text": "Hello.",
    "finish_reason": "COMPLETE",
    "tool_calls": [{"name": "look", "parameters": {"at": 1}}],
    "meta": USAGE,
}


def old(**changes: Any) -> LLMCall:
    return expected(
        **{
            "request": {sc.CONVERSATION_ID: "conv"},
            "system_instructions": [text("Be brief.")],
            "input_messages": [
                {"role": "user", "parts": [text("a")]},
                {"role": "assistant", "parts": [text("b")]},
                {"role": "user", "parts": [text("hi")]},
            ],
            "tool_definitions": [],
            "output_messages": [
                {
                    "role": "assistant",
                    "finish_reason": "COMPLETE",
                    "parts": [text("Hello."), {"type": "tool_call", "name": "look", "arguments": {"at": 1}}],
                }
            ],
            "finish_reasons": ["COMPLETE"],
            **changes,
        }
    )


def test_an_answer_of_the_first_version() -> None:
    assert call(V1, OLD, ANSWER) == old()


def test_a_stream_of_the_first_version() -> None:
    events = lines(
        {"event_type": "stream-start", "generation_id": "g1", "is_finished": False},
        {"event_type": "text-generation", "text": "Hel", "is_finished": False},
        {"event_type": "text-generation", "text": "lo.", "is_finished": False},
        {"event_type": "stream-end", "is_finished": True, "finish_reason": "COMPLETE", "response": ANSWER},
    )
    headers = {"content-type": "application/stream+json"}
    assert call(V1, {**OLD, "stream": True}, events, headers=headers) == old(stream=True)
    assert call(V1, {**OLD, "stream": True}, events, headers={}) == old(stream=True), (
        "the type is not always named"
    )
    broken = call(V1, {**OLD, "stream": True}, events[:2], headers=headers)
    assert (broken.complete, broken.finish_reasons, broken.response_id) == (False, ["error"], "g1")
    assert broken.output_messages[0]["parts"] == [text("Hel")]
