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
from otel_llm_http.dialects.anthropic import AnthropicMessages
from otel_llm_http.dialects.gemini import GeminiGenerate
from otel_llm_http.dialects.openai_chat import OpenAIChat

_MAX_CACHED: Final = 4096
_MAX_PATH: Final = 1024

_MESSAGES: Final[Keys] = (b'"messages"',)
_MODEL: Final[Keys] = (b'"model"',)

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
    path = re.sub(r"/{2,}", "/", path).rstrip("/")
    if method != "POST":
        return None
    provider = provider_of(host)
    last = path.rpartition("/")[2]
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


def _raw(provider: str | None, path: str, name: str, verb: str) -> Endpoint | None:
    """Take somebody else's model on Vertex, which speaks its own protocol."""
    match = _VERTEX_MODEL.search(path)
    publisher = match[1] if match is not None else None
    if publisher == "anthropic":
        protocol: type[AnthropicMessages | OpenAIChat] = AnthropicMessages
    elif publisher in {"mistralai", "ai21"}:
        protocol = OpenAIChat
    else:
        return None
    return Endpoint(sc.CHAT, _google(provider, path), protocol, unquote(name), needs=(_MESSAGES,), certain=False)


_VERBS: Final[dict[str, Callable[[str | None, str, str, str], Endpoint | None]]] = {
    "generateContent": _generate,
    "streamGenerateContent": _generate,
    "rawPredict": _raw,
    "streamRawPredict": _raw,
}

_ROUTES: Final[dict[str, Callable[[str | None, str], Endpoint | None]]] = {
    "completions": _completions,
    "messages": _messages,
}
