"""From the store to a sink: what it does not have yet, once or for as long as the run goes on."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.store.following import Tail, delivered
from otel_llm.store.reader import StoreReader, deduplicated
from otel_llm.store.rows import StoredSpan
from otel_llm.views.feeding import Feed
from otel_llm.views.keys import book_of, key_of
from otel_llm.views.mapping import Mapper, batches
from otel_llm.views.model import KINDS, LOGS, POINTS, SERIES, SPANS, Sink
from otel_llm.views.unfinished import unfinished_games

LOOK_S: Final = 1.0
"""How often a run that goes on is looked at."""

_ROWS: Final = (POINTS, SERIES, LOGS)
_TRACES: Final = 16
_GIVE_UP_AFTER: Final = 2
_SAMPLED: Final = 1
_FLUSH_S: Final = 60.0


def spans_of_game(store: Path, game_id: str, since_ns: int) -> list[StoredSpan]:
    """Return the ended spans of a game, each once.

    Args:
        store: the store's directory.
        game_id: the game.
        since_ns: when it began, in nanoseconds since the epoch.
    """
    reader = StoreReader(store)
    found = reader.spans(attributes={sc.GAME_ID: game_id}, since_ns=since_ns)
    unique = {(span.trace_id, span.span_id): span for span in found if span.end_ns is not None}
    return list(unique.values())


@dataclass(slots=True)
class Wanted:
    """What is to be sent.

    Attributes:
        everything: what was delivered before, too.
        since_ns: what began then or later; None for all.
        file: of this file of the store alone.
        span: whether a span is wanted; None: all are. With it, rows that are no spans are left out.
    """

    everything: bool = False
    since_ns: int | None = None
    file: str | None = None
    span: Callable[[StoredSpan], bool] | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.since_ns is None and self.file is None and self.span is None


@dataclass(slots=True)
class Sent:
    """What became of it, by kind.

    Attributes:
        given: what the sink was given and took.
        settled: what of it the sink has for good; one sum over all kinds.
        left: what was found and not settled; one sum.
        problem: why.
    """

    given: dict[str, int] = field(default_factory=dict)
    settled: int = 0
    left: int = 0
    problem: str | None = None


class Replay:
    """Sends a store's content to a sink.

    Args:
        store: the store's directory.
        sink: the sink.
        book: notes what was delivered: a writer of the same store.
        wanted: what to send.
        on_pass: called after each look at a run that goes on, with what was sent so far; returns whether to go on.
    """

    def __init__(
        self,
        store: Path,
        sink: Sink,
        book: Any,
        wanted: Wanted,
        on_pass: Callable[[Sent], bool] | None = None,
    ) -> None:
        self.reader = StoreReader(store)
        self.sent = Sent()
        self._wanted = wanted
        self._on_pass = on_pass
        self._sink = sink
        self._failures = 0
        partial = not wanted.is_all or bool(not wanted.everything and delivered(self.reader, sink.book))
        mapper = Mapper(
            sink.wants,
            # Where only some spans come by, those below them are looked up.
            look_up=_Traces(self.reader) if partial else None,
            spans_of_game=lambda game_id, since_ns: spans_of_game(store, game_id, since_ns),
            max_text=sink.max_text,
        )
        self._feed = Feed(sink, mapper, book)

    def once(self) -> Sent:
        """Send what is there now, and close the sink."""
        try:
            self._send(self._present())
        finally:
            self._close()
        return self.sent

    def follow(self) -> Sent:
        """Send what is there and what comes, until the run's processes have ended or `on_pass` says so."""
        tails = {kind: Tail(self.reader, kind, from_now=kind == SPANS) for kind in KINDS}
        had = {} if self._wanted.everything else {kind: self._delivered(kind) for kind in KINDS}
        try:
            # What is committed between the tail's beginning and this reading comes twice, and goes once.
            seen: set[int] = set()
            self._send((SPANS, span) for span in self._noted(self._spans(), seen))
            idle = False
            while True:
                before = sum(self.sent.given.values())
                for kind, tail in tails.items():
                    skip = seen if kind == SPANS else had.get(kind, set())
                    self._send((kind, row) for row in self._new(kind, tail, skip))
                due = self._sink.due_s()
                if due is not None and due <= 0:
                    self._feed.flush(_FLUSH_S)
                is_idle = sum(self.sent.given.values()) == before
                if self._on_pass is not None and not self._on_pass(self.sent):
                    break
                if is_idle and idle and not self._runs():
                    break
                idle = is_idle
                time.sleep(LOOK_S)
            self._send(self._unfinished())
        finally:
            self._close()
        return self.sent

    def _close(self) -> None:
        feed = self._feed
        feed.give_up()
        feed.close(_FLUSH_S)
        self.sent.settled = feed.delivered
        self.sent.left += feed.unsettled
        if self.sent.left:
            self.sent.problem = self._sink.problem() or self.sent.problem

    def _send(self, rows: Iterator[tuple[str, Any]]) -> None:
        for taken in batches(rows, self._sink.batch_size):
            if self._failures >= _GIVE_UP_AFTER:  # the sink is down, rather than a batch bad
                self.sent.left += len(taken)
                continue
            if not self._feed.take(taken):
                self._failures += 1
                self.sent.problem = self._sink.problem() or self.sent.problem
                self.sent.left += self._feed.give_up()
                continue
            self._failures = 0
            for kind in KINDS:
                if n := len(taken.of(kind)):
                    self.sent.given[kind] = self.sent.given.get(kind, 0) + n

    # --- what to send ---------------------------------------------------------------------------------

    def _present(self) -> Iterator[tuple[str, Any]]:
        for span in self._spans():
            yield SPANS, span
        yield from self._unfinished()
        for kind in _ROWS if self._wanted.span is None else ():
            had = set() if self._wanted.everything else self._delivered(kind)
            for row in self._new(kind, Tail(self.reader, kind), had):
                yield kind, row

    def _unfinished(self) -> Iterator[tuple[str, StoredSpan]]:
        """Yield games whose process has died, after all that happened in them."""
        had = set() if self._wanted.everything else self._delivered(SPANS)
        for span in unfinished_games(self.reader, since_ns=self._wanted.since_ns):
            if key_of(SPANS, span) not in had and self._is_wanted(SPANS, span):
                yield SPANS, span

    def _delivered(self, kind: str) -> set[int]:
        return delivered(self.reader, book_of(self._sink.book, kind))

    def _spans(self) -> Iterator[StoredSpan]:
        since_ns = self._wanted.since_ns
        if self._wanted.everything:
            spans = self.reader.spans(since_ns=since_ns)
        else:
            spans = self.reader.undelivered(self._sink.book, since_ns=since_ns)
        return (span for span in spans if self._is_wanted(SPANS, span))

    def _noted(self, spans: Iterator[StoredSpan], seen: set[int]) -> Iterator[StoredSpan]:
        if not self._wanted.everything:
            seen |= self._delivered(SPANS)
        for span in spans:
            seen.add(key_of(SPANS, span))
            yield span

    def _new(self, kind: str, tail: Tail, skip: set[int]) -> Iterator[Any]:
        if kind != SPANS and self._wanted.span is not None:
            return
        for row in tail.read():
            key = key_of(kind, row)
            if key in skip or not self._is_wanted(kind, row):
                continue
            if kind == SPANS:
                skip.add(key)
            yield row

    def _is_wanted(self, kind: str, row: Any) -> bool:
        wanted = self._wanted
        if (wanted.file is not None and row.file != wanted.file) or self._feed.has(kind, key_of(kind, row)):
            return False
        if kind == SPANS:
            if row.end_ns is None or not row.flags & _SAMPLED:
                return False
            return wanted.span is None or wanted.span(row)
        return wanted.since_ns is None or (row.time_ns or 0) >= wanted.since_ns

    def _runs(self) -> bool:
        """Say whether a process that writes to the store may still live."""
        return any(file.alive is not False and file.pid != os.getpid() for file in self.reader.files())


class _Traces:
    """Looks up the spans of traces, and remembers the last few."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._known: OrderedDict[str, list[StoredSpan]] = OrderedDict()

    def __call__(self, trace_id: str) -> list[StoredSpan]:
        found = self._known.get(trace_id)
        if found is None:
            found = self._known[trace_id] = deduplicated(self._reader.trace(trace_id))
            if len(self._known) > _TRACES:
                self._known.popitem(last=False)
        return found
