"""The sinks that this process feeds, each once, whoever asks for it; and what `instrument()` connects them to."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from otel_llm.views.feeding import Book
from otel_llm.views.live import LiveSink
from otel_llm.views.model import LOGS, POINTS, SERIES, SinkFactory

GROUP: Final = "otel_llm_sink"

_lock = threading.RLock()
_sinks: dict[str, LiveSink] = {}
_book: tuple[Book, Path] | None = None
_known: weakref.WeakSet[LiveSink] = weakref.WeakSet()


def use(name: str) -> LiveSink:
    """Return the process's sink `name`, made at its first use; each user releases it once.

    Args:
        name: of an entry point of the group `otel_llm_sink`.

    Raises:
        LookupError: there is no such sink.
    """
    with _lock:
        live = _sinks.get(name)
        if live is None or live.is_closed:
            live = LiveSink(name, find(name))
            _sinks[name] = live
            _known.add(live)
            if _book is not None:
                live.book, live.store = _book
        live.users += 1
        return live


def find(name: str) -> SinkFactory:
    """Return the function that makes the sink `name`.

    Raises:
        LookupError: there is no such sink; the text says which there are.
    """
    for entry in entry_points(group=GROUP, name=name):
        loaded: SinkFactory = entry.load()
        return loaded
    raise LookupError(f"there is no sink {name!r}; there are {', '.join(names()) or 'none'}")


def names() -> list[str]:
    """Return the names of the sinks that are installed."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def release(live: LiveSink, timeout_s: float) -> bool:
    """Give a sink back; the last user closes it."""
    with _lock:
        live.users -= 1
        if live.users > 0:
            return True
        if _sinks.get(live.name) is live:
            del _sinks[live.name]
    return live.close(timeout_s)


def active() -> list[LiveSink]:
    """Return the sinks that are in use."""
    with _lock:
        return list(_sinks.values())


def keep_book(book: Book | None, store: Path | None) -> None:
    """Have live sinks note in a store what they delivered; None: no longer."""
    global _book
    with _lock:
        _book = None if book is None or store is None else (book, store)
        for live in _sinks.values():
            live.book, live.store = book, store


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _sinks.clear()
    for live in list(_known):
        live.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Tap:
    """Takes rows for a store and for live sinks: both get the same.

    Args:
        store: the store's writer, or None.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._sinks: list[LiveSink] = []

    def hold(self, live: LiveSink) -> None:
        """Feed a live sink, and keep it open until `close`, whoever else gives it back."""
        with _lock:
            if live not in self._sinks:
                live.users += 1
                self._sinks.append(live)

    @property
    def names(self) -> list[str]:
        """The sinks' names."""
        return [live.name for live in self._sinks]

    def points(self, rows: Iterable[Any]) -> None:
        """Take metric points."""
        self._take(POINTS, list(rows))

    def series(self, rows: Iterable[Any]) -> None:
        """Take rows of step series."""
        self._take(SERIES, list(rows))

    def logs(self, rows: Iterable[Any]) -> None:
        """Take log records."""
        self._take(LOGS, list(rows))

    def _take(self, kind: str, rows: list[Any]) -> None:
        if self._store is not None:
            getattr(self._store, kind)(rows)
        for live in self._sinks:
            live.rows(kind, rows)

    def attach_extra(self, trace_id: int, span_id: int, extra: Mapping[str, Any]) -> None:
        """Give content that only our own views get to a span that is about to end."""
        for live in self._sinks:
            live.attach_extra(trace_id, span_id, extra)

    @property
    def taker(self) -> Taker:
        """The same for those who only hand rows over: its `flush` waits for the store, and for no backend."""
        return Taker(self)

    def flush_store(self, timeout_s: float) -> bool:
        """Wait until everything is in the store."""
        return self._store is None or bool(self._store.flush(timeout_s))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is with the sinks, and in the store."""
        deadline = time.monotonic() + timeout_s
        done = all([live.flush(max(0.0, deadline - time.monotonic())) for live in self._sinks])  # noqa: C419 (each)
        return done & self.flush_store(max(0.0, deadline - time.monotonic()))

    def close(self, timeout_s: float) -> bool:
        """Give the live sinks back; the store is somebody else's."""
        deadline = time.monotonic() + timeout_s
        held, self._sinks = self._sinks, []
        done = all([release(live, max(0.1, deadline - time.monotonic())) for live in held])  # noqa: C419 (each)
        keep_book(None, None)
        return done


class Taker:
    """Takes points and logs for a tap. OpenTelemetry's own providers flush it when they end, with times of their own."""

    def __init__(self, tap: Tap) -> None:
        self.points = tap.points
        self.logs = tap.logs
        self.flush = tap.flush_store
