"""What players are told and asked, as text, and what their answers are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from selfplay.board import Board

INITIALIZATION: Final = "initialization"
PLAN: Final = "plan"
NEGOTIATION: Final = "negotiation"
NEGOTIATION_DIARY: Final = "negotiation_diary"
ORDER: Final = "order"
ORDER_DIARY: Final = "order_diary"
PHASE_RESULT_DIARY: Final = "phase_result_diary"
STATE_UPDATE: Final = "state_update"
DIARY_CONSOLIDATION: Final = "diary_consolidation"

EVERYBODY: Final = "ALL"

SYSTEM: Final = (
    "You play a game of Diplomacy for one of the seven powers. Win supply centres; 18 win the game. "
    "Be brief. Answer with one JSON object and nothing else."
)

_ASKED: Final[Mapping[str, str]] = {
    INITIALIZATION: (
        'What do you want, and what do you think of the others? {"goals": [text], "relationships": {POWER: '
        '"Enemy" | "Unfriendly" | "Neutral" | "Friendly" | "Ally"}}'
    ),
    PLAN: 'What will you try in the next phases? {"plan": text}',
    NEGOTIATION: (
        'Write to the others, or to none of them. {"messages": [{"to": POWER or "ALL", "content": text}]}'
    ),
    NEGOTIATION_DIARY: (
        'What did you learn from what was said? {"diary": text, "goals": [text], "relationships": {POWER: text}}'
    ),
    ORDER: 'Give one of the listed orders to each unit. {"reasoning": text, "orders": [text]}',
    ORDER_DIARY: 'Note why you gave these orders. {"diary": text}',
    PHASE_RESULT_DIARY: 'Note what came of the orders, and who kept their word. {"diary": text}',
    STATE_UPDATE: (
        'What do you want now, and what do you think of the others? {"goals": [text], "relationships": {POWER: text}}'
    ),
    DIARY_CONSOLIDATION: 'Your diary is long. Sum the year up. {"diary": text}',
}


class UnreadableAnswerError(ValueError):
    """A model's answer is not what was asked for."""


def head(game_id: str, table: int, phase: str, power: str, task: str) -> str:
    """Return the first lines of a prompt: which game, phase, power and task it is about."""
    return f"Game: {game_id}\nTable: {table}\nPhase: {phase}\nPower: {power}\nTask: {task}\n"


def position(board: Board) -> str:
    """Return who owns and has what."""
    owned = board.centres
    free = set(board.game.map.scs).difference(*owned.values())
    lines = ["Supply centres:", *(f"  {power} ({len(c)}): {' '.join(c)}" for power, c in owned.items())]
    lines += [f"  nobody ({len(free)}): {' '.join(sorted(free))}", "Units:"]
    lines += [f"  {power}: {', '.join(units)}" for power, units in board.units.items()]
    return "\n".join(lines)


def choices(board: Board, power: str) -> str:
    """Return what a power may order, unit by unit."""
    ways = {unit.split()[1][:3]: found for unit, found in board.ways(power).items()}
    lines = ["Your units, the nearest supply centres that are not yours, and the orders each may get:"]
    if not board.is_movement:
        count = board.builds(power)
        what = f"builds: {count}" if count > 0 else f"disbands: {-count}" if count < 0 else "retreats"
        lines = [f"You have {what}. The orders you may give:"]
    for at, orders in board.choices(power).items():
        lines.append(at)
        if board.is_movement and (found := ways.get(at[:3])):
            lines.append("  near: " + "; ".join(f"{w.centre} in {w.moves} by {w.via}" for w in found))
        lines.append("  orders: " + "; ".join(orders))
    return "\n".join(lines)


def mind(goals: Iterable[str], relationships: Mapping[str, str], diary: Iterable[str]) -> str:
    """Return what a player remembers."""
    said = ", ".join(f"{power} {word}" for power, word in relationships.items())
    notes = "\n".join(f"  {note}" for note in diary)
    return f"Your goals: {'; '.join(goals)}\nYou see the others so: {said}\nYour diary:\n{notes}"


def asked(task: str) -> str:
    """Return the question itself, and the form of its answer."""
    return _ASKED[task]


def answer(text: str) -> dict[str, Any]:
    """Return the JSON object of an answer, also from within prose.

    Raises:
        UnreadableAnswerError: there is none.
    """
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1])
    except ValueError as error:
        raise UnreadableAnswerError(f"no JSON object in an answer of {len(text)} characters") from error
    if not isinstance(found, dict):
        raise UnreadableAnswerError("the answer is no JSON object")
    return found


def texts(value: Any) -> list[str]:
    """Return a list of texts, whatever a model made of it."""
    return [str(item) for item in value] if isinstance(value, list) else []
