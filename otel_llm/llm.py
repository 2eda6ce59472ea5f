"""One model call, in neutral terms: what every dialect fills in and everything later reads.

Plain data. Imports nothing of OpenTelemetry: a dialect (bytes to `LLMCall`) must be testable without it.
Message shapes are those of the GenAI semantic conventions' JSON schemas:
`{"role": ..., "parts": [{"type": "text", "content": ...}, ...]}`, output messages with `finish_reason`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Part: TypeAlias = dict[str, Any]
"""One part of a message: `type` is text, reasoning, tool_call, tool_call_response, blob, file, uri …"""

Message: TypeAlias = dict[str, Any]
"""`{"role": str, "parts": list[Part]}`, plus `finish_reason` on an output message and `name` where given."""

AttributeValue: TypeAlias = str | bool | int | float | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
"""What a span attribute may be; sequences are tuples."""

ErrorType: TypeAlias = Literal[
    "rate_limit",
    "overloaded",
    "timeout",
    "context_length",
    "content_filter",
    "auth",
    "invalid_request",
    "connection",
    "malformed_response",
    "cancelled",
]
"""The whole taxonomy of failed calls; it is small so that it can be a metric label."""

RETRYABLE: frozenset[str] = frozenset({"rate_limit", "overloaded", "timeout", "connection"})
"""Errors after which the same request may well succeed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of one exchange a parser keeps.

    Attributes:
        max_text: characters of content in all; of what comes on top only counts are kept.
        max_body: bytes of a body that is not streamed; a larger one is not parsed.
    """

    max_text: int = 8_000_000
    max_body: int = 64 << 20


@dataclass(slots=True)
class CallError:
    """Why a call failed.

    Attributes:
        type: the class of failure, see `ErrorType`.
        message: the provider's or the exception's own words, unscrubbed; None where there are none.
        code: the provider's own code for it, such as `insufficient_quota`.
        exception: the qualified name of the exception the program saw, None for an HTTP status.
    """

    type: ErrorType
    message: str | None = None
    code: str | None = None
    exception: str | None = None


@dataclass(slots=True)
class Usage:
    """Token counts as the conventions count them.

    Attributes:
        input_tokens: all input tokens, those read from and written to a cache included.
        output_tokens: all output tokens, reasoning included.
        cache_read_tokens: input tokens that a cache served.
        cache_write_tokens: input tokens that were written to a cache.
        reasoning_tokens: output tokens the model spent thinking.
        by_modality: counts per modality; keys are the tail of `gen_ai.usage.*`, such as
            `audio.input_tokens` or `image.output_tokens`.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    by_modality: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class LLMCall:
    """One attempt at one model call.

    Attributes:
        operation: `chat`, `generate_content`, `text_completion`, `embeddings`, `fetch_response` …
        provider: `gen_ai.provider.name`, such as `openai` or `gcp.gemini`.
        request_model: the model that was asked for; None where the request names none.
        request: further request attributes; keys are names from `semconv`.
        input_messages: what was sent, oldest first.
        system_instructions: system parts that the protocol keeps apart from the messages.
        tool_definitions: the tools offered, in the conventions' shape.
        output_messages: what came back, one per choice.
        response_id: the provider's id for the answer.
        response_model: the model that answered.
        response: further response attributes; keys are names from `semconv`.
        finish_reasons: one per choice, as the provider spells them; `error` where an answer broke off.
        usage: token counts, None where the payload has none.
        error: why the call failed, None where it did not.
        complete: whether the payload itself says that the answer is whole (`[DONE]`, `message_stop`,
            a finish reason …): the end of a stream's bytes does not say so.
        stream: whether the answer was asked for in pieces.
        truncated: whether parts of the bodies were too large to be kept; counts may then be missing.
    """

    operation: str
    provider: str
    request_model: str | None = None
    request: dict[str, AttributeValue] = field(default_factory=dict)
    input_messages: list[Message] = field(default_factory=list)
    system_instructions: list[Part] = field(default_factory=list)
    tool_definitions: list[dict[str, Any]] = field(default_factory=list)
    output_messages: list[Message] = field(default_factory=list)
    response_id: str | None = None
    response_model: str | None = None
    response: dict[str, AttributeValue] = field(default_factory=dict)
    finish_reasons: list[str] = field(default_factory=list)
    usage: Usage | None = None
    error: CallError | None = None
    complete: bool = False
    stream: bool = False
    truncated: bool = False
