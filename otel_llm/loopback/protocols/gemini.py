"""Gemini, on the Developer API and on Vertex: `models/{model}:generateContent` and its siblings."""

# ruff: noqa: D102, ARG002  (Protocol documents what its methods are and what they get)

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Finish, Request, Tool, Usage
from otel_llm.loopback.protocols._base import MESSAGE, STATUS, Protocol, sse
from otel_llm.loopback.words import count, embedding, flatten, schema_of

_MODEL = re.compile(r"(?:models|tunedModels|endpoints)/([^/:]+):(\w+)$")
_ERRORS: Mapping[ErrorKind, str] = {
    "rate_limit": "RESOURCE_EXHAUSTED",
    "overloaded": "UNAVAILABLE",
    "server_error": "INTERNAL",
    "auth": "UNAUTHENTICATED",
    "not_found": "NOT_FOUND",
}
_WORDS: Mapping[ErrorKind, str] = {
    "context_length": "The input token count (8200) exceeds the maximum number of tokens allowed (8192).",
    "auth": "API key not valid. Please pass a valid API key.",
}


class _Gemini(Protocol):
    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        status = STATUS[kind]
        error: JSON = {
            "code": status,
            "message": _WORDS.get(kind, MESSAGE[kind]),
            "status": _ERRORS.get(kind, "INVALID_ARGUMENT"),
        }
        if kind == "rate_limit":
            delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
            error["details"] = [delay]
        return status, {"error": error}

    def broken(self, kind: ErrorKind) -> bytes:
        return sse(
            {"error": {"code": STATUS[kind], "message": MESSAGE[kind], "status": _ERRORS.get(kind, "")}}
        )

    def headers(self, x: Exchange) -> dict[str, str]:
        return {"server-timing": "gfet4t7; dur=5", "x-goog-request-id": x.id("req_")}


class GeminiGenerate(_Gemini):
    """Generates content: tools, JSON output, thinking, cached content, several candidates."""

    name = "gemini.generate_content"
    finishes: ClassVar[Mapping[Finish, str]] = {
        "stop": "STOP",
        "tool_calls": "STOP",
        "length": "MAX_TOKENS",
        "content_filter": "SAFETY",
    }

    def ask(self, request: Request) -> Ask:
        body = request.json
        config = body.get("generationConfig") or {}
        contents = body["contents"]
        tools = _tools(body)
        answered = any("functionResponse" in part for part in contents[-1].get("parts") or ())
        calling = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
        system = body.get("systemInstruction") or {}
        messages = [("system", flatten(system.get("parts")))] if system else []
        messages += [(str(c.get("role", "user")), flatten(c.get("parts"))) for c in contents]
        return Ask(
            model=_model(request)[0],
            messages=tuple(messages),
            tools=tools,
            may_call=bool(tools) and not answered and calling != "NONE",
            schema=_schema(config),
            reasoning=bool(config.get("thinkingConfig")),
            choices=int(config.get("candidateCount") or 1),
            max_tokens=config.get("maxOutputTokens"),
            prefix="\n".join(text for _, text in messages[:-1]) if body.get("cachedContent") else "",
        )

    def answer(self, x: Exchange) -> JSON:
        parts = [*_thoughts(x), *([{"text": x.reply.text}] if x.reply.text else []), *_calls(x)]
        return self._part(x, parts, self.finish(x.reply))

    def answers_error(self, kind: ErrorKind) -> bool:
        return kind == "content_filter"

    def blocked_body(self, x: Exchange) -> JSON:
        usage = {"promptTokenCount": x.usage.input, "totalTokenCount": x.usage.input}
        return self._frame(x) | {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}

    def response_id(self, x: Exchange) -> str:
        return x.id("", width=22)

    def usage(self, x: Exchange) -> Usage:
        # A cached content is there before it is used: it is read, never written, by a call.
        cached = x.usage.cache_read or x.usage.cache_write
        return Usage(x.usage.input, x.usage.output, cached, 0, x.usage.reasoning)

    def _part(self, x: Exchange, parts: list[JSON], finish: str | None) -> JSON:
        candidates = []
        for index in range(x.ask.choices):
            candidate: JSON = {"content": {"parts": parts, "role": "model"}, "index": index}
            candidates.append(candidate | ({"finishReason": finish} if finish else {}))
        return self._frame(x) | {"candidates": candidates, "usageMetadata": self._usage(x)}

    def _frame(self, x: Exchange) -> JSON:
        return {"modelVersion": x.ask.model, "responseId": self.response_id(x)}

    def _usage(self, x: Exchange) -> JSON:
        usage = self.usage(x)
        told: JSON = {
            "promptTokenCount": usage.input,
            "candidatesTokenCount": usage.output - usage.reasoning,  # thoughts are counted beside it
            "totalTokenCount": usage.input + usage.output,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
        }
        if usage.reasoning:
            told["thoughtsTokenCount"] = usage.reasoning
        if usage.cache_read:
            told["cachedContentTokenCount"] = usage.cache_read
        return told


class GeminiStream(GeminiGenerate):
    """The same in pieces: server-sent events with `alt=sse`, else one JSON array that grows."""

    name = "gemini.stream_generate_content"

    def ask(self, request: Request) -> Ask:
        return replace(super().ask(request), stream=True)

    def frames(self, x: Exchange) -> Iterator[bytes]:
        answers = list(self._answers(x))
        if "alt=sse" in x.request.query:
            for answer in answers:
                yield f"data: {json.dumps(answer)}\r\n\r\n".encode()
            return
        for index, answer in enumerate(answers):
            yield (b",\r\n" if index else b"[") + json.dumps(answer).encode()
        yield b"]"

    def _answers(self, x: Exchange) -> Iterator[JSON]:
        parts = [*_thoughts(x), *({"text": piece} for piece in x.pieces), *_calls(x)] or [{"text": ""}]
        for part in parts[:-1]:
            yield self._part(x, [part], None)
        yield self._part(x, [parts[-1]], self.finish(x.reply))


class GeminiEmbed(_Gemini):
    """`embedContent` and `batchEmbedContents`; neither tells token counts."""

    name = "gemini.embed_content"
    tells_usage = False
    talks = False

    def ask(self, request: Request) -> Ask:
        body = request.json
        wanted = body.get("requests") or [body]
        return Ask(
            model=_model(request)[0],
            inputs=tuple(flatten((one.get("content") or {}).get("parts")) for one in wanted),
            dimensions=int(wanted[0].get("outputDimensionality") or 8),
        )

    def answer(self, x: Exchange) -> JSON:
        vectors = [{"values": embedding(text, x.ask.dimensions)} for text in x.ask.inputs]
        return {"embeddings": vectors} if "requests" in x.request.json else {"embedding": vectors[0]}

    def response_model(self, model: str) -> str | None:
        return None


class GeminiPredict(_Gemini):
    """Vertex's `predict`, which embeds there."""

    name = "gemini.predict"
    talks = False

    def ask(self, request: Request) -> Ask:
        body = request.json
        texts = tuple(str(instance.get("content", "")) for instance in body["instances"])
        wanted = (body.get("parameters") or {}).get("outputDimensionality")
        return Ask(model=_model(request)[0], inputs=texts, dimensions=int(wanted or 8))

    def answer(self, x: Exchange) -> JSON:
        def one(text: str) -> JSON:
            statistics = {"token_count": count(text), "truncated": False}
            return {"embeddings": {"values": embedding(text, x.ask.dimensions), "statistics": statistics}}

        return {"predictions": [one(text) for text in x.ask.inputs]}

    def response_model(self, model: str) -> str | None:
        return None


class GeminiCountTokens(GeminiGenerate):
    """Counts a request's tokens without answering it: no model call."""

    name = "gemini.count_tokens"
    tells_usage = False
    talks = False

    def answer(self, x: Exchange) -> JSON:
        return {"totalTokens": x.usage.input}


def _model(request: Request) -> tuple[str, str]:
    found = _MODEL.search(request.path)
    return (found[1], found[2]) if found else ("", "")


def _tools(body: JSON) -> tuple[Tool, ...]:
    offered = []
    for tool in body.get("tools") or ():
        for function in tool.get("functionDeclarations") or ():
            schema = function.get("parameters") or function.get("parametersJsonSchema")
            offered.append(Tool(function["name"], schema_of(schema)))
    return tuple(offered)


def _schema(config: JSON) -> JSON | None:
    if config.get("responseMimeType") != "application/json":
        return None
    return schema_of(config.get("responseSchema") or config.get("responseJsonSchema"))


def _thoughts(x: Exchange) -> list[JSON]:
    return [{"text": x.reply.reasoning, "thought": True}] if x.reply.reasoning else []


def _calls(x: Exchange) -> list[JSON]:
    return [{"functionCall": {"name": call.name, "args": call.arguments}} for call in x.reply.tool_calls]
