"""Under which game a model call falls in a program that says nothing: the rule of `otel_llm_diplomacy.ambient`."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from diplomacy import Game
from opentelemetry import trace

import otel_llm
from otel_llm import semconv as sc
from otel_llm.testing import Captured
from tests.diplomacy.play import ask, ask_async, names, where

OUTSIDE = (None, None, None)
PHASES = ("S1901M", "F1901M")


def at(game_id: str, phase: str = "S1901M", parent: str | None = None) -> tuple[str, str, str]:
    return game_id, phase, parent or f"phase {phase}"


def test_calls_fall_under_the_phase_that_is_played(captured: Captured) -> None:
    ask("before")
    game = Game("a")
    ask("made, not looked at")
    game.get_state()
    ask("looked at")
    game.set_orders("FRANCE", ["A PAR H"])
    ask("ordered")
    game.process()
    ask("the next phase")
    game.draw()
    ask("after")
    assert where(captured) == {
        "before": OUTSIDE,
        "made, not looked at": OUTSIDE,
        "looked at": at("a"),
        "ordered": at("a"),
        "the next phase": at("a", "F1901M"),
        "after": OUTSIDE,
    }


def test_any_look_will_do(captured: Captured) -> None:
    looks = {
        "get_state": lambda game: game.get_state(),
        "get_current_phase": lambda game: game.get_current_phase(),
        "is_game_done": lambda game: game.is_game_done,
        "get_all_possible_orders": lambda game: game.get_all_possible_orders(),
        "get_orderable_locations": lambda game: game.get_orderable_locations("FRANCE"),
        "get_units": lambda game: game.get_units("FRANCE"),
        "get_centers": lambda game: game.get_centers(),
        "get_phase_data": lambda game: game.get_phase_data(),
        "current_state": lambda game: game.current_state(),
        "set_wait": lambda game: game.set_wait("FRANCE", wait=False),
    }
    games = []
    for name, look in looks.items():
        game = Game(name)
        look(game)
        ask(name)
        games.append(game)
    assert where(captured) == {name: at(name) for name in looks}


def test_tasks_threads_and_executor_jobs_inherit_the_game(captured: Captured) -> None:
    def on_a_thread() -> None:
        thread = threading.Thread(target=ask, args=("thread",))
        thread.start()
        thread.join()

    async def play() -> None:
        game = Game("a")
        game.get_state()
        await asyncio.gather(*(ask_async(f"task {n}") for n in range(7)))
        await asyncio.get_running_loop().run_in_executor(None, ask, "executor")
        on_a_thread()
        game.process()
        await asyncio.gather(ask_async("next"))
        game.draw()

    asyncio.run(play())
    found = where(captured)
    assert found.pop("next") == at("a", "F1901M")
    assert set(found.values()) == {at("a")}
    assert len(found) == 9


async def test_fifty_games_in_tasks_of_one_loop_do_not_mix(captured: Captured) -> None:
    games = [Game(f"g{n}") for n in range(50)]  # all made in one context, as training loops do

    async def power(game: Game, name: str) -> None:
        await asyncio.sleep(0)
        await ask_async(f"{game.game_id} {game.phase} {name}")
        game.set_orders(name, [])

    async def play(game: Game) -> None:
        while game.get_current_phase() != "S1902M":
            await asyncio.gather(*(power(game, name) for name in ("FRANCE", "ITALY")))
            game.process()
        game.draw()

    await asyncio.gather(*map(play, games))
    found = where(captured)
    assert len(found) == 50 * 2 * 2
    long = {"SPRING": "S1901M", "FALL": "F1901M"}
    assert found == {model: at(model.split()[0], long[model.split()[1]]) for model in found}
    totals = {
        span.attributes[sc.GAME_ID]: span.attributes[sc.TOTALS_PREFIX + "calls"]
        for span in captured.spans()
        if span.name == "invoke_workflow diplomacy"
    }
    assert totals == {f"g{n}": 4 for n in range(50)}


def test_fifty_games_in_threads_do_not_mix(captured: Captured) -> None:
    def play(n: int) -> None:
        game = Game(f"g{n}")
        for phase in PHASES:
            game.get_all_possible_orders()
            ask(f"g{n} {phase}")
            game.process()
        game.draw()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(play, range(50)))
    assert where(captured) == {f"g{n} {phase}": at(f"g{n}", phase) for n in range(50) for phase in PHASES}


def test_one_context_may_play_games_in_turn(captured: Captured) -> None:
    games = [Game(f"g{n}") for n in range(3)]
    for phase in PHASES:
        for game in games:
            game.get_state()
            ask(f"{game.game_id} {phase}")
            game.process()
    assert where(captured) == {f"g{n} {phase}": at(f"g{n}", phase) for n in range(3) for phase in PHASES}


def test_one_context_may_ask_for_all_games_before_it_acts_on_any(captured: Captured) -> None:
    games = [Game(f"g{n}") for n in range(3)]
    for around in range(2):  # two rounds of negotiation, in the same phase
        for game in games:
            game.get_state()
            ask(f"{game.game_id} {around}")
    for game in games:
        game.process()
    assert where(captured) == {f"g{n} {around}": at(f"g{n}") for n in range(3) for around in range(2)}


def test_a_game_left_unfinished_gives_way_to_the_next(captured: Captured) -> None:
    kept = []
    for n in range(3):
        game = Game(f"g{n}")
        while game.get_current_phase() == "S1901M":
            ask(f"g{n}")
            game.process()
        game.get_state()
        kept.append(game)
    assert where(captured) == {f"g{n}": at(f"g{n}") for n in range(3)}


def test_several_games_made_at_once_and_played_one_after_the_other(captured: Captured) -> None:
    games = [Game(f"g{n}") for n in range(3)]
    for game in games:
        while game.get_current_phase() != "S1902M":
            ask(f"{game.game_id} {game.get_current_phase()}")
            game.process()
    assert where(captured) == {f"g{n} {phase}": at(f"g{n}", phase) for n in range(3) for phase in PHASES}


def test_a_call_after_looks_at_several_games_belongs_to_none_of_them(captured: Captured) -> None:
    games = [Game(f"g{n}") for n in range(3)]
    states = [game.get_state() for game in games]
    assert len(states) == 3
    ask("a batch, for all of them")
    for game in games:
        game.set_orders("FRANCE", [])
        ask(f"acted on {game.game_id}")
    assert where(captured) == {
        "a batch, for all of them": OUTSIDE,
        **{f"acted on g{n}": at(f"g{n}") for n in range(3)},
    }


async def test_a_task_started_after_looks_at_several_games_has_none_until_it_looks(
    captured: Captured,
) -> None:
    games = [Game(f"g{n}") for n in range(5)]
    assert {game.get_current_phase() for game in games} == {"S1901M"}

    async def play(game: Game) -> None:
        await ask_async(f"{game.game_id} blind")
        game.get_state()
        await ask_async(f"{game.game_id} looked")
        game.process()
        await ask_async(f"{game.game_id} acted")

    await asyncio.gather(*map(play, games))
    assert where(captured) == {
        **{f"g{n} blind": OUTSIDE for n in range(5)},
        **{f"g{n} looked": at(f"g{n}") for n in range(5)},
        **{f"g{n} acted": at(f"g{n}", "F1901M") for n in range(5)},
    }


def test_a_second_round_of_looks_finds_its_way_again(captured: Captured) -> None:
    games = [Game(f"g{n}") for n in range(3)]
    for game in games:  # the program prints them all
        game.get_units()
        game.get_centers()
    for game in games:
        game.get_state()
        ask(game.game_id)
        game.process()
    assert where(captured) == {f"g{n}": at(f"g{n}") for n in range(3)}


def test_spans_of_the_programs_own_keep_their_place(captured: Captured) -> None:
    tracer = trace.get_tracer("mine")
    with tracer.start_as_current_span("tournament"):
        game = Game("a")
        game.get_state()
        with tracer.start_as_current_span("france thinks"):
            game.get_units("FRANCE")
            ask("within")
        ask("beside")
        game.draw()
        ask("after")
    assert where(captured) == {
        "within": at("a", parent="france thinks"),
        "beside": at("a"),
        "after": (None, None, "tournament"),
    }
    assert captured.shape()[1]["links"] == ["tournament"]


def test_interactions_of_the_program_hold_the_calls_of_their_power(captured: Captured) -> None:
    game = Game("a")
    game.get_state()
    with otel_llm.interaction("order", power="FRANCE"):
        game.get_all_possible_orders()
        ask("within")
        game.set_orders("FRANCE", [])
        ask("still")
    ask("beside")
    found = where(captured)
    game.draw()
    assert found == {
        "within": at("a", parent="invoke_agent FRANCE"),
        "still": at("a", parent="invoke_agent FRANCE"),
        "beside": at("a"),
    }


def test_an_agent_that_lives_for_the_whole_game_goes_on_with_the_phase(captured: Captured) -> None:
    async def play() -> None:
        game = Game("a")
        game.get_state()
        processed = asyncio.Event()

        async def agent() -> None:
            await ask_async("first")
            await processed.wait()
            game.get_state()
            await ask_async("second")

        running = asyncio.create_task(agent())
        await asyncio.sleep(0.05)
        game.process()
        processed.set()
        await running
        game.draw()

    asyncio.run(play())
    assert where(captured) == {"first": at("a"), "second": at("a", "F1901M")}


def test_a_span_of_the_programs_own_around_the_next_game_holds_that_one(captured: Captured) -> None:
    abandoned = Game("a")
    abandoned.process()
    with trace.get_tracer("mine").start_as_current_span("the next"):
        game = Game("b")
        game.process()
        ask("in it")
        game.draw()
        ask("after it")
    assert where(captured) == {"in it": at("b", "F1901M"), "after it": (None, None, "the next")}


def test_the_next_game_does_not_seem_to_begin_in_the_one_before(captured: Captured) -> None:
    for n in range(2):
        game = Game(f"g{n}")
        game.get_state()
        game.process()
    games = [span for span in captured.shape() if span["name"] == "invoke_workflow diplomacy"]
    game.draw()
    assert [span["links"] for span in games] == [[]] * len(games)
    assert names(captured).count("phase S1901M") == 2


def test_powers_in_threads_of_their_own_share_one_game(captured: Captured) -> None:
    game = Game("a")
    powers = list(game.powers)
    together = threading.Barrier(len(powers), timeout=30)

    def power(name: str) -> None:
        for phase in PHASES:
            game.get_orderable_locations(name)
            ask(f"{name} {phase}")
            game.set_orders(name, [f"{unit} H" for unit in game.get_units(name)])
            if together.wait() == 0:
                game.process()
            together.wait()

    threads = [threading.Thread(target=power, args=(name,)) for name in powers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert where(captured) == {f"{name} {phase}": at("a", phase) for name in powers for phase in PHASES}
    assert names(captured).count("invoke_workflow diplomacy") == 1
