"""What plays in place of a model, by itself: no server, no telemetry."""

from __future__ import annotations

import random

import pytest
from selfplay import prompts
from selfplay.board import POWERS, Board
from selfplay.match import LOOPBACK_MODELS, parse_models
from selfplay.replies import Replies
from selfplay.table import Rules, Table

from otel_llm.loopback import Ask


class Direct:
    """A client that asks nobody; a share of its calls fails, so that powers go without orders."""

    def __init__(self, seed: int, fails: float) -> None:
        self.replies = Replies(seed)
        self.rng = random.Random(seed)
        self.fails = fails
        self.orders: list[tuple[str, list[str]]] = []

    async def complete(self, model: str, system: str, prompt: str) -> str:
        if self.rng.random() < self.fails:
            raise TimeoutError
        answer = self.replies(Ask(model, (("system", system), ("user", prompt))))
        assert isinstance(answer, str)
        if "Task: order\n" in prompt:
            listed = {
                order
                for line in prompt.splitlines()
                if line.startswith("  orders: ")
                for order in line.removeprefix("  orders: ").split("; ")
            }
            given = prompts.texts(prompts.answer(answer)["orders"])
            assert set(given) <= listed
            assert len({order.split()[1] for order in given}) == len(given)  # one a unit
            self.orders.append((prompt, given))
        return answer

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("seed", "fails"), [(0, 0.0), (1, 0.3), (2, 0.0), (3, 0.3)])
async def test_a_game_goes_on_whatever_becomes_of_it(seed: int, fails: float) -> None:
    client = Direct(seed, fails)
    seats = dict.fromkeys(POWERS, ("a model", client))
    outcome = await Table("g", 1, seats, Rules(1906, rounds=1, planning=True, pause_s=0.0)).play()
    assert {name[1:5] for name in outcome.phases} >= {str(year) for year in range(1901, 1907)}
    assert sum(outcome.centres.values()) > 28
    assert client.orders


def test_orders_that_are_not_possible_do_not_reach_the_engine() -> None:
    board = Board("g")
    assert board.order("FRANCE", ["a par -  bur", "A PAR - LON", "A VIE H"]) == (
        ["A PAR - BUR"],
        ["A PAR - LON", "A VIE H"],
    )
    results = board.process()
    assert results["FRANCE"] == {"A PAR - BUR": "ok"}
    assert (board.phase, board.year, board.season) == ("F1901M", 1901, 1)


@pytest.mark.parametrize("answer", ["", "No.", "[1, 2]", '{"orders": [', "}{"])
def test_an_answer_that_is_no_object_is_unreadable(answer: str) -> None:
    with pytest.raises(prompts.UnreadableAnswerError):
        prompts.answer(answer)


def test_an_object_within_prose_is_an_answer() -> None:
    assert prompts.answer('Sure:\n```json\n{"orders": []}\n```') == {"orders": []}


def test_models_are_named_for_all_in_turn_or_by_power() -> None:
    assert parse_models([""], LOOPBACK_MODELS) == LOOPBACK_MODELS
    assert set(parse_models(["m"], {}).values()) == {"openai:m"}
    mixed = parse_models(["a", "aiohttp:b", "turkey=llama3:8b"], {})
    assert (mixed["AUSTRIA"], mixed["ENGLAND"], mixed["FRANCE"]) == ("openai:a", "aiohttp:b", "openai:a")
    assert mixed["TURKEY"] == "openai:llama3:8b"
    with pytest.raises(ValueError, match="'FRNCE' is none of AUSTRIA"):
        parse_models(["FRNCE=a"], LOOPBACK_MODELS)
    with pytest.raises(ValueError, match="no model for AUSTRIA"):
        parse_models(["FRANCE=a"], {})
