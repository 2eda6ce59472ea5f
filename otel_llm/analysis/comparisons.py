"""Models beside each other, episodes one after the other, answers beside rewards; rows as in `queries`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_llm.analysis.figures import Correlation, Distribution, mean
from otel_llm.analysis.queries import grouped, success, total
from otel_llm.analysis.records import OUTSIDE, GameRecord, InteractionRecord


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model beside the others.

    Attributes:
        model: the model that interactions asked; None for those that name none.
        interactions: how many there are.
        success_rate: see `Success.rate`.
        invalid_share: invalid orders among those that were judged, 0 to 1; None for none.
        latency_s: latencies of its interactions; None for none.
        calls: calls made in them.
        output_tokens: mean an interaction; None where unknown.
        response_length: mean characters of an answer; None where unknown.
        cost_usd: what they cost together; None where unknown.
        cost_per_interaction_usd: the mean over those with a price.
        reward: mean reward of its interactions; None for none.
        games: games in which a power played by it took part.
        wins: games that such a power won.
    """

    model: str | None
    interactions: int
    success_rate: float | None
    invalid_share: float | None
    latency_s: Distribution | None
    calls: int
    output_tokens: float | None
    response_length: float | None
    cost_usd: float | None
    cost_per_interaction_usd: float | None
    reward: float | None
    games: int
    wins: int


def model_comparison(games: Sequence[GameRecord]) -> list[ModelRow]:
    """Return the models side by side, by their interactions."""
    played: defaultdict[str | None, set[str]] = defaultdict(set)
    won: defaultdict[str | None, set[str]] = defaultdict(set)
    everything: list[InteractionRecord] = []
    for game in games:
        found = list(game.all_interactions())
        everything += found
        if game.game_id != OUTSIDE:
            for record in found:
                played[record.model].add(game.game_id)
        for power, asked in game.models.items():
            if power in game.winners:
                won[asked].add(game.game_id)
    rows: list[ModelRow] = []
    for (model,), group in grouped(everything, ("model",)):
        (verdict,) = success(group, ())
        rows.append(
            ModelRow(
                model=model,
                interactions=len(group),
                success_rate=verdict.rate,
                invalid_share=_share(verdict.invalid_orders, verdict.valid_orders),
                latency_s=Distribution.of(record.latency_s for record in group),
                calls=sum(len(record.calls) for record in group),
                output_tokens=mean(record.output_tokens for record in group),
                response_length=mean(record.response_length for record in group),
                cost_usd=total(record.cost_usd for record in group),
                cost_per_interaction_usd=mean(record.cost_usd for record in group),
                reward=mean(record.reward for record in group),
                games=len(played[model]),
                wins=len(won[model]),
            )
        )
    return rows


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One episode of a training run.

    Attributes:
        episode: its number.
        games: games in it.
        interactions: interactions in it.
        reward: mean reward of its interactions, else of its games; None for none.
        success_rate: see `Success.rate`.
        invalid_share: see `ModelRow.invalid_share`.
        latency_s: latencies of its interactions; None for none.
        output_tokens: mean an interaction; None where unknown.
        response_length: mean characters of an answer; None where unknown.
        cost_usd: what it cost; None where unknown.
    """

    episode: int
    games: int
    interactions: int
    reward: float | None
    success_rate: float | None
    invalid_share: float | None
    latency_s: Distribution | None
    output_tokens: float | None
    response_length: float | None
    cost_usd: float | None


def episode_progression(games: Iterable[GameRecord]) -> list[EpisodeRow]:
    """Return the episodes of training games, by number; an interaction's own number counts before its game's."""
    records: defaultdict[int, list[InteractionRecord]] = defaultdict(list)
    members: defaultdict[int, list[GameRecord]] = defaultdict(list)
    for game in games:
        seen = set() if game.episode is None else {game.episode}
        for record in game.all_interactions():
            episode = game.episode if record.episode is None else record.episode
            if episode is not None:
                records[episode].append(record)
                seen.add(episode)
        for episode in seen:
            members[episode].append(game)
    rows: list[EpisodeRow] = []
    for episode in sorted(members):
        group = records[episode]
        verdict = next(iter(success(group, ())), None)
        reward = mean(record.reward for record in group)
        if reward is None:
            reward = mean(game.reward for game in members[episode])
        rows.append(
            EpisodeRow(
                episode=episode,
                games=len(members[episode]),
                interactions=len(group),
                reward=reward,
                success_rate=verdict.rate if verdict else None,
                invalid_share=_share(verdict.invalid_orders, verdict.valid_orders) if verdict else None,
                latency_s=Distribution.of(record.latency_s for record in group),
                output_tokens=mean(record.output_tokens for record in group),
                response_length=mean(record.response_length for record in group),
                cost_usd=total(record.cost_usd for record in group),
            )
        )
    return rows


# --- rewards --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RewardCorrelation:
    """How one measure of the answers goes with the reward.

    Attributes:
        level: `interaction` where each has a reward of its own, `game` where the games have one: then the
            measure is the mean over a game's interactions.
        measure: one of `MEASURES`.
        correlation: of the measure with the reward.
    """

    level: str
    measure: str
    correlation: Correlation


MEASURES: Final[Mapping[str, Callable[[InteractionRecord], float | None]]] = {
    "response length": lambda record: record.response_length,
    "prompt length": lambda record: record.input_length,
    "output tokens": lambda record: record.output_tokens,
    "latency": lambda record: record.latency_s,
    "valid share of orders": lambda record: _share(record.valid_count or 0, record.invalid_count or 0),
    "success": lambda record: None if record.succeeded is None else float(record.succeeded),
    "messages": lambda record: float(len(record.messages)),
    "cost": lambda record: record.cost_usd,
}
"""What is compared with rewards; lengths in characters, latency in seconds, cost in US dollars."""


def reward_correlations(games: Iterable[GameRecord]) -> list[RewardCorrelation]:
    """Return how the measures of the answers go with rewards; measures without a single pair are left out."""
    of_interactions: defaultdict[str, list[tuple[float | None, float | None]]] = defaultdict(list)
    of_games: defaultdict[str, list[tuple[float | None, float | None]]] = defaultdict(list)
    for game in games:
        records = list(game.all_interactions())
        for name, measure in MEASURES.items():
            values = [measure(record) for record in records]
            of_interactions[name] += [(v, r.reward) for v, r in zip(values, records, strict=True)]
            if game.reward is not None:
                of_games[name].append((mean(values), game.reward))
    rows = [
        RewardCorrelation(level, name, Correlation.of(table[name]))
        for level, table in (("interaction", of_interactions), ("game", of_games))
        for name in MEASURES
    ]
    return [row for row in rows if row.correlation.n]
