"""From the store's spans to records of games.

A call belongs to the nearest interaction above it, whatever other people's spans lie between; an interaction to
the nearest phase. Where that chain is broken (a killed process, a lost context) the names that every span of a
game carries say where it belongs, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_llm import semconv as sc
from otel_llm.analysis import making
from otel_llm.analysis.collecting import without_collections
from otel_llm.analysis.records import OUTSIDE, CallRecord, GameRecord, InteractionRecord, PhaseRecord
from otel_llm.analysis.totals import Totals
from otel_llm.analysis.values import CALL_OPERATIONS, label

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan, StoreReader

_Key = tuple[str, str]
"""(trace id, span id)"""

_GAME_SPANS: Final = f"{sc.INVOKE_WORKFLOW}*"
"""Names of the spans of games; few, so they can be looked for outside of a range of time."""


def load_games(
    reader: StoreReader,
    *,
    game_id: str | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int | None = None,
) -> list[GameRecord]:
    """Return games with all that happened in them.

    Args:
        reader: the store.
        game_id: this game alone, from whatever processes; None for all, and for what is outside any game.
        since_ns: only what began then or later, in nanoseconds since the epoch. The games' own spans, and spans
            above one in the range, are taken in anyway.
        until_ns: only what began before.
        limit: only so many games, those in which something happened last.

    Returns:
        By start time; last, if it is not empty, the record of what is outside any game (its id is `OUTSIDE`).
    """
    with without_collections():
        spans = _collect(reader, game_id, since_ns, until_ns)
        books = _Books(spans)
        for key in spans:
            books.enter(key)
        found = books.close(None if game_id is None else {game_id})
    if any(book.own_open for book in found):
        alive = {info.name: info.alive for info in reader.files()}
        for book in found:
            book.settle(alive)
    games = sorted((book.game for book in found), key=lambda g: (g.game_id == OUTSIDE, g.start_ns, g.game_id))
    if limit is not None:
        latest = sorted((g for g in games if g.game_id != OUTSIDE), key=lambda g: -g.last_ns)
        kept = {g.game_id for g in latest[:limit]} | {OUTSIDE}
        games = [g for g in games if g.game_id in kept]
    return games


# --- spans ----------------------------------------------------------------------------------------
def _collect(
    reader: StoreReader, game_id: str | None, since_ns: int | None, until_ns: int | None
) -> dict[_Key, StoredSpan]:
    spans: dict[_Key, StoredSpan] = {}
    wanted = {} if game_id is None else {sc.GAME_ID: game_id}
    _add(spans, reader.spans(since_ns=since_ns, until_ns=until_ns, attributes=wanted))
    if not spans or (game_id is None and since_ns is None and until_ns is None):
        return spans
    if since_ns is not None:
        games = {label(span.attributes, sc.GAME_ID) for span in spans.values()} - {None}
        before = reader.spans(name=_GAME_SPANS, until_ns=since_ns, attributes=wanted)
        _add(spans, (span for span in before if label(span.attributes, sc.GAME_ID) in games))
    # Spans of others, or from before the range, may lie between a call and its interaction.
    broken = {
        trace_id
        for (trace_id, _), span in spans.items()
        if span.parent_id is not None and (trace_id, span.parent_id) not in spans
    }
    for trace_id in broken:
        whole = {(s.trace_id, s.span_id): s for s in reader.trace(trace_id)}
        for key in [key for key in spans if key[0] == trace_id]:
            parent = spans[key].parent_id
            while parent is not None and (trace_id, parent) not in spans and (trace_id, parent) in whole:
                above = spans[trace_id, parent] = whole[trace_id, parent]
                parent = above.parent_id
    return spans


def _add(spans: dict[_Key, StoredSpan], more: Iterable[StoredSpan]) -> None:
    for span in more:
        key = span.trace_id, span.span_id
        known = spans.get(key)
        if known is None or known.end_ns is None:  # of one that ended and the same one open, the former
            spans[key] = span


# --- where a span belongs -------------------------------------------------------------------------
class _Place(NamedTuple):
    """The nearest scopes at or above a span."""

    game_id: str
    phase: _Key | None
    interaction: _Key | None


_NOWHERE: Final = _Place(OUTSIDE, None, None)


class _Places:
    def __init__(self, spans: dict[_Key, StoredSpan]) -> None:
        self._spans = spans
        self._known: dict[_Key, _Place] = {}

    def of(self, key: _Key) -> _Place:
        """Return where a span belongs; itself included."""
        known = self._known
        chain: list[_Key] = []
        here: _Key | None = key
        met: set[_Key] = set()
        while here is not None and here not in known and here not in met:
            span = self._spans.get(here)
            if span is None:
                break
            chain.append(here)
            met.add(here)  # spans may be each other's ancestors
            here = None if span.parent_id is None else (span.trace_id, span.parent_id)
        place = known.get(here, _NOWHERE) if here is not None else _NOWHERE
        for link in reversed(chain):
            place = known[link] = self._step(place, link, self._spans[link])
        return place

    def above(self, span: StoredSpan) -> _Place:
        """Return where a span belongs by what is above it."""
        if span.parent_id is None or span.parent_id == span.span_id:
            return _NOWHERE
        return self.of((span.trace_id, span.parent_id))

    @staticmethod
    def _step(above: _Place, key: _Key, span: StoredSpan) -> _Place:
        own = label(span.attributes, sc.GAME_ID)
        kind = span.attributes.get(sc.SCOPE_KIND)
        if kind is None and (own is None or own == above.game_id):
            return above
        game_id = own or above.game_id
        if kind == making.GAME:
            return _Place(game_id, None, None)
        if kind == making.PHASE:
            return _Place(game_id, key, None)
        phase = above.phase if game_id == above.game_id else None
        if kind == making.INTERACTION:
            return _Place(game_id, phase, key)
        # A call inside an interaction is of the interaction's game, whatever else it says.
        return above if above.interaction is not None else _Place(game_id, phase, None)


# --- putting together -----------------------------------------------------------------------------
@dataclass(slots=True)
class _Book:
    """One game while it is put together."""

    game: GameRecord
    named: dict[str, list[PhaseRecord]] = field(default_factory=dict)
    """Phases by name, those of which only the contents are known included."""
    own_open: list[str] = field(default_factory=list)
    """Files of the game's own spans that are open."""

    def phase_for(self, span: StoredSpan) -> PhaseRecord | None:
        """Return the phase that a span names, where no phase is above it; one is made where there is none."""
        name = label(span.attributes, sc.PHASE_NAME)
        if name is None:
            return None
        known = self.named.setdefault(name, [])
        same_trace = [phase for phase in known if phase.trace_id == span.trace_id]
        if same_trace:
            return same_trace[0]
        begun = [phase for phase in known if phase.span_id is not None and phase.start_ns <= span.start_ns]
        if begun:
            return max(begun, key=lambda phase: phase.start_ns)
        phase = making.phase_without_span(name, span)
        known.append(phase)
        self.game.phases.append(phase)
        return phase

    def settle(self, alive: dict[str, bool | None]) -> None:
        """Say of an open game whether its process still runs."""
        if self.own_open:
            gone = all(alive.get(name) is False for name in self.own_open)
            self.game.status = "killed" if gone else "running"


class _Books:
    """All games while they are put together. Enter every span, then close."""

    def __init__(self, spans: dict[_Key, StoredSpan]) -> None:
        self._spans = spans
        self._places = _Places(spans)
        self._books: dict[str, _Book] = {}
        self._games: dict[str, list[_Key]] = {}
        self._phases: list[_Key] = []
        self._interactions: list[_Key] = []
        self._calls: list[_Key] = []

    def enter(self, key: _Key) -> None:
        """Note what a span is."""
        attributes = self._spans[key].attributes
        kind = attributes.get(sc.SCOPE_KIND)
        if kind == making.GAME:
            self._games.setdefault(self._places.of(key).game_id, []).append(key)
        elif kind == making.PHASE:
            self._phases.append(key)
        elif kind == making.INTERACTION:
            self._interactions.append(key)
        elif attributes.get(sc.OPERATION_NAME) in CALL_OPERATIONS:
            self._calls.append(key)

    def close(self, wanted: set[str] | None) -> list[_Book]:
        """Return the games, or those wanted, with everything in its place and in order."""
        made_phases: dict[_Key, PhaseRecord] = {}
        made: dict[_Key, InteractionRecord] = {}
        for key in self._by_start(self._phases):
            if (book := self._book(key, wanted)) is not None:
                phase = made_phases[key] = making.phase(self._spans[key])
                book.game.phases.append(phase)
                book.named.setdefault(phase.name, []).append(phase)
        for key in self._by_start(self._interactions):
            if (book := self._book(key, wanted)) is not None:
                place = self._places.of(key)
                above = made_phases.get(place.phase) if place.phase else None
                self._put_interaction(book, key, above, made)
        for key in self._by_start(self._calls):
            if (book := self._book(key, wanted)) is not None:
                self._put_call(book, key, made_phases, made)
        for game_id, keys in self._games.items():
            if wanted is None or game_id in wanted:
                book = self._books.setdefault(game_id, _Book(GameRecord(game_id)))
                own = [self._spans[key] for key in self._by_start(keys)]
                making.describe_game(book.game, own)
                book.own_open = [span.file for span in own if span.end_ns is None]
        for interaction in made.values():
            making.sum_up(interaction)
        for book in self._books.values():
            _finish(book.game)
        return list(self._books.values())

    def _put_interaction(
        self, book: _Book, key: _Key, above: PhaseRecord | None, made: dict[_Key, InteractionRecord]
    ) -> None:
        span = self._spans[key]
        phase = above or book.phase_for(span)
        record = made[key] = making.interaction(span, book.game.game_id, phase)
        (book.game if phase is None else phase).interactions.append(record)

    def _put_call(
        self,
        book: _Book,
        key: _Key,
        phases: dict[_Key, PhaseRecord],
        interactions: dict[_Key, InteractionRecord],
    ) -> None:
        span, place = self._spans[key], self._places.of(key)
        interaction = interactions.get(place.interaction) if place.interaction else None
        if interaction is not None:
            interaction.calls.append(making.call(span, book.game.game_id, interaction, interaction.phase))
            return
        phase = (phases.get(place.phase) if place.phase else None) or book.phase_for(span)
        record: CallRecord = making.call(span, book.game.game_id, None, phase.name if phase else None)
        (book.game if phase is None else phase).calls.append(record)

    def _book(self, key: _Key, wanted: set[str] | None) -> _Book | None:
        game_id = self._places.of(key).game_id
        if wanted is not None and game_id not in wanted:
            return None
        book = self._books.get(game_id)
        if book is None:
            book = self._books[game_id] = _Book(GameRecord(game_id))
        return book

    def _by_start(self, keys: list[_Key]) -> list[_Key]:
        return sorted(keys, key=lambda key: self._spans[key].start_ns)


def _finish(game: GameRecord) -> None:
    game.phases.sort(key=lambda phase: phase.start_ns)
    for phase in game.phases:
        phase.totals = Totals.of(phase.interactions, phase.calls)
        phase.totals.messages += len(phase.messages)
    game.totals = Totals.of(
        game.all_interactions(), [*game.calls, *(call for phase in game.phases for call in phase.calls)]
    )
    game.totals.messages += len(game.messages) + sum(len(phase.messages) for phase in game.phases)
    making.fill_in(game)
