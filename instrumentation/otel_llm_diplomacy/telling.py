"""What is told of a followed game: the phase that ended, orders, messages. To the interaction whose they are, if any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.scopes import current_scope
from otel_llm.scoping import Scope
from otel_llm_diplomacy import facts
from otel_llm_diplomacy.games import Followed

_GLOBAL: Final = "GLOBAL"
_LATELY: Final = 8
"""Messages that are looked through for one that the program has told of itself."""


def phase_ended(engine: Any, game: Followed, phase: Scope, data: Any) -> None:
    """Tell of a phase that ended.

    Args:
        engine: the game, after the phase.
        game: what is known of it.
        phase: the scope to tell.
        data: the engine's `GamePhaseData` of the phase.
    """
    told = facts.counts(engine)
    taken = sum(len(some) for power, some in data.orders.items() if some and power not in game.credited)
    lost = [
        f"{power}: {order}"
        for power, some in game.rejected.items()
        if power not in game.credited
        for order in some
    ]
    if taken or lost:
        told |= {sc.ORDERS_VALID_COUNT: taken, sc.ORDERS_INVALID_COUNT: len(lost)}
    if lost:
        told[sc.ORDERS_INVALID] = tuple(lost)
    phase.set(told, results=facts.results(data) or None)
    for event in facts.events(engine, data):
        phase.event(event.name, event.attributes)


def orders_given(engine: Any, game: Followed, name: str, submitted: Any, rejected: list[str]) -> None:
    """Tell of the orders that a power gave, and of those that the engine did not take.

    Args:
        engine: the game.
        game: what is known of it.
        name: the power.
        submitted: the orders, as the program gave them.
        rejected: those that the engine did not take; of retreats and adjustments it keeps book itself.
    """
    power = engine.powers.get(name)
    if power is None:
        return
    if engine.phase_type in {"R", "A"}:
        rejected = [order[5:] for order in power.adjust if order.startswith("VOID ")]
    if rejected:
        game.rejected.setdefault(name, {}).update(dict.fromkeys(rejected))
    turn = _interaction(game)
    if (
        turn is None
        or not isinstance(submitted, str | Iterable)
        or turn.inherited.get(sc.POWER_NAME, name) != name
    ):
        return
    game.credited.add(name)
    lost = game.rejected.get(name, {})
    given = [submitted] if isinstance(submitted, str) else [order for order in submitted if order]
    # What the program has said itself stands.
    told = turn.attributes
    if sc.ORDERS_SUBMITTED not in told:
        turn.set(orders=given)
    if sc.ORDERS_INVALID_COUNT not in told:
        turn.set({sc.ORDERS_INVALID_COUNT: len(lost), sc.ORDERS_INVALID: tuple(lost) or None})
    if sc.ORDERS_VALID_COUNT not in told:
        turn.set(valid_orders=_taken(power, engine.phase_type))


def _taken(power: Any, phase_type: str) -> int:
    """Count the orders that a power has in force. Not by the engine's own method: that would be a look at the game."""
    if phase_type in {"R", "A"}:
        return sum(order != "WAIVE" and not order.startswith("VOID ") for order in power.adjust)
    return sum(map(bool, power.orders.values()))


def message_sent(game: Followed, message: Any) -> None:
    """Tell of a message.

    Args:
        game: the game it was sent in.
        message: the engine's `Message`.
    """
    scope = _interaction(game) or game.phase or game.scope
    if scope is None:
        return
    recipients = () if message.recipient == _GLOBAL else (message.recipient,)
    same = message.sender, recipients, message.message
    if any((known.sender, known.recipients, known.content) == same for known in scope.messages[-_LATELY:]):
        return
    scope.message(message.message, recipients=recipients, sender=message.sender)


def _interaction(game: Followed) -> Scope | None:
    """Return the interaction of the program's that is current, where it is one of this game."""
    scope = current_scope()
    if scope is None or scope is game.phase or scope.game is not game.scope:
        return None
    found = scope.nearest("interaction")
    return None if found is None or found.ended else found
