"""A model call that the program tells of after the fact: the span of one that nobody saw on the wire.

It goes the way of every call: described, scrubbed, priced, measured and added to the totals on the worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from otel_llm import semconv as sc
from otel_llm.calls import CallRecord
from otel_llm.closing import Said, messages_of
from otel_llm.llm import Limits, LLMCall
from otel_llm.pricing import Cost
from otel_llm.recording import Recorder

if TYPE_CHECKING:
    from otel_llm.llm import AttributeValue
    from otel_llm.manual.given import Told
    from otel_llm.parsing import CallParser
    from otel_llm.scoping import Scope

_OVERHEAD_BYTES: Final = 1024


class _Endpoint(NamedTuple):
    provider: str
    operation: str = sc.CHAT

    def parser(self, limits: Limits) -> CallParser:
        raise NotImplementedError  # there are no bytes to parse


class ReportedCall(CallRecord):
    """Such a call; hand it over by `end`.

    Args:
        recorder: what finishes it.
        scope: the interaction that it is part of.
        told: what the program told.
        prompt: what was asked, in a form that nobody changes any more.
        response: what was answered, likewise.
    """

    def __init__(
        self,
        recorder: Recorder,
        scope: Scope,
        told: Told,
        prompt: str | Said | None,
        response: str | Said | None,
    ) -> None:
        provider = recorder.describer.scrub_name(told.provider)
        super().__init__(
            recorder, _Endpoint(provider), INVALID_SPAN, told.model, "", None, told.start_ns, None, None
        )
        self.scope = scope
        self.timed = told.timed
        self._told_end_ns = told.end_ns
        self._told_cost = told.cost
        self._prompt = prompt
        self._response = response
        self._call = LLMCall(sc.CHAT, provider, told.model, usage=told.usage, error=told.call_error)

    def end(
        self,
        content: bytes | None = None,  # noqa: ARG002 (all is told already)
        exception: BaseException | None = None,  # noqa: ARG002
    ) -> None:
        """Hand it over to be finished."""
        if not self.done:
            self.done = True
            self.nbytes = _OVERHEAD_BYTES + _size(self._prompt) + _size(self._response)
            self._recorder.finisher.put(self)

    def finish(self) -> None:
        """Start its span, which nothing had to wait for, and do what is done with every call."""
        self.span = self._started()
        super().finish()

    def abandon(self) -> None:
        """Record the span with nothing but what it starts with."""
        self.span = self._started()
        super().abandon()

    def _started(self) -> Span:
        scope, describer = cast("Scope", self.scope), self._recorder.describer
        attributes: dict[str, AttributeValue] = {
            **scope.inherited,
            sc.OPERATION_NAME: sc.CHAT,
            sc.REPORTED: True,
        }
        if not self.timed:
            attributes[sc.UNTIMED] = True
        name: str = sc.CHAT
        if self.endpoint.provider:
            attributes[sc.PROVIDER_NAME] = self.endpoint.provider
        if self.model:
            attributes[sc.REQUEST_MODEL] = describer.scrub_name(self.model)
            name = f"{name} {attributes[sc.REQUEST_MODEL]}"
        if describer.drops_any:
            attributes = describer.wanted(attributes)
        return self._recorder.seat.tracer().start_span(
            name,
            trace_api.set_span_in_context(scope.span, Context()),
            SpanKind.INTERNAL,
            attributes,
            None,
            self.start_ns,
        )

    @property
    def end_ns(self) -> int:
        """When the program says that it ended, in nanoseconds since the epoch."""
        return self._told_end_ns

    @property
    def duration_s(self) -> float:
        """Seconds from its start to its end."""
        return (self._told_end_ns - self.start_ns) / 1e9

    def _parsed(self) -> LLMCall:
        call = self._call
        call.input_messages = messages_of(self._prompt, "user")
        call.output_messages = messages_of(self._response, "assistant")
        call.truncated = self._shed
        return call

    def _price(self, call: LLMCall) -> Cost | None:
        if self._told_cost is not None:
            return Cost(cast("Any", None), cast("Any", None), self._told_cost)  # nobody said what for
        return super()._price(call)

    def shed(self) -> None:
        """Let the texts go; the figures stay."""
        super().shed()
        self._prompt = self._response = None


def _size(value: str | Said | None) -> int:
    return 0 if value is None else len(value) if isinstance(value, str) else len(value.json)
