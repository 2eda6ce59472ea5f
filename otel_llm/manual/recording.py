"""One interaction that the program tells of, as spans: its own, and that of the model call it was made of."""

from __future__ import annotations

import logging
from typing import Any, Final

from otel_llm import drops, scopes
from otel_llm import semconv as sc
from otel_llm.content import ContentPolicy
from otel_llm.manual.given import Told
from otel_llm.manual.reported import ReportedCall
from otel_llm.manual.sessions import sessions
from otel_llm.phases import parse_phase
from otel_llm.recording import Recorder
from otel_llm.scoping import Scope
from otel_llm.telling import frozen

_KINDS: Final = {
    "orders": "order",
    "order_generation": "order",
    "negotiations": "negotiation",
    "message": "negotiation",
    "messages": "negotiation",
    "planning": "plan",
    "strategic_planning": "plan",
}
"""Other words for the same type of interaction."""


def record(told: Told, recorder: Recorder) -> str | None:
    """Record an interaction.

    Made while the interaction it tells of is still open as a scope (the automatic path), it tells that scope, and
    nothing is counted twice. Else it becomes a span of its own with a model call below it.

    Args:
        told: the interaction.
        recorder: what records now.

    Returns:
        Its id: the program's own, else the span's, 16 hex digits. None where nothing is recorded.
    """
    scope = _open_here(told, recorder)
    if scope is not None:
        _annotate(scope, told)
    else:
        scope = _write(told, recorder)
    context = scope.span.get_span_context()
    if drops.logger.isEnabledFor(logging.DEBUG):
        _say(scope, told, recorder)
    return told.own_id or (f"{context.span_id:016x}" if context.is_valid else None)


def _say(scope: Scope, told: Told, recorder: Recorder) -> None:
    """Say what was recorded: names only, no content, no secrets."""
    clean = recorder.describer.scrub_name
    failed = told.error is not None or scope.attributes.get(sc.INTERACTION_SUCCESS) is False
    drops.logger.debug(
        "recorded %s of %s in phase %s, game %s%s",
        *(clean(str(name)) for name in (told.type, told.power, told.phase, scope.id)),
        ": failed" if failed else "",
    )


# --- a scope that is open -------------------------------------------------------------------------
def _open_here(told: Told, recorder: Recorder) -> Scope | None:
    """Return the interaction that is current here, if it is the one told of."""
    here = scopes.current_scope()
    scope = None if here is None else here.nearest("interaction")
    if scope is None or scope.ended:
        return None
    is_ = scope.inherited.get
    describer = recorder.describer
    same = (
        _same(told.game_id and describer.scrub_id(told.game_id), scope.id)
        and _same(told.power and describer.scrub_name(told.power), is_(sc.POWER_NAME))
        and _same(told.phase and describer.scrub_name(parse_phase(told.phase).name), is_(sc.PHASE_NAME))
        and _same(_kind(told.type), _kind(str(is_(sc.INTERACTION_TYPE, ""))))
    )
    return scope if same else None


def _same(one: Any, other: Any) -> bool:
    return not one or not other or one == other


def _kind(name: str) -> str:
    name = name.strip().lower().replace(" ", "_")
    return _KINDS.get(name, name)


def _annotate(scope: Scope, told: Told) -> None:
    if told.model is not None and sc.REQUEST_MODEL not in scope.attributes:
        scope.set(model=told.model)
    _tell(scope, told)
    scope.content(prompt=told.prompt, response=told.response)
    usage = told.usage
    if usage is not None:
        scope.set({sc.USAGE_INPUT_TOKENS: usage.input_tokens, sc.USAGE_OUTPUT_TOKENS: usage.output_tokens})
    if told.cost is not None:
        scope.set({sc.COST_TOTAL: told.cost})
    if told.error is not None:
        scope.fail(told.error)


def _tell(scope: Scope, told: Told) -> None:
    if told.unusable:
        scope.not_usable(told.unusable)
    scope.set(told.attributes, **told.fields)
    if told.own_id is not None:
        scope.set({sc.INTERACTION_ID: told.own_id})
    for sent in told.messages:
        scope.message(
            sent.content,
            recipients=sent.recipients,
            sender=sent.sender,
            private=sent.private,
            at_ns=told.end_ns,
        )


# --- spans of its own -----------------------------------------------------------------------------
def _write(told: Told, recorder: Recorder) -> Scope:
    opening: dict[str, Any] = {
        name: told.fields[name] for name in ("training", "episode") if name in told.fields
    }
    parent = sessions.place(recorder, told.game_id, told.phase, told.start_ns, told.end_ns, opening)
    scope = scopes.interaction(told.type, power=told.power, parent=parent, model=told.model)
    scope.start(told.start_ns)
    _tell(scope, told)
    scope.set({sc.REPORTED: True, sc.UNTIMED: None if told.timed else True})
    if told.phase is not None and scope.phase is None:
        _name_the_phase(scope, told.phase)
    if recorder.describer.policies[0] is not ContentPolicy.NONE:
        scope.set({sc.INPUT_LENGTH: told.input_length, sc.OUTPUT_LENGTH: told.response_length})
    if told.error is not None:
        scope.fail(told.error)
    if told.has_call:
        prompt = None if told.prompt is None else frozen(told.prompt)
        response = None if told.response is None else frozen(told.response)
        ReportedCall(recorder, scope, told, prompt, response).end()
    scope.end(at_ns=told.end_ns)
    return scope


def _name_the_phase(scope: Scope, name: str) -> None:
    """Say the phase of an interaction outside any game: there is none to make a span of it in."""
    known = parse_phase(name)
    scope.set(
        {
            sc.PHASE_NAME: known.name,
            sc.PHASE_TYPE: known.type,
            sc.PHASE_YEAR: known.year,
            sc.PHASE_SEASON: known.season,
        }
    )
