"""What a table's columns are read from: an ended span with what happened below it, or a log record.

Live spans become stored spans first, so that a row is the same whether it comes from the program or from the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.store.encoding import plain, tracestate
from otel_llm.store.rows import KINDS, STATUSES, LogRow, Scope, StoredEvent, StoredLink, StoredSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_llm.analysis import CallRecord, InteractionRecord
    from otel_llm.interactions import LLMInteraction

_T = TypeVar("_T")

MAX_KIN_BYTES: Final = 64 << 20
_SPAN_BYTES: Final = 1024
_CLOSED_BY: Final = frozenset({"training_run", "step", "rollout", "game", "phase"})
"""Scopes above which nobody asks for what happened below them."""


class Item:
    """One span or log record, as functions of columns get it.

    Attributes:
        attributes: the span's or the record's.
        name: the span's name, or the record's event name.
        trace_id: 32 hex digits; None for a record outside any span.
        span_id: 16 hex digits, likewise.
        time_ns: when it ended, or happened.
        span: the span; None for a log record.
        log: the log record; None for a span.
    """

    __slots__ = ("_below", "_made", "attributes", "log", "name", "span", "span_id", "time_ns", "trace_id")

    def __init__(self, of: StoredSpan | LogRow, below: Callable[[], list[StoredSpan]] = list) -> None:
        self.attributes: Mapping[str, Any] = of.attributes
        self.trace_id = of.trace_id
        self.span_id = of.span_id
        self._below = below
        self._made: dict[object, Any] = {}
        self.span: StoredSpan | None = None
        self.log: LogRow | None = None
        if isinstance(of, StoredSpan):
            self.span = of
            self.name = of.name
            self.time_ns = of.end_ns or of.start_ns
        else:
            self.log = of
            self.name = of.event_name or ""
            self.time_ns = of.time_ns or of.observed_ns or 0

    @property
    def scope(self) -> str | None:
        """Kind of the scope: `game`, `interaction`, `rollout` …; None for what is no scope of ours."""
        return self.attributes.get(sc.SCOPE_KIND) if self.span is not None else None

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None where nobody measured it."""
        if self.span is None or self.attributes.get(sc.UNTIMED):
            return None
        return self.span.duration_s

    def get(self, *keys: str) -> Any:
        """Return the first attribute of these that is there."""
        for key in keys:
            if (value := self.attributes.get(key)) is not None:
                return value
        return None

    def once(self, make: Callable[[Item], _T]) -> _T:
        """Return what a function makes of this item; it is called once, however many columns ask."""
        if make not in self._made:
            self._made[make] = make(self)
        made: _T = self._made[make]
        return made

    def below(self) -> list[StoredSpan]:
        """Return the ended spans below this one, in the order in which they ended."""
        return self._below()

    @property
    def record(self) -> InteractionRecord:
        """The interaction with its calls, as analyses see it."""
        return self.once(_record)

    @property
    def interaction(self) -> LLMInteraction:
        """The interaction as a flat record."""
        return self.once(_interaction)

    @property
    def call(self) -> CallRecord:
        """The model call, as analyses see it."""
        return self.once(_call)


def _span(item: Item) -> StoredSpan:
    if item.span is None:
        raise TypeError("a log record is no span")
    return item.span


def _record(item: Item) -> InteractionRecord:
    from otel_llm.analysis import making

    span = _span(item)
    record = making.interaction(span, str(item.attributes.get(sc.GAME_ID) or ""), None)
    record.calls = [
        making.call(call, record.game_id, record, record.phase)
        for call in sorted(_own_calls(span, item.below()), key=lambda call: call.start_ns)
    ]
    making.sum_up(record)
    return record


def _interaction(item: Item) -> LLMInteraction:
    from otel_llm.interactions import interaction_of

    return interaction_of(item.record)


def _call(item: Item) -> CallRecord:
    from otel_llm.analysis import making

    game_id = str(item.attributes.get(sc.GAME_ID) or "")
    phase = item.attributes.get(sc.PHASE_NAME)
    return making.call(_span(item), game_id, None, None if phase is None else str(phase))


def _own_calls(span: StoredSpan, below: list[StoredSpan]) -> Iterator[StoredSpan]:
    """Yield the model calls of an interaction, without those of an interaction inside it."""
    from otel_llm.analysis.values import CALL_OPERATIONS

    parents = {one.span_id: one for one in below}
    for one in below:
        if one.attributes.get(sc.OPERATION_NAME) not in CALL_OPERATIONS:
            continue
        above = parents.get(one.parent_id or "")
        while above is not None and above.attributes.get(sc.SCOPE_KIND) != "interaction":
            above = parents.get(above.parent_id or "")
        if above is None or above is span:
            yield one


class Kin:
    """Remembers ended spans until the scopes above them have ended, so that these can look at them.

    Args:
        look_up: returns the stored spans of a trace, for what this has not seen; None: there is no store to ask.
        max_bytes: what is remembered, about; the oldest traces go first.
    """

    def __init__(
        self, look_up: Callable[[str], list[StoredSpan]] | None = None, max_bytes: int = MAX_KIN_BYTES
    ) -> None:
        self._look_up = look_up
        self._max_bytes = max_bytes
        self._traces: OrderedDict[str, dict[str, list[StoredSpan]]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._nbytes = 0

    def below(self, span: StoredSpan) -> list[StoredSpan]:
        """Return what ended below `span`, in the order in which it ended."""
        if self._look_up is not None:
            by_parent = _by_parent(one for one in self._look_up(span.trace_id) if one.end_ns is not None)
        else:
            by_parent = self._traces.get(span.trace_id, {})
        found = list(_subtree(by_parent, span.span_id))
        found.sort(key=lambda one: (one.end_ns or 0, one.span_id))
        return found

    def ended(self, span: StoredSpan) -> None:
        """Take a span that was looked at; forget what nobody above will ask for."""
        if self._look_up is not None:
            return
        if span.parent_id is None:
            self._forget(span.trace_id)
            return
        by_parent = self._traces.setdefault(span.trace_id, {})
        if span.attributes.get(sc.SCOPE_KIND) in _CLOSED_BY:
            gone = sum(map(_nbytes, _pop_subtree(by_parent, span.span_id)))
            self._count(span.trace_id, -gone)
        by_parent.setdefault(span.parent_id, []).append(span)
        self._count(span.trace_id, _nbytes(span))
        self._traces.move_to_end(span.trace_id)
        while self._nbytes > self._max_bytes and self._traces:
            drops.count("span", "views_forgotten")
            self._forget(next(iter(self._traces)))

    def _count(self, trace_id: str, size: int) -> None:
        self._sizes[trace_id] = self._sizes.get(trace_id, 0) + size
        self._nbytes += size

    def _forget(self, trace_id: str) -> None:
        self._traces.pop(trace_id, None)
        self._nbytes -= self._sizes.pop(trace_id, 0)


def _by_parent(spans: Iterator[StoredSpan]) -> dict[str, list[StoredSpan]]:
    found: dict[str, list[StoredSpan]] = {}
    for span in spans:
        found.setdefault(span.parent_id or "", []).append(span)
    return found


def _subtree(by_parent: Mapping[str, list[StoredSpan]], top: str) -> Iterator[StoredSpan]:
    waiting, seen = [top], {top}
    while waiting:
        for span in by_parent.get(waiting.pop(), ()):
            if span.span_id not in seen:  # what other programs wrote may run in circles
                seen.add(span.span_id)
                waiting.append(span.span_id)
                yield span


def _pop_subtree(by_parent: dict[str, list[StoredSpan]], top: str) -> list[StoredSpan]:
    found = list(_subtree(by_parent, top))
    for parent in (top, *(span.span_id for span in found)):
        by_parent.pop(parent, None)
    return found


def _nbytes(span: StoredSpan) -> int:
    size = _SPAN_BYTES
    for value in span.attributes.values():
        if type(value) is str:
            size += len(value)
    return size


def stored(span: ReadableSpan, extra: Mapping[str, Any] | None = None) -> StoredSpan:
    """Return a span of the SDK as the store would give it back.

    Args:
        span: it has ended.
        extra: content that only the store keeps.
    """
    attributes = plain(span.attributes)
    if extra:
        attributes.update(extra)
    context, parent, scope = span.get_span_context(), span.parent, span.instrumentation_scope
    assert context is not None  # noqa: S101 (exporters get no span without one)
    return StoredSpan(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=None if parent is None else f"{parent.span_id:016x}",
        name=span.name,
        kind=KINDS[span.kind.value],
        start_ns=span.start_time or 0,
        end_ns=span.end_time,
        status=STATUSES[span.status.status_code.value],
        status_description=span.status.description,
        attributes=attributes,
        events=[StoredEvent(e.name, e.timestamp, plain(e.attributes)) for e in span.events],
        links=[
            StoredLink(f"{k.context.trace_id:032x}", f"{k.context.span_id:016x}", plain(k.attributes))
            for k in span.links
        ],
        resource=plain(span.resource.attributes),
        scope=Scope() if scope is None else Scope(scope.name, scope.version, scope.schema_url or ""),
        flags=int(context.trace_flags),
        trace_state=tracestate(context.trace_state),
    )
