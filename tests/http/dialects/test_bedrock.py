"""Amazon Bedrock."""

from __future__ import annotations

import struct

from otel_llm import semconv as sc
from otel_llm.llm import CallError, LLMCall, Usage
from otel_llm_http.dialects._eventstream import EventStreamDecoder
from tests.http.dialects.examples import chunk, frame
from tests.http.dialects.exchanges import JSON, call, text

ROOT = "https://bedrock-runtime.eu-west-1.amazonaws.com/model"
BINARY = {"content-type": "application/vnd.amazon.eventstream"}
ASKED = {
    "system": [{"text": "Be brief."}],
    "messages": [
        {
            "role": "user",
            "content": [{"text": "hi"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}}],
        },
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t0", "name": "look", "input": {"at": 0}}}],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t0", "content": [{"json": {"found": 1}}]}}],
        },
    ],
    "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
    "toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}]},
}
USAGE = {
    "inputTokens": 5,
    "outputTokens": 6,
    "cacheReadInputTokens": 70,
    "cacheWriteInputTokens": 8,
    "totalTokens": 89,
}


def expected(*, stream: bool) -> LLMCall:
    return LLMCall(
        "chat",
        "aws.bedrock",
        request_model="a.b-v1:0",
        request={
            sc.REQUEST_MAX_TOKENS: 9,
            sc.REQUEST_TEMPERATURE: 0.5,
            sc.REQUEST_TOP_P: 0.9,
            sc.REQUEST_STOP_SEQUENCES: ("END",),
        },
        system_instructions=[text("Be brief.")],
        input_messages=[
            {
                "role": "user",
                "parts": [
                    text("hi"),
                    {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 3},
                ],
            },
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "t0", "name": "look", "arguments": {"at": 0}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t0", "response": {"found": 1}}]},
        ],
        tool_definitions=[{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        output_messages=[
            {
                "role": "assistant",
                "finish_reason": "tool_use",
                "parts": [
                    {"type": "reasoning", "content": "Hm."},
                    text("Looking."),
                    {"type": "tool_call", "id": "t1", "name": "look", "arguments": {"at": 1}},
                ],
            }
        ],
        finish_reasons=["tool_use"],
        usage=Usage(83, 6, cache_read_tokens=70, cache_write_tokens=8),
        complete=True,
        stream=stream,
    )


def test_converse() -> None:
    content = [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "zzz"}}},
        {"text": "Looking."},
        {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"at": 1}}},
    ]
    answer = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use",
        "usage": USAGE,
    }
    assert call(f"{ROOT}/a.b-v1%3A0/converse", ASKED, answer) == expected(stream=False)


STREAM = [
    frame("messageStart", {"role": "assistant"}),
    frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm."}}}),
    frame("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Look"}}),
    frame("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "ing."}}),
    frame(
        "contentBlockStart",
        {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "look"}}},
    ),
    frame("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"at": 1}'}}}),
    frame("messageStop", {"stopReason": "tool_use"}),
    frame("metadata", {"usage": USAGE}),
]


def test_a_stream_of_converse() -> None:
    url = f"{ROOT}/a.b-v1%3A0/converse-stream"
    assert call(url, ASKED, STREAM, headers=BINARY) == expected(stream=True)
    broken = call(url, ASKED, STREAM[:3], headers=BINARY)
    assert (broken.complete, broken.finish_reasons) == (False, ["error"])
    failed = call(
        url, ASKED, [*STREAM[:3], frame("throttlingException", {"message": "Slow."})], headers=BINARY
    )
    assert failed.error == CallError("rate_limit", "Slow.", "throttlingException")


def test_anthropic_by_invoke() -> None:
    asked = {"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    events = [
        chunk({"type": "message_start", "message": {"id": "r1", "model": "c", "usage": {"input_tokens": 5}}}),
        chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        *(
            chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
            for piece in ("Hel", "l", "o.")
        ),
        chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}}),
        chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 5}}),
    ]
    got = call(f"{ROOT}/eu.anthropic.c/invoke-with-response-stream", asked, events, headers=BINARY)
    assert got == LLMCall(
        "chat",
        "aws.bedrock",
        request_model="eu.anthropic.c",
        request={sc.REQUEST_MAX_TOKENS: 9},
        input_messages=[{"role": "user", "parts": [text("hi")]}],
        output_messages=[{"role": "assistant", "finish_reason": "end_turn", "parts": [text("Hello.")]}],
        response_id="r1",
        response_model="c",
        finish_reasons=["end_turn"],
        usage=Usage(5, 6),
        complete=True,
        stream=True,
    )


def test_models_that_take_a_prompt_tell_their_counts_in_headers() -> None:
    headers = {**JSON, "x-amzn-bedrock-input-token-count": "5", "x-amzn-bedrock-output-token-count": "6"}
    for model, asked, answer in (
        (
            "amazon.titan",
            {"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 9}},
            {"inputTextTokenCount": 5, "results": [{"outputText": "Hello.", "completionReason": "FINISH"}]},
        ),
        (
            "meta.llama3",
            {"prompt": "hi", "max_gen_len": 9},
            {"generation": "Hello.", "stop_reason": "FINISH"},
        ),
        (
            "mistral.m",
            {"prompt": "hi", "max_tokens": 9},
            {"outputs": [{"text": "Hello.", "stop_reason": "FINISH"}]},
        ),
        ("cohere.r", {"message": "hi", "max_tokens": 9}, {"text": "Hello.", "finish_reason": "FINISH"}),
    ):
        assert call(f"{ROOT}/{model}/invoke", asked, answer, headers=headers) == LLMCall(
            "text_completion",
            "aws.bedrock",
            request_model=model,
            request={sc.REQUEST_MAX_TOKENS: 9},
            input_messages=[{"role": "user", "parts": [text("hi")]}],
            output_messages=[{"role": "assistant", "finish_reason": "FINISH", "parts": [text("Hello.")]}],
            finish_reasons=["FINISH"],
            usage=Usage(5, 6),
            complete=True,
        )


def test_binary_events_are_found_wherever_the_bytes_are_split() -> None:
    body = b"".join(STREAM)
    whole = EventStreamDecoder(1 << 20).feed(body, final=True)
    assert [name for name, _ in whole] == [
        "messageStart",
        *["contentBlockDelta"] * 3,
        "contentBlockStart",
        "contentBlockDelta",
        "messageStop",
        "metadata",
    ]
    decoder = EventStreamDecoder(1 << 20)
    assert [frame for at in range(len(body)) for frame in decoder.feed(body[at : at + 1])] == whole


def test_bytes_that_are_no_binary_events_are_given_up() -> None:
    for body in (b"<html>not this at all</html>", struct.pack(">II", 1 << 30, 4) + bytes(20)):
        decoder = EventStreamDecoder(1 << 20)
        assert decoder.feed(body) == []
        assert decoder.overflowed
        assert decoder.feed(STREAM[0]) == []
