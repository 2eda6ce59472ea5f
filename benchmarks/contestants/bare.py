"""A hand-written SDK span a call, 15 attributes (usage, finish reason …), no content: what nobody can go below
without deferring work."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import sinks

VENV = "none"
_content = False


def _json_calls(calls: Any) -> list[dict[str, Any]]:
    return [{"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in calls or ()]


def _usage(usage: Any) -> dict[str, Any]:
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.prompt_tokens_details.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.completion_tokens_details.reasoning_tokens,
    }


def _finish(span: Any, answer: Any) -> None:
    choice = answer.choices[0]
    attributes = {
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": (choice.finish_reason,),
        "openai.response.service_tier": answer.service_tier,
        **_usage(answer.usage),
    }
    if _content:
        message = choice.message
        attributes["gen_ai.output.messages"] = json.dumps(
            [
                {
                    "role": message.role,
                    "content": message.content,
                    "tool_calls": _json_calls(message.tool_calls),
                }
            ],
        )
    span.set_attributes(attributes)
    span.end()


def _stream(span: Any, chunks: Any) -> Iterator[Any]:
    start = time.perf_counter()
    first = last = finish_reason = usage = None
    text: list[str] = []
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        if first is None:
            first = time.perf_counter() - start
            last = chunk
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish_reason = choice.finish_reason or finish_reason
            if _content:
                delta = choice.delta
                if delta.content:
                    text.append(delta.content)
                for part in delta.tool_calls or ():
                    call = calls.setdefault(part.index, {"arguments": ""})
                    if part.id:
                        call["id"], call["name"] = part.id, part.function.name
                    call["arguments"] += part.function.arguments or ""
        yield chunk
    attributes = {
        "gen_ai.response.id": last.id,
        "gen_ai.response.model": last.model,
        "gen_ai.response.finish_reasons": (finish_reason,),
        "gen_ai.response.time_to_first_chunk": first,
        **_usage(usage),
    }
    if _content:
        attributes["gen_ai.output.messages"] = json.dumps(
            [{"role": "assistant", "content": "".join(text), "tool_calls": list(calls.values())}],
        )
    span.set_attributes(attributes)
    span.end()


def setup(*, content: bool = False) -> None:
    global _content
    _content = content
    from openai.resources.chat.completions import AsyncCompletions, Completions
    from openai.resources.embeddings import Embeddings
    from opentelemetry.trace import SpanKind, get_tracer

    sinks.tracer_provider()
    tracer = get_tracer("bare")

    def start(request: dict[str, Any], operation: str) -> Any:
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": request["model"],
            "server.address": "stub.local",
            "server.port": 443,
            "gen_ai.request.temperature": request.get("temperature", 1.0),
            "gen_ai.request.max_tokens": request.get("max_tokens", 0),
        }
        if content and operation == "chat":
            attributes["gen_ai.input.messages"] = json.dumps(request["messages"])
            if "tools" in request:
                attributes["gen_ai.tool.definitions"] = json.dumps(request["tools"])
        return tracer.start_span(
            f"{operation} {request['model']}", kind=SpanKind.CLIENT, attributes=attributes
        )

    create, acreate, embed = Completions.create, AsyncCompletions.create, Embeddings.create

    @functools.wraps(create)
    def traced_create(self, **request):
        span = start(request, "chat")
        answer = create(self, **request)
        if request.get("stream"):
            return _stream(span, answer)
        _finish(span, answer)
        return answer

    @functools.wraps(acreate)
    async def traced_acreate(self, **request):
        span = start(request, "chat")
        answer = await acreate(self, **request)
        _finish(span, answer)
        return answer

    @functools.wraps(embed)
    def traced_embed(self, **request):
        span = start(request, "embeddings")
        answer = embed(self, **request)
        span.set_attributes(
            {
                "gen_ai.response.model": answer.model,
                "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
            },
        )
        span.end()
        return answer

    Completions.create, AsyncCompletions.create, Embeddings.create = (
        traced_create,
        traced_acreate,
        traced_embed,
    )
