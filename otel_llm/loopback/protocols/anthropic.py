"""Anthropic: `POST /v1/messages` and `/v1/messages/count_tokens`."""

# ruff: noqa: D102, ARG002  (Protocol documents what its methods are and what they get)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Finish, Request, Tool, Usage
from otel_llm.loopback.protocols._base import MESSAGE, STATUS, Protocol, rate_limits, sse
from otel_llm.loopback.words import flatten, schema_of

_ERRORS: Mapping[ErrorKind, tuple[int, str]] = {
    "rate_limit": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "server_error": (500, "api_error"),
    "auth": (401, "authentication_error"),
    "not_found": (404, "not_found_error"),
}
_WORDS: Mapping[ErrorKind, str] = {
    "context_length": "prompt is too long: 8200 tokens > 8192 maximum",
    "content_filter": "Output blocked by content filtering policy",
    "overloaded": "Overloaded",
    "auth": "invalid x-api-key",
}


class AnthropicMessages(Protocol):
    """Messages: tools, thinking, cache counts, structured output, streams of typed events."""

    name = "anthropic.messages"
    finishes: ClassVar[Mapping[Finish, str]] = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
    }

    def ask(self, request: Request) -> Ask:
        body = request.json
        messages = _messages(body)
        tools = tuple(
            Tool(tool["name"], schema_of(tool.get("input_schema")))
            for tool in body.get("tools") or ()
            if "name" in tool
        )
        newest = body["messages"][-1].get("content")
        answered = isinstance(newest, list) and any(part.get("type") == "tool_result" for part in newest)
        return Ask(
            model=str(body.get("model", "")),
            messages=messages,
            tools=tools,
            may_call=bool(tools) and not answered and (body.get("tool_choice") or {}).get("type") != "none",
            schema=_schema(body),
            reasoning=(body.get("thinking") or {}).get("type") in {"enabled", "adaptive"},
            stream=bool(body.get("stream")),
            max_tokens=body.get("max_tokens"),
            prefix=_prefix(body),
        )

    def answer(self, x: Exchange) -> JSON:
        return self._message(x, _content(x), self.finish(x.reply), x.usage.output)

    def frames(self, x: Exchange) -> Iterator[bytes]:
        yield _event("message_start", message=self._message(x, [], None, 1))
        for index, block in enumerate(_content(x)):
            yield _event("content_block_start", index=index, content_block=_empty(block))
            if index == 0:
                yield _event("ping")
            for delta in _deltas(x, block):
                yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        delta = {"stop_reason": self.finish(x.reply), "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage={"output_tokens": x.usage.output})
        yield _event("message_stop")

    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        status, type_ = _ERRORS.get(kind, (STATUS[kind], "invalid_request_error"))
        error = {"type": type_, "message": _WORDS.get(kind, MESSAGE[kind])}
        return status, {"type": "error", "error": error, "request_id": x.id("req_")}

    def broken(self, kind: ErrorKind) -> bytes:
        type_ = _ERRORS.get(kind, (0, "invalid_request_error"))[1]
        return _event("error", error={"type": type_, "message": _WORDS.get(kind, MESSAGE[kind])})

    def headers(self, x: Exchange) -> dict[str, str]:
        limits = rate_limits(x, 4_000, 400_000)
        reset = "2026-01-01T00:00:01Z"
        return {
            "request-id": x.id("req_"),
            "anthropic-ratelimit-requests-limit": str(limits["limit-requests"]),
            "anthropic-ratelimit-requests-remaining": str(limits["remaining-requests"]),
            "anthropic-ratelimit-requests-reset": reset,
            "anthropic-ratelimit-tokens-limit": str(limits["limit-tokens"]),
            "anthropic-ratelimit-tokens-remaining": str(limits["remaining-tokens"]),
            "anthropic-ratelimit-tokens-reset": reset,
            "anthropic-organization-id": "loopback",
        }

    def response_id(self, x: Exchange) -> str | None:
        return x.id("msg_")

    def usage(self, x: Exchange) -> Usage:
        usage = x.usage  # reasoning is part of the output here and not told apart
        return Usage(usage.input, usage.output, usage.cache_read, usage.cache_write)

    def _message(self, x: Exchange, content: list[JSON], stop: str | None, output: int) -> JSON:
        usage = x.usage
        return {
            "id": self.response_id(x),
            "type": "message",
            "role": "assistant",
            "model": x.ask.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {
                # What a cache served or took is counted beside it, not in it.
                "input_tokens": usage.input - usage.cache_read - usage.cache_write,
                "cache_creation_input_tokens": usage.cache_write,
                "cache_read_input_tokens": usage.cache_read,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": usage.cache_write,
                    "ephemeral_1h_input_tokens": 0,
                },
                "output_tokens": output,
                "service_tier": "standard",
            },
        }


class AnthropicCountTokens(AnthropicMessages):
    """Counts a request's tokens without answering it: no model call."""

    name = "anthropic.count_tokens"
    tells_usage = False
    talks = False

    def answer(self, x: Exchange) -> JSON:
        return {"input_tokens": x.usage.input}

    def response_id(self, x: Exchange) -> str | None:
        return None


def _event(type_: str, **fields: Any) -> bytes:
    return sse({"type": type_, **fields}, type_)


def _content(x: Exchange) -> list[JSON]:
    blocks: list[JSON] = []
    if x.reply.reasoning:
        blocks.append({"type": "thinking", "thinking": x.reply.reasoning, "signature": x.id("sig")})
    if x.reply.text or not x.reply.tool_calls:
        blocks.append({"type": "text", "text": x.reply.text})
    for index, call in enumerate(x.reply.tool_calls):
        id_ = x.call_id("toolu_", index)
        blocks.append({"type": "tool_use", "id": id_, "name": call.name, "input": call.arguments})
    return blocks


def _empty(block: JSON) -> JSON:
    """A block as it is announced, before its deltas."""
    match block["type"]:
        case "thinking":
            return block | {"thinking": "", "signature": ""}
        case "text":
            return block | {"text": ""}
        case _:
            return block | {"input": {}}


def _deltas(x: Exchange, block: JSON) -> Iterator[JSON]:
    match block["type"]:
        case "thinking":
            yield {"type": "thinking_delta", "thinking": block["thinking"]}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            for piece in x.pieces:
                yield {"type": "text_delta", "text": piece}
        case _:
            arguments = json.dumps(block["input"])
            half = len(arguments) // 2
            for part in ("", arguments[:half], arguments[half:]):
                yield {"type": "input_json_delta", "partial_json": part}


def _messages(body: JSON) -> tuple[tuple[str, str], ...]:
    system = [("system", flatten(body["system"]))] if body.get("system") else []
    return (*system, *((str(m.get("role", "user")), flatten(m.get("content"))) for m in body["messages"]))


def _schema(body: JSON) -> JSON | None:
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    return schema_of(wanted.get("schema")) if isinstance(wanted, dict) else None


def _prefix(body: JSON) -> str:
    """The text up to the last part that is marked with `cache_control`."""
    parts: list[Any] = []
    for content in (body.get("system"), *(message.get("content") for message in body["messages"])):
        parts += content if isinstance(content, Sequence) and not isinstance(content, str) else [content]
    marked = [i for i, part in enumerate(parts) if isinstance(part, dict) and part.get("cache_control")]
    return "\n".join(flatten(part) for part in parts[: marked[-1] + 1]) if marked else ""
