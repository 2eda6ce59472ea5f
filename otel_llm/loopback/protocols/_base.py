"""What a protocol has to say: reading a request, writing an answer, a stream, an error."""

# ruff: noqa: ARG002  (defaults for overriding)

from __future__ import annotations

import abc
import json
from collections.abc import Iterator, Mapping
from typing import ClassVar

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Finish, Reply, Request, Usage

CREATED = 1_767_225_600
"""Every answer was made at this second (2026-01-01 UTC), so that answers are the same in every run."""

STATUS: Mapping[ErrorKind, int] = {
    "rate_limit": 429,
    "overloaded": 503,
    "server_error": 500,
    "auth": 401,
    "context_length": 400,
    "content_filter": 400,
    "invalid_request": 400,
    "not_found": 404,
}

MESSAGE: Mapping[ErrorKind, str] = {
    "rate_limit": "Rate limit reached for requests per minute. Please try again later.",
    "overloaded": "The server is overloaded. Please try again later.",
    "server_error": "The server had an error while processing your request.",
    "auth": "Incorrect API key provided.",
    "context_length": "The input is longer than the context window of 8192 tokens.",
    "content_filter": "The request was refused by the content filter.",
    "invalid_request": "The request is not valid.",
    "not_found": "The model does not exist.",
}


class Protocol(abc.ABC):
    """One endpoint of one provider.

    Attributes:
        name: such as `openai.chat`.
        finishes: how it spells the reasons for an end.
        stream_type: content type of a stream.
        tells_usage: whether answers carry token counts.
        talks: whether it generates text, and so has finish reasons.
    """

    name: ClassVar[str]
    finishes: ClassVar[Mapping[Finish, str]] = {}
    stream_type: str = "text/event-stream; charset=utf-8"
    tells_usage: bool = True
    talks: bool = True

    @abc.abstractmethod
    def ask(self, request: Request) -> Ask:
        """What the request asks for; may raise anything on a body that makes no sense."""

    @abc.abstractmethod
    def answer(self, x: Exchange) -> JSON | list[JSON]:
        """The body of a good answer."""

    def frames(self, x: Exchange) -> Iterator[bytes]:
        """The frames of a good stream; by default the whole answer is one."""
        yield sse(self.answer(x))

    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        """Status and body of a failure."""
        return STATUS[kind], {"error": {"message": MESSAGE[kind], "type": kind}}

    def broken(self, kind: ErrorKind) -> bytes:
        """The frame that tells an error in a stream that began well."""
        return sse({"error": {"message": MESSAGE[kind], "type": kind}})

    def answers_error(self, kind: ErrorKind) -> bool:
        """Whether this failure is an answer of status 200 (then `blocked` writes it)."""
        return False

    def blocked_body(self, x: Exchange) -> JSON | list[JSON]:
        """The answer of status 200 that tells a failure."""
        return self.answer(x)

    def blocked(self, x: Exchange) -> bytes:
        """The same as the only frame of a stream."""
        return sse(self.blocked_body(x))

    def headers(self, x: Exchange) -> dict[str, str]:
        """Headers that the provider adds: request ids, rate limits."""
        return {}

    def response_id(self, x: Exchange) -> str | None:
        """The id that the answer has."""
        return None

    def response_model(self, model: str) -> str | None:
        """The model that the answer names."""
        return model

    def finish(self, reply: Reply) -> str:
        """Why the reply ends, as the protocol spells it."""
        return self.finishes.get(reply.ends_with, reply.ends_with)

    def usage(self, x: Exchange) -> Usage:
        """The part of the counts that the protocol can tell."""
        return x.usage


def sse(data: JSON | list[JSON] | str, event: str | None = None) -> bytes:
    """A server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def line(data: JSON) -> bytes:
    """A line of a JSON stream."""
    return json.dumps(data).encode() + b"\n"


def rate_limits(x: Exchange, limit: int = 10_000, tokens: int = 2_000_000) -> dict[str, int]:
    """What is left of made-up limits, by the number of requests so far."""
    return {
        "limit-requests": limit,
        "remaining-requests": max(limit - x.request.number, 0),
        "limit-tokens": tokens,
        "remaining-tokens": max(tokens - x.usage.input - x.usage.output, 0),
    }
