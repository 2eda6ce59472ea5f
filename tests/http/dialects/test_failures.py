"""From a status and a provider's words to a class of failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.llm import CallError
from otel_llm_http.dialects._failures import from_response
from tests.http.dialects.exchanges import call

OPENAI, ANTHROPIC, GOOGLE = (
    "https://api.openai.com/v1/chat/completions",
    "https://api.anthropic.com/v1/messages",
    "https://generativelanguage.googleapis.com/v1beta/models/g:generateContent",
)


def openai(message: str, kind: str | None = None, code: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req"}


def google(code: int, status: str, message: str, *details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


CASES = [
    (401, openai("Bad key.", "invalid_request_error", "invalid_api_key"), "auth", "invalid_api_key"),
    (403, openai("Not here.", "request_forbidden", "unsupported_country"), "auth", "unsupported_country"),
    (
        404,
        openai("No model.", "invalid_request_error", "model_not_found"),
        "invalid_request",
        "model_not_found",
    ),
    (
        400,
        openai("Too long.", "invalid_request_error", "context_length_exceeded"),
        "context_length",
        "context_length_exceeded",
    ),
    (
        400,
        openai("No.", "invalid_request_error", "content_policy_violation"),
        "content_filter",
        "content_policy_violation",
    ),
    (429, openai("Slow.", "requests", "rate_limit_exceeded"), "rate_limit", "rate_limit_exceeded"),
    (429, openai("Pay.", "insufficient_quota", "insufficient_quota"), "rate_limit", "insufficient_quota"),
    (500, openai("Oh.", "server_error"), "overloaded", "server_error"),
    (503, openai("Busy."), "overloaded", None),
    (504, openai("Late."), "timeout", None),
    (408, {}, "timeout", None),
    (
        422,
        {"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]},
        "invalid_request",
        "missing",
    ),
    # vLLM, SGLang, llama.cpp
    (
        400,
        openai("This model's maximum context length is 8 tokens.", "BadRequestError", 400),
        "context_length",
        "BadRequestError",
    ),
    (
        400,
        {"object": "error", "message": "max_model_len is 8", "type": "BadRequestError", "code": 400},
        "context_length",
        "BadRequestError",
    ),
    (400, openai("no", "exceed_context_size_error", 400), "context_length", "exceed_context_size_error"),
    # Azure
    (
        400,
        {
            "error": {
                "code": "content_filter",
                "message": "x",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        "content_filter",
        "ResponsibleAIPolicyViolation",
    ),
    (401, {"error": {"code": "401", "message": "Access denied"}}, "auth", "401"),
    # Anthropic
    (529, anthropic("overloaded_error", "Overloaded"), "overloaded", "overloaded_error"),
    (429, anthropic("rate_limit_error", "Slow."), "rate_limit", "rate_limit_error"),
    (
        400,
        anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        "context_length",
        "invalid_request_error",
    ),
    (401, anthropic("authentication_error", "invalid x-api-key"), "auth", "authentication_error"),
    (413, anthropic("request_too_large", "Too large."), "invalid_request", "request_too_large"),
    (500, anthropic("api_error", "Oh."), "overloaded", "api_error"),
    # Google
    (
        400,
        google(400, "INVALID_ARGUMENT", "API key not valid.", {"@type": "x", "reason": "API_KEY_INVALID"}),
        "auth",
        "INVALID_ARGUMENT",
    ),
    (400, [google(400, "INVALID_ARGUMENT", "Bad role.")], "invalid_request", "INVALID_ARGUMENT"),
    (
        400,
        google(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum"),
        "context_length",
        "INVALID_ARGUMENT",
    ),
    (429, google(429, "RESOURCE_EXHAUSTED", "Quota."), "rate_limit", "RESOURCE_EXHAUSTED"),
    (503, google(503, "UNAVAILABLE", "Busy."), "overloaded", "UNAVAILABLE"),
    (504, google(504, "DEADLINE_EXCEEDED", "Late."), "timeout", "DEADLINE_EXCEEDED"),
    # Cohere, Mistral, Ollama, Bedrock
    (401, {"message": "invalid api token", "id": "x"}, "auth", None),
    (
        400,
        {"object": "error", "message": "Bad.", "type": "invalid_request_prompt", "code": "1"},
        "invalid_request",
        "invalid_request_prompt",
    ),
    (404, {"error": "model 'x' not found"}, "invalid_request", None),
    (
        429,
        {"message": "Too many requests", "__type": "ThrottlingException"},
        "rate_limit",
        "ThrottlingException",
    ),
    (400, {"message": "Input is too long for requested model."}, "context_length", None),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), CASES)
def test_what_a_provider_answers_is_classified(status: int, body: Any, kind: str, code: str | None) -> None:
    error = from_response(status, json.dumps(body).encode())
    assert (error.type, error.code) == (kind, code)


def test_the_message_is_the_providers_own() -> None:
    for status, body, message in (
        (400, openai("Bad."), "Bad."),
        (400, anthropic("x", "Bad."), "Bad."),
        (400, [google(400, "X", "Bad.")], "Bad."),
        (400, {"error": "Bad."}, "Bad."),
        (400, {"message": "Bad."}, "Bad."),
        (400, {"detail": "Bad."}, "Bad."),
        (422, {"detail": [{"msg": "Bad."}]}, "Bad."),
        (500, {}, None),
    ):
        assert from_response(status, json.dumps(body).encode()).message == message


def test_answers_that_are_no_json() -> None:
    page = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>...</body></html>"
    assert from_response(502, page) == CallError("overloaded", "502 Bad Gateway")
    assert from_response(500, b"") == CallError("overloaded")
    assert from_response(500, b"upstream connect error") == CallError("overloaded", "upstream connect error")
    assert from_response(429, b"\xff\xfe") == CallError("rate_limit", "\ufffd\ufffd")
    event = b'event: error\ndata: {"error":{"message":"Slow.","code":"rate_limit_exceeded"}}\n\n'
    assert from_response(429, event) == CallError("rate_limit", "Slow.", "rate_limit_exceeded")
    assert len(from_response(500, b"x" * 100_000).message or "") <= 2000


@pytest.mark.parametrize("url", [OPENAI, ANTHROPIC, GOOGLE])
def test_an_error_is_the_whole_answer(url: str) -> None:
    got = call(
        url,
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
        openai("Bad.", "server_error"),
        status=500,
    )
    assert got.error == CallError("overloaded", "Bad.", "server_error")
    assert (got.complete, got.output_messages, got.finish_reasons, got.usage) == (False, [], [], None)


def test_an_exchange_without_an_answer_says_nothing_of_its_own() -> None:
    from tests.http.dialects.exchanges import parser

    reader = parser(OPENAI)
    reader.request(b'{"model":"m"}', None)
    got = reader.end()
    assert (got.error, got.complete, got.request_model) == (None, False, "m")


def test_a_redirect_that_was_not_followed_is_no_answer() -> None:
    got = call(OPENAI, {"model": "m"}, b"", status=307)
    assert got.error == CallError("malformed_response", "HTTP status 307")


def test_google_says_in_the_body_when_to_try_again() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    got = call(GOOGLE, {}, google(429, "RESOURCE_EXHAUSTED", "Quota.", info), status=429)
    assert got.response == {sc.RETRY_AFTER: 34.5}
    headers = {"content-type": "application/json", "retry-after": "3"}
    got = call(GOOGLE, {}, google(429, "RESOURCE_EXHAUSTED", "Quota.", info), status=429, headers=headers)
    assert got.response == {sc.RETRY_AFTER: 3.0}
