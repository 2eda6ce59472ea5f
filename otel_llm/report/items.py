"""What the page lists: interactions, and calls outside any, as columns in order of their start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otel_llm.analysis import EVERYBODY, CallRecord, GameRecord, InteractionRecord, PhaseRecord
from otel_llm.analysis.conversation import last_text
from otel_llm.analysis.queries import Answer
from otel_llm.report.names import Names

OK: Final = 0
FAILED: Final = 1
OPEN: Final = 2
"""How an item ended; `assets/js/10_base.js` has the same numbers."""

_PREVIEW: Final = 110
"""Characters of an answer that the list shows."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the page's list.

    Attributes:
        record: an interaction, or a call outside any.
        game: number of its game.
        phase: number of its phase in the game; -1 outside any.
    """

    record: Answer
    game: int
    phase: int


def items_of(games: Sequence[GameRecord]) -> list[Item]:
    """Return all items of games, in order of their start."""
    return sorted(_all(games), key=lambda item: item.record.start_ns)


def _all(games: Sequence[GameRecord]) -> Iterator[Item]:
    for number, game in enumerate(games):
        for place, phase in enumerate(game.phases):
            for record in _records(phase):
                yield Item(record, number, place)
        for record in _records(game):
            yield Item(record, number, -1)


def _records(place: GameRecord | PhaseRecord) -> list[Answer]:
    return [*place.interactions, *place.calls]


def calls_of(record: Answer) -> Sequence[CallRecord]:
    """Return the calls of an interaction; of a call, itself."""
    return record.calls if isinstance(record, InteractionRecord) else (record,)


class Columns:
    """The items as columns, with their names by number.

    Args:
        t0_ns: when the document's time begins.
        powers: names of powers that come first.
    """

    def __init__(self, t0_ns: int, powers: Sequence[str]) -> None:
        self.powers = Names(powers)
        self.types = Names()
        self.models = Names()
        self.errors = Names()
        self.traces = Names()
        self.parties = Names([EVERYBODY, *powers])
        self._t0 = t0_ns

    def of(self, items: Sequence[Item], *, content: bool) -> dict[str, Any]:
        """Return the columns.

        Args:
            items: in order of their start.
            content: whether what was said may be shown.
        """
        columns: dict[str, list[Any]] = {name: [] for name in self._row(items[0], content)} if items else {}
        for item in items:
            for name, value in self._row(item, content).items():
                columns[name].append(value)
        return {"n": len(items), **columns}

    def _row(self, item: Item, content: bool) -> dict[str, Any]:
        record = item.record
        calls = calls_of(record)
        own = record if isinstance(record, InteractionRecord) else None
        kind = own.type if own else (record.interaction_type or record.operation)  # type: ignore[union-attr]
        model = record.model or (calls[-1].model if calls else None)
        return {
            "id": record.span_id,
            "game": item.game,
            "phase": item.phase,
            "power": self.powers.number(record.power),
            "type": self.types.number(kind),
            "model": self.models.number(model),
            "trace": self.traces.number(record.trace_id) if own is None else -1,
            "start": milliseconds(record.start_ns, self._t0),
            "took": None if record.duration_s is None else _milliseconds(record.duration_s),
            "state": _state(record),
            "error": self.errors.number(record.error_type),
            "attempt": record.attempt,
            "calls": len(calls),
            "refused": sum(call.failed for call in calls),
            "given": record.input_tokens,
            "got": record.output_tokens,
            "cost": None if record.cost_usd is None else round(record.cost_usd, 7),
            "invalid": own.invalid_count if own else None,
            "to": self._recipients(own),
            "said": self._said(record, content),
        }

    def _recipients(self, record: InteractionRecord | None) -> list[int] | int:
        if record is None or not record.messages:
            return 0
        wrote: dict[int, None] = {}
        for message in record.messages:
            for name in message.recipients or (EVERYBODY,):
                wrote[self.parties.number(name)] = None
        return list(wrote)

    def _said(self, record: Answer, content: bool) -> str | None:
        """One line about it: why it failed, else its orders, else what it wrote or answered."""
        if record.error_message and _state(record) == FAILED:
            return _line(record.error_message)
        if isinstance(record, CallRecord):
            return _line(last_text(record.output_messages)) if content else None
        if record.failed and record.outcome:
            return _line(record.outcome)
        if record.orders:
            return _line(", ".join(record.orders))
        if not content:
            return None
        written = [
            f"to {', '.join(m.recipients) or EVERYBODY}: {m.content}" for m in record.messages if m.content
        ]
        return _line(" ".join(written) or record.response)


def milliseconds(time_ns: int, t0_ns: int) -> int:
    """Return a time as the page counts it."""
    return round((time_ns - t0_ns) / 1e6)


def _milliseconds(seconds: float) -> float:
    took = seconds * 1e3
    return round(took) if took >= 10 else round(took, 2)  # noqa: PLR2004 (three figures are enough)


def _state(record: Answer) -> int:
    if isinstance(record, CallRecord):
        return FAILED if record.failed else OPEN if record.end_ns is None else OK
    verdict = record.succeeded
    return OPEN if verdict is None else OK if verdict else FAILED


def _line(text: str | None) -> str | None:
    if not text:
        return None
    return " ".join(text[: _PREVIEW * 3].split())[:_PREVIEW]
