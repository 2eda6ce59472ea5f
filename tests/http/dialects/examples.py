"""One plausible exchange, whole and streamed, of every protocol: what tests mutate, cut and split."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from typing import Any

from tests.http.dialects.exchanges import JSON, NDJSON, SSE, lines, named, sse


@dataclass(frozen=True)
class Example:
    name: str
    url: str
    asked: dict[str, Any] | None
    answer: Any
    """A JSON value, or the bytes of a stream."""
    headers: dict[str, str]
    method: str = "POST"

    @property
    def body(self) -> bytes:
        return self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()

    @property
    def request(self) -> bytes | None:
        return None if self.asked is None else json.dumps(self.asked).encode()


def frame(kind: str, payload: Any) -> bytes:
    """Return a frame of AWS's binary event stream, with checksums left at zero."""
    headers = b""
    for name, value in (
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ):
        headers += (
            bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        )
    data = json.dumps(payload).encode()
    return struct.pack(">III", 16 + len(headers) + len(data), len(headers), 0) + headers + data + bytes(4)


def chunk(event: Any) -> bytes:
    """Return a frame of InvokeModelWithResponseStream."""
    return frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()})


_TOOL = {
    "type": "function",
    "function": {"name": "move", "description": "moves", "parameters": {"type": "object"}},
}
_ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where to? “é” \U0001f600"}]
_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
_CALLS = [
    {"index": 0, "id": "c1", "type": "function", "function": {"name": "move", "arguments": '{"to": "PAR"}'}}
]


def _delta(delta: Any, reason: str | None = None, index: int = 0) -> Any:
    return {
        "id": "r1",
        "object": "chat.completion.chunk",
        "model": "m-1",
        "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}],
    }


_ANTHROPIC_USAGE = {
    "input_tokens": 7,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
    "output_tokens": 1,
}
_ITEMS = [
    {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "To Paris."}]},
    {"type": "function_call", "call_id": "c1", "name": "move", "arguments": '{"to":"PAR"}'},
]
_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "m-1",
    "status": "completed",
    "output": _ITEMS,
    "usage": {"input_tokens": 20, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 3}},
}
_GEMINI = {
    "candidates": [
        {
            "index": 0,
            "content": {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "To Paris."},
                    {"functionCall": {"name": "move", "args": {"to": "PAR"}}},
                ],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 20,
        "candidatesTokenCount": 9,
        "thoughtsTokenCount": 3,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
    },
    "modelVersion": "g-1",
    "responseId": "r1",
}
_GOOGLE = "https://generativelanguage.googleapis.com/v1beta"
_BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
_OPENAI = "https://api.openai.com/v1"

EXAMPLES = (
    Example(
        "openai chat",
        f"{_OPENAI}/chat/completions",
        {"model": "m", "messages": _ASKED, "tools": [_TOOL], "temperature": 0.5, "stop": ["x"], "n": 1},
        {
            "id": "r1",
            "model": "m-1",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "message": {"role": "assistant", "content": "To Paris.", "tool_calls": _CALLS},
                }
            ],
            "usage": _USAGE,
        },
        JSON,
    ),
    Example(
        "openai chat stream",
        f"{_OPENAI}/chat/completions",
        {"model": "m", "messages": _ASKED, "stream": True},
        b"".join(
            sse(
                _delta({"role": "assistant", "content": ""}),
                _delta({"content": "To "}),
                _delta({"content": 'Pa\n"r" \u2028'}),
                _delta({"content": "is.é\U0001f600"}),
                _delta({"content": "!"}),
                _delta({"tool_calls": _CALLS}),
                _delta({}, "tool_calls"),
                {"id": "r1", "choices": [], "usage": _USAGE},
                done=True,
            )
        ),
        SSE,
    ),
    Example(
        "openai completion stream",
        f"{_OPENAI}/completions",
        {"model": "m", "prompt": ["a", "b"], "stream": True},
        b"".join(
            sse(
                {"id": "r1", "choices": [{"index": 0, "text": "x", "finish_reason": None}]},
                {"id": "r1", "choices": [{"index": 1, "text": "y", "finish_reason": "stop"}]},
                {"id": "r1", "choices": [{"index": 0, "text": "z", "finish_reason": "length"}]},
                done=True,
            )
        ),
        SSE,
    ),
    Example("openai response", f"{_OPENAI}/responses", {"model": "m", "input": _ASKED}, _RESPONSE, JSON),
    Example("openai fetched response", f"{_OPENAI}/responses/resp_1", None, _RESPONSE, JSON, method="GET"),
    Example(
        "openai response stream",
        f"{_OPENAI}/responses",
        {"model": "m", "input": "hi", "stream": True},
        b"".join(
            named(
                (
                    "response.created",
                    {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress"}},
                ),
                (
                    "response.output_item.added",
                    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
                ),
                (
                    "response.output_text.delta",
                    {"type": "response.output_text.delta", "output_index": 0, "delta": "To "},
                ),
                (
                    "response.output_item.done",
                    {"type": "response.output_item.done", "output_index": 0, "item": _ITEMS[1]},
                ),
                ("response.completed", {"type": "response.completed", "response": _RESPONSE}),
            )
        ),
        SSE,
    ),
    Example(
        "openai embeddings",
        f"{_OPENAI}/embeddings",
        {"model": "e", "input": "a", "dimensions": 3},
        {
            "model": "e-1",
            "data": [{"embedding": [0.1, -0.2, 3e-5]}],
            "usage": {"prompt_tokens": 2, "total_tokens": 2},
        },
        JSON,
    ),
    Example(
        "anthropic",
        "https://api.anthropic.com/v1/messages",
        {
            "model": "c",
            "max_tokens": 9,
            "system": "Be brief.",
            "messages": _ASKED[1:],
            "tools": [{"name": "move"}],
        },
        {
            "id": "r1",
            "model": "c-1",
            "role": "assistant",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "t", "name": "move", "input": {}},
            ],
            "stop_reason": "tool_use",
            "usage": _ANTHROPIC_USAGE,
        },
        JSON,
    ),
    Example(
        "anthropic stream",
        "https://api.anthropic.com/v1/messages",
        {"model": "c", "max_tokens": 9, "messages": _ASKED[1:], "stream": True},
        b"".join(
            named(
                (
                    "message_start",
                    {
                        "type": "message_start",
                        "message": {
                            "id": "r1",
                            "model": "c-1",
                            "role": "assistant",
                            "usage": _ANTHROPIC_USAGE,
                        },
                    },
                ),
                ("ping", {"type": "ping"}),
                (
                    "content_block_start",
                    {
                        "type": "content_block_start",
                        "index": 0,
                        "content_block": {"type": "text", "text": ""},
                    },
                ),
                *(
                    (
                        "content_block_delta",
                        {
                            "type": "content_block_delta",
                            "index": 0,
                            "delta": {"type": "text_delta", "text": piece},
                        },
                    )
                    for piece in ("To ", "Pa", "ris.é\n")
                ),
                (
                    "content_block_start",
                    {
                        "type": "content_block_start",
                        "index": 1,
                        "content_block": {"type": "tool_use", "id": "t", "name": "move", "input": {}},
                    },
                ),
                (
                    "content_block_delta",
                    {
                        "type": "content_block_delta",
                        "index": 1,
                        "delta": {"type": "input_json_delta", "partial_json": '{"to": 1}'},
                    },
                ),
                (
                    "message_delta",
                    {
                        "type": "message_delta",
                        "delta": {"stop_reason": "tool_use"},
                        "usage": {"output_tokens": 12},
                    },
                ),
                ("message_stop", {"type": "message_stop"}),
            )
        ),
        SSE,
    ),
    Example(
        "gemini",
        f"{_GOOGLE}/models/g:generateContent",
        {
            "contents": [{"role": "user", "parts": [{"text": "Where to?"}]}],
            "generationConfig": {"temperature": 1, "topK": 3, "responseMimeType": "application/json"},
            "tools": [{"functionDeclarations": [{"name": "move"}]}],
        },
        _GEMINI,
        JSON,
    ),
    Example(
        "gemini stream",
        f"{_GOOGLE}/models/g:streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Where to?"}]}]},
        b"".join(
            sse({"candidates": [{"content": {"parts": [{"text": "To "}]}}], "responseId": "r1"}, _GEMINI)
        ).replace(b"\n", b"\r\n"),
        SSE,
    ),
    Example(
        "gemini embeddings",
        f"{_GOOGLE}/models/g:batchEmbedContents",
        {"requests": [{"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3}]},
        {"embeddings": [{"values": [0.1, 0.2, 0.3]}]},
        JSON,
    ),
    Example(
        "gemini interaction",
        f"{_GOOGLE}/interactions",
        {"model": "g", "input": "hi", "generation_config": {"temperature": 1}},
        {
            "id": "i1",
            "status": "completed",
            "model": "g",
            "steps": [{"type": "model_output", "content": [{"type": "text", "text": "hello"}]}],
            "usage": {"total_input_tokens": 1, "total_output_tokens": 2, "total_thought_tokens": 3},
        },
        JSON,
    ),
    Example(
        "gemini interaction stream",
        f"{_GOOGLE}/interactions",
        {"model": "g", "input": "hi", "stream": True},
        b"".join(
            named(
                ("interaction.created", {"interaction": {"id": "i1", "model": "g"}}),
                ("step.start", {"index": 0, "step": {"type": "model_output"}}),
                ("step.delta", {"index": 0, "delta": {"type": "text", "text": "hel"}}),
                ("step.delta", {"index": 0, "delta": {"type": "text", "text": "lo"}}),
                ("interaction.completed", {"interaction": {"id": "i1", "status": "completed", "usage": {}}}),
            )
        ),
        SSE,
    ),
    Example(
        "cohere v2",
        "https://api.cohere.com/v2/chat",
        {"model": "c", "messages": _ASKED},
        {
            "id": "r1",
            "finish_reason": "COMPLETE",
            "message": {
                "role": "assistant",
                "content": [{"type": "text", "text": "hi"}],
                "tool_calls": _CALLS,
            },
            "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 4}},
        },
        JSON,
    ),
    Example(
        "cohere v2 stream",
        "https://api.cohere.com/v2/chat",
        {"model": "c", "messages": _ASKED, "stream": True},
        b"".join(
            named(
                ("message-start", {"type": "message-start", "id": "r1"}),
                (
                    "content-delta",
                    {"type": "content-delta", "delta": {"message": {"content": {"text": "h"}}}},
                ),
                (
                    "content-delta",
                    {"type": "content-delta", "delta": {"message": {"content": {"text": "i"}}}},
                ),
                (
                    "tool-call-start",
                    {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": _CALLS[0]}}},
                ),
                (
                    "message-end",
                    {
                        "type": "message-end",
                        "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 1}}},
                    },
                ),
            )
        ),
        SSE,
    ),
    Example(
        "cohere v1 stream",
        "https://api.cohere.com/v1/chat",
        {"model": "c", "message": "hi", "chat_history": [{"role": "USER", "message": "a"}], "stream": True},
        b"".join(
            lines(
                {"event_type": "stream-start", "generation_id": "g"},
                {"event_type": "text-generation", "text": "hé"},
                {
                    "event_type": "stream-end",
                    "finish_reason": "COMPLETE",
                    "response": {"response_id": "r1", "text": "hé", "meta": {"tokens": {"input_tokens": 1}}},
                },
            )
        ),
        {"content-type": "application/stream+json"},
    ),
    Example(
        "cohere embed",
        "https://api.cohere.com/v2/embed",
        {"model": "e", "texts": ["a"], "embedding_types": ["float"]},
        {"id": "r1", "embeddings": {"float": [[0.1, 0.2]]}, "meta": {"billed_units": {"input_tokens": 2}}},
        JSON,
    ),
    Example(
        "ollama chat stream",
        "http://127.0.0.1:11434/api/chat",
        {"model": "o", "messages": _ASKED, "options": {"temperature": 0, "num_predict": 5}},
        b"".join(
            lines(
                {"model": "o", "message": {"role": "assistant", "content": "h"}, "done": False},
                {
                    "model": "o",
                    "message": {"content": "i", "tool_calls": [{"function": {"name": "m", "arguments": {}}}]},
                },
                {
                    "model": "o",
                    "message": {"content": ""},
                    "done": True,
                    "done_reason": "stop",
                    "eval_count": 2,
                },
            )
        ),
        NDJSON,
    ),
    Example(
        "ollama generate",
        "http://127.0.0.1:11434/api/generate",
        {"model": "o", "prompt": "hi", "stream": False},
        {
            "model": "o",
            "response": "hello",
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 3,
            "eval_count": 2,
        },
        JSON,
    ),
    Example(
        "ollama embed",
        "http://127.0.0.1:11434/api/embed",
        {"model": "o", "input": "a"},
        {"model": "o", "embeddings": [[0.5, 0.5]], "prompt_eval_count": 1},
        JSON,
    ),
    Example(
        "vllm tokens",
        "http://127.0.0.1:8000/inference/v1/generate",
        {"model": "q", "token_ids": [1, 2, 3], "sampling_params": {"max_tokens": 4, "temperature": 1}},
        {"request_id": "r1", "choices": [{"index": 0, "token_ids": [4, 5], "finish_reason": "length"}]},
        JSON,
    ),
    Example(
        "vllm tokens stream",
        "http://127.0.0.1:8000/inference/v1/generate",
        {"model": "q", "token_ids": [1, 2, 3], "sampling_params": {}, "stream": True},
        b"".join(
            sse(
                {"request_id": "r1", "choices": [{"index": 0, "token_ids": [4]}]},
                {"request_id": "r1", "choices": [{"index": 0, "token_ids": [5], "finish_reason": "stop"}]},
                done=True,
            )
        ),
        SSE,
    ),
    Example(
        "sglang",
        "http://127.0.0.1:30000/generate",
        {"text": "hi", "sampling_params": {"max_new_tokens": 4}},
        {"text": " there", "meta_info": {"id": "r1", "finish_reason": {"type": "stop"}, "prompt_tokens": 1}},
        JSON,
    ),
    Example(
        "bedrock converse",
        f"{_BEDROCK}/a.b/converse",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 4}},
        {
            "output": {
                "message": {"role": "assistant", "content": [{"text": "hello"}, {"toolUse": {"name": "m"}}]}
            },
            "stopReason": "tool_use",
            "usage": {"inputTokens": 1, "outputTokens": 2},
        },
        JSON,
    ),
    Example(
        "bedrock converse stream",
        f"{_BEDROCK}/a.b/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        frame("messageStart", {"role": "assistant"})
        + frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hel"}})
        + frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}})
        + frame("messageStop", {"stopReason": "end_turn"})
        + frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}}),
        {"content-type": "application/vnd.amazon.eventstream"},
    ),
    Example(
        "bedrock anthropic stream",
        f"{_BEDROCK}/anthropic.c/invoke-with-response-stream",
        {"messages": _ASKED[1:], "max_tokens": 4},
        chunk({"type": "message_start", "message": {"id": "r1", "usage": {"input_tokens": 1}}})
        + chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}})
        + chunk(
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
        )
        + chunk({"type": "message_stop"}),
        {"content-type": "application/vnd.amazon.eventstream"},
    ),
    Example(
        "bedrock titan",
        f"{_BEDROCK}/amazon.titan-text/invoke",
        {"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 4}},
        {"results": [{"outputText": "hello", "completionReason": "FINISH"}]},
        {**JSON, "x-amzn-bedrock-input-token-count": "1", "x-amzn-bedrock-output-token-count": "2"},
    ),
)
