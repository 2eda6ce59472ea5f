"""What otel_llm's store holds of games, in the form of `served`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from served import Count, Served

from otel_llm import semconv as sc
from otel_llm.store import StoredSpan, StoreReader


class Store:
    """All spans of a store, by what they are."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        reader = StoreReader(directory)
        self.spans = list(reader.spans())
        assert reader.problems == []
        assert reader.open_spans() == []
        self.by_id = {(span.trace_id, span.span_id): span for span in self.spans}
        assert len(self.by_id) == len(self.spans), "a span is in the store twice"

    def scopes(self, kind: str) -> list[StoredSpan]:
        return sorted(
            (s for s in self.spans if s.attributes.get(sc.SCOPE_KIND) == kind), key=lambda s: s.start_ns
        )

    @property
    def calls(self) -> list[StoredSpan]:
        return [s for s in self.spans if sc.PROVIDER_NAME in s.attributes]

    def parent(self, span: StoredSpan) -> StoredSpan | None:
        return self.by_id.get((span.trace_id, span.parent_id)) if span.parent_id else None

    def contents(self) -> Iterable[str]:
        """Everything that the store gives back, as text."""
        reader = StoreReader(self.directory)
        for source in (reader.spans(), reader.points(), reader.logs(), reader.series(), reader.files()):
            yield from map(repr, source)


def seen_as(call: StoredSpan) -> Served:
    """A call as the server must have seen it."""
    it = call.attributes
    return Served(
        it[sc.GAME_ID],
        it[sc.PHASE_NAME],
        it[sc.POWER_NAME],
        it[sc.INTERACTION_TYPE],
        it[sc.REQUEST_MODEL],
        it.get(sc.HTTP_STATUS_CODE, 200),
        it.get(sc.RESPONSE_ID),
        it.get(sc.USAGE_INPUT_TOKENS, 0),
        it.get(sc.USAGE_OUTPUT_TOKENS, 0),
    )


def by_game(store: Store) -> dict[str, dict[str, Any]]:
    """Sums by game over the calls, the types and powers taken from the interaction above each."""
    found: dict[str, Count] = {}
    for call in store.calls:
        interaction = store.parent(call)
        assert interaction is not None
        one = seen_as(call)
        assert interaction.attributes[sc.GAME_ID] == one.game
        found.setdefault(one.game, Count()).add(one)
    return {game: count.plain() for game, count in found.items()}


def totals(game: StoredSpan) -> dict[str, Any]:
    """What a game's own span says of it at its end."""
    it = game.attributes

    def table(name: str) -> dict[str, int]:
        prefix = f"{sc.TOTALS_PREFIX}{name}."
        return {key.removeprefix(prefix): value for key, value in it.items() if key.startswith(prefix)}

    return {
        "calls": it[sc.TOTALS_PREFIX + "calls"],
        "input_tokens": it[sc.TOTALS_PREFIX + "input_tokens"],
        "output_tokens": it[sc.TOTALS_PREFIX + "output_tokens"],
        "by_type": table("interactions_by_type"),
        "by_power": table("interactions_by_power"),
        "by_model": table("calls_by_model"),
    }
