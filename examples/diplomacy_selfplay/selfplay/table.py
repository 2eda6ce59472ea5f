"""A game from its first phase to its last: who does what when, and all powers at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import otel_llm
from selfplay.board import POWERS, Board
from selfplay.clients import Client
from selfplay.player import Message, Player, deliver

T = TypeVar("T")

FIRST_YEAR = 1901


@dataclass(frozen=True)
class Rules:
    """How a game is played.

    Attributes:
        max_year: the last year.
        rounds: rounds of negotiation in a movement phase.
        planning: whether players plan at the beginning of a movement phase.
        pause_s: seconds before the second attempt of a call that failed; doubles with each further one.
    """

    max_year: int = 1904
    rounds: int = 1
    planning: bool = False
    pause_s: float = 1.0


@dataclass
class Outcome:
    """What came of a game.

    Attributes:
        game_id: which game.
        models: by power.
        centres: supply centres at the end, by power.
        phases: names of the phases that were played.
        winners: nobody or one.
    """

    game_id: str
    models: dict[str, str]
    centres: dict[str, int]
    phases: list[str]
    winners: list[str]


@dataclass
class Table:
    """A game.

    Attributes:
        game_id: its name.
        number: its number among those that are played at once, from 1.
        seats: by power its model's id, and the client that calls it.
        rules: how it is played.
        on_phase: told of the board before each phase and at the end.
    """

    game_id: str
    number: int
    seats: dict[str, tuple[str, Client]]
    rules: Rules
    on_phase: Callable[[Board], None] = lambda _: None
    players: dict[str, Player] = field(default_factory=dict)

    async def play(self) -> Outcome:
        """Play it to its end."""
        board = Board(self.game_id)
        for power in POWERS:
            model, client = self.seats[power]
            self.players[power] = Player(
                power, model, client, board, self.game_id, self.number, self.rules.pause_s
            )
        models = {power: player.model for power, player in self.players.items()}
        played: list[str] = []
        async with otel_llm.game(self.game_id, name="diplomacy", players=models) as game:
            while not board.is_over and board.year <= self.rules.max_year:
                self.on_phase(board)
                played.append(board.phase)
                async with otel_llm.phase(board.phase) as phase:
                    await self._phase(board, first=len(played) == 1)
                    phase.set(centers=board.centres, units=board.units)
            self.on_phase(board)
            if winners := board.winners:
                game.set(status="completed", outcome="solo", winners=winners)
            else:
                game.set(status="unfinished", outcome=f"stopped after {self.rules.max_year}")
        centres = {power: len(owned) for power, owned in board.centres.items()}
        return Outcome(self.game_id, models, centres, played, winners)

    async def _phase(self, board: Board, *, first: bool) -> None:
        for player in self.players.values():
            player.begin(board.phase)
        alive = board.alive
        if first:
            await self._all(alive, Player.initialise)
        if board.is_movement:
            await self._before_orders(alive)
        to_act = board.to_act
        await self._all(to_act, Player.order)
        if board.is_movement:
            await self._all(to_act, Player.reflect_on_orders)
        year, was_movement = board.year, board.is_movement
        results = board.process()
        for power in POWERS:
            self.players[power].results = results.get(power, {})
        alive = board.alive
        if was_movement:
            await self._all(alive, Player.reflect_on_results)
            await self._all(alive, Player.update)
        if board.year > year:
            await self._all(alive, Player.consolidate)

    async def _before_orders(self, alive: list[str]) -> None:
        if self.rules.planning:
            await self._all(alive, Player.plan)
        for number in range(1, self.rules.rounds + 1):
            written: list[list[Message]] = await self._all(alive, lambda p, n=number: p.negotiate(n))  # type: ignore[misc]
            deliver((message for some in written for message in some), self.players.values())
        await self._all(alive, Player.reflect_on_talks)

    async def _all(self, powers: Iterable[str], do: Callable[[Player], Awaitable[T]]) -> list[T]:
        """Let powers act at the same time.

        A power whose model fails does nothing this time, and the game goes on. Nothing here says so: the trace does.
        """
        found = await asyncio.gather(*(do(self.players[p]) for p in powers), return_exceptions=True)
        return [each for each in found if not isinstance(each, BaseException)]
