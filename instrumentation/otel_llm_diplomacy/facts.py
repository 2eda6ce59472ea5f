"""What the engine knows at the end of a phase, as fields and events. Reads the engine, changes nothing.

Engine objects are taken as they are (duck-typed): nothing of the engine is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from otel_llm import semconv as sc
from otel_llm_diplomacy import semconv as names

Attributes: TypeAlias = dict[str, Any]


class Event(NamedTuple):
    """Something that happened to a unit or a power."""

    name: str
    attributes: Attributes


def counts(game: Any) -> Attributes:
    """Return supply centres and units by power as attributes, as they are now. Dislodged units are not counted."""
    found: Attributes = {}
    for power in game.powers.values():
        name = power.name.replace(".", "_")  # a dot would make two levels of one name
        found[sc.PHASE_CENTERS_PREFIX + name] = len(power.centers)
        found[sc.PHASE_UNITS_PREFIX + name] = len(power.units)
    return found


def unit_of(order: str) -> str:
    """Return the unit of an order: `A PAR` of `A PAR - BUR`."""
    words = order.split(" ", 2)
    return f"{words[0]} {words[1]}" if len(words) > 1 else order


def results(data: Any) -> dict[str, dict[str, list[str]]]:
    """Return what became of each order: `{"FRANCE": {"A PAR - BUR": ["bounce"], "F BRE - MAO": []}}`.

    An empty list is success. A unit without an order is listed where something happened to it.

    Args:
        data: the engine's `GamePhaseData` of the phase that ended.
    """
    codes = data.results
    found: dict[str, dict[str, list[str]]] = {}
    seen: set[str] = set()
    for power, orders in data.orders.items():
        if orders:
            found[power] = became = {}
            for order in orders:
                unit = unit_of(order)
                seen.add(unit)
                became[order] = _texts(codes.get(unit))
    if len(seen) < len(codes):
        for power, units in data.state["units"].items():
            for unit in units:
                bare = unit.lstrip("*")
                if bare not in seen and (texts := _texts(codes.get(bare))):
                    found.setdefault(power, {})[bare] = texts
    return found


def _texts(codes: Any) -> list[str]:
    return [text for code in codes if (text := str(code))] if codes else []


def events(game: Any, data: Any) -> Iterator[Event]:
    """Yield what happened to units and powers in the phase that ended.

    Args:
        game: the game, after the phase.
        data: the engine's `GamePhaseData` of the phase.
    """
    kind = str(data.name)[-1:]
    if kind == "M":
        yield from _dislodged(game, data)
    elif kind == "R":
        yield from _retreats(data)
    elif kind == "A":
        yield from _adjustments(game, data)
    before: Mapping[str, Any] = data.state
    for power in game.powers.values():
        had = before["units"].get(power.name) or before["centers"].get(power.name)
        if had and not (power.units or power.centers or power.retreats):
            yield Event(names.EVENT_POWER_ELIMINATED, {sc.POWER_NAME: power.name})


def _dislodged(game: Any, data: Any) -> Iterator[Event]:
    for power in game.powers.values():
        for unit in data.state["units"].get(power.name, ()):
            if "dislodged" not in map(str, data.results.get(unit, ())):
                continue
            options = power.retreats.get(unit)
            about = {sc.POWER_NAME: power.name, names.UNIT_NAME: unit}
            yield Event(
                names.EVENT_UNIT_DISLODGED, {**about, names.UNIT_MAY_RETREAT_TO: tuple(options or ())}
            )
            if not options:
                yield Event(names.EVENT_UNIT_DISBANDED, about)


def _retreats(data: Any) -> Iterator[Event]:
    for power, retreats in data.state["retreats"].items():
        ordered = {unit_of(order): order.split() for order in data.orders.get(power) or ()}
        for unit in retreats:
            about = {sc.POWER_NAME: power, names.UNIT_NAME: unit}
            words = ordered.get(unit, ())
            if len(words) == 4 and not data.results.get(unit):  # noqa: PLR2004 (`A MUN R BOH`)
                yield Event(names.EVENT_UNIT_RETREATED, {**about, names.UNIT_DESTINATION: words[3]})
            else:
                yield Event(names.EVENT_UNIT_DISBANDED, about)


def _adjustments(game: Any, data: Any) -> Iterator[Event]:
    # By units, not by orders: the engine removes units of its own accord where a power gave too few.
    for power in game.powers.values():
        before = data.state["units"].get(power.name, ())
        for name, units, others in (
            (names.EVENT_UNIT_BUILT, power.units, before),
            (names.EVENT_UNIT_DISBANDED, before, power.units),
        ):
            for unit in units:
                if unit not in others:
                    yield Event(name, {sc.POWER_NAME: power.name, names.UNIT_NAME: unit})


def is_over(game: Any) -> bool:
    """Say whether the game has ended by its own rules."""
    return bool(game.phase == "COMPLETED")


def ending(game: Any, *, drawn: bool) -> Attributes:
    """Return how a game ended, as fields of its scope: `status`, `outcome`, `winners`.

    Args:
        game: a game that is over.
        drawn: whether the powers, or the program, agreed on a draw.
    """
    winners = tuple(game.outcome[1:])
    outcome = "draw" if drawn else "solo" if len(winners) == 1 else "shared"
    return {"status": game.status, "outcome": outcome if winners else None, "winners": winners or None}
