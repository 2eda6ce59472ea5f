"""Runs an exchange through the dialects, as a client would."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from otel_llm.llm import LLMCall
from otel_llm_http.dialects import CallParser, Endpoint, Limits, recognise

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
NDJSON = {"content-type": "application/x-ndjson"}


def endpoint(url: str, method: str = "POST") -> Endpoint:
    """Return the endpoint that a URL is recognised as."""
    parts = urlsplit(url)
    found = recognise(method, parts.hostname or "", parts.path)
    assert found is not None, url
    return found


def parser(url: str, method: str = "POST", limits: Limits | None = None) -> CallParser:
    return endpoint(url, method).parser(limits or Limits())


def call(
    url: str,
    asked: Any,
    answer: Any,
    *,
    method: str = "POST",
    status: int = 200,
    headers: dict[str, str] | None = None,
    limits: Limits | None = None,
) -> LLMCall:
    """Return the call that an exchange is read as; `asked` and `answer` are JSON values, bytes, or pieces."""
    reader = parser(url, method, limits)
    reader.request(
        None if asked is None else asked if isinstance(asked, bytes) else json.dumps(asked).encode(), None
    )
    pieces: Iterable[bytes]
    if isinstance(answer, bytes):
        pieces, kind = [answer], JSON
    elif isinstance(answer, list) and answer and isinstance(answer[0], bytes):
        pieces, kind = answer, SSE
    else:
        pieces, kind = [json.dumps(answer).encode()], JSON
    reader.response(status, kind if headers is None else headers)
    for piece in pieces:
        reader.feed(piece)
    return reader.end()


def sse(*events: Any, done: bool = False) -> list[bytes]:
    """Return server-sent events of JSON values, in the manner of OpenAI."""
    out = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return [*out, b"data: [DONE]\n\n"] if done else out


def named(*events: tuple[str, Any]) -> list[bytes]:
    """Return server-sent events with names, in the manner of Anthropic."""
    return [f"event: {name}\ndata: {json.dumps(event)}\n\n".encode() for name, event in events]


def lines(*events: Any) -> list[bytes]:
    """Return lines of JSON."""
    return [json.dumps(event).encode() + b"\n" for event in events]


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}
