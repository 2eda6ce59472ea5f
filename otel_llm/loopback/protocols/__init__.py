"""Which protocol an address speaks; one module a protocol.

Paths are matched from their end, so that whatever stands before (a provider's or a gateway's prefix)
does not matter; what is ambiguous then (`/v1/chat`) is told by the whole path.
"""

from __future__ import annotations

import re
from functools import lru_cache

from otel_llm.loopback.exchange import Request
from otel_llm.loopback.protocols import (
    anthropic,
    cohere,
    cohere_v1,
    gemini,
    ollama,
    openai_chat,
    openai_responses,
    openai_text,
)
from otel_llm.loopback.protocols._base import Protocol

__all__ = ["Protocol", "find"]

_ROUTES: tuple[tuple[str, re.Pattern[str], Protocol], ...] = tuple(
    (method, re.compile(pattern), protocol)
    for method, pattern, protocol in (
        ("POST", r"/chat/completions$", openai_chat.OpenAIChat()),
        ("POST", r"/responses$", openai_responses.OpenAIResponses()),
        ("GET", r"/responses/[^/]+$", openai_responses.OpenAIStoredResponse()),
        ("POST", r"/completions$", openai_text.OpenAICompletions()),
        ("POST", r"/embeddings$", openai_text.OpenAIEmbeddings()),
        ("GET", r"/v1/models$", openai_text.OpenAIModels()),
        ("POST", r"/messages$", anthropic.AnthropicMessages()),
        ("POST", r"/messages/count_tokens$", anthropic.AnthropicCountTokens()),
        ("POST", r":generateContent$", gemini.GeminiGenerate()),
        ("POST", r":streamGenerateContent$", gemini.GeminiStream()),
        ("POST", r":(embedContent|batchEmbedContents)$", gemini.GeminiEmbed()),
        ("POST", r":predict$", gemini.GeminiPredict()),
        ("POST", r":countTokens$", gemini.GeminiCountTokens()),
        ("POST", r"/v2/chat$", cohere.CohereChat()),
        ("POST", r"/v[12]/embed$", cohere.CohereEmbed()),
        ("POST", r"/v1/chat$", cohere_v1.CohereChatV1()),
        ("POST", r"/api/chat$", ollama.OllamaChat()),
        ("POST", r"/api/generate$", ollama.OllamaGenerate()),
        ("POST", r"/api/embed$", ollama.OllamaEmbed()),
    )
)


def find(request: Request) -> Protocol | None:
    """The protocol of a request, None where no provider has such an address."""
    return _find(request.method, request.path)


@lru_cache(maxsize=1024)
def _find(method: str, path: str) -> Protocol | None:
    return next((p for verb, pattern, p in _ROUTES if verb == method and pattern.search(path)), None)
