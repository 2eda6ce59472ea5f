"""One span to one record, and what a record takes from those below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from otel_llm import semconv as sc
from otel_llm.analysis.records import CallRecord, GameRecord, InteractionRecord, Message, PhaseRecord
from otel_llm.analysis.values import (
    below,
    error_of,
    exception_of,
    flag,
    label,
    number,
    retry_of,
    text,
    texts,
    whole,
)
from otel_llm.phases import parse_phase

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

GAME: Final = "game"
PHASE: Final = "phase"
INTERACTION: Final = "interaction"
"""Values of `semconv.SCOPE_KIND`."""


def call(
    span: StoredSpan, game_id: str, interaction: InteractionRecord | None, phase: str | None
) -> CallRecord:
    """Return the record of a model call."""
    a = span.attributes
    error_type, error_message = error_of(span)
    return CallRecord(
        span_id=span.span_id,
        trace_id=span.trace_id,
        parent_id=span.parent_id,
        name=span.name,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        operation=text(a, sc.OPERATION_NAME),
        model=text(a, sc.REQUEST_MODEL) or text(a, sc.RESPONSE_MODEL),
        provider=text(a, sc.PROVIDER_NAME),
        duration_s=None if flag(a, sc.UNTIMED) else span.duration_s,
        time_to_first_token_s=number(a, sc.RESPONSE_TIME_TO_FIRST_CHUNK),
        input_tokens=whole(a, sc.USAGE_INPUT_TOKENS),
        output_tokens=whole(a, sc.USAGE_OUTPUT_TOKENS),
        cached_tokens=whole(a, sc.USAGE_CACHE_READ),
        reasoning_tokens=whole(a, sc.USAGE_REASONING),
        cost_usd=number(a, sc.COST_TOTAL),
        finish_reasons=texts(a, sc.RESPONSE_FINISH_REASONS),
        error_type=error_type,
        error_message=error_message,
        attempt=(whole(a, sc.HTTP_RESEND_COUNT) or 0) + 1,
        status_code=whole(a, sc.HTTP_STATUS_CODE),
        retry_after_s=number(a, sc.RETRY_AFTER),
        input_length=whole(a, sc.INPUT_LENGTH),
        output_length=whole(a, sc.OUTPUT_LENGTH),
        input_messages=text(a, sc.INPUT_MESSAGES),
        output_messages=text(a, sc.OUTPUT_MESSAGES),
        system_instructions=text(a, sc.SYSTEM_INSTRUCTIONS),
        game_id=game_id,
        phase=phase,
        power=label(a, sc.POWER_NAME) or (interaction.power if interaction else None),
        interaction_type=interaction.type if interaction else label(a, sc.INTERACTION_TYPE),
        interaction_id=interaction.span_id if interaction else None,
    )


def interaction(span: StoredSpan, game_id: str, phase: PhaseRecord | None) -> InteractionRecord:
    """Return the record of an interaction, still without its calls."""
    a = span.attributes
    error_type, error_message = error_of(span)
    power = label(a, sc.POWER_NAME)
    invalid = texts(a, sc.ORDERS_INVALID)
    count = whole(a, sc.ORDERS_INVALID_COUNT)
    name = phase.name if phase else label(a, sc.PHASE_NAME)
    model = text(a, sc.REQUEST_MODEL)
    return InteractionRecord(
        span_id=span.span_id,
        trace_id=span.trace_id,
        parent_id=span.parent_id,
        name=span.name,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        duration_s=span.duration_s,
        game_id=game_id,
        phase=name,
        year=phase.year if phase else None,
        season=phase.season if phase else None,
        phase_type=phase.type if phase else None,
        power=power,
        type=label(a, sc.INTERACTION_TYPE),
        model=model,
        models=(model,) if model else (),
        response_time_s=number(a, sc.INTERACTION_DURATION),
        success=flag(a, sc.INTERACTION_SUCCESS),
        outcome=label(a, sc.INTERACTION_OUTCOME),
        error_type=error_type,
        error_message=error_message,
        exception=sc.EXCEPTION_STACKTRACE in (exception_of(span) or {}),
        attempt=max(whole(a, sc.INTERACTION_ATTEMPT) or 1, 1),
        retry_of=retry_of(span),
        orders=texts(a, sc.ORDERS_SUBMITTED),
        invalid_orders=invalid,
        valid_count=whole(a, sc.ORDERS_VALID_COUNT),
        invalid_count=len(invalid) if count is None and invalid else count,
        results=text(a, sc.ORDERS_RESULTS),
        messages=messages(span, power, name),
        centers=whole(a, sc.POWER_CENTERS),
        units=whole(a, sc.POWER_UNITS),
        reward=number(a, sc.GAME_REWARD),
        episode=whole(a, sc.GAME_EPISODE),
        step=whole(a, sc.GAME_TRAINING_STEP),
        input_tokens=whole(a, sc.USAGE_INPUT_TOKENS),
        output_tokens=whole(a, sc.USAGE_OUTPUT_TOKENS),
        cost_usd=number(a, sc.COST_TOTAL),
        input_length=whole(a, sc.INPUT_LENGTH),
        response_length=whole(a, sc.OUTPUT_LENGTH),
        attributes=a,
    )


def sum_up(record: InteractionRecord) -> None:
    """Fill in what an interaction takes from its calls."""
    calls = record.calls
    if not calls:
        return
    asked = Counter(call.model for call in calls if call.model)
    record.models = tuple(dict.fromkeys([*record.models, *asked]))
    if record.model is None and asked:
        record.model = asked.most_common(1)[0][0]
    given = [call.input_tokens for call in calls if call.input_tokens is not None]
    got = [call.output_tokens for call in calls if call.output_tokens is not None]
    costs = [call.cost_usd for call in calls if call.cost_usd is not None]
    if given:
        record.input_tokens = sum(given)
    if got:
        record.output_tokens = sum(got)
    if costs:
        record.cost_usd = sum(costs)
    good = [call for call in calls if not call.failed]
    if record.input_length is None:
        sent = [call.input_length for call in good if call.input_length is not None]
        record.input_length = sum(sent) if sent else None
    if record.response_length is None:
        answered = [call.output_length for call in good if call.output_length is not None]
        record.response_length = sum(answered) if answered else None


def messages(span: StoredSpan, sender: str | None = None, phase: str | None = None) -> list[Message]:
    """Return the messages that were sent in a span, by time."""
    found = [event for event in span.events if event.name == sc.EVENT_MESSAGE]
    # What the store alone may keep of their texts is an attribute, in the order of the events.
    kept = texts(span.attributes, sc.MESSAGE_CONTENT) if found else ()
    contents = kept if len(kept) == len(found) else (None,) * len(found)
    made = [
        Message(
            sender=label(event.attributes, sc.MESSAGE_SENDER) or sender,
            recipients=texts(event.attributes, sc.MESSAGE_RECIPIENTS),
            private=flag(event.attributes, sc.MESSAGE_PRIVATE),
            length=whole(event.attributes, sc.MESSAGE_LENGTH),
            content=text(event.attributes, sc.MESSAGE_CONTENT) if content is None else content,
            time_ns=event.time_ns,
            phase=phase,
        )
        for event, content in zip(found, contents, strict=True)
    ]
    return sorted(made, key=lambda message: message.time_ns)


def phase(span: StoredSpan) -> PhaseRecord:
    """Return the record of a phase, still empty."""
    a = span.attributes
    known = parse_phase(label(a, sc.PHASE_NAME) or span.name.removeprefix("phase "))
    error_type, error_message = error_of(span)
    year, season = whole(a, sc.PHASE_YEAR), whole(a, sc.PHASE_SEASON)
    return PhaseRecord(
        name=known.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        year=known.year if year is None else year,
        season=known.season if season is None else season,
        type=text(a, sc.PHASE_TYPE) or known.type,
        centers=below(a, sc.PHASE_CENTERS_PREFIX),
        units=below(a, sc.PHASE_UNITS_PREFIX),
        messages=messages(span, None, known.name),
        error_type=error_type,
        error_message=error_message,
        out_of_order=flag(a, sc.PHASE_OUT_OF_ORDER) or False,
        attributes=a,
    )


def phase_without_span(name: str, first: StoredSpan) -> PhaseRecord:
    """Return the record of a phase that is known from a span that names it alone."""
    a, known = first.attributes, parse_phase(name)
    year, season = whole(a, sc.PHASE_YEAR), whole(a, sc.PHASE_SEASON)
    return PhaseRecord(
        name=name,
        trace_id=first.trace_id,
        span_id=None,
        start_ns=first.start_ns,
        year=known.year if year is None else year,
        season=known.season if season is None else season,
        type=text(a, sc.PHASE_TYPE) or known.type,
    )


def describe_game(game: GameRecord, spans: Sequence[StoredSpan]) -> None:
    """Fill in what the game's own spans say, the later over the earlier.

    Args:
        game: the game.
        spans: its own spans by start time; at least one.
    """
    for span in spans:
        a = span.attributes
        game.name = label(a, sc.GAME_NAME) or game.name
        players, models = texts(a, sc.GAME_PLAYERS), texts(a, sc.GAME_MODELS)
        game.players = tuple(dict.fromkeys([*game.players, *players]))
        game.models.update({p: m for p, m in zip(players, models, strict=False) if m})
        game.outcome = label(a, sc.GAME_OUTCOME) or game.outcome
        game.winners = texts(a, sc.GAME_WINNERS) or game.winners
        episode, step = whole(a, sc.GAME_EPISODE), whole(a, sc.GAME_TRAINING_STEP)
        reward, training = number(a, sc.GAME_REWARD), flag(a, sc.GAME_IN_TRAINING)
        game.episode = game.episode if episode is None else episode
        game.step = game.step if step is None else step
        game.reward = game.reward if reward is None else reward
        game.training = game.training if training is None else training
        error_type, error_message = error_of(span)
        if error_type is not None:
            game.error_type, game.error_message = error_type, error_message
        game.messages += messages(span)
        game.spans.append((span.trace_id, span.span_id))
        game.attributes = a
    game.start_ns = spans[0].start_ns
    ends = [span.end_ns for span in spans if span.end_ns is not None]
    if len(ends) == len(spans):
        game.end_ns = max(ends)
        game.status = label(game.attributes, sc.GAME_STATUS) or (
            "cancelled" if game.error_type == "cancelled" else "failed" if game.error_type else "ended"
        )
    else:
        game.status = "running"


def fill_in(game: GameRecord) -> None:
    """Fill in what a game's own spans did not say from what happened in it."""
    moments: list[int] = [game.start_ns] if game.spans else []
    last = [game.end_ns] if game.end_ns is not None else []
    for phase in game.phases:
        if phase.span_id is None and phase.interactions:
            ends = [i.end_ns for i in phase.interactions]
            phase.end_ns = None if None in ends else max(end for end in ends if end is not None)
        moments.append(phase.start_ns)
        last += [phase.end_ns or phase.start_ns]
    seen: dict[str, Counter[str]] = {}
    for record in game.all_interactions():
        moments.append(record.start_ns)
        last.append(record.end_ns or record.start_ns)
        if record.power:
            asked = seen.setdefault(record.power, Counter())
            if record.model:
                asked[record.model] += 1
        game.episode = record.episode if game.episode is None else game.episode
    for call in game.all_calls():
        moments.append(call.start_ns)
        last.append(call.end_ns or call.start_ns)
    if moments:
        game.start_ns = min(moments)
        game.last_ns = max([*last, *moments])
    if not game.players:
        game.players = tuple(sorted(seen))
    for power, asked in seen.items():
        if asked:
            game.models.setdefault(power, asked.most_common(1)[0][0])
    for record in game.all_interactions():
        if record.model is None and record.power:  # it failed before it asked
            record.model = game.models.get(record.power)
