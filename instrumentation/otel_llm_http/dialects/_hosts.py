"""Whom a host belongs to: `gen_ai.provider.name` values, the convention's where it has one, else our own."""

from __future__ import annotations

from typing import Final

_HOSTS: Final[dict[str, str]] = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.mistral.ai": "mistral_ai",
    "codestral.mistral.ai": "mistral_ai",
    "api.groq.com": "groq",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "models.inference.ai.azure.com": "azure.ai.inference",
    # The convention has no values for these.
    "models.github.ai": "github",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "openrouter.ai": "openrouter",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.sambanova.ai": "sambanova",
    "integrate.api.nvidia.com": "nvidia",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
    "api.ai21.com": "ai21",
    "api.deepinfra.com": "deepinfra",
    "api.novita.ai": "novita",
    "api.hyperbolic.xyz": "hyperbolic",
    "dashscope.aliyuncs.com": "alibaba",
    "dashscope-intl.aliyuncs.com": "alibaba",
    "api.minimax.io": "minimax",
    "api.z.ai": "z_ai",
    "open.bigmodel.cn": "z_ai",
    "api.voyageai.com": "voyage_ai",
    "api.jina.ai": "jina_ai",
    "ollama.com": "ollama",
}

_SUFFIXES: Final[tuple[tuple[str, str], ...]] = (
    (".api.openai.com", "openai"),  # data residency: eu.api.openai.com
    (".openai.azure.com", "azure.ai.openai"),
    (".openai.azure.us", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".models.ai.azure.com", "azure.ai.inference"),
    ("-aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".endpoints.huggingface.cloud", "huggingface"),
    (".ml.cloud.ibm.com", "ibm.watsonx.ai"),
)


def provider_of(host: str) -> str | None:
    """Return the provider that runs `host`, None for a host that we do not know."""
    host = host.lower().rstrip(".")
    known = _HOSTS.get(host)
    if known is not None:
        return known
    for suffix, provider in _SUFFIXES:
        if host.endswith(suffix):
            return provider
    if host.startswith(("bedrock-runtime.", "bedrock-runtime-fips.")) and ".amazonaws.com" in host:
        return "aws.bedrock"
    return None
