"""Copies of a game, made to look ahead, are no games; saved games that go on are."""

from __future__ import annotations

import copy
import gc
import random
from collections.abc import Callable

import pytest
from diplomacy import Game
from diplomacy.utils.export import from_saved_game_format, to_saved_game_format

import otel_llm
from otel_llm import semconv as sc
from otel_llm.testing import Captured
from tests.diplomacy.play import ask, attributes, names, random_orders, where


def _by_state(game: Game) -> Game:
    copied = Game()
    copied.set_state(game.get_state())
    return copied


def _by_phase_data(game: Game) -> Game:
    copied = Game()
    copied.set_phase_data(game.get_phase_data())
    return copied


COPIES: dict[str, Callable[[Game], Game]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "fields": lambda game: Game.from_dict(game.to_dict()),
    "saved game": lambda game: from_saved_game_format(to_saved_game_format(game)),
    "state": _by_state,
    "phase data": _by_phase_data,
    "copy of a copy": lambda game: _by_state(copy.deepcopy(game)),
}


@pytest.mark.parametrize("way", [way for way in COPIES if way != "copy"])
def test_a_look_ahead_changes_nothing_about_the_game_it_looks_from(captured: Captured, way: str) -> None:
    game, rng = Game("real"), random.Random(1)
    random_orders(game, rng)
    game.process()
    ahead = COPIES[way](game)
    for _ in range(3):
        random_orders(ahead, rng)
        ask(f"ahead {ahead.get_current_phase()}")
        ahead.process()
    ahead.draw()
    ask("after")
    assert game.get_current_phase() == "F1901M"
    ask("back")
    random_orders(game, rng)
    game.process()
    found = where(captured)
    assert set(found.values()) == {("real", "F1901M", "phase F1901M")}
    spans = captured.exporter.get_finished_spans()
    assert sorted(span.name for span in spans if span.name.startswith(("phase", "invoke"))) == [
        "invoke_workflow diplomacy",
        "phase F1901M",
        "phase S1901M",
        f"phase {game.get_current_phase()}",
    ]


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_that_is_only_looked_at_is_no_game(captured: Captured, way: str) -> None:
    game = Game("real")
    game.get_state()
    copied = COPIES[way](game)
    copied.get_state()
    assert copied.get_current_phase() == "S1901M"
    game.draw()
    assert names(captured) == ["invoke_workflow diplomacy", "phase S1901M"]


@pytest.mark.parametrize("way", ["fields", "saved game"])
def test_a_saved_game_that_goes_on_is_a_game(captured: Captured, way: str) -> None:
    first = Game("g")
    first.process()
    saved = first.to_dict() if way == "fields" else to_saved_game_format(first)
    del first
    gc.collect()
    again = Game.from_dict(saved) if way == "fields" else from_saved_game_format(saved)
    again.process()
    again.draw()
    assert names(captured) == [
        "invoke_workflow diplomacy",
        "phase S1901M",
        "phase F1901M",
        "invoke_workflow diplomacy",
        "phase F1901M",
        "phase S1902M",
    ]


def test_games_that_start_from_a_given_position_are_games(captured: Captured) -> None:
    from_a_file = Game().get_state()
    from_a_file["timestamp"] = 1
    for n in range(3):
        game = Game(f"g{n}")
        game.set_state(from_a_file)
        game.get_units()
        ask(f"g{n}")
    assert where(captured) == {f"g{n}": (f"g{n}", "S1901M", "phase S1901M") for n in range(3)}


def test_copies_of_a_template_that_nobody_plays_are_games(captured: Captured) -> None:
    template = Game("g")
    for _ in range(2):
        game = copy.deepcopy(template)
        game.process()
        game.draw()
        copy.deepcopy(game).get_state()
    assert names(captured).count("invoke_workflow diplomacy") == 2
    assert names(captured).count("phase S1901M") == 2


def test_saved_games_that_are_only_read_leave_nothing(captured: Captured) -> None:
    played = Game()
    played.process()
    played.draw()
    saved = to_saved_game_format(played)
    before = len(names(captured))
    games = [from_saved_game_format(saved) for _ in range(5)]
    assert {len(game.get_phase_history()) for game in games} == {2}
    assert {game.get_current_phase() for game in games} == {"COMPLETED"}
    assert len(names(captured)) == before


def test_two_games_with_one_id_are_both_told(captured: Captured) -> None:
    games = [Game("same"), Game("same")]
    for game in games:
        game.process()
    for game in games:
        game.draw()
    assert names(captured).count("invoke_workflow diplomacy") == 2
    assert names(captured).count("phase S1901M") == 2


def test_a_copy_in_a_game_scope_of_the_programs_own_is_its_game(captured: Captured) -> None:
    game = Game("real")
    game.get_state()
    with otel_llm.game("what if"):
        ahead = copy.deepcopy(game)
        ahead.process()
    game.draw()
    ours, theirs = (span for span in captured.shape() if span["name"].startswith("invoke"))
    assert (ours["attributes"][sc.GAME_ID], theirs["attributes"][sc.GAME_ID]) == ("real", "what if")
    assert [
        span["attributes"][sc.GAME_ID] for span in captured.shape() if span["name"] == "phase S1901M"
    ] == [
        "real",
        "what if",
    ]
    assert attributes(captured, "phase F1901M")[sc.GAME_ID] == "what if"
