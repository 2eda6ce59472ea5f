"""Cohere's second protocol: `POST /v2/chat` and `/v2/embed`; and `/v1/embed`, which differs little."""

# ruff: noqa: D102, ARG002  (Protocol documents what its methods are and what they get)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Finish, Request, Usage
from otel_llm.loopback.protocols import _openai
from otel_llm.loopback.protocols._base import MESSAGE, STATUS, Protocol, sse
from otel_llm.loopback.words import embedding, schema_of


class Cohere(Protocol):
    """What both versions share."""

    finishes: ClassVar[Mapping[Finish, str]] = {
        "stop": "COMPLETE",
        "length": "MAX_TOKENS",
        "tool_calls": "TOOL_CALL",
        "content_filter": "ERROR_TOXIC",
    }

    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        status = 498 if kind == "content_filter" else STATUS[kind]  # Cohere's own: "blocked request"
        return status, {"id": x.id("", width=32), "message": MESSAGE[kind]}

    def headers(self, x: Exchange) -> dict[str, str]:
        return {
            "x-debug-trace-id": x.id("", width=32),
            "x-endpoint-monthly-call-limit": "1000",
            "x-trial-endpoint-call-limit": "40",
            "x-trial-endpoint-call-remaining": str(max(40 - x.request.number, 0)),
            "num_tokens": str(x.usage.input + x.usage.output),
        }

    def response_id(self, x: Exchange) -> str | None:
        return x.id("", width=32)

    def response_model(self, model: str) -> str | None:
        return None  # answers do not name it

    def usage(self, x: Exchange) -> Usage:
        return Usage(x.usage.input, x.usage.output)


def counts(x: Exchange) -> JSON:
    """The two ways in which Cohere counts: what is billed, and what there was."""
    told = {"input_tokens": x.usage.input, "output_tokens": x.usage.output}
    return {"billed_units": told, "tokens": told}


class CohereChat(Cohere):
    """Chat, version 2: tools with a plan, JSON output, thinking, streams of typed events."""

    name = "cohere.chat"

    def ask(self, request: Request) -> Ask:
        body = request.json
        messages = _openai.chat_messages(body["messages"])
        tools = _openai.tools(body)
        return Ask(
            model=str(body.get("model", "")),
            messages=messages,
            tools=tools,
            may_call=bool(tools) and messages[-1][0] != "tool" and body.get("tool_choice") != "NONE",
            schema=wanted_schema(body.get("response_format")),
            reasoning=(body.get("thinking") or {}).get("type") == "enabled",
            stream=bool(body.get("stream")),
            max_tokens=body.get("max_tokens"),
        )

    def answer(self, x: Exchange) -> JSON:
        message: JSON = {"role": "assistant"}
        if content := _content(x):
            message["content"] = content
        if x.reply.tool_calls:
            message |= {"tool_plan": _plan(x), "tool_calls": _calls(x)}
        return {
            "id": self.response_id(x),
            "finish_reason": self.finish(x.reply),
            "message": message,
            "usage": counts(x),
        }

    def frames(self, x: Exchange) -> Iterator[bytes]:
        begun: JSON = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield _event("message-start", id=self.response_id(x), delta={"message": begun})
        for index, block in enumerate(_content(x)):
            kind = block["type"]
            yield _event("content-start", index=index, delta=_part({"type": kind, kind: ""}))
            for piece in x.pieces if kind == "text" else (block[kind],):
                yield _event("content-delta", index=index, delta=_part({kind: piece}))
            yield _event("content-end", index=index)
        if x.reply.tool_calls:
            yield _event("tool-plan-delta", delta={"message": {"tool_plan": _plan(x)}})
        for index, call in enumerate(_calls(x)):
            arguments = call["function"]["arguments"]
            begun = call | {"function": call["function"] | {"arguments": ""}}
            yield _event("tool-call-start", index=index, delta={"message": {"tool_calls": begun}})
            delta = {"message": {"tool_calls": {"function": {"arguments": arguments}}}}
            yield _event("tool-call-delta", index=index, delta=delta)
            yield _event("tool-call-end", index=index)
        yield _event("message-end", delta={"finish_reason": self.finish(x.reply), "usage": counts(x)})
        yield sse("[DONE]")


class CohereEmbed(Cohere):
    """Embeddings, both versions: a bare list (version 1 unasked), or one list for each type asked for."""

    name = "cohere.embed"
    talks = False

    def ask(self, request: Request) -> Ask:
        body = request.json
        texts = body.get("texts") or [
            " ".join(str(part.get("text", "[image]")) for part in one.get("content") or ())
            for one in body.get("inputs") or ()
        ]
        return Ask(
            model=str(body.get("model", "")),
            inputs=tuple(map(str, texts)),
            dimensions=int(body.get("output_dimension") or 8),
        )

    def answer(self, x: Exchange) -> JSON:
        vectors = [embedding(text, x.ask.dimensions) for text in x.ask.inputs]
        by_type = bool(x.request.json.get("embedding_types")) or "/v2/" in x.request.path
        return {
            "id": self.response_id(x),
            "embeddings": {"float": vectors} if by_type else vectors,
            "texts": list(x.ask.inputs),
            "meta": {"api_version": {"version": "2" if "/v2/" in x.request.path else "1"}}
            | {"billed_units": {"input_tokens": x.usage.input}},
            "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
        }

    def usage(self, x: Exchange) -> Usage:
        return Usage(x.usage.input)


def wanted_schema(wanted: Any) -> JSON | None:
    """The schema of Cohere's `response_format`."""
    if not isinstance(wanted, dict) or wanted.get("type") != "json_object":
        return None
    return schema_of(wanted.get("json_schema") or wanted.get("schema"))


def _event(type_: str, **fields: Any) -> bytes:
    return sse({"type": type_, **fields}, type_)


def _part(content: JSON) -> JSON:
    return {"message": {"content": content}}


def _plan(x: Exchange) -> str:
    return f"I will use the {x.reply.tool_calls[0].name} tool."


def _content(x: Exchange) -> list[JSON]:
    blocks = [{"type": "thinking", "thinking": x.reply.reasoning}] if x.reply.reasoning else []
    return [*blocks, *([{"type": "text", "text": x.reply.text}] if x.reply.text else [])]


def _calls(x: Exchange) -> list[JSON]:
    return [
        {
            "id": x.call_id(f"{call.name}_", index),
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(x.reply.tool_calls)
    ]
