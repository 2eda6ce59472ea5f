"""What went wrong in games: failures, silent ones above all, repetitions, invalid orders, refused calls, odd input."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from otel_llm import semconv as sc
from otel_llm.analysis.records import CallRecord, GameRecord, InteractionRecord
from otel_llm.analysis.values import texts


def failures(game: GameRecord) -> list[InteractionRecord]:
    """Return the interactions that failed, in order of their start."""
    return sorted((i for i in game.all_interactions() if i.failed), key=lambda i: i.start_ns)


def swallowed(game: GameRecord) -> list[InteractionRecord]:
    """Return the interactions that an exception ended although the game went on as if nothing had happened.

    Those are the ones (as behind `gather(return_exceptions=True)`) whose phase, or game where there is no phase,
    did not fail, and that were not attempted again. By start time.
    """
    again = {i.retry_of for i in game.all_interactions() if i.retry_of is not None}
    found = [
        record
        for phase in game.phases
        if phase.error_type is None
        for record in phase.interactions
        if record.failed and record.exception and (record.trace_id, record.span_id) not in again
    ]
    if game.error_type is None:
        found += [
            i for i in game.interactions if i.failed and i.exception and (i.trace_id, i.span_id) not in again
        ]
    return sorted(found, key=lambda record: record.start_ns)


@dataclass(frozen=True, slots=True)
class Repetition:
    """One thing that was attempted several times.

    Attributes:
        phase: name of the phase.
        type: type of the interaction.
        power: who was asked.
        attempts: how many there were.
        succeeded: whether the last one did; None while it is open.
        errors: failures of the attempts by class.
        lost_s: seconds from the first start to the start of the last attempt.
        records: the attempts, by start time; the first may be missing.
    """

    phase: str | None
    type: str | None
    power: str | None
    attempts: int
    succeeded: bool | None
    errors: dict[str, int]
    lost_s: float
    records: tuple[InteractionRecord, ...]


def repetitions(interactions: Iterable[InteractionRecord]) -> list[Repetition]:
    """Return what was attempted more than once, by start time.

    An attempt numbered 2 or more continues the attempts before it of the same game, phase, type and power.
    """
    chains: defaultdict[tuple[str | None, ...], list[list[InteractionRecord]]] = defaultdict(list)
    for record in sorted(interactions, key=lambda i: (i.start_ns, i.attempt)):
        known = chains[record.game_id, record.phase, record.type, record.power]
        if record.attempt > 1 and known:
            known[-1].append(record)
        else:
            known.append([record])
    found = [chain for known in chains.values() for chain in known if len(chain) > 1 or chain[-1].attempt > 1]
    return [
        Repetition(
            phase=chain[0].phase,
            type=chain[0].type,
            power=chain[0].power,
            attempts=max(len(chain), chain[-1].attempt),
            succeeded=chain[-1].succeeded,
            errors=dict(Counter(i.error_type or "failed" for i in chain if i.failed).most_common()),
            lost_s=(chain[-1].start_ns - chain[0].start_ns) / 1e9,
            records=tuple(chain),
        )
        for chain in sorted(found, key=lambda chain: chain[0].start_ns)
    ]


def with_invalid_orders(interactions: Iterable[InteractionRecord]) -> list[InteractionRecord]:
    """Return the interactions that gave invalid orders, by start time."""
    return sorted((i for i in interactions if i.invalid_count), key=lambda i: i.start_ns)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Calls that failed for one reason.

    Attributes:
        error_type: the class of failure.
        model: the model asked.
        n: how many there are.
        status_codes: their HTTP status codes, the most frequent first.
        message: the last one's words.
        unanswered: in how many interactions no call at all succeeded.
        wasted_s: seconds they took, and that their answers asked to wait.
        calls: the calls, by start time.
    """

    error_type: str
    model: str | None
    n: int
    status_codes: tuple[int, ...]
    message: str | None
    unanswered: int
    wasted_s: float
    calls: tuple[CallRecord, ...]


def refusals(games: Iterable[GameRecord]) -> list[Refusals]:
    """Return failed calls by class of failure and model, the most frequent first."""
    groups: defaultdict[tuple[str, str | None], list[CallRecord]] = defaultdict(list)
    mute: set[str] = set()
    for game in games:
        for interaction in game.all_interactions():
            if interaction.calls and all(call.failed for call in interaction.calls):
                mute.add(interaction.span_id)
        for call in game.all_calls():
            if call.error_type is not None:
                groups[call.error_type, call.model].append(call)
    rows = []
    for (error_type, model), calls in groups.items():
        calls.sort(key=lambda call: call.start_ns)
        codes = Counter(call.status_code for call in calls if call.status_code is not None)
        words = [call.error_message for call in calls if call.error_message]
        rows.append(
            Refusals(
                error_type=error_type,
                model=model,
                n=len(calls),
                status_codes=tuple(code for code, _ in codes.most_common()),
                message=words[-1] if words else None,
                unanswered=len({call.interaction_id for call in calls} & mute),
                wasted_s=sum((call.duration_s or 0.0) + (call.retry_after_s or 0.0) for call in calls),
                calls=tuple(calls),
            )
        )
    return sorted(rows, key=lambda row: (-row.n, row.error_type, row.model or ""))


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something about the input that is not as it should be.

    Attributes:
        kind: `unknown power`, `phase out of order`, `unusable field`, `left open` (never ended by the program),
            `never ended` (its process died).
        what: the power, phase, field or span.
        n: how often.
        trace_id: where it was seen first.
    """

    kind: str
    what: str
    n: int
    trace_id: str


def oddities(game: GameRecord) -> list[Oddity]:
    """Return what was odd about the input, in order of first sight; open spans only of a game that is over."""
    found: dict[tuple[str, str], list[str]] = {}

    def note(kind: str, what: object, trace_id: str) -> None:
        found.setdefault((kind, str(what)), []).append(trace_id)

    over = game.status not in {"running", "unknown"}
    for phase in game.phases:
        if phase.attributes.get(sc.LEFT_OPEN):
            note("left open", f"phase {phase.name}", phase.trace_id)
        if phase.out_of_order:
            note("phase out of order", phase.name, phase.trace_id)
        if over and phase.span_id is not None and phase.end_ns is None:
            note("never ended", f"phase {phase.name}", phase.trace_id)
        for name in texts(phase.attributes, sc.INVALID_FIELDS):
            note("unusable field", name, phase.trace_id)
    for record in game.all_interactions():
        if record.attributes.get(sc.LEFT_OPEN):
            note("left open", record.name, record.trace_id)
        if record.attributes.get(sc.POWER_UNKNOWN):
            note("unknown power", record.power, record.trace_id)
        if over and record.end_ns is None:
            note("never ended", record.name, record.trace_id)
        for name in texts(record.attributes, sc.INVALID_FIELDS):
            note("unusable field", name, record.trace_id)
    return [Oddity(kind, what, len(traces), traces[0]) for (kind, what), traces in found.items()]
