"""The `diplomacy` engine as players see it: where things stand, what may be ordered, what came of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from diplomacy import Game, Map

POWERS: Final = ("AUSTRIA", "ENGLAND", "FRANCE", "GERMANY", "ITALY", "RUSSIA", "TURKEY")
TO_WIN: Final = 18
_NEAREST: Final = 3


class Way(NamedTuple):
    """A supply centre within reach: how many moves away, and where the first of them leads."""

    centre: str
    moves: int
    via: str


class Board:
    """One game on the engine.

    Args:
        game_id: its name.
    """

    def __init__(self, game_id: str) -> None:
        self.game: Any = Game(game_id=game_id)
        self._choices: dict[str, dict[str, list[str]]] | None = None

    @property
    def phase(self) -> str:
        """The current phase: `S1901M`, `F1901R`, `W1901A`, `COMPLETED`."""
        return str(self.game.get_current_phase())

    @property
    def year(self) -> int:
        """The current year; that of the last phase where the game is over."""
        digits = self.phase[1:5]
        return int(digits) if digits.isdigit() else int(self.game.get_phase_history()[-1].name[1:5])

    @property
    def season(self) -> int:
        """0 spring, 1 fall, 2 winter."""
        return max("SFW".find(self.phase[0]), 0)

    @property
    def is_movement(self) -> bool:
        """Whether units move in this phase, and so powers negotiate."""
        return str(self.game.phase_type) == "M"

    @property
    def is_over(self) -> bool:
        """Whether somebody has won."""
        return bool(self.game.is_game_done)

    @property
    def winners(self) -> list[str]:
        """Who has won: nobody or one."""
        return [power for power, centres in self.centres.items() if len(centres) >= TO_WIN]

    @property
    def centres(self) -> dict[str, list[str]]:
        """Supply centres by power."""
        return {power: sorted(owned) for power, owned in self.game.get_centers().items()}

    @property
    def units(self) -> dict[str, list[str]]:
        """Units by power, such as `A PAR`; those that must retreat begin with `*`."""
        return {power: list(units) for power, units in self.game.get_units().items()}

    @property
    def alive(self) -> list[str]:
        """Powers that are still in the game."""
        return [power for power in POWERS if not self.game.powers[power].is_eliminated()]

    @property
    def to_act(self) -> list[str]:
        """Powers that have something to order in this phase."""
        return [power for power in POWERS if self.choices(power)]

    def choices(self, power: str) -> dict[str, list[str]]:
        """Return the orders that may be given, by location, each list in the same order in every run."""
        if self._choices is None:
            possible = self.game.get_all_possible_orders()
            self._choices = {
                each: {
                    at: sorted(possible[at])
                    for at in sorted(self.game.get_orderable_locations(each))
                    if possible[at]
                }
                for each in POWERS
            }
        return self._choices[power]

    def builds(self, power: str) -> int:
        """Return how many units it may build in an adjustment phase; negative: how many it must disband."""
        return int(self.game.get_state()["builds"][power]["count"])

    def ways(self, power: str) -> dict[str, list[Way]]:
        """Return the nearest supply centres that are not its own, for each of its units."""
        mine = frozenset(self.game.get_centers(power))
        return {
            unit: [way for way in _ways(self.game.map.name, unit) if way.centre not in mine][:_NEAREST]
            for unit in self.units[power]
            if not unit.startswith("*")
        }

    def order(self, power: str, orders: Iterable[str]) -> tuple[list[str], list[str]]:
        """Give a power's orders.

        Returns:
            Those that are possible, which the engine got, and those that are not.
        """
        possible = {order for some in self.choices(power).values() for order in some}
        given = [" ".join(order.upper().split()) for order in orders]
        valid = [order for order in given if order in possible]
        self.game.set_orders(power, valid)
        return valid, [order for order in given if order not in possible]

    def process(self) -> dict[str, dict[str, str]]:
        """Let the engine judge the phase and go to the next.

        Returns:
            By power what came of each order: `ok`, `bounce`, `void` …
        """
        self._choices = None
        self.game.process()
        past = self.game.get_phase_history()[-1]
        return {
            power: {order: _said(past.results, order) for order in orders or ()}
            for power, orders in past.orders.items()
        }


def _said(results: Mapping[str, Any], order: str) -> str:
    codes = results.get(" ".join(order.split()[:2]), ())
    return ", ".join(filter(None, (str(getattr(code, "message", code)) for code in codes))) or "ok"


@cache
def _ways(map_name: str, unit: str) -> tuple[Way, ...]:
    """Return all supply centres that a unit can get to by itself, the nearest first."""
    rules = Map(map_name)
    kind, start = unit.split()
    first: dict[str, tuple[int, str]] = {start: (0, start)}
    ahead = deque([start])
    while ahead:
        at = ahead.popleft()
        moves, via = first[at]
        for near in sorted(rules.dest_with_coasts[at]):
            if near not in first and rules.abuts(kind, at, "-", near):
                first[near] = (moves + 1, near if moves == 0 else via)
                ahead.append(near)
    found = [Way(at[:3], moves, via) for at, (moves, via) in first.items() if at[:3] in rules.scs]
    return tuple(sorted(found, key=lambda way: (way.moves, way.centre)))
