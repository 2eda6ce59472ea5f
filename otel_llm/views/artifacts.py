"""A finished game as files: its spans, one a line, and its result."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.store.rows import StoredSpan
from otel_llm.views.cells import json_text
from otel_llm.views.items import Item
from otel_llm.views.model import Artifact

GAME: Final = "game"
_MAX_NAME: Final = 120
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")

SpansOfGame = Callable[[str, int], Iterable[StoredSpan]]
"""`(game id, start in nanoseconds)` to the stored spans of a game, the game's own included."""


def game_artifact(item: Item, spans_of: SpansOfGame) -> Artifact | None:
    """Return a game that ended as an artifact `game-{id}`; None for what is no game with an id.

    Its files are `spans.jsonl` (each span as the store has it, by start time) and `result.json`.
    """
    span = item.span
    game_id = item.attributes.get(sc.GAME_ID)
    if span is None or game_id is None or item.scope != GAME:
        return None
    result = _result(item, str(game_id))

    def files() -> Mapping[str, bytes]:
        spans = sorted(spans_of(str(game_id), span.start_ns), key=lambda one: (one.start_ns, one.span_id))
        lines = [json_text(_plain(one)) for one in spans]
        return {
            "spans.jsonl": "".join(f"{line}\n" for line in lines).encode(),
            "result.json": f"{json_text(result)}\n".encode(),
        }

    name = f"{GAME}-{_NOT_A_NAME.sub('_', str(game_id))[:_MAX_NAME]}"
    return Artifact(name, GAME, result, files)


def _result(item: Item, game_id: str) -> dict[str, Any]:
    span = item.span
    assert span is not None  # noqa: S101 (the caller has looked)
    told = {
        "name": sc.GAME_NAME,
        "status": sc.GAME_STATUS,
        "outcome": sc.GAME_OUTCOME,
        "winners": sc.GAME_WINNERS,
        "players": sc.GAME_PLAYERS,
        "models": sc.GAME_MODELS,
        "episode": sc.GAME_EPISODE,
        "reward": sc.GAME_REWARD,
        "error_type": sc.ERROR_TYPE,
    }
    result: dict[str, Any] = {
        "game_id": game_id,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "start_time": span.start_ns / 1e9,
        "duration_seconds": span.duration_s,
    }
    result |= {name: item.attributes[key] for name, key in told.items() if key in item.attributes}
    result["totals"] = {
        key.removeprefix(sc.TOTALS_PREFIX): value
        for key, value in sorted(item.attributes.items())
        if key.startswith(sc.TOTALS_PREFIX)
    }
    return result


def _plain(span: StoredSpan) -> dict[str, Any]:
    fields = asdict(span)
    fields.pop("file")
    return fields
