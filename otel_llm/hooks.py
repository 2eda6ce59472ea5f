"""What programs and monitors hook into: told of what started and ended, never on the program's own threads.

The worker calls `started`, `finished` and `analyse` where `active`, `starts` and `analysing` say that somebody listens;
nobody does at first, and then a call costs one look at a name. What the core itself derives (user-defined metrics)
is observed on the worker; callbacks of programs run on a thread of their own, so that a slow one holds up nothing.

Imports `dispatch` and `drops` alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from otel_llm import dispatch, drops

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_llm.llm import AttributeValue, LLMCall

CALL: Final = "call"
PARTS: Final = frozenset(
    {
        "sampling", "generation", "weight_sync", "logprobs", "rewards", "advantages", "loss", "backward", "optimizer",
        "checkpoint", "data", "part",
    }
)  # fmt: skip
"""Kinds of the parts of a training step; a program's own are `part`."""

KINDS: Final = PARTS | {
    CALL,
    "game",
    "phase",
    "interaction",
    "training_run",
    "step",
    "evaluation",
    "rollout",
    "turn",
    "tool",
    "reward",
}
"""Kinds of spans that hooks are told of: model calls and scopes."""

active = False
"""Whether anybody wants to know what ended. Read on the worker, once a span."""
starts = False
"""Whether anybody wants to know what started. Read where spans start."""
analysing = False
"""Whether there is an analyser of texts. Read on the worker, once a span."""


@dataclass(frozen=True, slots=True)
class Record:
    """One model call or scope, as hooks see it.

    Attributes:
        kind: `call`, `game`, `phase`, `interaction` …
        name: the span's name.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: likewise; None for the root of a trace.
        attributes: the span's; nobody can change them.
        start_ns: nanoseconds since the epoch.
        end_ns: likewise; None where it has only just started.
        error_type: class of the failure, None for none.
    """

    kind: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    attributes: Mapping[str, AttributeValue]
    start_ns: int
    end_ns: int | None = None
    error_type: str | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None where it has not ended."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.error_type is not None


Callback = Callable[[Record], object]
"""Takes a record; what it returns is ignored."""

_lock = threading.RLock()
_observers: tuple[tuple[frozenset[str], Callback], ...] = ()
_on_end: tuple[tuple[frozenset[str], dispatch.Listener], ...] = ()
_on_start: tuple[tuple[frozenset[str], dispatch.Listener], ...] = ()


def on_end(callback: Callback, *, kinds: str | Iterable[str] | None = None) -> Callable[[], None]:
    """Call `callback` with a `Record` of each model call and scope that has ended.

    It runs on a thread of its own, a moment later and in order. If it raises, that is counted and said once; if it
    is slow, that is said once, and what does not fit into the queue meanwhile is dropped and counted. May be called
    before and after `instrument()`.

    Args:
        callback: takes a `Record`.
        kinds: `call`, `interaction`, `phase`, `game` …, one or several; default: all.

    Returns:
        A function that takes the callback away.

    Raises:
        TypeError: the callback cannot be called.
        ValueError: there is no such kind.
    """
    global _on_end
    entry = (kinds_of(kinds), dispatch.Listener(_callable(callback), "on_end"))
    with _lock:
        _on_end = (*_on_end, entry)
        _settle()

    def remove() -> None:
        global _on_end
        with _lock:
            _on_end = tuple(known for known in _on_end if known is not entry)
            _settle()

    return remove


def on_start(callback: Callback, *, kinds: str | Iterable[str] | None = None) -> Callable[[], None]:
    """Call `callback` with a `Record` of each model call and scope that has started; see `on_end`.

    The record has the attributes with which the span started, and no end.
    """
    global _on_start
    entry = (kinds_of(kinds), dispatch.Listener(_callable(callback), "on_start"))
    with _lock:
        _on_start = (*_on_start, entry)
        _settle()

    def remove() -> None:
        global _on_start
        with _lock:
            _on_start = tuple(known for known in _on_start if known is not entry)
            _settle()

    return remove


def observe(observer: Callback, kinds: frozenset[str]) -> Callable[[], None]:
    """Call `observer` on the worker, for what has to be done before the next flush; it must be fast.

    Returns:
        A function that takes it away.
    """
    global _observers
    entry = (kinds, observer)
    with _lock:
        _observers = (*_observers, entry)
        _settle()

    def remove() -> None:
        global _observers
        with _lock:
            _observers = tuple(known for known in _observers if known is not entry)
            _settle()

    return remove


def _settle() -> None:
    global active, starts
    active = bool(_observers or _on_end)
    starts = bool(_on_start)


def kinds_of(kinds: str | Iterable[str] | None) -> frozenset[str]:
    """Return kinds as a set; None for all.

    Raises:
        ValueError: there is no such kind.
    """
    if kinds is None:
        return KINDS
    wanted = frozenset({kinds} if isinstance(kinds, str) else kinds)
    if not wanted or wanted - KINDS:
        given = ", ".join(sorted(map(str, wanted - KINDS))) or "nothing"
        raise ValueError(f"there is no kind {given}; there are {', '.join(sorted(KINDS))}")
    return wanted


def _callable(callback: Any) -> Callback:
    if not callable(callback):
        raise TypeError(f"{callback!r} cannot be called")
    return callback  # type: ignore[no-any-return]


# --- called by the core -------------------------------------------------------------------------------
def started(kind: str, span: Span, name: str, attributes: Mapping[str, Any], start_ns: int) -> None:
    """Tell of a span that started. Never raises; call it only where `starts`."""
    try:
        listeners = [listener for kinds, listener in _on_start if kind in kinds]
        if listeners:
            told = _told(span, attributes)  # now: the program may change them
            dispatch.put(listeners, partial(_record, kind, span, name, told, start_ns))
    except Exception:
        drops.internal_error("hooks")


def finished(
    kind: str,
    span: Span,
    name: str,
    attributes: Mapping[str, Any],
    start_ns: int,
    end_ns: int,
    error_type: str | None,
) -> None:
    """Tell of a span that ended. Never raises; runs on the worker; call it only where `active`.

    Args:
        kind: one of `KINDS`.
        span: the span.
        name: its name, where the span does not tell.
        attributes: what is known of it, where the span does not tell (it was not sampled).
        start_ns: nanoseconds since the epoch.
        end_ns: likewise.
        error_type: class of the failure, None for none.
    """
    try:
        listeners = [listener for kinds, listener in _on_end if kind in kinds]
        observers = [observer for kinds, observer in _observers if kind in kinds]
        if not listeners and not observers:
            return
        record = _record(kind, span, name, _told(span, attributes), start_ns, end_ns, error_type)
        for observer in observers:
            observer(record)
        if listeners:
            dispatch.put(listeners, lambda: record)
    except Exception:
        drops.internal_error("hooks")


def analyse(call: LLMCall, scrub: Callable[[str], str]) -> dict[str, AttributeValue]:
    """Return the features that analysers find in a call's texts; see `analysers`. Call it only where `analysing`."""
    from otel_llm import analysers

    return analysers.analyse(call, scrub)


def _told(span: Span, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of what is known of a span; one that records knows more than its maker."""
    own = getattr(span, "attributes", None)
    if own is None:
        return dict(attributes)
    # A span's attributes are a view of OpenTelemetry's own mapping, which copies itself ten times faster than `dict`.
    copy = getattr(own, "copy", None)
    return dict(own) if copy is None else copy()


def _record(
    kind: str,
    span: Span,
    name: str,
    told: dict[str, Any],
    start_ns: int,
    end_ns: int | None = None,
    error_type: str | None = None,
) -> Record:
    context = span.get_span_context()
    parent = getattr(span, "parent", None)
    return Record(
        kind=kind,
        name=name if end_ns is None else getattr(span, "name", name),
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=None if parent is None else f"{parent.span_id:016x}",
        attributes=MappingProxyType(told),
        start_ns=start_ns,
        end_ns=end_ns,
        error_type=error_type,
    )
