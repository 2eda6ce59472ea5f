"""OpenAI's older and smaller endpoints: `completions`, `embeddings`, and `models`, which is no model call."""

# ruff: noqa: D102, ARG002  (Protocol documents what its methods are and what they get)

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from otel_llm.loopback.exchange import JSON, Ask, ErrorKind, Exchange, Request
from otel_llm.loopback.protocols import _openai
from otel_llm.loopback.protocols._base import CREATED, Protocol, sse
from otel_llm.loopback.words import embedding


class _OpenAI(Protocol):
    def error(self, kind: ErrorKind, x: Exchange) -> tuple[int, JSON]:
        return _openai.error(kind, x)

    def headers(self, x: Exchange) -> dict[str, str]:
        return _openai.headers(x)

    def response_model(self, model: str) -> str:
        return _openai.response_model(model)


class OpenAICompletions(_OpenAI):
    """`POST …/completions`: text goes on."""

    name = "openai.completions"

    def ask(self, request: Request) -> Ask:
        body = request.json
        prompts = _texts(body["prompt"])
        return Ask(
            model=str(body.get("model", "")),
            messages=tuple(("user", prompt) for prompt in prompts),
            stream=bool(body.get("stream")),
            usage_in_stream=bool((body.get("stream_options") or {}).get("include_usage")),
            choices=int(body.get("n") or 1) * max(len(prompts), 1),
            max_tokens=body.get("max_tokens"),
        )

    def answer(self, x: Exchange) -> JSON:
        return self._frame(x, x.reply.text, self.finish(x.reply)) | {"usage": self._usage(x)}

    def frames(self, x: Exchange) -> Iterator[bytes]:
        for piece in x.pieces:
            yield sse(self._frame(x, piece, None))
        yield sse(self._frame(x, "", self.finish(x.reply)))
        if x.ask.usage_in_stream:
            yield sse(self._frame(x, "", None) | {"choices": [], "usage": self._usage(x)})
        yield sse("[DONE]")

    def response_id(self, x: Exchange) -> str:
        return x.id("cmpl-")

    def _frame(self, x: Exchange, text: str, finish: str | None) -> JSON:
        return {
            "id": self.response_id(x),
            "object": "text_completion",
            "created": CREATED,
            "model": self.response_model(x.ask.model),
            "choices": [
                {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
                for index in range(x.ask.choices)
            ],
        }

    def _usage(self, x: Exchange) -> JSON:
        return {
            "prompt_tokens": x.usage.input,
            "completion_tokens": x.usage.output,
            "total_tokens": x.usage.input + x.usage.output,
        }


class OpenAIEmbeddings(_OpenAI):
    """`POST …/embeddings`: floats, or base64 as OpenAI's SDK asks for."""

    name = "openai.embeddings"
    talks = False

    def ask(self, request: Request) -> Ask:
        body = request.json
        return Ask(
            model=str(body.get("model", "")),
            inputs=_texts(body["input"]),
            dimensions=int(body.get("dimensions") or 8),
        )

    def answer(self, x: Exchange) -> JSON:
        packed = x.request.json.get("encoding_format") == "base64"
        vectors = [embedding(text, x.ask.dimensions) for text in x.ask.inputs]
        answer: JSON = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
                for index, vector in enumerate(vectors)
            ],
            "model": self.response_model(x.ask.model),
            "usage": {"prompt_tokens": x.usage.input, "total_tokens": x.usage.input},
        }
        if _openai.flavour(x.request) == "mistral":
            answer["id"] = self.response_id(x)
            answer["usage"]["completion_tokens"] = 0
        return answer

    def response_id(self, x: Exchange) -> str | None:
        return x.id("", width=32) if _openai.flavour(x.request) == "mistral" else None


class OpenAIModels(_OpenAI):
    """`GET …/models`: a request to a provider that is no model call."""

    name = "openai.models"
    tells_usage = False
    talks = False

    def ask(self, request: Request) -> Ask:
        return Ask(model="")

    def answer(self, x: Exchange) -> JSON:
        model = {"id": "gpt-4o-mini", "object": "model", "created": CREATED, "owned_by": "loopback"}
        return {"object": "list", "data": [model]}


def _texts(value: Any) -> tuple[str, ...]:
    """The texts of a prompt or input: one, several, one of token ids, several of token ids."""
    if isinstance(value, str):
        return (value,)
    if value and isinstance(value[0], int):
        return (" ".join(map(str, value)),)
    return tuple(item if isinstance(item, str) else " ".join(map(str, item)) for item in value)


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
