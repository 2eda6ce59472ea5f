"""From a status and a provider's words to one of a few classes of failure.

Sources: the providers' error pages (OpenAI, Anthropic, Google `google.rpc.Code`, Mistral, Cohere, Azure, Bedrock)
and what vLLM, SGLang, llama.cpp and Ollama answer. The provider's own code decides first, then words that tell a
context that is too long or filtered content, then the status.
"""

from __future__ import annotations

import re
from typing import Any, Final

from otel_llm.llm import CallError, ErrorType
from otel_llm_http.dialects._values import loads

_MAX_MESSAGE: Final = 2000
_MAX_CODE: Final = 200
_MAX_DEPTH: Final = 4
_SERVER_ERROR: Final = 500

_BY_CODE: Final[dict[str, ErrorType]] = {
    # OpenAI and those who speak like it
    "context_length_exceeded": "context_length",
    "string_above_max_length": "context_length",
    "exceed_context_size_error": "context_length",
    "model_max_length_exceeded": "context_length",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "responsibleaipolicyviolation": "content_filter",
    "moderation_blocked": "content_filter",
    "invalid_api_key": "auth",
    "account_deactivated": "auth",
    "insufficient_permissions": "auth",
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "insufficient_quota": "rate_limit",
    "requests": "rate_limit",
    "tokens": "rate_limit",
    "server_error": "overloaded",
    "service_unavailable": "overloaded",
    "internal_server_error": "overloaded",
    "capacity_exceeded": "overloaded",
    "service_tier_capacity_exceeded": "overloaded",
    "model_not_found": "invalid_request",
    "invalid_request_error": "invalid_request",
    "badrequesterror": "invalid_request",
    "notfounderror": "invalid_request",
    # Anthropic
    "authentication_error": "auth",
    "permission_error": "auth",
    "billing_error": "auth",
    "not_found_error": "invalid_request",
    "request_too_large": "invalid_request",
    "api_error": "overloaded",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
    # google.rpc.Code
    "invalid_argument": "invalid_request",
    "failed_precondition": "invalid_request",
    "out_of_range": "invalid_request",
    "not_found": "invalid_request",
    "unauthenticated": "auth",
    "permission_denied": "auth",
    "api_key_invalid": "auth",
    "resource_exhausted": "rate_limit",
    "unavailable": "overloaded",
    "internal": "overloaded",
    "deadline_exceeded": "timeout",
    "cancelled": "cancelled",
    # Bedrock
    "throttlingexception": "rate_limit",
    "servicequotaexceededexception": "rate_limit",
    "accessdeniedexception": "auth",
    "validationexception": "invalid_request",
    "resourcenotfoundexception": "invalid_request",
    "modeltimeoutexception": "timeout",
    "modelnotreadyexception": "overloaded",
    "serviceunavailableexception": "overloaded",
    "internalserverexception": "overloaded",
    "modelstreamerrorexception": "overloaded",
}

_BY_STATUS: Final[dict[int, ErrorType]] = {
    401: "auth",
    402: "auth",
    403: "auth",
    407: "auth",
    408: "timeout",
    425: "overloaded",
    429: "rate_limit",
    498: "overloaded",  # Groq: flex tier capacity exceeded
    499: "cancelled",
    501: "invalid_request",
    504: "timeout",
    522: "timeout",
    524: "timeout",
}

_STATUSES: Final = frozenset(str(status) for status in range(400, 600))

_TOO_LONG: Final = re.compile(
    r"context.{0,12}(?:length|window|size)|prompt is too long|too many (?:input )?tokens|input is too long"
    r"|maximum.{0,24}(?:sequence|prompt|input|token).{0,12}(?:length|limit|allowed)|exceeds? the maximum number of tokens"
    r"|reduce the length of|max_model_len|input token count",
    re.IGNORECASE,
)
_FILTERED: Final = re.compile(
    r"content (?:management|filtering) policy|content[_ ]filter|blocked by .{0,30}(?:safety|policy|filter)"
    r"|violat\w* .{0,30}(?:usage|content|safety) polic",
    re.IGNORECASE,
)
_KEY_WORDS: Final = re.compile(
    r"api[_ ]?key (?:not valid|is invalid|expired)|invalid api[_ ]?key", re.IGNORECASE
)
_RETRY_DELAY: Final = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d{1,9})?)s"')
_TITLE: Final = re.compile(r"<title[^>]*>([^<]{1,300})", re.IGNORECASE)


def from_response(status: int, body: bytes) -> CallError:
    """Return the error that an HTTP response with a status of 400 or more stands for."""
    try:
        payload = loads(_event_data(body))
    except ValueError:
        return CallError(_classify(status, None, prose := _prose(body)), prose, None)
    return from_payload(payload, status)


def from_payload(payload: Any, status: int | None) -> CallError:
    """Return the error that a provider's JSON tells; `status` is None within a stream that had begun well."""
    message, codes = _words(payload)
    if status is None:
        # Some repeat the status that the response would have had, had it not begun already.
        status = next((int(code) for code in codes if code in _STATUSES), None)
    return CallError(_classify(status, codes, message), message, _shown(codes))


def retry_delay(body: bytes) -> float | None:
    """Return the seconds that Google asks to wait, which it says in the body (`google.rpc.RetryInfo`)."""
    match = _RETRY_DELAY.search(body)
    return None if match is None else float(match[1])


def holds_error(payload: Any) -> bool:
    """Say whether JSON that came with a good status is an error all the same."""
    if type(payload) is list and payload:
        payload = payload[0]
    if type(payload) is not dict:
        return False
    return bool(payload.get("error")) or payload.get("type") == "error" or payload.get("object") == "error"


def _words(payload: Any, depth: int = 0) -> tuple[str | None, list[str]]:
    """Return the message and the codes, most specific first, wherever a provider puts them."""
    if depth > _MAX_DEPTH:
        return None, []
    if type(payload) is list:
        return _words(payload[0], depth + 1) if payload else (None, [])
    if type(payload) is str:
        return payload[:_MAX_MESSAGE] or None, []
    if type(payload) is not dict:
        return None, []
    codes = [
        str(code)
        for key in ("code", "status", "type", "__type", "reason")
        if _is_code(code := payload.get(key))
    ]
    codes = [code for code in codes if code != "error"]
    message: str | None = None
    for key in ("message", "Message", "msg", "error_message"):
        if type(value := payload.get(key)) is str and value:
            message = value[:_MAX_MESSAGE]
            break
    for key in ("error", "detail", "details", "errors", "message", "innererror", "metadata"):
        if isinstance(nested := payload.get(key), dict | list | str) and nested and nested is not message:
            inner, more = _words(nested, depth + 1)
            message = inner if message is None or (key == "error" and inner) else message
            codes = more + codes if key in {"error", "innererror"} else codes + more
    return message, codes


def _is_code(value: Any) -> bool:
    return (type(value) is str and 0 < len(value) <= _MAX_CODE) or type(value) is int


def _shown(codes: list[str]) -> str | None:
    """Return the code worth showing: the first that is a word rather than the status again."""
    for code in codes:
        if not code.isdigit():
            return code
    return codes[0] if codes else None


def _classify(status: int | None, codes: list[str] | None, message: str | None) -> ErrorType:
    found = [
        kind for code in codes or () if (kind := _BY_CODE.get(code.lower().rpartition(".")[2])) is not None
    ]
    for kind in ("content_filter", "context_length"):
        if kind in found:
            return kind
    if message and (status is None or status < _SERVER_ERROR) and status not in {401, 403, 429}:
        if _TOO_LONG.search(message):
            return "context_length"
        if _FILTERED.search(message):
            return "content_filter"
        if _KEY_WORDS.search(message):
            return "auth"
    if status in _BY_STATUS and "overloaded" not in found:
        return _BY_STATUS[status]
    if "auth" in found:
        return "auth"
    if found:
        return found[0]
    if status is None or status >= _SERVER_ERROR:
        return "overloaded"
    return "invalid_request"


def _event_data(body: bytes) -> bytes:
    """Return the JSON of an error that came as a server-sent event."""
    at = body.find(b"data:") if body[:1] not in {b"{", b"["} else -1
    if at < 0:
        return body
    return body[at + 5 :].split(b"\n", 1)[0].strip()


def _prose(body: bytes) -> str | None:
    """Return what an answer that is no JSON says: a page's title, or its first words."""
    words = body[: 4 * _MAX_MESSAGE].decode("utf-8", "replace").strip()
    if words.startswith("<"):
        match = _TITLE.search(words)
        return None if match is None else match[1].strip()
    return words[:_MAX_MESSAGE] or None
