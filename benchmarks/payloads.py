"""The canned answers, and the sentinels in them by which the capture check sees what was recorded.

A sentinel occurs nowhere else, so that finding it in a span proves that the contestant recorded that very fact.
"""

from __future__ import annotations

import array
import base64
import json
from typing import Any, Final

MODEL: Final = "gpt-4.1-mini"
RESPONSE_MODEL: Final = "gpt-4.1-mini-zq-2026-10-01"
CHUNKS: Final = 200
DIMENSIONS: Final = 1536
USAGE: Final = {
    "prompt_tokens": 2113,
    "completion_tokens": 571,
    "total_tokens": 2684,
    "prompt_tokens_details": {"cached_tokens": 1289, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 277,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
SENTINELS: Final = {
    "input_tokens": "2113",
    "output_tokens": "571",
    "cached_tokens": "1289",
    "reasoning_tokens": "277",
    "prompt": "PROMPT-SENTINEL",
    "answer": "ANSWER-SENTINEL",
    "tool_call": "get_weather_zq",
    "tool_args": "Reykjavik",
    "tool_defs": "TOOLDEF-SENTINEL",
    "response_id": "chatcmpl-zq",
    "response_model": RESPONSE_MODEL,
}


def words(count: int) -> str:
    """`count` words of prose."""
    base = ["the", "model", "answers", "every", "question", "about", "weather", "and", "tide"]
    return " ".join(base[i % len(base)] for i in range(count))


TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": "get_weather_zq",
            "description": "TOOLDEF-SENTINEL weather lookup",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    },
]
SYSTEM: Final = {"role": "system", "content": "You are terse. PROMPT-SENTINEL"}
SMALL_MESSAGES: Final = [SYSTEM, {"role": "user", "content": words(190)}]
LARGE_MESSAGES: Final = [
    SYSTEM,
    *(
        {"role": "user" if i % 2 == 0 else "assistant", "content": f"{words(420)} turn {i}"[:2000]}
        for i in range(30)
    ),
]
ANSWER: Final = json.dumps(
    {
        "id": "chatcmpl-zq",
        "object": "chat.completion",
        "created": 1780000000,
        "model": RESPONSE_MODEL,
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "logprobs": None,
                "message": {
                    "role": "assistant",
                    "content": "ANSWER-SENTINEL " + words(45),
                    "refusal": None,
                    "annotations": [],
                    "tool_calls": [
                        {
                            "id": "call_zq",
                            "type": "function",
                            "function": {"name": "get_weather_zq", "arguments": '{"city": "Reykjavik"}'},
                        },
                    ],
                },
            },
        ],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_zq",
    },
).encode()


def _event(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-zq",
        "object": "chat.completion.chunk",
        "created": 1780000000,
        "model": RESPONSE_MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_zq",
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _delta(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])


def _stream() -> list[bytes]:
    call = {
        "index": 0,
        "id": "call_zq",
        "type": "function",
        "function": {"name": "get_weather_zq", "arguments": ""},
    }
    pieces = ["ANSWER-SENTINEL ", *(word + " " for word in words(192).split())]
    arguments = ['{"city": ', '"Reykja', 'vik"}']
    events = [
        _delta({"role": "assistant", "content": "", "refusal": None}),
        *(_delta({"content": piece}) for piece in pieces),
        _delta({"tool_calls": [call]}),
        *(_delta({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}) for part in arguments),
        _delta({}, "tool_calls"),
        _event([], USAGE),
    ]
    assert len(events) == CHUNKS
    return [*events, b"data: [DONE]\n\n"]


STREAM: Final = _stream()
_VECTOR: Final = array.array("f", [((i * 37) % 101 - 50) / 997.0 for i in range(DIMENSIONS)])


def _embedding(embedding: str | list[float]) -> bytes:
    return json.dumps(
        {
            "object": "list",
            "model": "text-embedding-zq",
            "data": [{"object": "embedding", "index": 0, "embedding": embedding}],
            "usage": {"prompt_tokens": 2113, "total_tokens": 2113},
        },
    ).encode()


_EMBEDDING_BASE64: Final = _embedding(base64.b64encode(_VECTOR.tobytes()).decode())
_EMBEDDING_FLOATS: Final = _embedding(list(_VECTOR))
_WEATHER: Final = b'{"city": "Reykjavik", "wind": 17}'


def respond(path: str, body: bytes) -> bytes | list[bytes]:
    """The answer to a request: a JSON body, or the events of a stream."""
    if path.endswith("/embeddings"):
        return _EMBEDDING_BASE64 if b'"base64"' in body else _EMBEDDING_FLOATS
    if not path.endswith("/chat/completions"):
        return _WEATHER
    return STREAM if b'"stream":true' in body or b'"stream": true' in body else ANSWER
