"""The Diplomacy engine as a task: one power asks a policy for its orders, the others hold."""

import random
import re
from collections.abc import Sequence
from typing import Final

from diplomacy import Game

from tinygrpo.tasks import Demonstration

MOST_ORDERS: Final = 60
"""Legal orders that a prompt lists."""


class Board:
    """A game in which one power plays.

    Args:
        power: which.
        max_year: the last year that is played.

    Attributes:
        game: the engine's.
        began_with: supply centres at the start.
    """

    def __init__(self, power: str, max_year: int) -> None:
        self.game = Game()
        self.power, self.max_year = power, max_year
        self.began_with = len(self.centers)

    @property
    def phase(self) -> str:
        """The engine's short name of the phase, such as `S1901M`."""
        return str(self.game.get_current_phase())

    @property
    def is_over(self) -> bool:
        """Whether the last year was played."""
        return self.game.is_game_done or int(self.phase[1:5]) > self.max_year

    @property
    def centers(self) -> list[str]:
        """Supply centres of the power."""
        return list(self.game.get_centers(self.power))

    @property
    def units(self) -> list[str]:
        """Units of the power, such as `A PAR`."""
        return [unit for unit in self.game.get_units(self.power) if not unit.startswith("*")]

    def legal(self) -> dict[str, list[str]]:
        """Return what each unit may do but for supporting and convoying others, by unit."""
        orders = self.game.get_all_possible_orders()
        found = {}
        for unit in self.units:
            possible = orders[unit.split()[1]]
            found[unit] = [one for one in possible if re.fullmatch(r"\S+ \S+ (H|- \S+)", one)]
        return found

    def prompt(self, *, listing: bool) -> str:
        """Return what a policy is asked.

        Args:
            listing: with all legal orders; a tiny model knows them from its warm-up.
        """
        text = f"{self.power} {self.phase}: {', '.join(self.units)}."
        if listing:
            orders = [order for unit in self.legal().values() for order in unit][:MOST_ORDERS]
            text += (
                " Play Diplomacy: answer with one order for each unit, nothing else, separated by semicolons."
                f" Legal orders: {'; '.join(orders)}."
            )
        return text

    def said(self) -> str:
        """Return what a policy is told after its orders were carried out."""
        return f"<result>{self.phase}: {', '.join(self.units)}.</result>"

    def parse(self, text: str) -> tuple[list[str], list[str]]:
        """Return the legal orders of an answer, one a unit, and what else it says."""
        legal = {order for unit in self.legal().values() for order in unit}
        good: dict[str, str] = {}
        bad = []
        for part in text.replace(" / ", "/").split(";"):
            order = " ".join(part.split())
            unit = " ".join(order.split()[:2])
            if order in legal and unit not in good:
                good[unit] = order
            elif order:
                bad.append(order)
        return list(good.values()), bad

    def play(self, orders: Sequence[str]) -> None:
        """Carry orders out, and go on to the next phase of movement; units without orders hold."""
        self.game.set_orders(self.power, list(orders))
        self.game.process()
        while not self.is_over and not self.phase.endswith("M"):
            self.game.process()


def demonstrations(powers: Sequence[str], max_year: int, seed: int, count: int = 128) -> list[Demonstration]:
    """Return games played by lot: the form of orders is right, and what they are worth is chance."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        board = Board(powers[number % len(powers)], max_year)
        prompt = board.prompt(listing=False)
        said: list[tuple[str, bool]] = []
        while not board.is_over:
            if said:
                said.append((board.said(), False))
            orders = [chance.choice(possible) for possible in board.legal().values()]
            said.append((" ; ".join(orders) + "<end>", True))
            board.play(orders)
        said[-1] = said[-1][0].removesuffix("<end>"), True  # `warm_up` ends it
        found.append(Demonstration(prompt, said))
    return found
