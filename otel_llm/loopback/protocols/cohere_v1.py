"""Cohere's first protocol: `POST /v1/chat`, whose streams are lines of JSON."""

# ruff: noqa: D102  (Protocol documents what its methods are and what they get)

from __future__ import annotations

from collections.abc import Iterator

from otel_llm.loopback.exchange import JSON, Ask, Exchange, Reply, Request, Tool
from otel_llm.loopback.protocols._base import line
from otel_llm.loopback.protocols.cohere import Cohere, counts, wanted_schema
from otel_llm.loopback.words import flatten

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


class CohereChatV1(Cohere):
    """Chat, version 1: one message and a history; tools answer in `tool_results`."""

    name = "cohere.chat_v1"
    stream_type = "application/stream+json"

    def ask(self, request: Request) -> Ask:
        body = request.json
        messages = [("system", str(body["preamble"]))] if body.get("preamble") else []
        history = body.get("chat_history") or ()
        messages += [
            (str(turn.get("role", "USER")).lower(), flatten(turn.get("message"))) for turn in history
        ]
        messages.append(("user", str(body["message"])))
        results = body.get("tool_results") or ()
        messages += [("tool", flatten(result.get("outputs"))) for result in results]
        tools = tuple(Tool(tool["name"], _schema(tool)) for tool in body.get("tools") or ())
        return Ask(
            model=str(body.get("model", "")),
            messages=tuple(messages),
            tools=tools,
            may_call=bool(tools) and not results,
            schema=wanted_schema(body.get("response_format")),
            stream=bool(body.get("stream")),
            max_tokens=body.get("max_tokens"),
        )

    def answer(self, x: Exchange) -> JSON:
        role_text = [("USER", x.ask.last), ("CHATBOT", x.reply.text)]
        return {
            "response_id": self.response_id(x),
            "text": x.reply.text,
            "generation_id": x.id("gen-"),
            "chat_history": [{"role": role, "message": text} for role, text in role_text],
            "finish_reason": self.finish(x.reply),
            "meta": {"api_version": {"version": "1"}, **counts(x)},
            **({"tool_calls": _calls(x)} if x.reply.tool_calls else {}),
        }

    def frames(self, x: Exchange) -> Iterator[bytes]:
        yield line({"is_finished": False, "event_type": "stream-start", "generation_id": x.id("gen-")})
        for piece in x.pieces:
            yield line({"is_finished": False, "event_type": "text-generation", "text": piece})
        if x.reply.tool_calls:
            calls = {"event_type": "tool-calls-generation", "tool_calls": _calls(x)}
            yield line({"is_finished": False, **calls})
        ended = {"finish_reason": self.finish(x.reply), "response": self.answer(x)}
        yield line({"is_finished": True, "event_type": "stream-end", **ended})

    def finish(self, reply: Reply) -> str:
        # Version 1 has no reason of its own for tool calls.
        return "COMPLETE" if reply.ends_with == "tool_calls" else super().finish(reply)


def _schema(tool: JSON) -> JSON:
    """The JSON schema of Cohere's `parameter_definitions`, whose types are Python's."""
    properties = {
        name: {"type": _TYPES.get(str(definition.get("type")), "string")}
        for name, definition in (tool.get("parameter_definitions") or {}).items()
    }
    return {"type": "object", "properties": properties}


def _calls(x: Exchange) -> list[JSON]:
    return [{"name": call.name, "parameters": call.arguments} for call in x.reply.tool_calls]
