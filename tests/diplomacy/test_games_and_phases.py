"""A game on the engine as whole spans: phases, units, centres, results, retreats, eliminations, the end."""

from __future__ import annotations

import gc
import itertools
import json
import random
from typing import Any

import pytest
from diplomacy import Game

from otel_llm import semconv as sc
from otel_llm import testing
from otel_llm.testing import Captured
from otel_llm_diplomacy import semconv as names_of
from tests.diplomacy.play import attributes, duel, events, names, random_orders, year

POWERS = ("AUSTRIA", "ENGLAND", "FRANCE", "GERMANY", "ITALY", "RUSSIA", "TURKEY")
GAME = {sc.GAME_ID: "g", sc.GAME_NAME: "diplomacy"}


def counted(prefix: str, **counts: int) -> dict[str, int]:
    return {prefix + power: counts.get(power, 0) for power in POWERS}


def phase(
    name: str, year: int, season: int, kind: str, **centers_and_units: dict[str, int]
) -> dict[str, Any]:
    return {
        **GAME,
        sc.SCOPE_KIND: "phase",
        sc.PHASE_NAME: name,
        sc.PHASE_YEAR: year,
        sc.PHASE_SEASON: season,
        sc.PHASE_TYPE: kind,
        **counted(sc.PHASE_CENTERS_PREFIX, **centers_and_units["centers"]),
        **counted(sc.PHASE_UNITS_PREFIX, **centers_and_units["units"]),
    }


def test_a_game_from_its_first_phase_to_its_draw_as_whole_spans(captured: Captured) -> None:
    game = duel(game_id="g")
    game.set_orders("FRANCE", ["A RUH - MUN", "A BUR S A RUH - MUN"])
    game.set_orders("GERMANY", ["A MUN H"])
    game.process()
    game.set_orders("GERMANY", "A MUN R BER")
    game.process()
    game.draw(["FRANCE", "GERMANY"])

    common = {"kind": "INTERNAL", "status": "UNSET", "parent": None}
    centers, both = {"FRANCE": 2, "GERMANY": 1}, {"FRANCE": 2, "GERMANY": 1}
    shape = captured.shape(without=testing.VOLATILE | {names_of.GAME_RULES})
    assert shape == [
        {
            **common,
            "name": "invoke_workflow diplomacy",
            "links": [],
            "events": [],
            "attributes": {
                **GAME,
                sc.SCOPE_KIND: "game",
                sc.OPERATION_NAME: "invoke_workflow",
                sc.GAME_PLAYERS: POWERS,
                names_of.GAME_MAP: "standard",
                sc.GAME_STATUS: "completed",
                sc.GAME_OUTCOME: "draw",
                sc.GAME_WINNERS: ("FRANCE", "GERMANY"),
                sc.TOTALS_PREFIX + "phases": 3,
                sc.TOTALS_PREFIX + "valid_orders": 4,
            },
        },
        {
            **common,
            "name": "phase S1901M",
            "links": ["invoke_workflow diplomacy"],
            "events": ["game.unit.dislodged"],
            "attributes": {
                **phase("S1901M", 1901, 0, "movement", centers=centers, units={"FRANCE": 2}),
                sc.ORDERS_VALID_COUNT: 3,
                sc.ORDERS_INVALID_COUNT: 0,
                sc.ORDERS_RESULTS: json.dumps(
                    {
                        "FRANCE": {"A RUH - MUN": [], "A BUR S A RUH - MUN": []},
                        "GERMANY": {"A MUN H": ["dislodged"]},
                    },
                    separators=(",", ":"),
                ),
            },
        },
        {
            **common,
            "name": "phase S1901R",
            "links": ["invoke_workflow diplomacy", "phase S1901M"],
            "events": ["game.unit.retreated"],
            "attributes": {
                **phase("S1901R", 1901, 0, "retreats", centers=centers, units=both),
                sc.ORDERS_VALID_COUNT: 1,
                sc.ORDERS_INVALID_COUNT: 0,
                sc.ORDERS_RESULTS: '{"GERMANY":{"A MUN R BER":[]}}',
            },
        },
        {
            **common,
            "name": "phase F1901M",
            "links": ["invoke_workflow diplomacy", "phase S1901R"],
            "events": [],
            "attributes": phase("F1901M", 1901, 1, "movement", centers=centers, units=both),
        },
    ]


def test_a_dislodged_unit_says_where_it_may_go_and_one_that_is_gone_that_its_power_is_out(
    captured: Captured,
) -> None:
    game = duel()
    game.set_orders("FRANCE", ["A RUH - MUN", "A BUR S A RUH - MUN"])
    game.process()
    game.set_orders("GERMANY", ["A MUN D"])
    game.process()
    game.process()
    game.draw()
    munich = {sc.POWER_NAME: "GERMANY", names_of.UNIT_NAME: "A MUN"}
    ((name, told),) = events(captured, "phase S1901M")
    assert (name, set(told.pop(names_of.UNIT_MAY_RETREAT_TO)), told) == (
        names_of.EVENT_UNIT_DISLODGED,
        {"BER", "BOH", "KIE", "SIL", "TYR"},
        munich,
    )
    assert json.loads(attributes(captured, "phase S1901M")[sc.ORDERS_RESULTS])["GERMANY"] == {
        "A MUN": ["dislodged"]  # it had no order
    }
    assert events(captured, "phase S1901R") == [(names_of.EVENT_UNIT_DISBANDED, munich)]
    assert events(captured, "phase F1901M") == [  # Munich's centre goes with the year
        (names_of.EVENT_POWER_ELIMINATED, {sc.POWER_NAME: "GERMANY"})
    ]


def test_a_unit_with_nowhere_to_go_is_disbanded_at_once(captured: Captured) -> None:
    game = duel()
    game.set_units("FRANCE", ["A BOH", "A TYR", "A SIL", "A BER", "A KIE"])
    game.set_orders("FRANCE", ["A RUH - MUN", "A BUR S A RUH - MUN"])
    game.process()
    game.draw()
    assert [name for name, _ in events(captured, "phase S1901M")] == [
        names_of.EVENT_UNIT_DISLODGED,
        names_of.EVENT_UNIT_DISBANDED,
    ]


def test_builds_and_removals_are_told_also_those_that_the_engine_decides(captured: Captured) -> None:
    game = duel()
    game.set_centers("FRANCE", ["PAR", "MAR", "BRE"])
    game.clear_centers("GERMANY")
    game.set_current_phase("W1901A")
    game.set_orders("FRANCE", ["A PAR B"])
    game.process()
    game.draw()
    assert events(captured, "phase W1901A") == [
        (names_of.EVENT_UNIT_BUILT, {sc.POWER_NAME: "FRANCE", names_of.UNIT_NAME: "A PAR"}),
        (names_of.EVENT_UNIT_DISBANDED, {sc.POWER_NAME: "GERMANY", names_of.UNIT_NAME: "A MUN"}),
        (names_of.EVENT_POWER_ELIMINATED, {sc.POWER_NAME: "GERMANY"}),
    ]


def test_bounces_and_cut_supports_are_in_the_results(captured: Captured) -> None:
    game = Game()
    game.set_orders("FRANCE", ["A PAR - BUR", "A MAR S A PAR - BUR"])
    game.set_orders("GERMANY", ["A MUN - BUR"])
    game.set_orders("ITALY", ["A VEN - PIE"])
    game.process()
    game.draw()
    results = json.loads(attributes(captured, "phase S1901M")[sc.ORDERS_RESULTS])
    assert results == {
        "FRANCE": {"A PAR - BUR": [], "A MAR S A PAR - BUR": []},
        "GERMANY": {"A MUN - BUR": ["bounce"]},
        "ITALY": {"A VEN - PIE": []},
    }


def test_a_solo_names_its_winner(captured: Captured) -> None:
    game = duel()
    centers = [center for center in game.map.scs if center != "MUN"][:17]
    game.set_centers("FRANCE", centers, reset=True)
    game.set_current_phase("F1901M")
    game.set_orders("FRANCE", ["A RUH - MUN", "A BUR S A RUH - MUN"])
    game.process()
    game.process()  # the retreat; then centres change hands
    assert game.is_game_done
    told = attributes(captured, "invoke_workflow diplomacy")
    assert (told[sc.GAME_STATUS], told[sc.GAME_OUTCOME], told[sc.GAME_WINNERS]) == (
        "completed",
        "solo",
        ("FRANCE",),
    )
    assert attributes(captured, "phase F1901R")[sc.PHASE_CENTERS_PREFIX + "FRANCE"] == 18


def test_a_random_game_has_the_phases_of_the_engines_own_history(captured: Captured) -> None:
    game, rng = Game(), random.Random(4)
    while year(game) < 1904:
        random_orders(game, rng)
        game.process()
    game.draw()
    history = game.get_phase_history()
    assert names(captured)[1:] == [f"phase {phase.name}" for phase in history]
    for data, after in itertools.pairwise(history):
        told = attributes(captured, f"phase {data.name}")
        for power in POWERS:
            assert told[sc.PHASE_CENTERS_PREFIX + power] == len(after.state["centers"][power])
        results = json.loads(told.get(sc.ORDERS_RESULTS, "{}"))
        for power, orders in data.orders.items():
            assert set(orders) <= set(results.get(power, {}))


@pytest.mark.parametrize("status", ["canceled", "completed"])
def test_a_game_ends_when_the_program_says_so_by_its_status(captured: Captured, status: str) -> None:
    game = Game()
    game.get_state()
    game.set_status("active")
    assert names(captured) == []
    game.set_status(status)
    assert names(captured) == ["invoke_workflow diplomacy", "phase S1901M"]
    assert attributes(captured, "invoke_workflow diplomacy")[sc.GAME_STATUS] == status
    game.get_state()
    game.set_orders("FRANCE", [])
    assert len(names(captured)) == 2


def test_a_game_that_is_dropped_unfinished_says_so(captured: Captured) -> None:
    game = Game()
    game.get_state()
    del game
    gc.collect()
    assert names(captured) == ["invoke_workflow diplomacy", "phase S1901M"]
    assert attributes(captured, "invoke_workflow diplomacy")[sc.GAME_STATUS] == "unfinished"
    assert attributes(captured, "phase S1901M")[sc.LEFT_OPEN] is True


def test_games_that_are_open_at_the_end_of_the_process_are_ended() -> None:
    with testing.capture(metrics=False) as captured:
        game = Game()
        game.get_state()
    told = [span.attributes or {} for span in captured.exporter.get_finished_spans()]
    assert {attributes.get(sc.GAME_STATUS) for attributes in told} == {None, "unfinished"}
    game.get_state()


def test_a_game_that_is_never_looked_at_makes_no_spans(captured: Captured) -> None:
    games = [Game() for _ in range(3)]
    games.clear()
    gc.collect()
    assert names(captured) == []


def test_a_phase_that_the_engine_cannot_process_says_why(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game()
    with monkeypatch.context() as patched:
        patched.setattr(Game, "_process", lambda _self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            game.process()
    game.process()  # the program has caught it, and goes on
    game.draw()
    failed = captured.shape()[1]
    assert (failed["name"], failed["status"]) == ("phase S1901M", "ERROR")
    assert attributes(captured, "phase S1901M")[sc.ERROR_TYPE] == "ZeroDivisionError"
    assert names(captured)[1:] == ["phase S1901M", "phase F1901M"]


def test_a_position_that_the_program_sets_begins_its_phase_once_more(captured: Captured) -> None:
    game = Game()
    before = game.get_state()
    game.process()
    game.set_state(before)
    game.process()
    game.draw()
    assert names(captured)[1:] == ["phase S1901M", "phase F1901M", "phase S1901M", "phase F1901M"]
    again = captured.shape()[3]["attributes"]
    assert again[sc.PHASE_OUT_OF_ORDER] is True
    assert captured.shape()[2]["events"] == [names_of.EVENT_POSITION_SET]


def test_in_one_trace_a_game_phases_are_below_the_game() -> None:
    with testing.capture(metrics=False, game_traces="game") as captured:
        game = Game()
        game.process()
        game.draw()
        shape = captured.shape()
    assert [(span["name"], span["parent"]) for span in shape] == [
        ("invoke_workflow diplomacy", None),
        ("phase S1901M", "invoke_workflow diplomacy"),
        ("phase F1901M", "invoke_workflow diplomacy"),
    ]
