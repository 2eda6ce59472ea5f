"""What the loopback server says in place of a model: plausible play, read off the prompt, the same in every run.

It knows nothing but the prompt, as a model does. Units go for the nearest supply centre that is not theirs, help
each other against units in the way, and stay where they take something.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from otel_llm.loopback import Ask, Reply
from selfplay import prompts
from selfplay.board import POWERS

_HEAD: Final = re.compile(r"^(Game|Table|Phase|Power|Task): (.*)$", re.MULTILINE)
_UNITS: Final = re.compile(r"^  ([A-Z]+): (.*)$", re.MULTILINE)
_CHOICE: Final = re.compile(r"^(\S{3,6})\n(?:  near: (.*)\n)?  orders: (.*)$", re.MULTILINE)
_WAY: Final = re.compile(r"(\w{3}) in (\d+) by (\S+)$")
_TURNS: Final = re.compile(r"You have (builds|disbands): (\d+)\.")

_FEELINGS: Final = ("Enemy", "Unfriendly", "Neutral", "Friendly", "Ally")
_OFFERS: Final = (
    "I keep out of {place} if you do.",
    "Support me into {place} and I owe you one.",
    "{place} is yours, as far as I am concerned.",
    "{other} is getting too strong. Shall we do something about it?",
    "I have no units to spare against you this year.",
)
_SPEECHES: Final = (
    "Somebody has to stop {other}.",
    "I am content with what I have, for now.",
    "Who takes {place} will hear from me.",
)
_IN_THE_WAY: Final = 2.0


@dataclass(frozen=True)
class Seen:
    """What a prompt says first."""

    game: str
    table: str
    phase: str
    power: str
    task: str

    @classmethod
    def of(cls, prompt: str) -> Seen | None:
        """Return it; None for a prompt that is not ours."""
        found = dict(_HEAD.findall(prompt[:500]))
        try:
            return cls(
                found["Game"], found["Table"], found["Phase"].split()[0], found["Power"], found["Task"]
            )
        except KeyError:
            return None


class Replies:
    """Answers prompts of this program; a callback for `LoopbackServer`.

    Args:
        seed: other seeds play other games.
        misplay: may give another answer to a prompt than the one that was found.
    """

    def __init__(self, seed: int = 0, misplay: Callable[[Seen, str], str] | None = None) -> None:
        self._seed = seed
        self._misplay = misplay

    def __call__(self, ask: Ask) -> Reply | str | None:
        """Return the answer; None, which leaves it to the server, where the prompt is not of this program."""
        prompt = ask.last
        seen = Seen.of(prompt)
        if seen is None:
            return None
        # All that the prompt says but the game's id, which differs from run to run.
        _, _, said = prompt.partition("\n")
        rng = random.Random(f"{self._seed}\n{said}")
        answer = json.dumps(_answer(seen, prompt, rng))
        return answer if self._misplay is None else self._misplay(seen, answer)


def _answer(seen: Seen, prompt: str, rng: random.Random) -> dict[str, Any]:
    match seen.task:
        case prompts.ORDER:
            return {"reasoning": "The nearest centres first.", "orders": _orders(seen, prompt, rng)}
        case prompts.NEGOTIATION:
            return {"messages": _messages(seen, rng)}
        case prompts.PLAN:
            return {"plan": f"Take {_place(rng)}, keep {_other(seen, rng)} quiet."}
        case prompts.INITIALIZATION | prompts.STATE_UPDATE:
            return _feelings(seen, rng)
        case prompts.NEGOTIATION_DIARY:
            return {"diary": f"{_other(seen, rng)} sounded honest. We shall see.", **_feelings(seen, rng)}
        case _:
            return {"diary": f"{seen.phase}: watch {_other(seen, rng)}, and mind {_place(rng)}."}


def _feelings(seen: Seen, rng: random.Random) -> dict[str, Any]:
    return {
        "goals": [f"Hold {_place(rng)}", f"Grow at the cost of {_other(seen, rng)}"],
        "relationships": {power: rng.choice(_FEELINGS) for power in POWERS if power != seen.power},
    }


def _messages(seen: Seen, rng: random.Random) -> list[dict[str, str]]:
    others = rng.sample([power for power in POWERS if power != seen.power], k=rng.randint(1, 2))
    written = [{"to": other, "content": _fill(rng.choice(_OFFERS), seen, rng)} for other in others]
    if rng.random() < 1 / 3:
        written.append({"to": prompts.EVERYBODY, "content": _fill(rng.choice(_SPEECHES), seen, rng)})
    return written


def _fill(text: str, seen: Seen, rng: random.Random) -> str:
    return text.format(place=_place(rng), other=_other(seen, rng).title())


def _place(rng: random.Random) -> str:
    return rng.choice(("Belgium", "Burgundy", "Galicia", "Greece", "Norway", "Serbia", "Sweden", "Tyrolia"))


def _other(seen: Seen, rng: random.Random) -> str:
    return rng.choice([power for power in POWERS if power != seen.power])


# --- orders ---------------------------------------------------------------------------------------
def _orders(seen: Seen, prompt: str, rng: random.Random) -> list[str]:
    choices = {at: (near, orders.split("; ")) for at, near, orders in _CHOICE.findall(prompt)}
    if (turns := _TURNS.search(prompt)) is not None:
        return _adjustments(turns[1], int(turns[2]), choices, rng)
    if "You have retreats." in prompt:
        return [rng.choice([o for o in orders if " R " in o] or orders) for _, orders in choices.values()]
    return _moves(seen, prompt, choices, rng)


def _adjustments(
    kind: str, count: int, choices: dict[str, tuple[str, list[str]]], rng: random.Random
) -> list[str]:
    wanted = " B" if kind == "builds" else " D"
    found = [[o for o in orders if o.endswith(wanted)] for _, orders in choices.values()]
    able = [orders for orders in found if orders]
    return [rng.choice(orders) for orders in rng.sample(able, k=min(count, len(able)))]


def _moves(
    seen: Seen, prompt: str, choices: dict[str, tuple[str, list[str]]], rng: random.Random
) -> list[str]:
    """One order a unit: nearest targets first, so that those who are left can help."""
    held = {
        unit.split()[-1][:3]: power
        for power, units in _UNITS.findall(prompt)
        for unit in units.split(", ")
        if unit
    }
    wishes: list[tuple[float, str, str]] = []
    for at, (near, orders) in choices.items():
        for way in filter(None, near.split("; ")):
            if (found := _WAY.match(way)) is None:
                continue
            via = found[3]
            order = f"{_unit(orders)} H" if via[:3] == at[:3] else f"{_unit(orders)} - {via}"
            blocked = held.get(via[:3], seen.power) != seen.power
            if order in orders:
                wishes.append((int(found[2]) + _IN_THE_WAY * blocked + 2 * rng.random(), at, order))
    given: dict[str, str] = {}
    taken: set[str] = set()
    for _, at, order in sorted(wishes):
        goal = order.split()[-1][:3] if " - " in order else at[:3]
        if at in given or (goal in taken and goal != at[:3]):
            continue
        if (help_order := _support(choices[at][1], given, held, seen.power)) and rng.random() < 2 / 3:
            order = help_order  # noqa: PLW2901 (what the unit does instead)
            goal = at[:3]
        given[at] = order
        taken.add(goal)
    for at, (_, orders) in choices.items():
        if at not in given:
            given[at] = _support(orders, given, held, seen.power) or f"{_unit(orders)} H"
    return list(given.values())


def _support(orders: list[str], given: dict[str, str], held: dict[str, str], power: str) -> str | None:
    """An order that helps a move of ours against a unit that is not."""
    unit = _unit(orders)
    for move in given.values():
        if " - " in move and held.get(move.split()[-1][:3], power) != power:
            order = f"{unit} S {move}"
            if order in orders:
                return order
    return None


def _unit(orders: list[str]) -> str:
    return " ".join(orders[0].split()[:2])
