"""OpenAI chat payloads, the simplest there are, for tests that are about clients and not about dialects."""

from __future__ import annotations

import json
from typing import Any

URL = "https://api.openai.com/v1/chat/completions"
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4.1-mini-2025-04-14",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello there"}}
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}


def request(*, stream: bool = False, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hi"}], **more}
    if stream:
        body["stream"] = True
    return body


def events(*, done: bool = True) -> list[bytes]:
    """An SSE answer in four events and `[DONE]`."""

    def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        data = {
            "id": "chatcmpl-1",
            "model": "gpt-4.1-mini-2025-04-14",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            **more,
        }
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    usage = {"id": "chatcmpl-1", "model": "gpt-4.1-mini-2025-04-14", "choices": [], "usage": ANSWER["usage"]}
    return [
        event({"role": "assistant", "content": ""}),
        event({"content": "Hello "}),
        event({"content": "there"}),
        event({}, "stop"),
        b"data: " + json.dumps(usage).encode() + b"\n\n",
        *([b"data: [DONE]\n\n"] if done else []),
    ]


SPAN: dict[str, Any] = {
    "name": "chat gpt-4.1-mini",
    "kind": "CLIENT",
    "parent": None,
    "status": "UNSET",
    "attributes": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4.1-mini",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 3,
        "http.response.status_code": 200,
        "server.address": "api.openai.com",
    },
    "links": [],
    "events": [],
}
"""The whole span of a call to `URL` that was answered by `ANSWER`, content off."""


def span(
    *, attributes: dict[str, Any] | None = None, without: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """`SPAN` with some differences."""
    merged = {k: v for k, v in SPAN["attributes"].items() if k not in without} | (attributes or {})
    return {**SPAN, **more, "attributes": merged}
