"""One power: what it asks its model, and what it makes of the answers. `_interact` is where it is watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import otel_llm
from selfplay import prompts
from selfplay.board import POWERS, Board
from selfplay.clients import Client

T = TypeVar("T")

ATTEMPTS: Final = 5
_REMEMBERED: Final = 12
_NOTE: Final = 400


@dataclass(frozen=True)
class Message:
    """What one power wrote; `to` is a power or everybody."""

    sender: str
    to: str
    text: str


@dataclass
class Player:
    """A power and the model that plays it.

    Attributes:
        power: its name.
        model: the model's id, as the client takes it.
        client: calls the model.
        board: the game.
        game_id: which game it is.
        table: its number.
        pause_s: seconds before the second attempt; doubles with each further one.
        phase: the phase that is played, also after the engine has gone on.
        goals: what it wants.
        relationships: what it thinks of the others.
        diary: what it noted.
        post: what it has read in this phase.
        orders: what it ordered in this phase.
        results: what came of that.
    """

    power: str
    model: str
    client: Client
    board: Board
    game_id: str
    table: int
    pause_s: float = 1.0
    phase: str = ""
    goals: list[str] = field(default_factory=list)
    relationships: dict[str, str] = field(default_factory=dict)
    diary: list[str] = field(default_factory=list)
    post: list[Message] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)

    # --- what it does ---------------------------------------------------------------------------------

    def begin(self, phase: str) -> None:
        """Begin a phase: what was read and ordered in the one before is put away."""
        self.phase = phase
        self.post, self.orders, self.results = [], [], {}

    async def initialise(self) -> None:
        """Think before the first move."""
        self._think(await self._ask(prompts.INITIALIZATION))

    async def plan(self) -> None:
        """Make a plan and note it."""
        self._note("plan", (await self._ask(prompts.PLAN)).get("plan"))

    async def negotiate(self, round_number: int) -> list[Message]:
        """Write to the others.

        Args:
            round_number: from 1.
        """

        def read(answer: dict[str, Any], seen: otel_llm.Scope) -> list[Message]:
            found = answer.get("messages")
            written = [
                Message(
                    self.power, str(one.get("to", prompts.EVERYBODY)).upper(), str(one.get("content", ""))
                )
                for one in (found if isinstance(found, list) else [])
                if isinstance(one, dict)
            ]
            for message in written:
                private = message.to != prompts.EVERYBODY
                seen.message(message.text, recipients=message.to if private else (), private=private)
            return written

        return await self._interact(prompts.NEGOTIATION, read, f"Round: {round_number}")

    async def reflect_on_talks(self) -> None:
        """Note what was said, and think again."""
        answer = await self._ask(prompts.NEGOTIATION_DIARY)
        self._note("talks", answer.get("diary"))
        self._think(answer)

    async def order(self) -> None:
        """Give orders; those that are not possible are left out, and said."""

        def read(answer: dict[str, Any], seen: otel_llm.Scope) -> None:
            valid, invalid = self.board.order(self.power, prompts.texts(answer.get("orders")))
            seen.set(orders=[*valid, *invalid], valid_orders=len(valid), invalid_orders=invalid)
            if invalid:
                seen.set(success=f"Failure: Invalid LLM Moves ({len(invalid)}): {', '.join(invalid)}")
            self.orders = valid

        await self._interact(prompts.ORDER, read, prompts.choices(self.board, self.power))

    async def reflect_on_orders(self) -> None:
        """Note why it ordered so."""
        answer = await self._ask(prompts.ORDER_DIARY, f"You ordered: {'; '.join(self.orders)}")
        self._note("orders", answer.get("diary"))

    async def reflect_on_results(self) -> None:
        """Note what came of the phase."""
        said = "; ".join(f"{order}: {result}" for order, result in self.results.items())
        answer = await self._ask(prompts.PHASE_RESULT_DIARY, f"What came of your orders: {said}")
        self._note("results", answer.get("diary"))

    async def update(self) -> None:
        """Think again, after the phase."""
        self._think(await self._ask(prompts.STATE_UPDATE))

    async def consolidate(self) -> None:
        """Sum a year of diary up."""
        answer = await self._ask(prompts.DIARY_CONSOLIDATION)
        self.diary = []
        self._note("the year", answer.get("diary"))

    # --- how it does it -------------------------------------------------------------------------------

    async def _ask(self, task: str, about: str = "") -> dict[str, Any]:
        return await self._interact(task, lambda answer, _: answer, about)

    async def _interact(
        self, task: str, read: Callable[[dict[str, Any], otel_llm.Scope], T], about: str = ""
    ) -> T:
        """Ask the model once, and again where the call itself fails.

        Args:
            task: the type of interaction.
            read: makes what is wanted of the answer, and tells the interaction what came of it.
            about: what the prompt says besides the position and what the player remembers.

        Raises:
            UnreadableAnswerError: the answer is not what was asked for.
            Exception: whatever the last attempt raised.
        """
        prompt = self._prompt(task, about)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with otel_llm.interaction(
                    task,
                    power=self.power,
                    model=self.model,
                    centers=len(self.board.centres[self.power]),
                    units=len(self.board.units[self.power]),
                    relationships=self.relationships,
                    goals=self.goals,
                ) as seen:
                    text = await self.client.complete(self.model, prompts.SYSTEM, prompt)
                    return read(prompts.answer(text), seen)
            except prompts.UnreadableAnswerError:
                raise
            except Exception:  # as programs do: try again, whatever it was
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(self.pause_s * 2 ** (attempt - 1))
        raise AssertionError("not reached")

    def _prompt(self, task: str, about: str) -> str:
        post = [f"  {m.sender} to {m.to}: {m.text}" for m in self.post]
        parts = (
            prompts.head(self.game_id, self.table, self.phase, self.power, task),
            prompts.position(self.board),
            prompts.mind(self.goals, self.relationships, self.diary[-_REMEMBERED:]),
            "Messages in this phase:" if post else "",
            *post,
            about,
            prompts.asked(task),
        )
        return "\n".join(part for part in parts if part)

    def _note(self, what: str, text: Any) -> None:
        if text:
            self.diary.append(f"{self.phase}, {what}: {str(text)[:_NOTE]}")

    def _think(self, answer: Mapping[str, Any]) -> None:
        if goals := prompts.texts(answer.get("goals")):
            self.goals = goals
        found = answer.get("relationships")
        if isinstance(found, dict):
            self.relationships = {power: str(word) for power, word in found.items() if power in POWERS}


def deliver(messages: Iterable[Message], players: Iterable[Player]) -> None:
    """Give everybody what was written to them, to everybody, or by themselves."""
    written = list(messages)
    for player in players:
        player.post += [m for m in written if player.power in {m.sender, m.to} or m.to == prompts.EVERYBODY]
