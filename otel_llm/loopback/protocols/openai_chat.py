"""`POST …/chat/completions`: OpenAI's, and Mistral's, Groq's, Together's and DeepSeek's variants of it."""

# ruff: noqa: D102  (Protocol documents what its methods are and what they get)

from __future__ import annotations

import json
from collections.abc import Iterator

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Request, Usage
from otel_llm.loopback.protocols import _openai
from otel_llm.loopback.protocols._base import CREATED, MESSAGE, Protocol, sse

_SHOWS_REASONING = {"deepseek": "reasoning_content", "groq": "reasoning", "together": "reasoning"}
_USAGE_UNASKED = {"mistral", "together", "groq", "deepseek"}


class OpenAIChat(Protocol):
    """Chat completions: tools, JSON output, reasoning and cached tokens, several choices, streams."""

    name = "openai.chat"

    def ask(self, request: Request) -> Ask:
        body = request.json
        messages = _openai.chat_messages(body["messages"])
        tools = _openai.tools(body)
        options = body.get("stream_options") or {}
        return Ask(
            model=str(body.get("model", "")),
            messages=messages,
            tools=tools,
            may_call=bool(tools) and messages[-1][0] != "tool" and body.get("tool_choice") != "none",
            schema=_openai.schema(body.get("response_format")),
            reasoning=_openai.reasons(body),
            stream=bool(body.get("stream")),
            usage_in_stream=bool(options.get("include_usage")) or _openai.flavour(request) in _USAGE_UNASKED,
            choices=int(body.get("n") or 1),
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            prefix=_openai.prefix(body, messages),
        )

    def answer(self, x: Exchange) -> JSON:
        choices = [
            {
                "index": index,
                "message": self._message(x),
                "logprobs": None,
                "finish_reason": self.finish(x.reply),
            }
            for index in range(x.ask.choices)
        ]
        return self._frame(x, "chat.completion", choices) | {"usage": self._usage(x)}

    def frames(self, x: Exchange) -> Iterator[bytes]:
        yield self._delta(x, {"role": "assistant", "content": ""})
        shows = _SHOWS_REASONING.get(_openai.flavour(x.request))
        if x.reply.reasoning and shows:
            yield self._delta(x, {shows: x.reply.reasoning})
        for piece in x.pieces:
            yield self._delta(x, {"content": piece})
        for index, call in enumerate(self._calls(x)):
            arguments = call["function"]["arguments"]
            begun = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
            if _openai.flavour(x.request) == "mistral":  # sends a call in one piece
                yield self._delta(x, {"tool_calls": [{**call, "index": index}]})
                continue
            yield self._delta(x, {"tool_calls": [begun]})
            half = len(arguments) // 2
            for part in (arguments[:half], arguments[half:]):
                yield self._delta(x, {"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        yield from self._last(x)
        yield sse("[DONE]")

    def _last(self, x: Exchange) -> Iterator[bytes]:
        """The frames that tell why it ends and, where they do, what it cost."""
        flavour = _openai.flavour(x.request)
        if flavour in _USAGE_UNASKED:
            more: JSON = {"usage": self._usage(x)}
            if flavour == "groq":
                more = {"x_groq": {"id": x.id("req_"), **more}, **more}
            yield self._delta(x, {"content": ""}, self.finish(x.reply), more)
            return
        more = {"usage": None} if x.ask.usage_in_stream else {}
        yield self._delta(x, {}, self.finish(x.reply), more)
        if x.ask.usage_in_stream:
            yield sse(self._frame(x, "chat.completion.chunk", []) | {"usage": self._usage(x)})

    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        return _openai.error(kind, x)

    def broken(self, kind: ErrorKind) -> bytes:
        return sse({"error": {"message": MESSAGE[kind], "type": "server_error", "code": None}})

    def headers(self, x: Exchange) -> dict[str, str]:
        return _openai.headers(x)

    def response_id(self, x: Exchange) -> str:
        return x.id("", width=32) if _openai.flavour(x.request) == "mistral" else x.id("chatcmpl-")

    def response_model(self, model: str) -> str:
        return _openai.response_model(model)

    def usage(self, x: Exchange) -> Usage:
        return Usage(x.usage.input, x.usage.output, x.usage.cache_read, 0, x.usage.reasoning)

    def _frame(self, x: Exchange, kind: str, choices: list[JSON]) -> JSON:
        frame = {
            "id": self.response_id(x),
            "object": kind,
            "created": CREATED,
            "model": self.response_model(x.ask.model),
            "choices": choices,
        }
        if _openai.flavour(x.request) == "openai":
            frame |= {"service_tier": "default", "system_fingerprint": "fp_loopback"}
        return frame

    def _delta(self, x: Exchange, delta: JSON, finish: str | None = None, more: JSON | None = None) -> bytes:
        choices: list[JSON] = [
            {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            for index in range(x.ask.choices)
        ]
        return sse(self._frame(x, "chat.completion.chunk", choices) | (more or {}))

    def _message(self, x: Exchange) -> JSON:
        calls = self._calls(x)
        message: JSON = {"role": "assistant", "content": x.reply.text or (None if calls else "")}
        if calls:
            message["tool_calls"] = calls
        if x.reply.reasoning and (shows := _SHOWS_REASONING.get(_openai.flavour(x.request))):
            message[shows] = x.reply.reasoning
        if _openai.flavour(x.request) == "openai":
            message |= {"refusal": None, "annotations": []}
        return message

    def _calls(self, x: Exchange) -> list[JSON]:
        short = _openai.flavour(x.request) == "mistral"  # whose ids have nine characters
        return [
            {
                "id": x.call_id("c" if short else "call_", index),
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for index, call in enumerate(x.reply.tool_calls)
        ]

    def _usage(self, x: Exchange) -> JSON:
        usage = x.usage
        told: JSON = {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
        }
        if _openai.flavour(x.request) == "groq":
            told |= {"queue_time": 0.001, "prompt_time": 0.001, "completion_time": 0.002, "total_time": 0.003}
        return told | {
            "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
