"""What OpenAI's endpoints share with each other and with the providers that took over their shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from otel_llm.loopback.exchange import JSON, ErrorKind, Exchange, Request, Tool
from otel_llm.loopback.protocols._base import MESSAGE, STATUS, rate_limits
from otel_llm.loopback.words import count, flatten, schema_of

Flavour: TypeAlias = Literal["openai", "mistral", "groq", "together", "deepseek"]

_HOSTS: Mapping[str, Flavour] = {
    "mistral": "mistral",
    "groq": "groq",
    "together": "together",
    "deepseek": "deepseek",
}
_DATED = {"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18"}
_CACHE_FROM = 1024
"""Tokens from which on OpenAI keeps a prompt's beginning without being asked."""

_ERRORS: Mapping[ErrorKind, tuple[str, str]] = {
    "rate_limit": ("requests", "rate_limit_exceeded"),
    "overloaded": ("server_error", "service_unavailable"),
    "server_error": ("server_error", "server_error"),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "context_length": ("invalid_request_error", "context_length_exceeded"),
    "content_filter": ("invalid_request_error", "content_filter"),
    "invalid_request": ("invalid_request_error", "invalid_value"),
    "not_found": ("invalid_request_error", "model_not_found"),
}


def flavour(request: Request) -> Flavour:
    """Whose server this is to be: told by the host (a proxied request), else by the path's first segment."""
    first = request.path.split("/", 2)[1] if "/" in request.path else ""
    for part in (*request.host.split("."), first):
        if part in _HOSTS:
            return _HOSTS[part]
    return "openai"


def error(kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
    """Status and body of a failure, in this flavour."""
    type_, code = _ERRORS[kind]
    if flavour(x.request) == "mistral":
        return STATUS[kind], {"object": "error", "message": MESSAGE[kind], "type": type_, "code": code}
    return STATUS[kind], {"error": {"message": MESSAGE[kind], "type": type_, "param": None, "code": code}}


def headers(x: Exchange) -> dict[str, str]:
    """Request id and rate limits, in this flavour."""
    limits = rate_limits(x)
    named = {f"x-ratelimit-{name}": str(value) for name, value in limits.items()}
    resets = {"x-ratelimit-reset-requests": "6ms", "x-ratelimit-reset-tokens": "1m2.5s"}
    match flavour(x.request):
        case "mistral":
            return {
                "x-ratelimit-limit-req-minute": str(limits["limit-requests"]),
                "x-ratelimit-remaining-req-minute": str(limits["remaining-requests"]),
                "x-ratelimit-limit-tokens-minute": str(limits["limit-tokens"]),
                "x-ratelimit-remaining-tokens-minute": str(limits["remaining-tokens"]),
                "mistral-correlation-id": x.id("", width=32),
            }
        case "together":
            return {
                "x-ratelimit-limit": str(limits["limit-requests"]),
                "x-ratelimit-remaining": str(limits["remaining-requests"]),
                "x-ratelimit-reset": "1",
                "x-request-id": x.id("req_"),
            }
        case "groq":
            return {**named, **resets, "x-request-id": x.id("req_"), "x-groq-region": "loopback"}
        case _:
            return {
                **named,
                **resets,
                "x-request-id": x.id("req_"),
                "openai-processing-ms": "5",
                "openai-version": "2020-10-01",
                "openai-organization": "loopback",
            }


def response_model(model: str) -> str:
    """The dated release that answers for a model's name."""
    return _DATED.get(model, model)


def tools(body: JSON) -> tuple[Tool, ...]:
    """The functions that a request offers, nested (chat) or flat (responses)."""
    offered = []
    for tool in body.get("tools") or ():
        function = tool.get("function", tool)
        if isinstance(function.get("name"), str):
            offered.append(Tool(function["name"], schema_of(function.get("parameters"))))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):  # the one that must be called comes first
        wanted = choice.get("function", choice).get("name")
        offered.sort(key=lambda tool: tool.name != wanted)
    return tuple(offered)


def chat_messages(messages: Sequence[JSON]) -> tuple[tuple[str, str], ...]:
    """(role, text) of chat messages; a call's arguments are text too."""
    return tuple((str(m.get("role", "user")), _text(m)) for m in messages)


def _text(message: JSON) -> str:
    parts = [flatten(message.get("content"))]
    for call in message.get("tool_calls") or ():
        function = call.get("function", {})
        parts.append(f"{function.get('name')} {function.get('arguments')}")
    return "\n".join(filter(None, parts))


def schema(wanted: Any) -> JSON | None:
    """The schema of a `response_format` or `text.format`; None where plain text is wanted."""
    if not isinstance(wanted, dict):
        return None
    match wanted.get("type"):
        case "json_schema":
            return schema_of(wanted.get("json_schema", wanted).get("schema"))
        case "json_object":
            return {}
        case _:
            return None


def prefix(body: JSON, messages: Sequence[tuple[str, str]]) -> str:
    """What of the input a prompt cache keeps: all but the newest message, if it is asked for or long."""
    head = "\n".join(text for _, text in messages[:-1])
    return head if body.get("prompt_cache_key") or count(head) >= _CACHE_FROM else ""


def reasons(body: JSON) -> bool:
    """Whether the request asks for thinking."""
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    return effort not in {None, "none"}
