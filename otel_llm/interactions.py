"""Interactions and sessions as flat records: to log many at once, and to read back what was logged.

    for interaction in read_interactions(".otel_llm", game_id="g1"):
        print(interaction.power_name, interaction.phase, interaction.response_time_ms)

Of each field it is said where it comes from: *measured* by us, *from the payload* of a model call, or *given* by the
program. Imports no SDK; reading needs the store's and the analysis's parts alone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc

if TYPE_CHECKING:
    from otel_llm.analysis import GameRecord, InteractionRecord

GIVEN: Final = "given"
MEASURED: Final = "measured"
PAYLOAD: Final = "payload"
SOURCE: Final = "source"


def _from(*sources: str, default: Any = None) -> Any:
    return field(default=default, metadata={SOURCE: sources})


def _mapping() -> Any:
    return field(default_factory=dict, metadata={SOURCE: (PAYLOAD, GIVEN)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMInteraction:
    """One interaction of a power with a model. None is what nobody knows.

    `dataclasses.fields(LLMInteraction)` have the sources as `metadata["source"]`, the first that knows first.

    Attributes:
        interaction_id: given, else the span's id, 16 hex digits. Unique within a store, and the same in every
            process that reads it.
        timestamp: when it ended, in seconds since the epoch. Measured; given where it is logged afterwards.
        model_name: the model asked. Given, else from the payload of its calls: the one asked most often.
        power_name: who asked. Given.
        interaction_type: `order`, `negotiation`, `plan` … Given.
        success: whether it went well. Given; else measured: whether it raised nothing, and its last call did not
            fail. None while it is open.
        response_time_ms: how long the answer took, in milliseconds. Given; else measured, from the start of the
            interaction to its end, over all attempts that its calls made. None where only the time of a whole batch
            is known (`semconv.GAME_BATCH_DURATION`).
        game_id: the game; None for none. Given.
        phase: name of the phase. Given.
        phase_numeric: the year in the game, from the phase's name. Given.
        season_numeric: 0 spring, 1 fall, 2 winter, from the phase's name. Given.
        input_length: characters that were sent. From the payload of its calls, else given: those of the prompt.
        response_length: characters that came back, likewise.
        supply_center_count: supply centres of the power. Given.
        unit_count: units of the power. Given.
        error_type: class of the failure; None where it did not fail. From the payload of a failed call, measured
            (an exception), or given (the words of `success`).
        grpo_episode: number of the training episode. Given.
        grpo_step: number of the training step. Given.
        grpo_reward: the reward. Given.
        tokens: counts by kind: `input`, `output`, `cached`, `reasoning`, and kinds that the program gave. From the
            payload, else given.
        cost_estimate: US dollars. By list prices, from the payload's tokens; else given.
        trace_id: 32 hex digits; None for one that was not read back.
        span_id: 16 hex digits; likewise.
    """

    interaction_id: str | None = _from(GIVEN, MEASURED)
    timestamp: float | None = _from(GIVEN, MEASURED)
    model_name: str | None = _from(GIVEN, PAYLOAD)
    power_name: str | None = _from(GIVEN)
    interaction_type: str | None = _from(GIVEN)
    success: bool | None = _from(GIVEN, MEASURED)
    response_time_ms: float | None = _from(GIVEN, MEASURED)
    game_id: str | None = _from(GIVEN)
    phase: str | None = _from(GIVEN)
    phase_numeric: int | None = _from(GIVEN)
    season_numeric: int | None = _from(GIVEN)
    input_length: int | None = _from(GIVEN, PAYLOAD)
    response_length: int | None = _from(GIVEN, PAYLOAD)
    supply_center_count: int | None = _from(GIVEN)
    unit_count: int | None = _from(GIVEN)
    error_type: str | None = _from(GIVEN, MEASURED, PAYLOAD)
    grpo_episode: int | None = _from(GIVEN)
    grpo_step: int | None = _from(GIVEN)
    grpo_reward: float | None = _from(GIVEN)
    tokens: Mapping[str, int] = _mapping()
    cost_estimate: float | None = _from(PAYLOAD, GIVEN)
    trace_id: str | None = _from(MEASURED)
    span_id: str | None = _from(MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMSession:
    """One game, summed up over all processes that recorded something under its id.

    Attributes:
        game_id: the game. Given.
        start_time: when it began, in seconds since the epoch. Measured; earlier where an interaction in it began
            earlier.
        end_time: when it ended; None while it is open, or where its process died. Measured.
        duration_seconds: from start to end, or to the last moment of which anything is known. Measured.
        total_interactions: interactions, each attempt counted.
        interactions_by_type: interactions by type.
        interactions_by_power: interactions by power.
        interactions_by_model: interactions by the model asked.
        is_grpo_training: whether it is played to train on. Given; None where nobody said.
        grpo_episode: number of the training episode. Given.
        failed_interactions: those that failed.
        success_rate: the share of interactions that succeeded among those that are decided, 0 to 1; None for none.
        tokens: `input` and `output` tokens, as far as anybody told.
        cost: US dollars over what has a price; None where nothing has.
        status: the program's own word; else `ended`, `failed`, `running`, `killed` or `unknown`.
    """

    game_id: str
    start_time: float
    end_time: float | None
    duration_seconds: float
    total_interactions: int
    interactions_by_type: Mapping[str, int]
    interactions_by_power: Mapping[str, int]
    interactions_by_model: Mapping[str, int]
    is_grpo_training: bool | None
    grpo_episode: int | None
    failed_interactions: int
    success_rate: float | None
    tokens: Mapping[str, int]
    cost: float | None
    status: str


def read_interactions(
    store_dir: str | os.PathLike[str], game_id: str | None = None
) -> Iterator[LLMInteraction]:
    """Read interactions from a store, also while it is being written.

    Args:
        store_dir: the store's directory.
        game_id: of this game alone, as the store has it (without secrets); default: all, and those outside any game.

    Yields:
        Game by game, each in the order of the interactions' starts.
    """
    for game in _games(store_dir, game_id):
        for record in sorted(game.all_interactions(), key=lambda record: record.start_ns):
            yield interaction_of(record)


def read_sessions(store_dir: str | os.PathLike[str]) -> list[LLMSession]:
    """Read the games of a store, also while it is being written.

    Args:
        store_dir: the store's directory.

    Returns:
        One a game, in the order of their starts.
    """
    from otel_llm.analysis import OUTSIDE

    return [session_of(game) for game in _games(store_dir, None) if game.game_id != OUTSIDE]


def _games(store_dir: str | os.PathLike[str], game_id: str | None) -> list[GameRecord]:
    # Imported here: a program that only logs pays nothing for reading.
    from otel_llm.analysis import load_games
    from otel_llm.store import StoreReader

    return load_games(StoreReader(store_dir), game_id=game_id)


def interaction_of(record: InteractionRecord) -> LLMInteraction:
    """Return the flat form of an interaction that was read."""
    own_id = record.attributes.get(sc.INTERACTION_ID)
    latency = record.latency_s
    return LLMInteraction(
        interaction_id=record.span_id if own_id is None else str(own_id),
        timestamp=(record.start_ns if record.end_ns is None else record.end_ns) / 1e9,
        model_name=record.model,
        power_name=record.power,
        interaction_type=record.type,
        success=record.succeeded,
        # Seconds are kept; so many digits give the same milliseconds back.
        response_time_ms=None if latency is None else round(latency * 1000, 6),
        game_id=record.game_id or None,
        phase=record.phase,
        phase_numeric=_first(record.year, record.attributes.get(sc.PHASE_YEAR)),
        season_numeric=_first(record.season, record.attributes.get(sc.PHASE_SEASON)),
        input_length=record.input_length,
        response_length=record.response_length,
        supply_center_count=record.centers,
        unit_count=record.units,
        error_type=record.error_type,
        grpo_episode=record.episode,
        grpo_step=record.step,
        grpo_reward=record.reward,
        tokens=_tokens(record),
        cost_estimate=record.cost_usd,
        trace_id=record.trace_id,
        span_id=record.span_id,
    )


def session_of(game: GameRecord) -> LLMSession:
    """Return the flat form of a game that was read."""
    totals = game.totals
    tokens = {"input": totals.input_tokens, "output": totals.output_tokens}
    models = Counter(record.model for record in game.all_interactions() if record.model)
    return LLMSession(
        game_id=game.game_id,
        start_time=game.start_ns / 1e9,
        end_time=None if game.end_ns is None else game.end_ns / 1e9,
        duration_seconds=game.duration_s,
        total_interactions=totals.interactions,
        interactions_by_type=dict(totals.interactions_by_type),
        interactions_by_power=dict(totals.interactions_by_power),
        interactions_by_model=dict(models),
        is_grpo_training=game.training,
        grpo_episode=game.episode,
        failed_interactions=totals.failed_interactions,
        success_rate=totals.success_rate,
        tokens={kind: count for kind, count in tokens.items() if count is not None},
        cost=totals.cost_usd,
        status=game.status,
    )


def _tokens(record: InteractionRecord) -> dict[str, int]:
    found: dict[str, int | None] = {
        "input": record.input_tokens,
        "output": record.output_tokens,
        "cached": _sum(call.cached_tokens for call in record.calls),
        "reasoning": _sum(call.reasoning_tokens for call in record.calls),
    }
    for key, value in record.attributes.items():
        if key.startswith(sc.INTERACTION_TOKENS_PREFIX) and isinstance(value, int):
            found[key.removeprefix(sc.INTERACTION_TOKENS_PREFIX)] = value
    return {kind: count for kind, count in found.items() if count is not None}


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _first(one: int | None, other: Any) -> int | None:
    return one if one is not None else other if isinstance(other, int) else None
