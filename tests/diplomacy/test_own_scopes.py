"""A program that opens scopes of its own: what the engine knows joins them, and nothing is there twice."""

from __future__ import annotations

from diplomacy import Game

import otel_llm
from otel_llm import semconv as sc
from otel_llm.testing import Captured
from tests.diplomacy.play import ask, attributes, names, where


def test_game_phases_and_interactions_of_the_programs_own(captured: Captured) -> None:
    game = Game()
    with otel_llm.game("mine", players={"FRANCE": "gpt-5"}):
        while game.get_current_phase() != "S1902M":
            with otel_llm.phase(game.get_current_phase()):
                game.get_all_possible_orders()
                with otel_llm.interaction("order", power="FRANCE"):
                    ask(f"order {game.get_current_phase()}")
                game.set_orders("FRANCE", ["A PAR - BUR"])
                game.process()
                ask(f"looking back on {game.get_current_phase()}")
    assert names(captured) == [
        "invoke_workflow game",
        "phase S1901M",
        "invoke_agent FRANCE",
        "chat order S1901M",
        "chat looking back on F1901M",
        "phase F1901M",
        "invoke_agent FRANCE",
        "chat order F1901M",
        "chat looking back on S1902M",
    ]
    told = attributes(captured, "phase S1901M")
    assert told[sc.PHASE_CENTERS_PREFIX + "FRANCE"] == 3
    assert told[sc.ORDERS_RESULTS] == '{"FRANCE":{"A PAR - BUR":[]}}'
    assert where(captured)["looking back on F1901M"] == ("mine", "S1901M", "phase S1901M")


def test_a_game_of_the_programs_own_gets_the_engines_phases_and_its_end(captured: Captured) -> None:
    with otel_llm.game("mine"):
        game = Game("engine's")
        game.get_state()
        game.process()
        ask("second phase")
        game.draw(["FRANCE"])
        ask("after")
    assert names(captured)[:3] == ["invoke_workflow game", "phase S1901M", "phase F1901M"]
    assert attributes(captured, "phase F1901M")[sc.GAME_ID] == "mine"
    told = attributes(captured, "invoke_workflow game")
    assert (told[sc.GAME_STATUS], told[sc.GAME_OUTCOME], told[sc.GAME_WINNERS]) == (
        "completed",
        "draw",
        ("FRANCE",),
    )
    assert where(captured) == {
        "second phase": ("mine", "F1901M", "phase F1901M"),
        "after": ("mine", None, "invoke_workflow game"),
    }


def test_a_scope_opened_late_takes_the_game_over(captured: Captured) -> None:
    game = Game("g")
    assert game.get_current_phase() == "S1901M"
    with otel_llm.game("mine"), otel_llm.phase("S1901M"):
        game.process()
    told = [(span["name"], span["attributes"][sc.GAME_ID]) for span in captured.shape()]
    assert told == [
        ("invoke_workflow diplomacy", "g"),
        ("phase S1901M", "g"),
        ("invoke_workflow game", "mine"),
        ("phase S1901M", "mine"),
    ]
    mine = captured.shape()[-1]["attributes"]
    assert mine[sc.PHASE_CENTERS_PREFIX + "FRANCE"] == 3


def test_phases_of_the_programs_own_without_a_game(captured: Captured) -> None:
    game = Game("g")
    for name in ("S1901M", "F1901M"):
        with otel_llm.phase(name):
            game.process()
    game.draw()
    assert names(captured) == ["phase S1901M", "invoke_workflow diplomacy", "phase F1901M"]
    assert attributes(captured, "phase F1901M")[sc.PHASE_UNITS_PREFIX + "RUSSIA"] == 4


def test_a_rollout_holds_the_game_that_is_played_in_it(captured: Captured) -> None:
    with otel_llm.rollout("sample-1"):
        game = Game("g")
        game.get_state()
        ask("in the game")
        game.draw()
        ask("after it")
    assert attributes(captured, "phase S1901M")[sc.SAMPLE_ID] == "sample-1"
    assert where(captured) == {
        "in the game": ("g", "S1901M", "phase S1901M"),
        "after it": (None, None, "rollout"),
    }


def test_a_game_that_goes_on_after_its_scope_makes_no_spans_of_its_own(captured: Captured) -> None:
    with otel_llm.game("mine"):
        game = Game()
        game.process()
    game.get_state()
    game.process()
    assert set(names(captured)) == {"invoke_workflow game", "phase S1901M", "phase F1901M"}


def test_only_the_first_game_in_a_scope_is_its_game(captured: Captured) -> None:
    with otel_llm.game("mine"):
        game = Game()
        game.get_state()
        ahead = Game()
        ahead.process()
        game.process()
    assert names(captured) == ["invoke_workflow game", "phase S1901M", "phase F1901M"]
