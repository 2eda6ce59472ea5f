"""From method, host and path to an endpoint: by the shape of the path, and by the host where that leaves doubt."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from otel_llm import semconv as sc
from otel_llm_http.dialects._endpoint import Endpoint, Keys
from otel_llm_http.dialects._hosts import provider_of
from otel_llm_http.dialects._parser import CallParser
from otel_llm_http.dialects.anthropic import AnthropicMessages
from otel_llm_http.dialects.bedrock import BedrockAnthropic, BedrockConverse, BedrockText
from otel_llm_http.dialects.cohere import CohereChat, CohereChatV1
from otel_llm_http.dialects.embeddings import CohereEmbed, GeminiEmbed, OllamaEmbed, OpenAIEmbeddings
from otel_llm_http.dialects.gemini import GeminiGenerate
from otel_llm_http.dialects.gemini_interactions import GeminiFetchedInteraction, GeminiInteraction
from otel_llm_http.dialects.ollama import Ollama
from otel_llm_http.dialects.openai_chat import OpenAIChat
from otel_llm_http.dialects.openai_responses import OpenAIFetchedResponse, OpenAIResponses
from otel_llm_http.dialects.vllm import TextGenerate, TokensGenerate

_MAX_CACHED: Final = 4096
_MAX_PATH: Final = 1024

_MESSAGES: Final[Keys] = (b'"messages"',)
_MODEL: Final[Keys] = (b'"model"',)
_PROMPT: Final[Keys] = (b'"prompt"',)
_MAX_PREFIX: Final = 2

_SLASHES: Final = re.compile(r"/{2,}")
_VERSIONED: Final = re.compile(r"/(?:v\d\w*|openai)/responses$")
_RESPONSE: Final = re.compile(r"/responses/([^/]+)$")
_INTERACTION: Final = re.compile(r"/v\d\w*/(?:.*/)?interactions/[^/]+$")
_BEDROCK: Final = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream)")
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)/")
_VERTEX_MODEL: Final = re.compile(r"/publishers/([^/]+)/models/[^/]+$")


def recognise(method: str, host: str, path: str) -> Endpoint | None:
    """Say what a request is, if it may be a model call. Hot path; never raises; answers are remembered.

    Args:
        method: the HTTP method in upper case.
        host: the server's name.
        path: the URL's path, without its query.

    Returns:
        The endpoint, whose `confirm` must still look at the body; None for everything else.
    """
    try:
        if len(path) > _MAX_PATH:
            return None
        return _recognised(method, host, path)
    except TypeError:
        return None


@lru_cache(maxsize=_MAX_CACHED)
def _recognised(method: str, host: str, path: str) -> Endpoint | None:
    try:
        return _route(method, host, path)
    except Exception:
        return None


def _route(method: str, host: str, path: str) -> Endpoint | None:
    path = _SLASHES.sub("/", path).rstrip("/")
    provider = provider_of(host)
    if method == "GET":
        return _fetched(provider, path)
    if method != "POST":
        return None
    last = path.rpartition("/")[2]
    if provider == "aws.bedrock" and (match := _BEDROCK.fullmatch(path)) is not None:
        return _bedrock(provider, unquote(match[1]), match[2])
    name, colon, verb = last.rpartition(":")
    if not colon:
        name, colon, verb = last.rpartition("%3A")
    if colon and verb in _VERBS:
        return _VERBS[verb](provider, path, name, verb)
    route = _ROUTES.get(last)
    return None if route is None else route(provider, path)


# --- OpenAI and those who speak like it ---------------------------------------------------------------


def _needs(provider: str | None, *keys: Keys) -> tuple[Keys, ...]:
    return () if provider is not None else keys


def _deployment(path: str) -> str | None:
    match = _DEPLOYMENT.search(path)
    return None if match is None else unquote(match[1])


def _azure(provider: str | None, path: str) -> str | None:
    """One Azure host serves OpenAI's models and others', told apart by the path."""
    return "azure.ai.openai" if provider == "azure.ai.inference" and "/openai/" in path else provider


def _completions(provider: str | None, path: str) -> Endpoint | None:
    provider = _azure(provider, path)
    model = _deployment(path)
    if path.endswith(("/chat/completions", "/agents/completions")):
        return Endpoint(sc.CHAT, provider or "openai", OpenAIChat, model, needs=_needs(provider, _MESSAGES))
    return Endpoint(
        sc.TEXT_COMPLETION,
        provider or "openai",
        OpenAIChat,
        model,
        needs=_needs(provider, (b'"prompt"',)),
        certain=path.endswith("/v1/completions"),
    )


def _responses(provider: str | None, path: str) -> Endpoint | None:
    if provider is None and _VERSIONED.search(path) is None:
        return None
    provider = _azure(provider, path)
    needs = _needs(provider, _MODEL, (b'"input"', b'"prompt"'))
    return Endpoint(
        sc.CHAT, provider or "openai", OpenAIResponses, _deployment(path), needs=needs, certain=False
    )


def _fetched(provider: str | None, path: str) -> Endpoint | None:
    """Take a request for an answer that was generated by another one."""
    match = _RESPONSE.search(path)
    if match is not None and (match[1].startswith("resp_") or provider in {"openai", "azure.ai.openai"}):
        return Endpoint(sc.FETCH_RESPONSE, _azure(provider, path) or "openai", OpenAIFetchedResponse)
    if provider in {"gcp.gemini", "gcp.vertex_ai"} and _INTERACTION.search(path) is not None:
        return Endpoint(sc.FETCH_RESPONSE, provider, GeminiFetchedInteraction)
    return None


def _embeddings(provider: str | None, path: str) -> Endpoint | None:
    if path.endswith("/api/embeddings") and provider in {None, "ollama"}:
        return Endpoint(
            sc.EMBEDDINGS, "ollama", OllamaEmbed, needs=_needs(provider, _MODEL, _PROMPT), certain=False
        )
    provider = _azure(provider, path)
    needs = _needs(provider, (b'"input"',))
    return Endpoint(
        sc.EMBEDDINGS,
        provider or "openai",
        OpenAIEmbeddings,
        _deployment(path),
        needs=needs,
        certain=path.endswith("/v1/embeddings"),
    )


# --- Cohere and Ollama --------------------------------------------------------------------------------


def _chat(provider: str | None, path: str) -> Endpoint | None:
    if path.endswith("/api/chat") and provider in {None, "ollama"}:
        return _ollama(provider, sc.CHAT, _MESSAGES)
    if path.endswith("/v2/chat"):
        return _cohere(provider, sc.CHAT, CohereChat, _MODEL, _MESSAGES)
    if path.endswith("/v1/chat"):
        return _cohere(
            provider, sc.CHAT, CohereChatV1, (b'"message"',), (b'"chat_history"', b'"preamble"', b'"model"')
        )
    return None


def _cohere(provider: str | None, operation: str, protocol: type[CallParser], *keys: Keys) -> Endpoint | None:
    if provider is None or provider in {"cohere", "azure.ai.inference"}:
        needs = _needs(provider, *keys)
        return Endpoint(operation, provider or "cohere", protocol, needs=needs, certain=False)
    return None


def _ollama(provider: str | None, operation: str, *keys: Keys) -> Endpoint:
    return Endpoint(
        operation,
        "ollama",
        Ollama,
        needs=_needs(provider, _MODEL, *keys),
        certain=False,
        streams_unless_told=True,
    )


def _embed(provider: str | None, path: str) -> Endpoint | None:
    if path.endswith("/api/embed") and provider in {None, "ollama"}:
        needs = _needs(provider, _MODEL, (b'"input"',))
        return Endpoint(sc.EMBEDDINGS, "ollama", OllamaEmbed, needs=needs, certain=False)
    if path.endswith(("/v1/embed", "/v2/embed")):
        return _cohere(provider, sc.EMBEDDINGS, CohereEmbed, _MODEL, (b'"texts"', b'"inputs"', b'"images"'))
    return None


# --- engines' own -------------------------------------------------------------------------------------


def _generate_text(provider: str | None, path: str) -> Endpoint | None:
    if path.endswith("/api/generate") and provider in {None, "ollama"}:
        return _ollama(provider, sc.TEXT_COMPLETION, _PROMPT)
    if provider not in {None, "huggingface"}:
        return None
    if path.endswith("/inference/v1/generate"):
        return Endpoint(sc.TEXT_COMPLETION, "vllm", TokensGenerate, needs=((b'"token_ids"',),))
    if path.count("/") > _MAX_PREFIX:
        return None
    prompt = (b'"prompt"', b'"prompts"', b'"sampling_params"', b'"inputs"')
    return Endpoint(sc.TEXT_COMPLETION, provider or "vllm", TextGenerate, needs=(prompt,), certain=False)


def _completion(provider: str | None, path: str) -> Endpoint | None:  # noqa: ARG001
    """Take llama.cpp's own way, which tells how much to predict."""
    if provider is not None:
        return None
    return Endpoint(
        sc.TEXT_COMPLETION, "llama_cpp", TextGenerate, needs=(_PROMPT, (b'"n_predict"',)), certain=False
    )


# --- Anthropic ----------------------------------------------------------------------------------------


def _messages(provider: str | None, path: str) -> Endpoint | None:
    if not path.endswith("/v1/messages"):
        return None
    return Endpoint(
        sc.CHAT,
        provider or "anthropic",
        AnthropicMessages,
        needs=_needs(provider, _MESSAGES, (b'"max_tokens"',)),
        certain=False,
    )


# --- Google -------------------------------------------------------------------------------------------


def _google(provider: str | None, path: str) -> str:
    return provider or ("gcp.vertex_ai" if "/publishers/" in path or "/endpoints/" in path else "gcp.gemini")


def _google_model(path: str, name: str) -> str:
    """Return the model as it is asked for: with its kind where that is not `models`."""
    kind = path.split("/")[-2] if "/" in path else ""
    return unquote(f"{kind}/{name}" if kind in {"tunedModels", "endpoints"} else name)


def _generate(provider: str | None, path: str, name: str, verb: str) -> Endpoint | None:
    return Endpoint(
        sc.GENERATE_CONTENT,
        _google(provider, path),
        GeminiGenerate,
        _google_model(path, name),
        stream=verb == "streamGenerateContent",
    )


def _raw(provider: str | None, path: str, name: str, verb: str) -> Endpoint | None:  # noqa: ARG001
    """Take somebody else's model on Vertex, which speaks its own protocol."""
    match = _VERTEX_MODEL.search(path)
    publisher = match[1] if match is not None else None
    if publisher == "anthropic":
        protocol: type[CallParser] = AnthropicMessages
    elif publisher in {"mistralai", "ai21"}:
        protocol = OpenAIChat
    else:
        return None
    return Endpoint(
        sc.CHAT, _google(provider, path), protocol, unquote(name), needs=(_MESSAGES,), certain=False
    )


def _embed_content(provider: str | None, path: str, name: str, verb: str) -> Endpoint | None:  # noqa: ARG001
    return Endpoint(sc.EMBEDDINGS, _google(provider, path), GeminiEmbed, _google_model(path, name))


def _predict(provider: str | None, path: str, name: str, verb: str) -> Endpoint | None:  # noqa: ARG001
    """Take Vertex's embeddings; pictures, sound and models of one's own go the same way, but are no LLM calls."""
    if "/publishers/" not in path or not any(word in name for word in ("embed", "gecko")):
        return None
    return Endpoint(sc.EMBEDDINGS, _google(provider, path), GeminiEmbed, _google_model(path, name))


def _interactions(provider: str | None, path: str) -> Endpoint | None:  # noqa: ARG001
    if provider not in {"gcp.gemini", "gcp.vertex_ai"}:
        return None
    return Endpoint(sc.GENERATE_CONTENT, provider, GeminiInteraction)


# --- Bedrock ------------------------------------------------------------------------------------------


def _bedrock(provider: str, model: str, verb: str) -> Endpoint:
    stream = verb in {"converse-stream", "invoke-with-response-stream"}
    protocol: type[CallParser]
    operation = sc.CHAT
    if verb.startswith("converse") or "amazon.nova" in model:
        protocol = BedrockConverse
    elif "anthropic." in model:
        protocol = BedrockAnthropic
    else:
        protocol = BedrockText
        operation = sc.TEXT_COMPLETION
    return Endpoint(operation, provider, protocol, model, stream)


_VERBS: Final[dict[str, Callable[[str | None, str, str, str], Endpoint | None]]] = {
    "generateContent": _generate,
    "streamGenerateContent": _generate,
    "embedContent": _embed_content,
    "batchEmbedContents": _embed_content,
    "predict": _predict,
    "rawPredict": _raw,
    "streamRawPredict": _raw,
}

_ROUTES: Final[dict[str, Callable[[str | None, str], Endpoint | None]]] = {
    "chat": _chat,
    "completion": _completion,
    "completions": _completions,
    "embed": _embed,
    "embeddings": _embeddings,
    "generate": _generate_text,
    "interactions": _interactions,
    "messages": _messages,
    "responses": _responses,
}
