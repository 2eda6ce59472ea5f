"""Ollama: `POST /api/chat`, `/api/generate`, `/api/embed`; streams are lines of JSON, and the default."""

# ruff: noqa: D102, ARG002  (Protocol documents what its methods are and what they get)

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Reply, Request, Usage
from otel_llm.loopback.protocols import _openai
from otel_llm.loopback.protocols._base import MESSAGE, STATUS, Protocol, line
from otel_llm.loopback.words import embedding

_AT = "2026-01-01T00:00:00.000000Z"
_SPENT = {"total_duration": 5_000_000, "load_duration": 1_000_000}  # nanoseconds
_SPENT_EACH = {"prompt_eval_duration": 1_000_000, "eval_duration": 3_000_000}


class _Ollama(Protocol):
    stream_type = "application/x-ndjson"

    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        return STATUS[kind], {"error": MESSAGE[kind]}

    def broken(self, kind: ErrorKind) -> bytes:
        return line({"error": MESSAGE[kind]})

    def usage(self, x: Exchange) -> Usage:
        return Usage(x.usage.input, x.usage.output)


class _Generates(_Ollama):
    """Chat and generate differ only in how the words are wrapped."""

    @abc.abstractmethod
    def wrap(self, text: str, thinking: str, calls: list[JSON]) -> JSON:
        """The part of a frame that carries words."""

    def answer(self, x: Exchange) -> JSON:
        return self._frame(x, x.reply.text, x.reply.reasoning, _calls(x.reply)) | self._end(x)

    def frames(self, x: Exchange) -> Iterator[bytes]:
        if x.reply.reasoning:
            yield line(self._frame(x, "", x.reply.reasoning, []) | {"done": False})
        for piece in x.pieces:
            yield line(self._frame(x, piece, "", []) | {"done": False})
        if x.reply.tool_calls:
            yield line(self._frame(x, "", "", _calls(x.reply)) | {"done": False})
        yield line(self._frame(x, "", "", []) | self._end(x))

    def finish(self, reply: Reply) -> str:
        return "length" if reply.ends_with == "length" else "stop"

    def _frame(self, x: Exchange, text: str, thinking: str, calls: list[JSON]) -> JSON:
        return {"model": x.ask.model, "created_at": _AT, **self.wrap(text, thinking, calls)}

    def _end(self, x: Exchange) -> JSON:
        counts = {"prompt_eval_count": x.usage.input, "eval_count": x.usage.output}
        return {"done": True, "done_reason": self.finish(x.reply), **_SPENT, **_SPENT_EACH, **counts}


class OllamaChat(_Generates):
    """Chat with tools, thinking and formats."""

    name = "ollama.chat"

    def ask(self, request: Request) -> Ask:
        body = request.json
        messages = _openai.chat_messages(body["messages"])
        tools = _openai.tools(body)
        return Ask(
            messages=messages,
            tools=tools,
            may_call=bool(tools) and messages[-1][0] != "tool",
            **_common(body),
        )

    def wrap(self, text: str, thinking: str, calls: list[JSON]) -> JSON:
        message: JSON = {"role": "assistant", "content": text}
        return {
            "message": message
            | ({"thinking": thinking} if thinking else {})
            | ({"tool_calls": calls} if calls else {})
        }


class OllamaGenerate(_Generates):
    """One prompt, one answer."""

    name = "ollama.generate"

    def ask(self, request: Request) -> Ask:
        body = request.json
        messages = (("system", str(body["system"])),) if body.get("system") else ()
        return Ask(messages=(*messages, ("user", str(body.get("prompt", "")))), **_common(body))

    def wrap(self, text: str, thinking: str, calls: list[JSON]) -> JSON:
        return {"response": text} | ({"thinking": thinking} if thinking else {})


class OllamaEmbed(_Ollama):
    """Embeddings of one text or several."""

    name = "ollama.embed"
    talks = False

    def ask(self, request: Request) -> Ask:
        body = request.json
        wanted = body["input"]
        texts = (wanted,) if isinstance(wanted, str) else tuple(map(str, wanted))
        return Ask(
            model=str(body.get("model", "")), inputs=texts, dimensions=int(body.get("dimensions") or 8)
        )

    def answer(self, x: Exchange) -> JSON:
        vectors = [embedding(text, x.ask.dimensions) for text in x.ask.inputs]
        return {
            "model": x.ask.model,
            "embeddings": vectors,
            **_SPENT,
            "prompt_eval_count": x.usage.input,
        }


def _common(body: JSON) -> dict[str, Any]:
    """What both endpoints spell alike."""
    wanted = body.get("format")
    return {
        "model": str(body.get("model", "")),
        "schema": wanted if isinstance(wanted, dict) else ({} if wanted == "json" else None),
        "reasoning": body.get("think") not in {None, False},
        "stream": body.get("stream", True) is not False,
        "max_tokens": (body.get("options") or {}).get("num_predict"),
    }


def _calls(reply: Reply) -> list[JSON]:
    return [{"function": {"name": call.name, "arguments": call.arguments}} for call in reply.tool_calls]
