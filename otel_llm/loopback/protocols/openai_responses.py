"""`POST …/responses` and `GET …/responses/{id}`: OpenAI's Responses API."""

# ruff: noqa: D102, ARG002  (Protocol documents what its methods are and what they get)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Finish, Request, Usage
from otel_llm.loopback.protocols import _openai
from otel_llm.loopback.protocols._base import CREATED, MESSAGE, Protocol, sse
from otel_llm.loopback.words import flatten


class OpenAIResponses(Protocol):
    """Responses: tools, structured output, reasoning, streams of typed events."""

    name = "openai.responses"
    finishes: ClassVar[Mapping[Finish, str]] = {
        "stop": "completed",
        "tool_calls": "completed",
        "content_filter": "content_filter",
        "length": "max_output_tokens",
    }

    def ask(self, request: Request) -> Ask:
        body = request.json
        messages = _messages(body)
        tools = _openai.tools(body)
        return Ask(
            model=str(body.get("model", "")),
            messages=messages,
            tools=tools,
            may_call=bool(tools) and messages[-1][0] != "tool" and body.get("tool_choice") != "none",
            schema=_openai.schema((body.get("text") or {}).get("format")),
            reasoning=_openai.reasons(body),
            stream=bool(body.get("stream")),
            max_tokens=body.get("max_output_tokens"),
            prefix=_openai.prefix(body, messages),
        )

    def answer(self, x: Exchange) -> JSON:
        return self._response(
            x, _output(x), "completed" if self.finish(x.reply) == "completed" else "incomplete"
        )

    def frames(self, x: Exchange) -> Iterator[bytes]:
        for number, event in enumerate(self._events(x)):
            yield sse(event | {"sequence_number": number}, event["type"])

    def _events(self, x: Exchange) -> Iterator[JSON]:
        begun = self._response(x, [], "in_progress")
        yield {"type": "response.created", "response": begun}
        yield {"type": "response.in_progress", "response": begun}
        for index, item in enumerate(_output(x)):
            at: JSON = {"output_index": index}
            yield {"type": "response.output_item.added", **at, "item": _empty(item)}
            if item["type"] == "message":
                yield from _text_events(x, item, at | {"item_id": item["id"], "content_index": 0})
            elif item["type"] == "function_call":
                at["item_id"] = item["id"]
                delta = "response.function_call_arguments.delta"
                half = len(item["arguments"]) // 2
                yield {"type": delta, **at, "delta": item["arguments"][:half]}
                yield {"type": delta, **at, "delta": item["arguments"][half:]}
                done = {"name": item["name"], "arguments": item["arguments"]}
                yield {"type": "response.function_call_arguments.done", **at, **done}
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        whole = self.answer(x)
        yield {"type": f"response.{whole['status']}", "response": whole}

    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        return _openai.error(kind, x)

    def broken(self, kind: ErrorKind) -> bytes:
        error = {"type": "error", "code": "server_error", "message": MESSAGE[kind], "param": None}
        return sse(error | {"sequence_number": 99}, "error")

    def headers(self, x: Exchange) -> dict[str, str]:
        return _openai.headers(x)

    def response_id(self, x: Exchange) -> str:
        return x.id("resp_")

    def response_model(self, model: str) -> str:
        return _openai.response_model(model)

    def usage(self, x: Exchange) -> Usage:
        return Usage(x.usage.input, x.usage.output, x.usage.cache_read, 0, x.usage.reasoning)

    def _response(self, x: Exchange, output: list[JSON], status: str) -> JSON:
        body = x.request.json
        usage = {
            "input_tokens": x.usage.input,
            "input_tokens_details": {"cached_tokens": x.usage.cache_read},
            "output_tokens": x.usage.output,
            "output_tokens_details": {"reasoning_tokens": x.usage.reasoning},
            "total_tokens": x.usage.input + x.usage.output,
        }
        incomplete = {"reason": self.finish(x.reply)} if status == "incomplete" else None
        return {
            "id": self.response_id(x),
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "error": None,
            "incomplete_details": incomplete,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "model": self.response_model(x.ask.model),
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": body.get("previous_response_id"),
            "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
            "store": True,
            "temperature": body.get("temperature", 1.0),
            "text": body.get("text") or {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "top_p": body.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": None if status == "in_progress" else usage,
            "user": None,
            "metadata": body.get("metadata") or {},
            "service_tier": "default",
        }


class OpenAIStoredResponse(OpenAIResponses):
    """Fetches an answer that was made before: any id is known, and all of them said the same."""

    name = "openai.stored_response"
    tells_usage = False

    def ask(self, request: Request) -> Ask:
        return Ask(model="gpt-4o-mini")

    def response_id(self, x: Exchange) -> str:
        return x.request.path.rsplit("/", 1)[1]


def _text_events(x: Exchange, item: JSON, at: JSON) -> Iterator[JSON]:
    part = item["content"][0]
    yield {"type": "response.content_part.added", **at, "part": part | {"text": ""}}
    for piece in x.pieces:
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


def _output(x: Exchange) -> list[JSON]:
    items: list[JSON] = []
    if x.reply.reasoning:
        summary = [{"type": "summary_text", "text": x.reply.reasoning}]
        items.append({"id": x.id("rs_"), "type": "reasoning", "summary": summary})
    if x.reply.text or not x.reply.tool_calls:
        text = {"type": "output_text", "text": x.reply.text, "annotations": [], "logprobs": []}
        items.append(
            {
                "id": x.id("msg_"),
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [text],
            }
        )
    for index, call in enumerate(x.reply.tool_calls):
        items.append(
            {
                "id": x.call_id("fc_", index),
                "type": "function_call",
                "status": "completed",
                "call_id": x.call_id("call_", index),
                "name": call.name,
                "arguments": json.dumps(call.arguments),
            }
        )
    return items


def _empty(item: JSON) -> JSON:
    """An item as it is announced, before its content."""
    if item["type"] == "message":
        return item | {"status": "in_progress", "content": []}
    return item | {"status": "in_progress", "arguments": ""} if item["type"] == "function_call" else item


def _messages(body: JSON) -> tuple[tuple[str, str], ...]:
    messages: list[tuple[str, str]] = []
    if body.get("instructions"):
        messages.append(("system", str(body["instructions"])))
    asked: Any = body.get("input") or ""
    if isinstance(asked, str):
        return (*messages, ("user", asked))
    for item in asked:
        match item.get("type", "message"):
            case "function_call_output":
                messages.append(("tool", flatten(item.get("output"))))
            case "function_call":
                messages.append(("assistant", f"{item.get('name')} {item.get('arguments')}"))
            case "message":
                messages.append((str(item.get("role", "user")), flatten(item.get("content"))))
            case other:
                messages.append(("assistant", f"[{other}]"))
    return tuple(messages)
