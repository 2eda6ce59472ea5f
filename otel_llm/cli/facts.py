"""What a stored span says about a model call, a tool or an agent, under the names of either dialect.

Values come from files, perhaps from programs other than ours: what has not the type it should have is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

CALL_OPERATIONS: Final = frozenset({*sc.INFERENCE_OPERATIONS, sc.EMBEDDINGS, sc.FETCH_RESPONSE})
"""Operations that are calls of a model: what is counted, and summed up in tokens and money. Agents and
workflows may repeat on their own spans what their calls used."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about one span.

    Attributes:
        operation: `gen_ai.operation.name`; None on a span that has nothing to do with models.
        model: the model asked for, else the one that answered.
        answered_by: the model that answered, where that is another name.
        ttft_s: seconds until the first piece of a stream.
        input_tokens: those from and to a cache included.
        output_tokens: reasoning included.
        cache_read: input tokens that a cache served.
        cache_write: input tokens that were written to a cache.
        reasoning: output tokens spent thinking.
        cost: US dollars.
        finish_reasons: as the provider spells them.
        tool_calls: names of the tools that the answer calls.
        error_type: why it failed; None where it did not.
        error_message: in the words of the provider or of the exception.
        status_code: of the HTTP response.
        retry_after_s: what a refusal said.
        attempt: which retry it is; 0 for a first attempt.
        retry_of: (trace id, span id) of the attempt before.
    """

    operation: str | None = None
    model: str | None = None
    answered_by: str | None = None
    ttft_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost: float | None = None
    finish_reasons: tuple[str, ...] = ()
    tool_calls: tuple[str, ...] = ()
    error_type: str | None = None
    error_message: str | None = None
    status_code: int | None = None
    retry_after_s: float | None = None
    attempt: int = 0
    retry_of: tuple[str, str] | None = None

    @property
    def is_call(self) -> bool:
        """Whether the span is a call of a model."""
        return self.operation in CALL_OPERATIONS

    @property
    def failed(self) -> bool:
        """Whether the span ended badly."""
        return self.error_type is not None

    @classmethod
    def of(cls, span: StoredSpan) -> Facts:
        """Read the facts off a span."""
        a = span.attributes
        asked, answered = _text(a, sc.REQUEST_MODEL), _text(a, sc.RESPONSE_MODEL)
        error_type, error_message = _error(span)
        return cls(
            operation=_text(a, sc.OPERATION_NAME),
            model=asked or answered,
            answered_by=answered if asked and answered != asked else None,
            ttft_s=_number(a, sc.RESPONSE_TIME_TO_FIRST_CHUNK),
            input_tokens=_whole(a, sc.USAGE_INPUT_TOKENS),
            output_tokens=_whole(a, sc.USAGE_OUTPUT_TOKENS),
            cache_read=_whole(a, sc.USAGE_CACHE_READ),
            cache_write=_whole(a, sc.USAGE_CACHE_WRITE, sc.V1_41[sc.USAGE_CACHE_WRITE]),
            reasoning=_whole(a, sc.USAGE_REASONING),
            cost=_number(a, sc.COST_TOTAL),
            finish_reasons=_texts(a, sc.RESPONSE_FINISH_REASONS),
            tool_calls=_texts(a, sc.OUTPUT_TOOL_CALLS),
            error_type=error_type,
            error_message=error_message,
            status_code=_whole(a, sc.HTTP_STATUS_CODE),
            retry_after_s=_number(a, sc.RETRY_AFTER),
            attempt=_whole(a, sc.HTTP_RESEND_COUNT) or 0,
            retry_of=_retry_of(span),
        )


@dataclass(slots=True)
class Totals:
    """Sums over the model calls among some spans; None where no span says anything."""

    spans: int = 0
    calls: int = 0
    errors: int = 0
    open: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None

    @classmethod
    def of(cls, items: Iterable[tuple[StoredSpan, Facts]]) -> Totals:
        """Sum up."""
        totals = cls()
        for span, facts in items:
            totals.spans += 1
            totals.open += span.end_ns is None
            totals.errors += facts.failed
            if not facts.is_call:
                continue
            totals.calls += 1
            totals.input_tokens = _plus(totals.input_tokens, facts.input_tokens)
            totals.output_tokens = _plus(totals.output_tokens, facts.output_tokens)
            if facts.cost is not None:
                totals.cost = (totals.cost or 0.0) + facts.cost
        return totals


def _plus(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more


def _text(attributes: Mapping[str, Any], key: str) -> str | None:
    value = attributes.get(key)
    return value if isinstance(value, str) and value else None


def _texts(attributes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = attributes.get(key)
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _number(attributes: Mapping[str, Any], key: str) -> float | None:
    value = attributes.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _whole(attributes: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        if (value := _number(attributes, key)) is not None:
            return int(value)
    return None


def _error(span: StoredSpan) -> tuple[str | None, str | None]:
    a = span.attributes
    error_type = _text(a, sc.ERROR_TYPE)
    if error_type is None and span.status != "error":
        return None, None
    message = _text(a, sc.ERROR_MESSAGE) or span.status_description
    for event in reversed(span.events):
        if event.name == "exception":  # how OpenTelemetry's own API records one
            error_type = error_type or _text(event.attributes, sc.EXCEPTION_TYPE)
            message = message or _text(event.attributes, sc.EXCEPTION_MESSAGE)
            break
    return error_type or "error", message


def _retry_of(span: StoredSpan) -> tuple[str, str] | None:
    for link in span.links:
        if link.attributes.get(sc.LINK_KIND) == sc.LINK_RETRY_OF:
            return link.trace_id, link.span_id
    return None
