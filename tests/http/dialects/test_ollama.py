"""Ollama's chat and generate."""

from __future__ import annotations

from otel_llm import semconv as sc
from otel_llm.llm import CallError, LLMCall, Usage
from tests.http.dialects.exchanges import NDJSON, call, lines, text

CHAT = "http://127.0.0.1:11434/api/chat"
ASKED = {
    "model": "o",
    "messages": [
        {"role": "user", "content": "What is this?", "images": ["AAAA"]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "look", "arguments": {"at": 0}}}],
        },
        {"role": "tool", "tool_name": "look", "content": "a map"},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
    "format": {"type": "object"},
    "think": "low",
    "options": {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "num_predict": 50, "seed": 7, "stop": ["END"]},
}
LINES = (
    {"model": "o", "message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": False},
    {"model": "o", "message": {"role": "assistant", "content": "Look"}, "done": False},
    {
        "model": "o",
        "message": {
            "role": "assistant",
            "content": "ing.",
            "tool_calls": [
                {"function": {"name": "look", "arguments": {"at": 1}}},
                {"function": {"name": "look", "arguments": {"at": 2}}},
            ],
        },
        "done": False,
    },
    {
        "model": "o",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 11,
        "eval_count": 12,
    },
)
EXPECTED = LLMCall(
    "chat",
    "ollama",
    request_model="o",
    request={
        sc.REQUEST_TEMPERATURE: 0.5,
        sc.REQUEST_TOP_P: 0.9,
        sc.REQUEST_TOP_K: 40,
        sc.REQUEST_MAX_TOKENS: 50,
        sc.REQUEST_SEED: 7,
        sc.REQUEST_STOP_SEQUENCES: ("END",),
        sc.REQUEST_REASONING_LEVEL: "low",
        sc.OUTPUT_TYPE: "json",
    },
    input_messages=[
        {"role": "user", "parts": [text("What is this?"), {"type": "blob", "modality": "image", "size": 3}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "look", "arguments": {"at": 0}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "look", "response": "a map"}]},
    ],
    tool_definitions=[{"type": "function", "name": "look", "parameters": {}}],
    output_messages=[
        {
            "role": "assistant",
            "finish_reason": "stop",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                text("Looking."),
                {"type": "tool_call", "name": "look", "arguments": {"at": 1}},
                {"type": "tool_call", "name": "look", "arguments": {"at": 2}},
            ],
        }
    ],
    response_model="o",
    finish_reasons=["stop"],
    usage=Usage(11, 12),
    complete=True,
    stream=True,
)


def test_a_stream() -> None:
    assert call(CHAT, ASKED, lines(*LINES), headers=NDJSON) == EXPECTED


def test_a_whole_answer() -> None:
    answer = {**LINES[-1], "message": {**LINES[2]["message"], "content": "Looking.", "thinking": "Hm."}}
    got = call(CHAT, {**ASKED, "stream": False}, answer)
    EXPECTED.stream = False
    try:
        assert got == EXPECTED
    finally:
        EXPECTED.stream = True


def test_a_stream_that_broke_off_or_failed() -> None:
    broken = call(CHAT, ASKED, lines(*LINES[:2]), headers=NDJSON)
    assert (broken.complete, broken.error, broken.finish_reasons) == (False, None, ["error"])
    failed = call(CHAT, ASKED, lines(*LINES[:2], {"error": "the runner has died"}), headers=NDJSON)
    assert failed.error == CallError("overloaded", "the runner has died")
    assert failed.output_messages[0]["parts"] == [{"type": "reasoning", "content": "Hm."}, text("Look")]


def test_generate() -> None:
    url = "http://127.0.0.1:11434/api/generate"
    pieces = lines(
        {"model": "o", "response": "Hel", "done": False},
        {"model": "o", "response": "lo.", "done": False},
        {
            "model": "o",
            "response": "",
            "done": True,
            "done_reason": "length",
            "prompt_eval_count": 3,
            "eval_count": 2,
        },
    )
    got = call(url, {"model": "o", "prompt": "hi", "system": "Be brief."}, pieces, headers=NDJSON)
    assert got == LLMCall(
        "text_completion",
        "ollama",
        request_model="o",
        system_instructions=[text("Be brief.")],
        input_messages=[{"role": "user", "parts": [text("hi")]}],
        output_messages=[{"role": "assistant", "finish_reason": "length", "parts": [text("Hello.")]}],
        response_model="o",
        finish_reasons=["length"],
        usage=Usage(3, 2),
        complete=True,
        stream=True,
    )
