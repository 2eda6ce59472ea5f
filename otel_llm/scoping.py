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
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext

from otel_llm import calls, drops, fields
from otel_llm import semconv as sc
from otel_llm.closing import Failure, Message, Said, close, failure_of
from otel_llm.content import dumps
from otel_llm.context import SCOPE_KEY as KEY
from otel_llm.decorating import decorated
from otel_llm.totals import Totals

if TYPE_CHECKING:
    from otel_llm.calls import Recorder
    from otel_llm.llm import AttributeValue

F = TypeVar("F", bound=Callable[..., Any])

_OVERHEAD_BYTES: Final = 1024
_MAX_EVENTS: Final = 128
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


class Scope:
    """A game, a phase, an interaction … while it lasts: `with`, `async with`, a decorator, or `start` and `end`.

    Made by the functions of `otel_llm`, not directly. Without `otel_llm.instrument()` it does nothing. Its methods
    never raise.

    Attributes:
        kind: `game`, `phase`, `interaction`, `step` …
        name: the span's name.
        span: its span; one that records nothing before the start, and where nothing is instrumented.
        parent: the scope that it belongs to, None for none; known once it has started.
        inherited: attributes that all spans below it get.
        totals: what happened below it in this process; complete when the queue was flushed.
        ended: whether it has ended.
        last_phase: of a game, the phase that started last; None before the first.
    """

    __slots__ = (
        "__weakref__",
        "_at_ns",
        "_baggage",
        "_count",
        "_end_ns",
        "_given_parent",
        "_prepare",
        "_recorder",
        "_repeated",
        "_settings",
        "_start",
        "_tokens",
        "attributes",
        "ended",
        "events",
        "failures",
        "inherited",
        "kind",
        "last_phase",
        "messages",
        "name",
        "nbytes",
        "own",
        "parent",
        "prompt",
        "response",
        "span",
        "start_ns",
        "totals",
        "unusable",
    )

    def __init__(
        self,
        kind: Kind,
        name: str,
        *,
        handed_down: Mapping[str, AttributeValue] | None = None,
        own: Mapping[str, AttributeValue] | None = None,
        parent: Scope | None = None,
        attributes: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
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
        self._prepare = prepare
        self.kind = kind.name
        self.name = name
        self.own: dict[str, AttributeValue] = {} if own is None else dict(own)
        self.inherited: dict[str, AttributeValue] = {} if handed_down is None else dict(handed_down)
        self._given_parent = parent
        self.parent: Scope | None = None
        self.span: Span = INVALID_SPAN
        self.attributes: dict[str, AttributeValue] = {}
        self.unusable: list[str] = []
        self.failures: list[Failure] = []
        self.messages: list[Message] = []
        self.events: list[tuple[str, int, dict[str, AttributeValue]]] = []
        self.prompt: Any = None
        self.response: Any = None
        self.totals = Totals()
        self.ended = False
        self.nbytes = _OVERHEAD_BYTES
        self.start_ns = 0
        self._at_ns: int | None = None
        self._end_ns: int | None = None
        self._start = 0.0
        self._recorder: Recorder | None = None
        self._tokens: list[Any] = []
        self._count = 0
        self._baggage: Context | None = None
        self.last_phase: Scope | None = None
        self._repeated: dict[tuple[Any, ...], tuple[int, SpanContext]] | None = None
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

    # --- what it is told ------------------------------------------------------------------------------

    def set(self, attributes: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Tell something about it, at any time before its end; later values replace earlier ones.

        Args:
            attributes: under exactly these names.
            **more: fields by the names that `docs/games.md` lists (`orders`, `success`, `centers` …); others
                become `otel_llm.custom.<name>`. None is left out. Numbers may come as text. A value that cannot be
                used is left out, and its name kept in `otel_llm.invalid_fields`.

        Returns:
            Itself.
        """
        try:
            if self.ended:
                drops.warn_once(
                    "set-late", "%s was told something after its end; that is not kept", self.kind
                )
                return self
            before = len(self.unusable)
            if more:
                if self.kind == "game":
                    for name in fields.GAME_FIELDS.keys() & more.keys():
                        if (value := more.pop(name)) is not None:
                            fields.GAME_FIELDS[name](value, self.attributes)
                fields.take(more, self.attributes, self.unusable)
            if attributes:
                fields.take_literally(attributes, self.attributes, self.unusable)
            if len(self.unusable) > before:
                drops.warn_once(
                    f"unusable:{self.unusable[-1]}",
                    "the value given for %s cannot be used, and is left out",
                    self.unusable[-1],
                )
        except Exception:
            drops.internal_error("telling a scope something")
        return self

    def content(self, *, prompt: Any = None, response: Any = None) -> Self:
        """Tell what was asked and answered, where no model call below shows it.

        Lengths are kept always, the texts as the content policy says.

        Args:
            prompt: text, or a list of messages as SDKs take them; None leaves what was told before.
            response: text; None leaves what was told before.
        """
        if not self.ended:
            if prompt is not None:
                self.prompt = _frozen(prompt)
            if response is not None:
                self.response = _frozen(response)
        return self

    def message(
        self, content: Any = None, *, recipients: Any = (), sender: Any = None, private: bool | None = None
    ) -> Self:
        """Tell of a message that one player sent: an event, its text as the content policy says.

        Args:
            content: its text.
            recipients: one player or several; nobody stands for everybody.
            sender: default: the power of this scope.
            private: default: whether there are recipients.
        """
        try:
            if len(self.messages) >= _MAX_EVENTS or self.ended:
                drops.count("message", "too_many" if not self.ended else "late")
                return self
            to = () if recipients is None else fields.texts(recipients)
            self.messages.append(
                Message(
                    time_ns(),
                    fields.text_of(sender if sender is not None else self.inherited.get(sc.POWER_NAME, "")),
                    to,
                    bool(to) if private is None else bool(private),
                    "" if content is None else fields.text_of(content),
                )
            )
        except Exception:
            drops.internal_error("a message of a scope")
        return self

    def event(self, name: str, attributes: Mapping[str, Any] | None = None) -> Self:
        """Note that something happened: an event of the span, with this moment as its time."""
        try:
            if len(self.events) >= _MAX_EVENTS or self.ended:
                drops.count("event", "too_many" if not self.ended else "late")
                return self
            kept: dict[str, AttributeValue] = {}
            fields.take_literally(attributes or {}, kept, self.unusable)
            self.events.append((str(name)[: fields.MAX_KEY], time_ns(), kept))
        except Exception:
            drops.internal_error("an event of a scope")
        return self

    def fail(self, error: BaseException | str) -> Self:
        """Note a failure that the program handles itself: the span says it, and nothing is raised."""
        try:
            if not self.ended:
                self.failures = [*self.failures[-15:], failure_of(error)]
        except Exception:
            drops.internal_error("a failure of a scope")
        return self

    # --- how long it lasts ----------------------------------------------------------------------------

    def start(self, at_ns: int | None = None) -> Self:
        """Start its span without making it current. Only the first call counts.

        Args:
            at_ns: when it began, in nanoseconds since the epoch; default: now.
        """
        if self.start_ns:
            return self
        now = time_ns()
        try:
            self._at_ns = at_ns
            self.start_ns = now if at_ns is None else max(1, int(at_ns))
            self._start = perf_counter()
            self.parent = self._belongs_to()
            if self.parent is not None:
                self.inherited = {**self.parent.inherited, **self.inherited}
            if self._prepare is not None:
                self._prepare(self)
            recorder = calls.active
            if recorder is not None:
                self._recorder = recorder
                self._start_span(recorder)
                if self.kind == "game":
                    recorder.games.opened(self.id)
        except Exception:
            drops.internal_error("starting a scope")
        return self

    def _belongs_to(self) -> Scope | None:
        at = self._given_parent if self._given_parent is not None else current_scope()
        wanted = self._settings[0].under
        while at is not None and wanted and at.kind not in wanted:
            at = at.parent
        return at

    def _start_span(self, recorder: Recorder) -> None:
        current = context_api.get_current()
        kind = self._settings[0]
        links: list[Link] = []
        # Without a scope: the span gets its attributes here, not from the processor.
        base = Context({key: value for key, value in current.items() if key != KEY})
        parent = self.parent
        if kind.root and not (self.kind == "phase" and parent is not None and recorder.one_trace_a_game):
            outside = trace_api.get_current_span(current).get_span_context()
            game = None if parent is None else parent.nearest("game")
            if game is not None and self.kind == "phase":
                links.append(Link(game.span.get_span_context(), {sc.LINK_KIND: sc.LINK_GAME}))
                before = game.last_phase
                if before is not None:
                    links.append(Link(before.span.get_span_context(), {sc.LINK_KIND: sc.LINK_PREVIOUS_PHASE}))
            elif outside.is_valid:
                links.append(Link(outside, {sc.LINK_KIND: sc.LINK_STARTED_IN}))
            base = trace_api.set_span_in_context(INVALID_SPAN, base)
        elif parent is not None and (kind.root or self._given_parent is not None):
            base = trace_api.set_span_in_context(parent.span, base)
        repeated = self._repetition()
        attributes = {sc.SCOPE_KIND: self.kind, **self.inherited, **self.own}
        if repeated is not None:
            attributes[sc.INTERACTION_ATTEMPT] = repeated[0] + 1
            links.append(Link(repeated[1], {sc.LINK_KIND: sc.LINK_RETRY_OF}))
        attributes, self.inherited = recorder.describer.identity(attributes, self.inherited)
        if self.kind == "phase" and (game := self.game) is not None:
            game.last_phase = self
        self.span = recorder.seat.tracer().start_span(
            self.name, base, trace_api.SpanKind.INTERNAL, attributes, links, self.start_ns
        )

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
            if recorder is not None:
                self._remember_failure()
                if self.kind == "game":
                    recorder.games.closed(self.id)
                if self.prompt is not None or self.response is not None or self.messages:
                    self.nbytes += _size(self.prompt) + _size(self.response)
                    self.nbytes += sum(len(message.content) for message in self.messages)
                recorder.finisher.put(self)
        except Exception:
            drops.internal_error("ending a scope")

    # A repeated interaction: the same type, power and phase once more, after one that failed.
    def _repetition(self) -> tuple[int, SpanContext] | None:
        if self.kind != "interaction" or self.parent is None or self.parent._repeated is None:
            return None
        return self.parent._repeated.get(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        return self.inherited.get(sc.INTERACTION_TYPE), self.inherited.get(sc.POWER_NAME)

    def _remember_failure(self) -> None:
        parent = self.parent
        if self.kind != "interaction" or parent is None:
            return
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
            context = Context({**context_api.get_current(), KEY: self})
            return context_api.attach(trace_api.set_span_in_context(self.span, context))
        except Exception:
            drops.internal_error("making a scope current")
            return None

    def __enter__(self) -> Self:
        if self.ended:
            drops.warn_once(
                "scope-again", "a scope that has ended was entered again; it records nothing more"
            )
        self.start()
        self._count += 1
        self._tokens.append(self._attach())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        if self._tokens:
            _detach(self._tokens.pop())
        self._count -= 1
        if self._count <= 0:
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

    def fresh(self) -> Scope:
        """Return one like this that has not started."""
        kind, name, handed_down, own, parent, attributes, more, prepare = self._settings
        return Scope(
            kind,
            name,
            handed_down=handed_down,
            own=own,
            parent=parent,
            attributes=attributes,
            more=more,
            prepare=prepare,
        )

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
                ready = baggage.set_baggage(key, str(value), ready)
            self._baggage = ready
        others = baggage.get_all(context)
        if not others:
            return Context({**context, **ready})
        for key, value in self.inherited.items():
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
    runtime = getattr(context_api, "_RUNTIME_CONTEXT", None)
    if runtime is None:
        context_api.detach(token)
        return
    try:
        runtime.detach(token)
    except ValueError:
        return


def _frozen(value: Any) -> Any:
    """Return what was said in a form that nobody changes any more: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return Said(dumps(value))


def _size(value: Any) -> int:
    return len(value.json) if isinstance(value, Said) else len(value) if isinstance(value, str) else 0
