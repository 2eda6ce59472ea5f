"""Gemini: generateContent, streamGenerateContent and interactions."""

from __future__ import annotations

import json
from typing import Any

from otel_llm import semconv as sc
from otel_llm.llm import CallError, LLMCall, Usage
from tests.http.dialects.exchanges import JSON, call, named, sse, text

GOOGLE = "https://generativelanguage.googleapis.com/v1beta"
URL = f"{GOOGLE}/models/g-1:generateContent"
STREAM_URL = f"{GOOGLE}/models/g-1:streamGenerateContent"
ASKED = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "What is this?"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://films/a.mp4"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Hm.", "thought": True},
                {"functionCall": {"id": "f0", "name": "look", "args": {"at": 1}}, "thoughtSignature": "zzz"},
            ],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "f0", "name": "look", "response": {"result": "a map"}}}],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {"name": "look", "description": "looks", "parameters": {"type": "OBJECT"}}
            ]
        },
        {"googleSearch": {}},
    ],
    "generationConfig": {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 2,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseMimeType": "application/json",
        "thinkingConfig": {"thinkingLevel": "LOW"},
    },
}
REQUEST = {
    sc.REQUEST_CHOICE_COUNT: 2,
    sc.REQUEST_TEMPERATURE: 0.5,
    sc.REQUEST_TOP_P: 0.9,
    sc.REQUEST_TOP_K: 40,
    sc.REQUEST_MAX_TOKENS: 100,
    sc.REQUEST_SEED: 7,
    sc.REQUEST_PRESENCE_PENALTY: 0.1,
    sc.REQUEST_FREQUENCY_PENALTY: 0.2,
    sc.REQUEST_STOP_SEQUENCES: ("END",),
    sc.REQUEST_REASONING_LEVEL: "LOW",
    sc.OUTPUT_TYPE: "json",
}
INPUT = [
    {
        "role": "user",
        "parts": [
            text("What is this?"),
            {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 3},
            {"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://films/a.mp4"},
        ],
    },
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "Hm."},
            {"type": "tool_call", "id": "f0", "name": "look", "arguments": {"at": 1}},
        ],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "f0", "response": {"result": "a map"}}]},
]
COUNTS = {
    "promptTokenCount": 100,
    "toolUsePromptTokenCount": 10,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 5,
    "cachedContentTokenCount": 60,
    "totalTokenCount": 135,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 80}, {"modality": "IMAGE", "tokenCount": 20}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 60}],
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
}
COUNTED = Usage(
    110,
    25,
    cache_read_tokens=60,
    reasoning_tokens=5,
    by_modality={
        "text.input_tokens": 80,
        "image.input_tokens": 20,
        "text.output_tokens": 20,
        "text.cache_read.input_tokens": 60,
    },
)


def candidate(*parts: dict[str, Any], index: int = 0, reason: str | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"index": index, "content": {"role": "model", "parts": list(parts)}}
    return out if reason is None else {**out, "finishReason": reason}


def test_a_whole_answer() -> None:
    answer = {
        "candidates": [
            candidate(
                {"text": "Let me look.", "thought": True},
                {"text": "Look"},
                {"text": "ing."},
                {"functionCall": {"name": "look", "args": {"at": [1, 2]}}},
                reason="STOP",
            ),
            candidate({"text": "Or not."}, index=1, reason="MAX_TOKENS"),
        ],
        "usageMetadata": COUNTS,
        "modelVersion": "g-1-2026",
        "responseId": "r1",
    }
    assert call(URL, ASKED, answer) == LLMCall(
        "generate_content",
        "gcp.gemini",
        request_model="g-1",
        request=REQUEST,
        input_messages=INPUT,
        system_instructions=[text("Be brief.")],
        tool_definitions=[
            {"type": "function", "name": "look", "description": "looks", "parameters": {"type": "OBJECT"}},
            {"type": "googleSearch", "name": "googleSearch"},
        ],
        output_messages=[
            {
                "role": "assistant",
                "finish_reason": "STOP",
                "parts": [
                    {"type": "reasoning", "content": "Let me look."},
                    text("Looking."),
                    {"type": "tool_call", "name": "look", "arguments": {"at": [1, 2]}},
                ],
            },
            {"role": "assistant", "finish_reason": "MAX_TOKENS", "parts": [text("Or not.")]},
        ],
        response_id="r1",
        response_model="g-1-2026",
        finish_reasons=["STOP", "MAX_TOKENS"],
        usage=COUNTED,
        complete=True,
    )


CHUNKS = [
    {
        "candidates": [candidate({"text": "Let me ", "thought": True})],
        "responseId": "r1",
        "modelVersion": "g-1-2026",
    },
    {
        "candidates": [candidate({"text": "look.", "thought": True})],
        "usageMetadata": {"promptTokenCount": 100},
    },
    {"candidates": [candidate({"text": "Look"})]},
    {"candidates": [candidate({"text": "ing."})]},
    {"candidates": [candidate({"functionCall": {"name": "look", "args": {}}})]},
    {"candidates": [candidate({"text": ""}, reason="STOP")], "usageMetadata": COUNTS},
]
STREAMED = LLMCall(
    "generate_content",
    "gcp.gemini",
    request_model="g-1",
    input_messages=[{"role": "user", "parts": [text("hi")]}],
    output_messages=[
        {
            "role": "assistant",
            "finish_reason": "STOP",
            "parts": [
                {"type": "reasoning", "content": "Let me look."},
                text("Looking."),
                {"type": "tool_call", "name": "look", "arguments": {}},
            ],
        }
    ],
    response_id="r1",
    response_model="g-1-2026",
    finish_reasons=["STOP"],
    usage=COUNTED,
    complete=True,
    stream=True,
)
HI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def test_a_stream() -> None:
    assert call(STREAM_URL, HI, sse(*CHUNKS)) == STREAMED
    assert call(STREAM_URL, HI, [piece.replace(b"\n", b"\r\n") for piece in sse(*CHUNKS)]) == STREAMED


def test_a_stream_that_was_asked_for_as_one_array() -> None:
    assert call(STREAM_URL, HI, json.dumps(CHUNKS, indent=1).encode(), headers=JSON) == STREAMED


def test_a_stream_that_broke_off() -> None:
    got = call(STREAM_URL, HI, sse(*CHUNKS[:4]))
    assert (got.complete, got.error, got.finish_reasons) == (False, None, ["error"])
    assert got.output_messages[0]["parts"] == STREAMED.output_messages[0]["parts"][:2]


def test_a_prompt_that_was_blocked_is_an_error() -> None:
    got = call(
        URL, HI, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    )
    assert got.error == CallError("content_filter", "the prompt was blocked: SAFETY", "SAFETY")
    assert got.usage == Usage(3)


def test_an_error_within_a_stream() -> None:
    error = {"error": {"code": 503, "message": "Busy.", "status": "UNAVAILABLE"}}
    got = call(STREAM_URL, HI, sse(*CHUNKS[:3], error))
    assert got.error == CallError("overloaded", "Busy.", "UNAVAILABLE")


def test_hand_written_calls_may_use_snake_case() -> None:
    asked = {
        "contents": "hi",
        "generation_config": {"max_output_tokens": 5},
        "system_instruction": "Be brief.",
    }
    got = call(URL, asked, {"candidates": [candidate({"text": "x"}, reason="STOP")]})
    assert got.request == {sc.REQUEST_MAX_TOKENS: 5}
    assert got.input_messages == [{"role": "user", "parts": [text("hi")]}]
    assert got.system_instructions == [text("Be brief.")]


def test_enumerations_may_be_numbers() -> None:
    url = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/g:generateContent"
    answer = {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": 1}],
        "usageMetadata": {"promptTokenCount": 2, "promptTokensDetails": [{"modality": 1, "tokenCount": 2}]},
    }
    got = call(url, HI, answer)
    assert (got.provider, got.finish_reasons) == ("gcp.vertex_ai", ["STOP"])
    assert got.usage == Usage(2, by_modality={"text.input_tokens": 2})


# --- interactions -----------------------------------------------------------------------------------

INTERACTION = {
    "id": "i-1",
    "object": "interaction",
    "status": "completed",
    "model": "g-1",
    "steps": [
        {"type": "user_input", "content": [{"type": "text", "text": "hi"}]},
        {"type": "thought", "signature": "zzz", "summary": [{"type": "text", "text": "Hm."}]},
        {"type": "model_output", "content": [{"type": "text", "text": "Hello."}]},
        {"type": "function_call", "id": "f1", "name": "look", "arguments": {"at": 1}},
    ],
    "usage": {
        "total_input_tokens": 10,
        "input_tokens_by_modality": [{"modality": "text", "tokens": 10}],
        "total_cached_tokens": 0,
        "total_output_tokens": 20,
        "total_tool_use_tokens": 2,
        "total_thought_tokens": 5,
    },
}
OUTPUT = [
    {"type": "reasoning", "content": "Hm."},
    text("Hello."),
    {"type": "tool_call", "id": "f1", "name": "look", "arguments": {"at": 1}},
]


def test_an_interaction() -> None:
    asked = {
        "model": "g-1",
        "input": [
            {"type": "text", "text": "hi"},
            {"type": "image", "mime_type": "image/png", "data": "AAAA"},
            {"type": "function_result", "call_id": "f0", "name": "look", "result": "a map"},
        ],
        "system_instruction": "Be brief.",
        "generation_config": {"temperature": 1, "max_output_tokens": 9, "thinking_level": "low"},
        "previous_interaction_id": "i-0",
        "response_mime_type": "application/json",
        "tools": [{"type": "function", "name": "look", "parameters": {}}, {"type": "google_search"}],
    }
    assert call(f"{GOOGLE}/interactions", asked, INTERACTION) == LLMCall(
        "generate_content",
        "gcp.gemini",
        request_model="g-1",
        request={
            sc.REQUEST_TEMPERATURE: 1.0,
            sc.REQUEST_MAX_TOKENS: 9,
            sc.REQUEST_REASONING_LEVEL: "low",
            sc.REQUEST_PREVIOUS_RESPONSE_ID: "i-0",
            sc.OUTPUT_TYPE: "json",
        },
        input_messages=[
            {
                "role": "user",
                "parts": [
                    text("hi"),
                    {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 3},
                ],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "f0", "response": "a map"}]},
        ],
        system_instructions=[text("Be brief.")],
        tool_definitions=[
            {"type": "function", "name": "look", "parameters": {}},
            {"type": "google_search", "name": "google_search"},
        ],
        output_messages=[{"role": "assistant", "finish_reason": "completed", "parts": OUTPUT}],
        response_id="i-1",
        response_model="g-1",
        finish_reasons=["completed"],
        usage=Usage(12, 25, cache_read_tokens=0, reasoning_tokens=5, by_modality={"text.input_tokens": 10}),
        complete=True,
    )


def test_a_streamed_interaction() -> None:
    events = named(
        ("interaction.created", {"interaction": {"id": "i-1", "status": "in_progress", "model": "g-1"}}),
        ("step.start", {"index": 0, "step": {"type": "thought"}}),
        (
            "step.delta",
            {"index": 0, "delta": {"type": "thought_summary", "content": {"type": "text", "text": "Hm."}}},
        ),
        ("step.delta", {"index": 0, "delta": {"type": "thought_signature", "signature": "zzz"}}),
        ("step.start", {"index": 1, "step": {"type": "model_output"}}),
        ("step.delta", {"index": 1, "delta": {"type": "text", "text": "Hel"}}),
        ("step.delta", {"index": 1, "delta": {"type": "text", "text": "lo."}}),
        (
            "step.start",
            {
                "index": 2,
                "step": {"type": "function_call", "id": "f1", "name": "look", "arguments": {"at": 1}},
            },
        ),
        ("step.stop", {"index": 2}),
        (
            "interaction.completed",
            {"interaction": {"id": "i-1", "status": "completed", "usage": INTERACTION["usage"]}},
        ),
    )
    asked = {"model": "g-1", "input": "hi", "stream": True}
    got = call(f"{GOOGLE}/interactions", asked, [b": keep-alive\n\n", *events])
    assert got == call(f"{GOOGLE}/interactions", asked, INTERACTION)


def test_a_streamed_interaction_that_fails() -> None:
    events = named(
        ("interaction.created", {"interaction": {"id": "i-1", "status": "in_progress"}}),
        ("error", {"error": {"code": "service_unavailable", "message": "Busy."}, "event_type": "error"}),
    )
    got = call(f"{GOOGLE}/interactions", {"model": "g-1", "input": "hi", "stream": True}, events)
    assert got.error == CallError("overloaded", "Busy.", "service_unavailable")


def test_a_fetched_interaction_costs_nothing() -> None:
    got = call(f"{GOOGLE}/interactions/i-1", None, INTERACTION, method="GET")
    assert (got.operation, got.usage, got.response_id) == ("fetch_response", None, "i-1")
    assert got.output_messages[0]["parts"] == OUTPUT
