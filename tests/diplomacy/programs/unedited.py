"""Two games at once between models: a program that knows nothing of tracing.

Usage: unedited.py URL
"""

import asyncio
import sys

from diplomacy import Game
from openai import AsyncOpenAI

POWERS = ("FRANCE", "GERMANY", "ITALY")


async def play(client: AsyncOpenAI, game: Game, last: str) -> None:
    while not game.is_game_done:
        phase = game.get_current_phase()
        if phase == last:
            break

        async def orders_of(power: str, phase: str = phase) -> None:
            possible = game.get_all_possible_orders()
            place = game.get_orderable_locations(power)[0]
            answer = await client.chat.completions.create(
                model=f"{game.game_id}-{phase}-{power}",  # so that the test knows who asked
                messages=[{"role": "user", "content": f"You are {power}. Choose of {possible[place]}."}],
            )
            assert answer.choices[0].message.content
            game.set_orders(power, [f"{unit} H" for unit in game.get_units(power)] + ["A PAR - LON"])

        await asyncio.gather(*(orders_of(power) for power in POWERS))
        game.process()
    if game.game_id == "drawn":
        game.draw()


async def main() -> None:
    games = [Game(game_id="drawn"), Game(game_id="left")]
    async with AsyncOpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none") as client:
        await asyncio.gather(*(play(client, game, "S1902M") for game in games))
    print(*(game.get_current_phase() for game in games))


asyncio.run(main())
