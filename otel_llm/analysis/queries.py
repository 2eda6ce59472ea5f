"""Questions about games, as functions from records to rows. Nothing here reads, prints or raises.

**Success** of an interaction is what the program said of it, else that it ended without an error; one that is
still open is neither (`InteractionRecord.succeeded`). **Latency** of a call is its time from start to end, failed
calls left out, since a refusal takes no time; of an interaction, the program's own measure where it gave one, else
its time from start to end, failed ones included, since they are what a game waits for. Percentiles are defined in
`figures.percentile`. Rows come in the order of their keys, `None` among the keys last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from otel_llm.analysis.figures import Distribution
from otel_llm.analysis.records import (
    CallRecord,
    GameRecord,
    InteractionRecord,
    Message,
    PhaseRecord,
)

Answer: TypeAlias = CallRecord | InteractionRecord
"""Something that was asked and answered."""

Key: TypeAlias = tuple[str | None, ...]

EVERYBODY: Final = "everybody"
"""The recipient of a message that names none."""


def answers(games: Iterable[GameRecord]) -> list[Answer]:
    """Return what models were asked: all calls, and interactions with an answer of a model's but no call.

    The latter were recorded by hand, after the fact; what they say of time, tokens and cost counts as a call's.
    """
    found: list[Answer] = []
    for game in games:
        for interaction in game.all_interactions():
            if interaction.calls:
                found += interaction.calls
            elif interaction.model is not None and _by_hand(interaction):
                found.append(interaction)
        for phase in game.phases:
            found += phase.calls
        found += game.calls
    return found


def _by_hand(interaction: InteractionRecord) -> bool:
    told = interaction.response_time_s, interaction.response_length, interaction.output_tokens
    return any(value is not None for value in told)


_KEYS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "game": lambda record: record.game_id,
    "model": lambda record: record.model,
    "type": lambda record: record.type if isinstance(record, InteractionRecord) else record.interaction_type,
    "power": lambda record: record.power,
    "phase": lambda record: record.phase,
    "phase_type": lambda record: record.phase_type,
    "year": lambda record: None if record.year is None else str(record.year),
    "provider": lambda record: getattr(record, "provider", None),
}


def grouped(records: Iterable[Any], by: Sequence[str]) -> list[tuple[Key, list[Any]]]:
    """Return records by what they have in common.

    Args:
        records: calls or interactions.
        by: names among game, model, type, power, phase, and of interactions phase_type and year.
    """
    readers = [_KEYS[name] for name in by]
    groups: dict[Key, list[Any]] = defaultdict(list)
    for record in records:
        groups[tuple([reader(record) for reader in readers])].append(record)
    return sorted(groups.items(), key=lambda item: [(part is None, part or "") for part in item[0]])


# --- time -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers took.

    Attributes:
        key: what they have in common.
        seconds: their latencies.
        first_token_s: times to the first piece of those that were streamed; None for none.
    """

    key: Key
    seconds: Distribution
    first_token_s: Distribution | None = None


def latency(records: Iterable[Answer], by: Sequence[str] = ("model",)) -> list[Latency]:
    """Return latency distributions; groups of which nothing is known are left out."""
    rows: list[Latency] = []
    for key, group in grouped(records, by):
        seconds = Distribution.of(_latency(record) for record in group)
        if seconds is not None:
            first = Distribution.of(r.time_to_first_token_s for r in group if isinstance(r, CallRecord))
            rows.append(Latency(key, seconds, first))
    return rows


def _latency(record: Answer) -> float | None:
    if isinstance(record, InteractionRecord):
        return record.latency_s
    return None if record.failed else record.duration_s


def slowest(records: Iterable[Any], n: int = 10) -> list[Any]:
    """Return the calls or interactions that took longest, the slowest first; failed calls included."""

    def took(record: Answer) -> float:
        seconds = record.latency_s if isinstance(record, InteractionRecord) else record.duration_s
        return seconds or 0.0

    return sorted(records, key=took, reverse=True)[:n]


# --- success --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Success:
    """How interactions ended.

    Attributes:
        key: what they have in common.
        n: how many there are.
        succeeded: how many succeeded.
        failed: how many failed.
        open: how many are undecided.
        rate: the share of successes among the decided, 0 to 1; None for none.
        errors: failures by class.
        valid_orders: sum over them.
        invalid_orders: sum over them.
    """

    key: Key
    n: int
    succeeded: int
    failed: int
    open: int
    rate: float | None
    errors: dict[str, int]
    valid_orders: int
    invalid_orders: int


def success(interactions: Iterable[InteractionRecord], by: Sequence[str] = ("model",)) -> list[Success]:
    """Return success rates."""
    rows: list[Success] = []
    for key, group in grouped(interactions, by):
        good = sum(record.succeeded is True for record in group)
        bad = sum(record.succeeded is False for record in group)
        errors = Counter(record.error_type or "failed" for record in group if record.failed)
        rows.append(
            Success(
                key=key,
                n=len(group),
                succeeded=good,
                failed=bad,
                open=len(group) - good - bad,
                rate=good / (good + bad) if good + bad else None,
                errors=dict(errors.most_common()),
                valid_orders=sum(record.valid_count or 0 for record in group),
                invalid_orders=sum(record.invalid_count or 0 for record in group),
            )
        )
    return rows


# --- cost -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Spending:
    """What answers cost.

    Attributes:
        key: what they have in common.
        calls: how many there are, each attempt counted.
        failed_calls: how many of them failed.
        input_tokens: sum over those that told; None where none did.
        output_tokens: likewise.
        cached_tokens: likewise.
        cost_usd: likewise.
        unpriced: how many have tokens but no price.
    """

    key: Key
    calls: int
    failed_calls: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    unpriced: int


def spending(records: Iterable[Answer], by: Sequence[str] = ("model",)) -> list[Spending]:
    """Return tokens and cost, of what `answers` returns."""
    rows: list[Spending] = []
    for key, group in grouped(records, by):
        rows.append(
            Spending(
                key=key,
                calls=len(group),
                failed_calls=sum(record.failed for record in group),
                input_tokens=total(record.input_tokens for record in group),
                output_tokens=total(record.output_tokens for record in group),
                cached_tokens=total(getattr(record, "cached_tokens", None) for record in group),
                cost_usd=total(record.cost_usd for record in group),
                unpriced=sum(
                    record.cost_usd is None and record.output_tokens is not None for record in group
                ),
            )
        )
    return rows


def total(values: Iterable[Any]) -> Any:
    """Return the sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


# --- patterns -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PhasePattern:
    """What kinds of interactions there were in one phase.

    Attributes:
        phase: the phase's name; None for what is outside any.
        types: counts by type of interaction.
        messages: messages that were sent.
    """

    phase: str | None
    types: dict[str, int]
    messages: int


def patterns(games: Iterable[GameRecord]) -> list[PhasePattern]:
    """Return counts of interactions by phase and type; phases of one name, of several games, are one row.

    Rows come in the order of the first start of a phase of that name.
    """
    rows: dict[str | None, tuple[Counter[str], list[int]]] = {}
    starts: dict[str | None, int] = {}

    def add(name: str | None, interactions: Iterable[InteractionRecord], messages: int) -> None:
        types, sent = rows.setdefault(name, (Counter(), []))
        for record in interactions:
            types[record.type or "?"] += 1
            sent.append(len(record.messages))
        sent.append(messages)

    for game in games:
        for phase in game.phases:
            starts[phase.name] = min(starts.get(phase.name, phase.start_ns), phase.start_ns)
            add(phase.name, phase.interactions, len(phase.messages))
        if game.interactions or game.messages:
            add(None, game.interactions, len(game.messages))
    names = sorted(rows, key=lambda name: (name is None, starts.get(name, 0)))
    return [PhasePattern(name, dict(rows[name][0].most_common()), sum(rows[name][1])) for name in names]


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Who wrote to whom.

    Attributes:
        senders: powers that wrote, by name.
        recipients: whom they wrote to, by name; `EVERYBODY` last.
        counts: messages by (sender, recipient); one to several counts for each of them.
        characters: their lengths, likewise.
    """

    senders: tuple[str, ...]
    recipients: tuple[str, ...]
    counts: dict[tuple[str, str], int]
    characters: dict[tuple[str, str], int]


def correspondence(messages: Iterable[Message]) -> Correspondence:
    """Return who wrote to whom."""
    counts: Counter[tuple[str, str]] = Counter()
    characters: Counter[tuple[str, str]] = Counter()
    for message in messages:
        for recipient in message.recipients or (EVERYBODY,):
            pair = message.sender or "?", recipient
            counts[pair] += 1
            characters[pair] += message.length or 0
    return Correspondence(
        senders=tuple(sorted({sender for sender, _ in counts})),
        recipients=tuple(sorted({to for _, to in counts}, key=lambda to: (to == EVERYBODY, to))),
        counts=dict(counts),
        characters=dict(characters),
    )


@dataclass(frozen=True, slots=True)
class Holding:
    """What the powers held when a phase ended.

    Attributes:
        phase: the phase.
        centers: supply centres by power.
        units: units by power.
    """

    phase: PhaseRecord
    centers: dict[str, int]
    units: dict[str, int]


def holdings(game: GameRecord) -> list[Holding]:
    """Return what the powers held over time: by the phases, else by what their interactions said."""
    rows: list[Holding] = []
    for phase in game.phases:
        centers, units = dict(phase.centers), dict(phase.units)
        for record in phase.interactions:
            if record.power and record.centers is not None:
                centers.setdefault(record.power, record.centers)
            if record.power and record.units is not None:
                units.setdefault(record.power, record.units)
        if centers or units:
            rows.append(Holding(phase, centers, units))
    return rows
