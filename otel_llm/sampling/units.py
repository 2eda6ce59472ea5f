"""What belongs together is held back until it is complete, then kept or dropped as one.

A unit is an interaction or a rollout with everything below it; outside of those, whatever stands at the top: a model
call, or the span of another library with its calls. Games, phases, runs and steps are no part of a unit: they are
always kept, and so no exported span lacks its parent.

A unit that is not complete when it must not wait any longer (a flush, too long, too much held) is decided on at once,
by what is known; what ends in it later follows, unless it failed. (Only then, where something fails below what has
ended and been dropped, is a span exported without its parent.) A foreign span at the top that must not wait is opened up instead: it
counts like a game from then on, and what stands below it makes units of their own. So a program that runs inside of
one long span is thinned out all the same.

Single-threaded; fed in the order in which things happened.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from otel_llm import semconv as sc
from otel_llm.providers import attributes_of
from otel_llm.sampling.strata import Sampler, Unit, Verdict

MAX_HELD_SPANS: Final = 50_000
MAX_HELD_S: Final = 600.0

_CONTAINERS: Final = frozenset({"game", "phase", "training_run", "step"})
_UNITS: Final = frozenset({"interaction", "rollout"})
_MAX_OPEN: Final = 100_000
_MAX_DECIDED: Final = 20_000
_CONTAINER: Final = Verdict(True, 1.0, "scope")
_LATE_ERROR: Final = Verdict(True, 1.0, "error")
_GONE: Final = Verdict(False, 0.0, "share")
_TOO_LONG: Final = Verdict(True, 1.0, "slow")

Key = tuple[int, int]


class Decided(NamedTuple):
    """A span that was decided on."""

    span: ReadableSpan
    verdict: Verdict


class Units:
    """The spans that are open or held back, as trees.

    Args:
        sampler: decides.
        max_bytes: what held spans may keep alive together.
        max_spans: how many spans may be held.
        max_s: seconds for which a unit is held at most.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        max_bytes: int,
        max_spans: int = MAX_HELD_SPANS,
        max_s: float = MAX_HELD_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sampler = sampler
        self._max_bytes = max_bytes
        self._max_spans = max_spans
        self._max_s = max_s
        self._clock = clock
        self._nodes: dict[Key, _Node] = {}
        # Ordered dicts, since these lose their first entries all the time: a plain one would look for the first in vain.
        self._waiting: OrderedDict[_Node, float] = OrderedDict()  # tops with held spans, and since when
        self._late: OrderedDict[Key, Verdict] = OrderedDict()  # what became of spans that ended
        self._out: list[Decided] = []
        self.held = 0
        self.held_bytes = 0

    def take(self) -> list[Decided]:
        """Return what was decided on since the last call."""
        out, self._out = self._out, []
        return out

    def started(self, span: ReadableSpan) -> None:
        """Note a span that started, parents before their children."""
        context = span.get_span_context()
        if context is None:
            return
        parent = self._parent(span)
        kind = attributes_of(span).get(sc.SCOPE_KIND)
        node = _Node(_key(context), span)
        if kind in _CONTAINERS:
            node.container = True
            self._open_up(parent)
        elif (
            kind in _UNITS
            and (parent is None or not parent.top().is_unit)
            and not self._is_gone(span.parent, parent)
        ):
            node.is_unit = True
        elif parent is not None and not parent.container:
            node.parent = parent
            if parent.top().verdict is None:
                if not parent.children:
                    parent.children = []  # most spans have none
                parent.children.append(node)
        elif parent is None and span.parent is not None:
            node.verdict = self._late.get(_key(span.parent))
            node.late = node.verdict is not None and not node.verdict.keep
        if len(self._nodes) >= _MAX_OPEN:  # spans that never end
            del self._nodes[next(iter(self._nodes))]
        self._nodes[node.key] = node

    def ended(self, span: ReadableSpan, nbytes: int) -> None:
        """Take a span that ended.

        Args:
            span: the span.
            nbytes: about how many bytes it keeps alive.
        """
        context = span.get_span_context()
        if context is None:
            return
        key = _key(context)
        if key not in self._nodes:  # it started before we were there
            self.started(span)
        node = self._nodes[key]
        node.span, node.started, node.open = span, None, False
        top = node.top()
        if node.container:
            del self._nodes[key]
            self._out.append(Decided(span, _CONTAINER))
        elif top.verdict is not None:
            verdict, missing = top.verdict, node.missing_above()
            if missing:
                verdict = _GONE
            if not verdict.keep and failed(span):
                verdict = _LATE_ERROR
                if not missing:
                    top.verdict = verdict  # what is above it has not ended, and will be kept with it
            self._settle(node, verdict)
        else:
            node.nbytes = nbytes
            self.held += 1
            self.held_bytes += nbytes
            if top is node:
                self._decide(top)
            elif top not in self._waiting:
                self._waiting[top] = self._clock()

    def keep_bounds(self) -> None:
        """Decide on what is held for too long, and on the oldest while too much is held."""
        oldest = self._clock() - self._max_s
        while self._waiting:
            top, since = next(iter(self._waiting.items()))
            if since < oldest:
                self._hurry(top, _TOO_LONG)
            elif self.held > self._max_spans or self.held_bytes > self._max_bytes:
                self._hurry(top)
            else:
                return

    def decide_all(self) -> None:
        """Decide on everything that is held."""
        while self._waiting:
            self._hurry(next(iter(self._waiting)))

    # --- deciding -------------------------------------------------------------------------------------

    def _hurry(self, top: _Node, verdict: Verdict | None = None) -> None:
        """Decide about a unit whose top has not ended."""
        if top.is_unit:
            self._decide(top, verdict)
        else:
            self._open_up(top)

    def _decide(self, top: _Node, verdict: Verdict | None = None) -> None:
        self._waiting.pop(top, None)
        nodes = list(top.below())
        held = [node for node in nodes if node.span is not None]
        top.verdict = verdict or self._sampler.judge(_unit(top, held))
        for node in nodes:
            node.children = ()  # what is still open finds the verdict upwards
        for node in held:
            self.held -= 1
            self.held_bytes -= node.nbytes
            self._settle(node, top.verdict)

    def _settle(self, node: _Node, verdict: Verdict) -> None:
        """Let go of a span that ended, and remember what became of it for what may still start below it."""
        node.dropped = not verdict.keep
        span, node.span = node.span, None
        if span is not None:
            self._out.append(Decided(span, verdict))
        self._nodes.pop(node.key, None)
        if len(self._late) >= _MAX_DECIDED:
            self._late.popitem(last=False)
        self._late[node.key] = verdict

    def _open_up(self, node: _Node | None) -> None:
        """Keep a span and its ancestors whatever comes; what else is below them becomes units of their own."""
        while node is not None and not node.container:
            top = node.top()
            if top.verdict is not None:
                if not top.verdict.keep and not node.dropped and not node.missing_above():
                    top.verdict = _CONTAINER
                return
            since = self._waiting.pop(top, None)
            node.container = True
            above, node.parent = node.parent, None
            if above is not None:
                above.children = [child for child in above.children if child is not node]
                if since is not None:
                    self._waiting[top] = since
            if node.span is not None:
                self.held -= 1
                self.held_bytes -= node.nbytes
                self._nodes.pop(node.key, None)
                self._out.append(Decided(node.span, _CONTAINER))
                node.span = None
            children, node.children = node.children, ()
            for child in children:
                child.parent = None
                if not child.open:
                    self._decide(child)
                elif any(below.span is not None for below in child.below()):
                    self._waiting[child] = self._clock()
            node = above

    def _is_gone(self, context: SpanContext | None, parent: _Node | None) -> bool:
        """Say whether what is above was dropped for good; keep it where that is not too late."""
        if parent is None:
            verdict = None if context is None else self._late.get(_key(context))
        else:
            self._open_up(parent)
            if parent.dropped or parent.missing_above():
                return True
            verdict = parent.top().verdict
        return verdict is not None and not verdict.keep

    def _parent(self, span: ReadableSpan) -> _Node | None:
        context = span.parent
        return None if context is None else self._nodes.get(_key(context))


class _Node:
    """A span that is open, or held."""

    __slots__ = (
        "children",
        "container",
        "dropped",
        "is_unit",
        "key",
        "late",
        "nbytes",
        "open",
        "parent",
        "span",
        "started",
        "verdict",
    )

    def __init__(self, key: Key, started: ReadableSpan) -> None:
        self.key = key
        self.started: ReadableSpan | None = started
        self.span: ReadableSpan | None = None
        self.parent: _Node | None = None
        self.children: list[_Node] | tuple[()] = ()
        self.verdict: Verdict | None = None
        self.container = False
        self.is_unit = False
        self.dropped = False
        self.late = False  # it started when what is above it had ended and been dropped
        self.open = True
        self.nbytes = 0

    def top(self) -> _Node:
        """Return what stands at the top of its unit."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    def missing_above(self) -> bool:
        """Say whether something above it was dropped."""
        node = self
        while node.parent is not None:
            node = node.parent
            if node.dropped:
                return True
        return node.late

    def below(self) -> Iterator[_Node]:
        """Yield it and everything below it."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo += node.children


def failed(span: ReadableSpan) -> bool:
    """Say whether something went wrong in this span: an error, an interaction without success, an invalid order."""
    if span.status.status_code is StatusCode.ERROR:
        return True
    told = attributes_of(span)
    return bool(
        sc.ERROR_TYPE in told
        or told.get(sc.INTERACTION_SUCCESS) is False
        or told.get(sc.ORDERS_INVALID_COUNT)
        or told.get(sc.ORDERS_INVALID)
    )


def _unit(top: _Node, held: list[_Node]) -> Unit:
    spans = [node.span for node in held if node.span is not None]
    whole = top.span
    span = whole or top.started or spans[0]
    told = attributes_of(span)
    duration = None
    if whole is not None and whole.end_time is not None and whole.start_time is not None:
        duration = whole.end_time - whole.start_time
    progress = next((told[key] for key in _PROGRESS if isinstance(told.get(key), int)), None)
    return Unit(
        stratum=_stratum(span.name, told, progress),
        id=top.key[0] ^ top.key[1],
        duration_ns=duration,
        failed=any(map(failed, spans)),
        forced=any(attributes_of(one).get(sc.FORCE_SAMPLE) for one in spans),
        progress=progress,
    )


_PROGRESS: Final = (sc.GAME_EPISODE, sc.GAME_TRAINING_STEP, sc.TRAIN_STEP)


def _stratum(name: str, told: Mapping[str, Any], progress: int | None) -> Hashable:
    """Return what units that are alike have in common."""
    operation = told.get(sc.OPERATION_NAME)
    what = told.get(sc.INTERACTION_TYPE)
    if what is None:
        what = f"{operation} {told.get(sc.REQUEST_MODEL)}" if operation is not None else name
    # Episodes by doublings: the early ones, in which a policy changes fast, are in small strata.
    phase = -1 if progress is None else progress.bit_length()
    return told.get(sc.SCOPE_KIND), what, told.get(sc.PHASE_TYPE), phase


def _key(context: SpanContext) -> Key:
    return context.trace_id, context.span_id
