"""The one mechanism below all scopes: a span that lasts for a block, and what it hands to the spans below it.

On the caller's thread a scope starts its span, becomes current, and is handed over at its end; what it was told
is described, scrubbed and set on the worker (`closing`), through the same queue as model calls, so that a call
never ends after a scope that closed later. The names over it (`game`, `phase`, `interaction` …) are in `scopes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, TypeVar

from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, propagation

from otel_llm import drops, hooks, recording
from otel_llm import semconv as sc
from otel_llm.closing import close
from otel_llm.context import SCOPE_KEY as KEY
from otel_llm.decorating import decorated
from otel_llm.handing_down import from_baggage
from otel_llm.telling import Told
from otel_llm.totals import Totals

if TYPE_CHECKING:
    from otel_llm.llm import AttributeValue
    from otel_llm.recording import Recorder

F = TypeVar("F", bound=Callable[..., Any])

# One copy of the context instead of four, where OpenTelemetry is as we know it.
_SPAN_KEY: Final[str | None] = getattr(propagation, "_SPAN_KEY", None)
_RUNTIME: Final[Any] = getattr(context_api, "_RUNTIME_CONTEXT", None)

_OVERHEAD_BYTES: Final = 1024
_OF_THIS_PROCESS: Final = frozenset({sc.RANK, sc.LOCAL_RANK, sc.WORLD_SIZE, sc.HOST_NAME, sc.DEVICE})
"""What is handed down here and means nothing in another process."""
_MAX_REPEATED: Final = 256


class Kind(NamedTuple):
    """One kind of scope.

    Attributes:
        name: as in `otel_llm.scope`.
        root: whether it begins a trace of its own.
        under: kinds that it belongs to; others between are passed over. Empty for any.
    """

    name: str
    root: bool = False
    under: frozenset[str] = frozenset()


class Scope(Told):
    """A game, a phase, an interaction … while it lasts: `with`, `async with`, a decorator, or `start` and `end`.

    Made by the functions of `otel_llm`, not directly. Without `otel_llm.instrument()` it does nothing. Its methods
    never raise.

    Attributes:
        kind: `game`, `phase`, `interaction`, `step` …
        name: the span's name.
        span: its span; one that records nothing before the start, and where nothing is instrumented.
        parent: the scope that it belongs to, None for none; known once it has started.
        inherited: attributes that all spans below it get.
        ended: whether it has ended.
        below: how many model calls and scopes have begun right below it.
        last_phase: of a game, the phase that started last; None before the first.
    """

    # Defaults on the class: making a scope is on the hot path, and most of these never change.
    parent: Scope | None = None
    last_phase: Scope | None = None
    span: Span = INVALID_SPAN
    below = 0
    nbytes = _OVERHEAD_BYTES
    start_ns = 0
    _at_ns: int | None = None
    _end_ns: int | None = None
    _start = 0.0
    _forks = 0
    _recorder: Recorder | None = None
    _token: Any = None
    _outer_tokens: tuple[Any, ...] = ()
    _entered = 0
    _baggage: Context | None = None
    _totals: Totals | None = None
    _repeated: dict[tuple[Any, ...], tuple[int, SpanContext]] | None = None

    def __init__(
        self,
        kind: Kind,
        name: str,
        handed_down: dict[str, AttributeValue],
        own: dict[str, AttributeValue],
        parent: Scope | None = None,
        attributes: Mapping[str, Any] | None = None,
        more: dict[str, Any] | None = None,
        prepare: Callable[[Scope], None] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            kind: what it is.
            name: the span's name.
            handed_down: attributes that spans below it get as well.
            own: other attributes that the span starts with.
            parent: the scope that it belongs to; default: the current one.
            attributes: more attributes, under exactly these names.
            more: fields, as for `set`.
            prepare: told of the scope just before its span starts, with its parent known.
        """
        self._settings = (kind, name, handed_down, own, parent, attributes, more, prepare)
        self.kind = kind.name
        self.name = name
        self.own = own
        self.inherited = handed_down
        self.attributes: dict[str, AttributeValue] = {}
        if attributes or more:
            self.set(attributes, **(more or {}))

    # --- what it is -----------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The game's id, also of a scope below it; None outside any game."""
        found = self.inherited.get(sc.GAME_ID)
        return None if found is None else str(found)

    @property
    def game(self) -> Scope | None:
        """The game it belongs to, or itself; None outside any game."""
        return self.nearest("game")

    @property
    def phase(self) -> Scope | None:
        """The phase it belongs to, or itself; None outside any phase."""
        return self.nearest("phase")

    @property
    def totals(self) -> Totals:
        """What happened below it in this process; complete when the queue was flushed."""
        found = self._totals
        if found is None:
            found = self._totals = Totals()
        return found

    @property
    def has_totals(self) -> bool:
        """Whether anything was added up so far."""
        return self._totals is not None

    @property
    def started(self) -> bool:
        """Whether it has started."""
        return bool(self.start_ns)

    def nearest(self, kind: str) -> Scope | None:
        """Return the nearest scope of a kind from here upwards, itself included."""
        at: Scope | None = self
        while at is not None and at.kind != kind:
            at = at.parent
        return at

    def __repr__(self) -> str:
        state = "ended" if self.ended else "open" if self.started else "not started"
        return f"<Scope {self.kind} {self.name!r} {state}>"

    # --- how long it lasts ----------------------------------------------------------------------------

    def start(self, at_ns: int | None = None) -> Self:
        """Start its span without making it current. Only the first call counts.

        Args:
            at_ns: when it began, in nanoseconds since the epoch; default: now.
        """
        if self.start_ns:
            return self
        # In this order: where the thread is put aside in between, the end comes out late, not before that of a child.
        self._start = perf_counter()
        self.start_ns = now = time_ns()
        try:
            if at_ns is not None:
                self._at_ns = self.start_ns = min(now, max(1, int(at_ns)))
            current = context_api.get_current()
            kind, _, _, _, given, _, _, prepare = self._settings
            at: Scope | None = current.get(KEY) if given is None else given  # type: ignore[assignment]
            if under := kind.under:
                while at is not None and at.kind not in under:
                    at = at.parent
            self.parent = at
            if at is not None:
                at.below += 1
            recorder = recording.active
            if recorder is None:
                if at is not None:
                    self.inherited = {**at.inherited, **self.inherited}
                return self
            if prepare is not None:
                prepare(self)
            self._recorder = recorder
            self._forks = recorder.forks
            self._start_span(recorder, current)
            if self.kind == "game":
                recorder.games.opened(self.id)
        except Exception:
            drops.internal_error("starting a scope")
        return self

    def _start_span(self, recorder: Recorder, current: Context) -> None:
        parent = self.parent
        if parent is not None:
            above: Mapping[str, AttributeValue] | None = parent.inherited
        else:  # what a scope in another process hands down comes as baggage
            carried = baggage.get_all(current)
            above = from_baggage(carried) if carried else None
        attributes, self.inherited = recorder.describer.identity(self.kind, self.own, self.inherited, above)
        base, links = self._origin(recorder, current, attributes)
        self.name = recorder.describer.scrub_name(self.name)
        self.span = self._made_span(recorder, base, attributes, links)
        if hooks.starts:
            hooks.started(self.kind, self.span, self.name, attributes, self.start_ns)
        if self.kind == "phase" and (game := self.game) is not None:
            game.last_phase = self

    def _origin(
        self, recorder: Recorder, current: Context, attributes: dict[str, AttributeValue]
    ) -> tuple[Context | None, list[Link] | None]:
        """Return the context that the span starts in, None for the current one, and its links."""
        kind, parent = self._settings[0], self.parent
        base: Context | None = None
        links: list[Link] | None = None
        if kind.root and not (self.kind == "phase" and parent is not None and recorder.one_trace_a_game):
            links = self._links(trace_api.get_current_span(current))
            base = trace_api.set_span_in_context(INVALID_SPAN, current)
        elif parent is not None:
            if kind.root or self._settings[4] is not None:
                base = trace_api.set_span_in_context(parent.span, current)
            if parent._repeated and (before := parent._repeated.get(self._identity())) is not None:
                self._attempts = attributes[sc.INTERACTION_ATTEMPT] = before[0] + 1
                links = [Link(before[1], {sc.LINK_KIND: sc.LINK_RETRY_OF})]
        return base, links

    def _made_span(
        self,
        recorder: Recorder,
        base: Context | None,
        attributes: dict[str, AttributeValue],
        links: list[Link] | None,
    ) -> Span:
        return recorder.seat.tracer().start_span(
            self.name, base, trace_api.SpanKind.INTERNAL, attributes, links, self.start_ns
        )

    def _links(self, outside: Span) -> list[Link]:
        """Return the links of a scope that begins a trace: to its game and the phase before, or to where it began."""
        game = self.game if self.kind == "phase" else None
        if game is None:
            around = outside.get_span_context()
            return [Link(around, {sc.LINK_KIND: sc.LINK_STARTED_IN})] if around.is_valid else []
        links = [Link(game.span.get_span_context(), {sc.LINK_KIND: sc.LINK_GAME})]
        if game.last_phase is not None:
            before = game.last_phase.span.get_span_context()
            links.append(Link(before, {sc.LINK_KIND: sc.LINK_PREVIOUS_PHASE}))
        return links

    def end(self, exception: BaseException | None = None, *, at_ns: int | None = None) -> None:
        """End it. Only the first call counts.

        Args:
            exception: why it ended, where it failed.
            at_ns: when it ended, in nanoseconds since the epoch; default: now.
        """
        if self.ended or not self.start_ns:
            return
        try:
            if exception is not None:
                self.fail(exception)
            self.ended = True
            if at_ns is not None:
                self._end_ns = max(self.start_ns, int(at_ns))
            elif self._at_ns is not None:
                self._end_ns = max(self.start_ns, time_ns())
            else:
                self._end_ns = self.start_ns + int((perf_counter() - self._start) * 1e9)
            if self.kind == "game" and self.last_phase is not None and not self.last_phase.ended:
                self.last_phase.attributes[sc.LEFT_OPEN] = True
                self.last_phase.end(at_ns=at_ns)
            recorder = self._recorder
            if (
                recorder is not None and recorder.forks == self._forks
            ):  # else it is the parent process that ends it
                if self.kind == "interaction" and self.parent is not None:
                    self._remember_failure(self.parent)
                elif self.kind == "game":
                    recorder.games.closed(self.id)
                self.nbytes += self.nbytes_told
                self._hand_over(recorder)
        except Exception:
            drops.internal_error("ending a scope")

    def _hand_over(self, recorder: Recorder) -> None:
        """Let the worker do the rest."""
        recorder.finisher.put(self)

    # A repeated interaction: the same type and power once more below the same scope, after one that failed.
    def _identity(self) -> tuple[Any, ...]:
        return self.kind, self.inherited.get(sc.INTERACTION_TYPE), self.inherited.get(sc.POWER_NAME)

    def _remember_failure(self, parent: Scope) -> None:
        if self.failures or self.attributes.get(sc.INTERACTION_SUCCESS) is False:
            if parent._repeated is None:
                parent._repeated = {}
            elif len(parent._repeated) >= _MAX_REPEATED:
                parent._repeated.clear()
            before = parent._repeated.get(self._identity())
            parent._repeated[self._identity()] = (
                (before[0] if before is not None else 0) + 1,
                self.span.get_span_context(),
            )
        elif parent._repeated:
            parent._repeated.pop(self._identity(), None)

    # --- being current --------------------------------------------------------------------------------

    @contextmanager
    def use(self) -> Iterator[Self]:
        """Make it current for a block, without ending it afterwards."""
        token = self._attach()
        try:
            yield self
        finally:
            _detach(token)

    def make_current(self) -> None:
        """Make it current for the rest of this context (this task or thread), with no way back.

        For engines that call back and have no block to wrap; programs want `with`.
        """
        self._attach()

    def _attach(self) -> Any:
        if self._recorder is None or self.ended:
            return None
        try:
            context = {**context_api.get_current(), KEY: self}
            if _SPAN_KEY is not None:
                context[_SPAN_KEY] = self.span
                return context_api.attach(Context(context))
            return context_api.attach(trace_api.set_span_in_context(self.span, Context(context)))
        except Exception:
            drops.internal_error("making a scope current")
            return None

    def __enter__(self) -> Self:
        if self.ended:
            drops.warn_once(
                "scope-again", "a scope that has ended was entered again; it records nothing more"
            )
        elif not self.start_ns:
            self.start()
        self._entered += 1
        if self._entered > 1:
            self._outer_tokens += (self._token,)
        self._token = self._attach()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        _detach(self._token)
        self._entered -= 1
        if self._entered > 0:
            self._token, self._outer_tokens = self._outer_tokens[-1], self._outer_tokens[:-1]
        else:
            self._token = None
            self.end(exception)
        return False

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        return self.__exit__(kind, exception, traceback)

    def __call__(self, function: F) -> F:
        """Decorate a function, coroutine function or generator: each call is a scope of its own like this one."""
        return decorated(self.fresh, function)

    def returned(self, value: Any) -> None:
        """Note what a decorated function returned; most kinds do not care. Never raises."""

    def fresh(self) -> Scope:
        """Return one like this that has not started."""
        return type(self)(*self._settings)

    def __del__(self) -> None:
        # Nobody can end it any more: what it was told is not lost.
        try:
            if self.start_ns and not self.ended and self._recorder is not None:
                self.attributes[sc.LEFT_OPEN] = True
                self.end()
        except Exception:
            drops.internal_error("a scope that was left open")

    # --- on the worker --------------------------------------------------------------------------------

    @property
    def end_ns(self) -> int:
        """When it ended, in nanoseconds since the epoch; now, where it has not."""
        return self._end_ns if self._end_ns is not None else time_ns()

    @property
    def duration_s(self) -> float:
        """Seconds from its start to its end."""
        return (self.end_ns - self.start_ns) / 1e9

    def carried(self, context: Context) -> Context:
        """Return a context with what is handed down as baggage, for a process that may know it."""
        ready = self._baggage
        if ready is None:
            ready = Context()
            for key, value in self.inherited.items():
                if key not in _OF_THIS_PROCESS:
                    ready = baggage.set_baggage(key, str(value), ready)
            self._baggage = ready
        others = baggage.get_all(context)
        if not others:
            return Context({**context, **ready})
        for key, value in self.inherited.items():
            if key not in _OF_THIS_PROCESS:
                context = baggage.set_baggage(key, str(value), context)
        return context

    def finish(self) -> None:
        """Describe it, end its span, measure, and add it to what is above."""
        recorder = self._recorder
        if recorder is not None:
            close(self, recorder)

    def shed(self) -> None:
        """Let the texts go; the figures stay."""
        self.prompt = self.response = None
        self.messages = []
        self.nbytes = _OVERHEAD_BYTES

    def abandon(self) -> None:
        """End the span with nothing but what it started with."""
        self.shed()
        try:
            self.span.end(self.end_ns)
        except Exception:
            drops.internal_error("abandoning a scope")


def current_scope() -> Scope | None:
    """Return the scope that is current in this context; None for none."""
    found = context_api.get_current().get(KEY)
    return found if isinstance(found, Scope) else None


def _detach(token: Any) -> None:
    """Put back what was current before; quietly where that was in another task or thread, as a generator's is.

    `opentelemetry.context.detach` would log an error then, so this goes below it.
    """
    if token is None:
        return
    if _RUNTIME is None:
        context_api.detach(token)
        return
    try:
        _RUNTIME.detach(token)
    except ValueError:
        return
