"""Embeddings of all providers: what was asked for, how long the vectors are, what it cost; never the vectors.

OpenAI and those alike, Cohere, Ollama, Gemini (`:embedContent`, `:batchEmbedContents`) and Vertex (`:predict`). The
texts are not messages in the conventions, so they are not kept either.
"""

from __future__ import annotations

from typing import Any

from otel_llm import semconv as sc
from otel_llm_http.dialects._openai import read_usage
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects._values import count, put, record, records, strings, text
from otel_llm_http.dialects._vectors import dimension, slimmed
from otel_llm_http.dialects.cohere import read_usage as read_cohere_usage
from otel_llm_http.dialects.gemini import either
from otel_llm_http.dialects.gemini import read_usage as read_gemini_usage


class Embeddings(CallParser):
    """What all have in common."""

    __slots__ = ()

    def _slimmed(self, body: bytes) -> bytes:
        return slimmed(body)

    def _found(self, length: int | None) -> None:
        """Note the vectors' length."""
        put(self.call.response, sc.EMBEDDINGS_DIMENSION_COUNT, length)


class OpenAIEmbeddings(Embeddings):
    """One exchange with `/v1/embeddings`."""

    __slots__ = ()

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model or text(body.get("model"))
        put(
            call.request,
            sc.EMBEDDINGS_DIMENSION_COUNT,
            count(body.get("dimensions", body.get("output_dimension"))),
        )
        put(call.request, sc.REQUEST_ENCODING_FORMATS, strings(body.get("encoding_format")))

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or type(data := body.get("data")) is not list:
            return False
        call = self.call
        call.response_id = text(body.get("id"))
        call.response_model = text(body.get("model"))
        for item in records(data)[:1]:
            self._found(dimension(item.get("embedding")))
        if type(usage := body.get("usage")) is dict:
            read_usage(usage, self.usage())
            # Some count the prompt only in the total.
            if self.usage().input_tokens is None:
                self.usage().input_tokens = count(usage.get("total_tokens"))
            # There is no output; some say so with a zero.
            self.usage().output_tokens = None
        return True


class CohereEmbed(Embeddings):
    """One exchange with Cohere's `/v1/embed` or `/v2/embed`."""

    __slots__ = ()

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = text(body.get("model"))
        put(call.request, sc.EMBEDDINGS_DIMENSION_COUNT, count(body.get("output_dimension")))
        put(call.request, sc.REQUEST_ENCODING_FORMATS, strings(body.get("embedding_types")))

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict or not isinstance(found := body.get("embeddings"), dict | list):
            return False
        call = self.call
        call.response_id = text(body.get("id"))
        if type(found) is dict:
            for encoding, vectors in found.items():
                if type(vectors) is list and vectors:
                    self._found(dimension(vectors[0], encoding))
                    break
        elif found:
            self._found(dimension(found[0]))
        meta = body.get("meta")
        if type(meta) is dict:
            read_cohere_usage(meta, self.usage())
            self.usage().output_tokens = None
        return True


class OllamaEmbed(Embeddings):
    """One exchange with Ollama's `/api/embed` or the older `/api/embeddings`."""

    __slots__ = ()

    def _on_request(self, body: dict[str, Any]) -> None:
        self.call.request_model = text(body.get("model"))
        put(self.call.request, sc.EMBEDDINGS_DIMENSION_COUNT, count(body.get("dimensions")))

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict:
            return False
        vectors = body.get("embeddings")
        if type(vectors) is list:
            vector = vectors[0] if vectors else None
        elif type(body.get("embedding")) is list:
            vector = body["embedding"]
        else:
            return False
        self._found(dimension(vector))
        self.call.response_model = text(body.get("model"))
        if (asked := count(body.get("prompt_eval_count"))) is not None:
            self.usage().input_tokens = asked
        return True


class GeminiEmbed(Embeddings):
    """One exchange with `:embedContent`, `:batchEmbedContents` or Vertex's `:predict`."""

    __slots__ = ()

    def _on_request(self, body: dict[str, Any]) -> None:
        call = self.call
        call.request_model = self.path_model
        batch = records(body.get("requests"))
        asked = batch[0] if batch else body
        size = either(asked, "outputDimensionality", "output_dimensionality")
        if size is None:
            config = either(asked, "embedContentConfig", "embed_content_config") or asked.get("parameters")
            size = either(record(config), "outputDimensionality", "output_dimensionality")
        put(call.request, sc.EMBEDDINGS_DIMENSION_COUNT, count(size))

    def _on_response(self, body: Any) -> bool:
        if type(body) is not dict:
            return False
        call = self.call
        if type(predictions := body.get("predictions")) is list:
            self._predicted(records(predictions))
        elif type(vectors := body.get("embeddings")) is list:
            for vector in records(vectors)[:1]:
                self._found(dimension(vector.get("values")))
        elif type(only := body.get("embedding")) is dict:
            self._found(dimension(only.get("values")))
        else:
            return False
        call.response_model = text(either(body, "modelVersion", "model_version"))
        counts = either(body, "usageMetadata", "usage_metadata")
        if type(counts) is dict:
            read_gemini_usage(counts, self.usage())
            self.usage().output_tokens = None
        return True

    def _predicted(self, predictions: list[dict[str, Any]]) -> None:
        total = 0
        known = False
        for at, prediction in enumerate(predictions):
            vector = record(prediction.get("embeddings"))
            if at == 0:
                self._found(dimension(vector.get("values")))
            asked = count(record(vector.get("statistics")).get("token_count"))
            if asked is not None:
                known = True
                total += asked
        if known:
            self.usage().input_tokens = total
