"""What a stored span says about a model call, a tool, an agent or a game, under the names of either dialect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_llm import semconv as sc
from otel_llm.analysis.values import CALL_OPERATIONS, error_of, label, number, retry_of, text, texts, whole

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan


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
        scope: what the program called it: `game`, `phase`, `interaction` …; None where it did not.
        interaction: the type of an interaction; None on all other spans.
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
    scope: str | None = None
    interaction: str | None = None

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
        asked, answered = text(a, sc.REQUEST_MODEL), text(a, sc.RESPONSE_MODEL)
        error_type, error_message = error_of(span)
        scope = text(a, sc.SCOPE_KIND)
        is_interaction = scope == "interaction"
        attempt = whole(a, sc.HTTP_RESEND_COUNT) or 0
        if is_interaction:
            attempt = max(0, (whole(a, sc.INTERACTION_ATTEMPT) or 1) - 1)
        return cls(
            operation=text(a, sc.OPERATION_NAME),
            model=asked or answered,
            answered_by=answered if asked and answered != asked else None,
            ttft_s=number(a, sc.RESPONSE_TIME_TO_FIRST_CHUNK),
            input_tokens=whole(a, sc.USAGE_INPUT_TOKENS),
            output_tokens=whole(a, sc.USAGE_OUTPUT_TOKENS),
            cache_read=whole(a, sc.USAGE_CACHE_READ),
            cache_write=whole(a, sc.USAGE_CACHE_WRITE, sc.V1_41[sc.USAGE_CACHE_WRITE]),
            reasoning=whole(a, sc.USAGE_REASONING),
            cost=number(a, sc.COST_TOTAL),
            finish_reasons=texts(a, sc.RESPONSE_FINISH_REASONS),
            tool_calls=texts(a, sc.OUTPUT_TOOL_CALLS),
            error_type=error_type,
            error_message=error_message,
            status_code=whole(a, sc.HTTP_STATUS_CODE),
            retry_after_s=number(a, sc.RETRY_AFTER),
            attempt=attempt,
            retry_of=retry_of(span),
            scope=scope,
            interaction=label(a, sc.INTERACTION_TYPE) if is_interaction else None,
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
