"""vLLM's own spans in our traces: the headers that its requests carry, and whose TracerProvider it uses.

vLLM makes a span a request (`llm_request`) where `otlp_traces_endpoint` is set, and only there looks at the
`traceparent` that a request brings. For that it makes a TracerProvider of its own and sets it globally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_llm import drops, recording
from otel_llm.providers import suppressed
from otel_llm_vllm import semconv as vc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import TracerProvider

_W3C: Final = TraceContextTextMapPropagator()
"""What vLLM reads, whatever the program's own propagators are."""


def headers_of(span: Span) -> dict[str, str] | None:
    """Return the headers that let vLLM's spans of a request be children of `span`; None where it is no span."""
    if not span.get_span_context().is_valid or suppressed():
        return None
    headers: dict[str, str] = {}
    _W3C.inject(headers, trace_api.set_span_in_context(span, Context()))
    return headers or None


def context_of(headers: Mapping[str, str] | None) -> Context | None:
    """Return the context that headers bring from elsewhere; None where they bring none."""
    if not headers:
        return None
    found = _W3C.extract(headers, Context())
    return found if trace_api.get_current_span(found).get_span_context().is_valid else None


def makes_spans(engine: Any) -> bool:
    """Say whether an `LLMEngine` or `AsyncLLM` makes spans of its requests."""
    return getattr(getattr(engine, "observability_config", None), "otlp_traces_endpoint", None) is not None


def warn_of_crash(engine: Any) -> None:
    """Say once why vLLM is about to fail, where it is: it makes spans of what it did not measure."""
    if makes_spans(engine) and getattr(engine, "log_stats", True) is False:
        drops.warn_once(
            "vllm:stats",
            "vLLM fails with an AssertionError on requests where otlp_traces_endpoint is set and log stats are "
            "disabled (vllm#25352): leave disable_log_stats out, or set it to False",
        )


def keeps_provider(provider: TracerProvider) -> bool:
    """Say whether a provider of vLLM's is not to become the global one, and let its exporter have vLLM's spans.

    Where the global one is ours, it stays: vLLM's draws ids from `random`, which vLLM seeds, so that ids of
    different runs (and ranks) are the same, and it drops links beyond 128. A provider that the program set stays by
    OpenTelemetry's own rule.
    """
    recorder = recording.active
    if recorder is None or not recorder.seat.is_own or recorder.seat.own is None:
        return False
    own = recorder.seat.own
    there = {endpoint for processor in _processors(own) if (endpoint := _endpoint(processor)) is not None}
    for processor in _processors(provider):
        if _endpoint(processor) in there:
            drops.logger.debug("vLLM's spans go where all spans go")
        else:
            own.add_span_processor(OnlyVLLM(processor))
    return True


class OnlyVLLM(SpanProcessor):
    """Gives vLLM's own spans, and no others, to a processor that vLLM made and shuts down itself.

    Args:
        processor: vLLM's.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor

    def on_start(self, span: SDKSpan, parent_context: Context | None = None) -> None:
        """Hand a span of vLLM's on."""
        if _is_vllms(span):
            self._processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand a span of vLLM's on."""
        if _is_vllms(span):
            self._processor.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Let vLLM's processor send what it has."""
        return self._processor.force_flush(timeout_millis) is not False


def _is_vllms(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name.split(".", 1)[0] == vc.SCOPE_PREFIX


def _processors(provider: TracerProvider) -> tuple[SpanProcessor, ...]:
    # There is no public way to ask a provider for them.
    found = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    return found if isinstance(found, tuple) else ()


def _endpoint(processor: SpanProcessor) -> str | None:
    """Return where a processor's exporter sends to, in a form that is the same for all ways to write it."""
    exporter = getattr(processor, "span_exporter", None) or getattr(
        getattr(processor, "_batch_processor", processor), "_exporter", None
    )
    endpoint = getattr(exporter, "_endpoint", None)
    if not isinstance(endpoint, str):
        return None
    return endpoint.partition("://")[2].removesuffix("/v1/traces").rstrip("/") or endpoint
