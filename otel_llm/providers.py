"""Where spans are made: our own TracerProvider, or the one the program has, or sets later.

We never take a program's provider away. Without one, ours becomes the global provider in such a way that a
later `set_tracer_provider` of the program still wins; from the next span on we then use the program's, and
tracers that others got from ours follow. On a provider that is not ours we add the least: our drain in front,
the store and the exporters that were asked for behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.sdk.environment_variables import OTEL_SPAN_EVENT_COUNT_LIMIT, OTEL_SPAN_LINK_COUNT_LIMIT
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.finishing import Finisher
from otel_llm.handing_down import HandDown
from otel_llm.ids import SystemIdGenerator
from otel_llm.version import VERSION

SCOPE: Final = "otel_llm"
_MAX_EVENTS: Final = 2048
"""Of a span: the messages and other events that a scope keeps, and the failures."""


class DrainFirst(SpanProcessor):
    """Stands before all other processors: what waits in our queue ends before they flush or shut down."""

    def __init__(self, finisher: Finisher, shutdown_timeout_s: float) -> None:
        self._finisher = finisher
        self._shutdown_timeout_s = shutdown_timeout_s

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """End everything that was handed over."""
        return self._finisher.drain(timeout_millis / 1000)

    def shutdown(self) -> None:
        """End everything that was handed over; the queue stays usable, another provider may come."""
        self._finisher.drain(self._shutdown_timeout_s)


class OwnTracerProvider(TracerProvider):
    """Our provider: ids from the operating system, links without a limit, tracers that follow a move.

    Args:
        resource: describes this process.
    """

    def __init__(self, resource: Resource) -> None:
        import os

        super().__init__(
            resource=resource,
            shutdown_on_exit=False,  # `lifecycle` does it, within a bounded time
            id_generator=SystemIdGenerator(),
            # The SDK keeps 128 links and as many events and silently drops the oldest: a step links more rollouts, and
            # a phase may see more messages than that.
            span_limits=SpanLimits(
                max_links=None if OTEL_SPAN_LINK_COUNT_LIMIT in os.environ else SpanLimits.UNSET,
                max_events=None if OTEL_SPAN_EVENT_COUNT_LIMIT in os.environ else _MAX_EVENTS,
            ),
        )
        self.moved_to: trace_api.TracerProvider | None = None

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """Return a tracer that makes its spans here, or on the provider that took our place."""
        return _FollowingTracer(self, super().get_tracer(*args, **kwargs), args, kwargs)


class _FollowingTracer(Tracer):
    """A tracer of ours in other people's hands; it follows when the program sets its own provider."""

    def __init__(self, provider: OwnTracerProvider, own: Tracer, args: Any, kwargs: Any) -> None:
        self._provider = provider
        self._own = own
        self._arguments = args, kwargs
        self._elsewhere: tuple[trace_api.TracerProvider, Tracer] | None = None

    def _target(self) -> Tracer:
        there = self._provider.moved_to
        if there is None:
            there = trace_api.get_tracer_provider()
            if there is self._provider or isinstance(there, trace_api.ProxyTracerProvider):
                return self._own
        if self._elsewhere is None or self._elsewhere[0] is not there:
            args, kwargs = self._arguments
            self._elsewhere = there, there.get_tracer(*args, **kwargs)
        return self._elsewhere[1]

    def start_span(self, *args: Any, **kwargs: Any) -> trace_api.Span:
        return self._target().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._target().start_as_current_span(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class Seat:
    """The provider in use, checked anew at each span because the program may set its own at any time.

    Args:
        finisher: the queue that providers drain before they flush.
        shutdown_timeout_s: bound for a provider's shutdown.
    """

    def __init__(self, finisher: Finisher, shutdown_timeout_s: float) -> None:
        self._finisher = finisher
        self._shutdown_timeout_s = shutdown_timeout_s
        self._lock = threading.RLock()
        self._provider: trace_api.TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._added: list[tuple[TracerProvider, list[SpanProcessor]]] = []
        self.own: OwnTracerProvider | None = None
        self.joining: Any = None
        """The provider that is just being joined, while `processors_for` runs."""
        self.processors_for: Callable[[bool], Sequence[SpanProcessor]] = lambda _own: ()
        """Makes the processors for a provider; its argument says whether the provider is ours."""
        self.on_move: Callable[[], None] = lambda: None

    def tracer(self) -> Tracer:
        """Return the tracer for calls and scopes. Hot path."""
        provider = trace_api.get_tracer_provider()
        if provider is self._provider:
            return self._tracer  # type: ignore[return-value]
        return self._sit(provider)

    @property
    def provider(self) -> trace_api.TracerProvider | None:
        """The provider in use."""
        return self._provider

    @property
    def is_own(self) -> bool:
        """Whether the provider in use is ours."""
        return self._provider is not None and self._provider is self.own

    def take(self, resource: Callable[[], Resource]) -> None:
        """Sit down on the program's provider, or on one of our own where there is none.

        Args:
            resource: makes the resource of our own provider; not called where there is another.
        """
        provider = trace_api.get_tracer_provider()
        if isinstance(provider, trace_api.ProxyTracerProvider):
            provider = self.own = OwnTracerProvider(resource())
            _put_in_place(provider)
        self._sit(provider)

    def _sit(self, provider: trace_api.TracerProvider) -> Tracer:
        with self._lock:
            if provider is self._provider:
                return cast("Tracer", self._tracer)
            if isinstance(provider, trace_api.ProxyTracerProvider) and self.own is not None:
                provider = self.own  # somebody (a test) emptied the global: ours still works
                if provider is self._provider:
                    return cast("Tracer", self._tracer)
            moving = self._provider is not None
            own = provider is self.own
            if moving and not own:
                if self.own is not None:
                    self.own.moved_to = provider
                drops.logger.debug("otel_llm moves over to the program's TracerProvider")
            self._join(provider, own)
            tracer = (
                TracerProvider.get_tracer(self.own, SCOPE, VERSION, sc.SCHEMA_URL)
                if own and self.own is not None
                else provider.get_tracer(SCOPE, VERSION, sc.SCHEMA_URL)
            )
            self._tracer = tracer
            self._provider = provider
            if moving:
                self.on_move()
            return tracer

    def _join(self, provider: trace_api.TracerProvider, own: bool) -> None:
        if any(known is provider for known, _ in self._added):
            return
        if not hasattr(provider, "add_span_processor"):
            drops.warn_once(
                "provider",
                "the program's %s takes no span processors: the local store and exporters= get no spans",
                type(provider).__name__,
            )
            return
        sdk = cast("TracerProvider", provider)
        first = DrainFirst(self._finisher, self._shutdown_timeout_s)
        hand_down = HandDown(SCOPE)
        added: list[SpanProcessor] = [first, hand_down]
        _add_first(sdk, *added)
        self.joining = sdk
        for processor in self.processors_for(own):
            sdk.add_span_processor(processor)
            added.append(processor)
        self._added.append((sdk, added))

    def leave(self) -> None:
        """Take our processors off every provider, and our own provider out of its place."""
        with self._lock:
            for provider, processors in self._added:
                _remove(provider, processors)
            self._added.clear()
            self._provider = self._tracer = None
            if self.own is not None:
                _take_out(self.own)

    def after_fork_in_child(self) -> None:
        """A lock held at the fork would never be released."""
        self._lock = threading.RLock()


def _put_in_place(provider: OwnTracerProvider) -> None:
    # Not `set_tracer_provider`: it works once a process, and that once is the program's. The global itself is
    # what OpenTelemetry's own test utilities set; without it we fall back to the public call.
    if hasattr(trace_api, "_TRACER_PROVIDER"):
        trace_api._TRACER_PROVIDER = provider
    else:
        trace_api.set_tracer_provider(provider)


def _take_out(provider: OwnTracerProvider) -> None:
    if getattr(trace_api, "_TRACER_PROVIDER", None) is provider:
        trace_api._TRACER_PROVIDER = None


def _processors(provider: TracerProvider) -> tuple[Any, tuple[SpanProcessor, ...]] | None:
    multi = getattr(provider, "_active_span_processor", None)
    current = getattr(multi, "_span_processors", None)
    return (multi, current) if isinstance(current, tuple) else None


def _add_first(provider: TracerProvider, *first: SpanProcessor) -> None:
    """Put `first` before the processors that are there; there is no public way, so probe and fall back."""
    found = _processors(provider)
    if found is None:
        for processor in first:
            provider.add_span_processor(processor)
        return
    multi, _ = found
    with multi._lock:
        multi._span_processors = (*first, *multi._span_processors)


def _remove(provider: TracerProvider, processors: Sequence[SpanProcessor]) -> None:
    found = _processors(provider)
    if found is None:
        return
    multi, _ = found
    with multi._lock:
        multi._span_processors = tuple(p for p in multi._span_processors if p not in processors)


def exporter_types(provider: TracerProvider) -> tuple[type, ...]:
    """Return the classes of the exporters that `provider` already has, as far as they can be found."""
    found = _processors(provider)
    types: list[type] = []
    for processor in found[1] if found is not None else ():
        exporter = getattr(processor, "span_exporter", None) or getattr(
            getattr(processor, "_batch_processor", None), "_exporter", None
        )
        if exporter is not None:
            types.append(type(exporter))
    return tuple(types)


def is_sampled(span: ReadableSpan) -> bool:
    """Say whether exporters should get `span`."""
    context = span.get_span_context()
    return context is not None and context.trace_flags.sampled


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes to look at, not to keep or change.

    `span.attributes` is a view of a view: a key that is not there costs a microsecond, since an exception is raised
    and caught for it. So look at the dict below where it can be found.
    """
    found = getattr(getattr(span, "_attributes", None), "_dict", None)
    return found if found is not None else span.attributes or {}


def suppressed() -> bool:
    """Say whether instrumentation is switched off in this context, as while an exporter sends."""
    return bool(context_api.get_value(context_api._SUPPRESS_INSTRUMENTATION_KEY))
