"""The JSON of games: `show --game --json`, `show --games --json` and `show --stats --json`; see `show --help`.

Values are those of the records, under the names of their attributes; what is not known is null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from otel_llm import analysis as an
from otel_llm.cli import figures
from otel_llm.cli.documents import plain

GAME: Final = "otel_llm.game/1"
GAMES: Final = "otel_llm.games/1"
STATS: Final = "otel_llm.stats/1"

_LARGE: Final = frozenset({"attributes", "calls", "input_messages", "output_messages", "system_instructions"})


def game(record: an.GameRecord, *, full: bool) -> dict[str, Any]:
    """Return the document of one game, with its phases and their interactions.

    Args:
        record: the game.
        full: with each interaction's attributes, calls, prompt and response.
    """
    head = _head(record)
    return {
        "schema": GAME,
        **head,
        "phases": [_phase(phase, full) for phase in record.phases],
        "interactions": [_interaction(i, full) for i in record.interactions],
        "loose_calls": [_fields(call, ()) for call in record.calls],
        "messages": [_fields(message, ()) for message in record.messages],
        "trouble": {
            "swallowed": [i.span_id for i in an.swallowed(record)],
            "failures": [i.span_id for i in an.failures(record)],
            "repetitions": [
                _fields(row, ("records",)) | {"span_ids": [i.span_id for i in row.records]}
                for row in an.repetitions(record.all_interactions())
            ],
            "refusals": [
                _fields(row, ("calls",)) | {"span_ids": [call.span_id for call in row.calls]}
                for row in an.refusals([record])
            ],
            "oddities": [_fields(row, ()) for row in an.oddities(record)],
        },
    }


def games(records: Sequence[an.GameRecord]) -> dict[str, Any]:
    """Return the document of a list of games."""
    return {"schema": GAMES, "games": [_head(r) | {"phases": len(r.phases)} for r in records]}


def stats(records: Sequence[an.GameRecord]) -> dict[str, Any]:
    """Return the document of all analyses."""
    interactions = [i for record in records for i in record.all_interactions()]
    answers = an.answers(records)
    wrote = an.correspondence(message for record in records for message in record.all_messages())
    by = ("model",), ("type",), ("model", "type"), ("power",)
    return {
        "schema": STATS,
        "games": [record.game_id for record in records if record.game_id != an.OUTSIDE],
        "interactions": len(interactions),
        "calls": sum(record.totals.calls for record in records),
        "latency_of_calls": _keyed(by, lambda names: an.latency(answers, names)),
        "latency_of_interactions": _keyed(by, lambda names: an.latency(interactions, names)),
        "success": _keyed((*by, ("phase_type",)), lambda names: an.success(interactions, names)),
        "cost": _keyed(by, lambda names: an.spending(answers, names)),
        "patterns": [_fields(row, ()) for row in an.patterns(records)],
        "correspondence": [
            {"sender": s, "recipient": r, "messages": n, "characters": wrote.characters[s, r]}
            for (s, r), n in sorted(wrote.counts.items())
        ],
        "models": [_fields(row, ()) for row in an.model_comparison(records)],
        "episodes": [_fields(row, ()) for row in an.episode_progression(records)],
        "reward_correlations": [
            {"level": row.level, "measure": row.measure, **dataclasses.asdict(row.correlation)}
            for row in an.reward_correlations(records)
        ],
        "slowest": [_interaction(i, full=False) for i in an.slowest(interactions)],
    }


def _keyed(groupings: Sequence[tuple[str, ...]], ask: Any) -> list[dict[str, Any]]:
    """Return rows of several groupings, with the values of their keys under the keys' names."""
    return [
        {"by": list(names), **dict(zip(names, row.key, strict=True)), **_fields(row, ("key",))}
        for names in groupings
        for row in ask(names)
    ]


def _head(record: an.GameRecord) -> dict[str, Any]:
    left_out = ("phases", "interactions", "calls", "messages", "totals", "spans", "attributes")
    return {
        **_fields(record, left_out),
        "start": figures.iso(record.start_ns),
        "duration_s": record.duration_s,
        "spans": [{"trace_id": trace_id, "span_id": span_id} for trace_id, span_id in record.spans],
        "totals": _totals(record.totals),
        "attributes": record.attributes,
    }


def _phase(phase: an.PhaseRecord, full: bool) -> dict[str, Any]:
    return {
        **_fields(phase, ("interactions", "calls", "messages", "totals", "attributes")),
        "start": figures.iso(phase.start_ns),
        "duration_s": phase.duration_s,
        "totals": _totals(phase.totals),
        "interactions": [_interaction(i, full) for i in phase.interactions],
        "loose_calls": [_fields(call, ()) for call in phase.calls],
        "messages": [_fields(message, ()) for message in phase.messages],
    }


def _interaction(record: an.InteractionRecord, full: bool) -> dict[str, Any]:
    found = _fields(record, tuple(_LARGE))
    found |= {
        "start": figures.iso(record.start_ns),
        "succeeded": record.succeeded,
        "latency_s": record.latency_s,
        "calls": len(record.calls),
        "failed_calls": sum(call.failed for call in record.calls),
    }
    if full:
        found |= {
            "prompt": record.prompt,
            "response": record.response,
            "calls": [_fields(call, ()) for call in record.calls],
            "attributes": record.attributes,
        }
    return found


def _totals(totals: an.Totals) -> dict[str, Any]:
    return {**dataclasses.asdict(totals), "success_rate": totals.success_rate}


def _fields(record: Any, left_out: Sequence[str]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(record) if field.name not in left_out]
    return {name: _value(getattr(record, name)) for name in names}


def _value(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list):
        return [_value(item) for item in value]
    return plain(value)
