"""What is recognised as a model call, and as whose."""

from __future__ import annotations

import pytest

from otel_llm import semconv as sc
from otel_llm_http.dialects import _routes, recognise
from tests.http.dialects.exchanges import endpoint

CHAT = b'{"messages": [{"role": "user", "content": "hi"}], "model": "m"}'

CALLS = [
    # URL, body, operation, provider, model as known before parsing
    ("https://api.openai.com/v1/chat/completions", CHAT, "chat", "openai", "m"),
    ("https://eu.api.openai.com/v1/chat/completions", CHAT, "chat", "openai", "m"),
    (
        "https://api.openai.com/v1/completions",
        b'{"prompt":"a","model":"m"}',
        "text_completion",
        "openai",
        "m",
    ),
    ("https://api.openai.com/v1/responses", b'{"input":"a","model":"m"}', "chat", "openai", "m"),
    ("https://api.openai.com/v1/embeddings", b'{"input":"a","model":"m"}', "embeddings", "openai", "m"),
    ("https://api.anthropic.com/v1/messages", CHAT, "chat", "anthropic", "m"),
    ("https://api.mistral.ai/v1/chat/completions", CHAT, "chat", "mistral_ai", "m"),
    (
        "https://api.mistral.ai/v1/fim/completions",
        b'{"prompt":"a","model":"m"}',
        "text_completion",
        "mistral_ai",
        "m",
    ),
    ("https://api.mistral.ai/v1/agents/completions", CHAT, "chat", "mistral_ai", "m"),
    ("https://api.groq.com/openai/v1/chat/completions", CHAT, "chat", "groq", "m"),
    ("https://api.groq.com/openai/v1/responses", b'{"input":"a","model":"m"}', "chat", "groq", "m"),
    ("https://api.together.xyz/v1/chat/completions", CHAT, "chat", "together", "m"),
    (
        "https://api.together.ai/v1/completions",
        b'{"prompt":"a","model":"m"}',
        "text_completion",
        "together",
        "m",
    ),
    ("https://api.deepseek.com/chat/completions", CHAT, "chat", "deepseek", "m"),
    ("https://api.deepseek.com/anthropic/v1/messages", CHAT, "chat", "deepseek", "m"),
    ("https://openrouter.ai/api/v1/chat/completions", CHAT, "chat", "openrouter", "m"),
    ("https://api.fireworks.ai/inference/v1/chat/completions", CHAT, "chat", "fireworks", "m"),
    ("https://api.x.ai/v1/chat/completions", CHAT, "chat", "x_ai", "m"),
    ("https://api.perplexity.ai/chat/completions", CHAT, "chat", "perplexity", "m"),
    ("https://api.moonshot.ai/v1/chat/completions", CHAT, "chat", "moonshot_ai", "m"),
    (
        "https://r.openai.azure.com/openai/deployments/gpt%2Dx/chat/completions",
        CHAT,
        "chat",
        "azure.ai.openai",
        "gpt-x",
    ),
    (
        "https://r.openai.azure.com/openai/deployments/d/embeddings",
        b"{}",
        "embeddings",
        "azure.ai.openai",
        "d",
    ),
    ("https://r.openai.azure.com/openai/v1/chat/completions", CHAT, "chat", "azure.ai.openai", "m"),
    (
        "https://r.openai.azure.com/openai/responses",
        b'{"input":"a","model":"m"}',
        "chat",
        "azure.ai.openai",
        "m",
    ),
    ("https://r.services.ai.azure.com/models/chat/completions", CHAT, "chat", "azure.ai.inference", "m"),
    ("https://r.services.ai.azure.com/openai/v1/chat/completions", CHAT, "chat", "azure.ai.openai", "m"),
    (
        "https://generativelanguage.googleapis.com/v1beta/models/g-1:generateContent",
        b"{}",
        "generate_content",
        "gcp.gemini",
        "g-1",
    ),
    (
        "https://generativelanguage.googleapis.com/v1beta/tunedModels/t:streamGenerateContent",
        b"{}",
        "generate_content",
        "gcp.gemini",
        "tunedModels/t",
    ),
    (
        "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        CHAT,
        "chat",
        "gcp.gemini",
        "m",
    ),
    (
        "https://generativelanguage.googleapis.com/v1beta/models/e:embedContent",
        b"{}",
        "embeddings",
        "gcp.gemini",
        "e",
    ),
    (
        "https://generativelanguage.googleapis.com/v1beta/interactions",
        CHAT,
        "generate_content",
        "gcp.gemini",
        "m",
    ),
    (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/g:generateContent",
        b"{}",
        "generate_content",
        "gcp.vertex_ai",
        "g",
    ),
    (
        "https://aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/text-embedding-5:predict",
        b"{}",
        "embeddings",
        "gcp.vertex_ai",
        "text-embedding-5",
    ),
    (
        "https://aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/c@1:streamRawPredict",
        CHAT,
        "chat",
        "gcp.vertex_ai",
        "c@1",
    ),
    ("https://api.cohere.com/v2/chat", CHAT, "chat", "cohere", "m"),
    ("https://api.cohere.com/v1/chat", b'{"message":"a"}', "chat", "cohere", None),
    ("https://api.cohere.com/v2/embed", b'{"texts":["a"],"model":"m"}', "embeddings", "cohere", "m"),
    ("https://api.cohere.com/compatibility/v1/chat/completions", CHAT, "chat", "cohere", "m"),
    ("http://localhost:11434/api/chat", CHAT, "chat", "ollama", "m"),
    ("http://localhost:11434/api/generate", b'{"prompt":"a","model":"m"}', "text_completion", "ollama", "m"),
    ("http://localhost:11434/api/embed", b'{"input":"a","model":"m"}', "embeddings", "ollama", "m"),
    ("http://localhost:11434/api/embeddings", b'{"prompt":"a","model":"m"}', "embeddings", "ollama", "m"),
    ("http://10.0.0.7:8000/v1/chat/completions", CHAT, "chat", "openai", "m"),
    ("http://gateway.example/team/a/openai/v1/chat/completions", CHAT, "chat", "openai", "m"),
    (
        "http://gateway.example/v1/messages",
        b'{"messages":[],"max_tokens":1,"model":"m"}',
        "chat",
        "anthropic",
        "m",
    ),
    ("http://gateway.example//v1//chat/completions/", CHAT, "chat", "openai", "m"),
    ("http://10.0.0.7:8000/generate", b'{"prompt":"a"}', "text_completion", "vllm", None),
    ("http://10.0.0.7:8000/generate/", b'{"prompts":["a"]}', "text_completion", "vllm", None),
    ("http://10.0.0.7:8000/inference/v1/generate", b'{"token_ids":[1]}', "text_completion", "vllm", None),
    (
        "http://10.0.0.7:8080/completion",
        b'{"prompt":"a","n_predict":4}',
        "text_completion",
        "llama_cpp",
        None,
    ),
    (
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/a.b-v1%3A0/converse",
        b"{}",
        "chat",
        "aws.bedrock",
        "a.b-v1:0",
    ),
]

OTHERS = [
    # method, URL, body
    ("GET", "https://api.openai.com/v1/chat/completions", b""),
    ("GET", "https://api.openai.com/v1/models", b""),
    ("POST", "https://api.openai.com/v1/files", CHAT),
    ("POST", "https://api.openai.com/v1/images/generations", b'{"prompt":"a","model":"m"}'),
    ("POST", "https://api.openai.com/v1/audio/transcriptions", b""),
    ("POST", "https://api.openai.com/v1/moderations", b'{"input":"a","model":"m"}'),
    ("POST", "https://api.openai.com/v1/responses/resp_1/cancel", b""),
    ("DELETE", "https://api.openai.com/v1/responses/resp_1", b""),
    ("GET", "https://api.openai.com/v1/responses/resp_1/input_items", b""),
    ("POST", "https://api.openai.com/v1/threads/t/messages", b'{"role":"user","content":"a"}'),
    ("POST", "https://api.anthropic.com/v1/messages/count_tokens", CHAT),
    ("POST", "https://api.anthropic.com/v1/messages/batches", CHAT),
    ("POST", "https://generativelanguage.googleapis.com/v1beta/models/g:countTokens", b"{}"),
    ("POST", "https://generativelanguage.googleapis.com/v1beta/interactions/i/cancel", b"{}"),
    (
        "POST",
        "https://aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict",
        b"{}",
    ),
    ("POST", "https://aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/7:predict", b"{}"),
    ("POST", "https://api.cohere.com/v2/rerank", b'{"query":"a"}'),
    ("POST", "http://localhost:11434/api/pull", b'{"model":"m"}'),
    ("GET", "http://localhost:11434/api/tags", b""),
    ("POST", "http://app.example/api/chat", b'{"messages":[]}'),
    ("POST", "http://app.example/v1/messages", b'{"to":"+1","body":"hi"}'),
    ("POST", "http://app.example/v1/responses", b'{"form":"f","answers":[]}'),
    ("POST", "http://app.example/embeddings", b'{"id":7}'),
    ("POST", "http://app.example/generate", b'{"report":"x"}'),
    ("POST", "http://app.example/v1/chat/completions", b'{"hello":"world"}'),
    ("POST", "http://app.example/chat/completions", None),
    ("GET", "http://app.example/v1/responses/17", b""),
    ("POST", "http://localhost:4318/v1/traces", CHAT),
    ("POST", "http://localhost:8000/tokenize", CHAT),
    ("POST", "http://app.example/", CHAT),
    ("POST", "http://app.example", CHAT),
]


@pytest.mark.parametrize(("url", "body", "operation", "provider", "model"), CALLS, ids=[c[0] for c in CALLS])
def test_a_model_call_is_recognised(
    url: str, body: bytes, operation: str, provider: str, model: str | None
) -> None:
    found = endpoint(url)
    assert (found.operation, found.provider, found.request_model(body)) == (operation, provider, model)
    assert found.confirm(body)


@pytest.mark.parametrize(("method", "url", "body"), OTHERS, ids=[f"{o[0]} {o[1]}" for o in OTHERS])
def test_anything_else_is_not(method: str, url: str, body: bytes | None) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    found = recognise(method, parts.hostname or "", parts.path)
    if url.endswith("/chat/completions") and body is None:
        assert found is not None
        assert found.confirm(None), "this path means one thing only"
    else:
        assert found is None or not found.confirm(body)


def test_an_answer_that_is_fetched_again_is_an_operation_of_its_own() -> None:
    for url, provider in (
        ("https://api.openai.com/v1/responses/resp_1", "openai"),
        ("https://r.openai.azure.com/openai/responses/resp_1", "azure.ai.openai"),
        ("http://gateway.example/v1/responses/resp_1", "openai"),
        ("https://generativelanguage.googleapis.com/v1beta/interactions/i-1", "gcp.gemini"),
    ):
        found = endpoint(url, "GET")
        assert (found.operation, found.provider) == (sc.FETCH_RESPONSE, provider)
        assert found.confirm(None)
        assert found.request_model(None) is None


def test_a_body_that_cannot_be_seen_is_trusted_only_where_the_address_leaves_no_doubt() -> None:
    assert endpoint("https://api.openai.com/v1/responses").confirm(None)
    assert endpoint("http://gateway.example/v1/chat/completions").confirm(None)
    assert endpoint("http://gateway.example/v1beta/models/g:generateContent").confirm(None)
    for url in (
        "http://app.example/v1/messages",
        "http://app.example/api/chat",
        "http://app.example/generate",
    ):
        assert not endpoint(url).confirm(None)


def test_what_is_remembered_is_bounded() -> None:
    for number in range(3 * _routes._MAX_CACHED):
        recognise("GET", "app.example", f"/files/{number}")
    assert _routes._recognised.cache_info().currsize <= _routes._MAX_CACHED
    before = _routes._recognised.cache_info().currsize
    assert recognise("POST", "app.example", "/" + "x" * 100_000 + "/v1/chat/completions") is None
    assert _routes._recognised.cache_info().currsize == before


def test_an_endpoint_is_made_once_and_cannot_be_changed() -> None:
    found = endpoint("https://api.openai.com/v1/chat/completions")
    assert endpoint("https://api.openai.com/v1/chat/completions") is found
    with pytest.raises(AttributeError):
        found.model = "other"  # type: ignore[misc]
