"""The engine plays as it would have, whatever happens to us; and nothing is left behind."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import json
import os
import random
import subprocess
import sys
import warnings
import weakref
from typing import Any

import diplomacy
import pytest
from diplomacy import Game, Message
from diplomacy.utils.export import to_saved_game_format

import otel_llm
from otel_llm import drops, testing
from otel_llm import semconv as sc
from otel_llm.testing import Captured
from otel_llm_diplomacy import DiplomacyInstrumentor, facts, known_games, telling
from otel_llm_diplomacy.games import _MAX_STATES, Games
from otel_llm_diplomacy.playing import Player
from tests.diplomacy.play import names, random_orders, year

_TIMES = ("timestamp", "time_sent", "timestamp_created", "controller")


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(found) for key, found in value.items() if key not in _TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list | tuple) else value


def play(seed: int = 7, until: int = 1903) -> tuple[Any, Any, float]:
    """Play a game; return its fields, its saved form, and a random number drawn after it."""
    random.seed(seed)
    game = Game("g")
    copies: list[Any] = []
    while not game.is_game_done and year(game) < until:
        random_orders(game, random)  # type: ignore[arg-type]
        game.add_message(
            Message(phase=game.current_short_phase, sender="ITALY", recipient="GLOBAL", message="?")
        )
        with game.current_state() as same:
            assert same is game
        saved = game.to_dict()
        copies.append(Game.from_dict(saved).to_dict())
        if len(copies) == 1:  # the engine takes its time for these
            assert _timeless(copy.deepcopy(game).to_dict()) == _timeless(saved)
        game.process()
    ahead = Game()
    ahead.set_state(game.get_state())
    ahead.process()
    game.draw()
    return _timeless([game.to_dict(), copies]), _timeless(to_saved_game_format(game)), random.random()


def test_a_game_is_the_same_with_us_and_without() -> None:
    without = play()
    with testing.capture(metrics=False) as captured:
        assert play() == without
        assert len(captured.spans()) > 5
    assert json.dumps(without)
    assert play() == without
    assert drops.counts() == {}


@functools.cache
def _short_game() -> Any:
    return play(until=1902)


HOOKS = [
    (Player, "touch"),
    (Player, "created"),
    (Player, "copied"),
    (Player, "_settle"),
    (Player, "_begin"),
    (Player, "_begin_phase"),
    (Player, "_end"),
    (Player, "processing"),
    (Player, "processed"),
    (Player, "failed"),
    (Player, "ordering"),
    (Player, "ordered"),
    (Player, "sent"),
    (Player, "loaded"),
    (Player, "stopped"),
    (Games, "add"),
    (Games, "handed_out"),
    (Games, "followed"),
    (Games, "over"),
    (telling, "phase_ended"),
    (telling, "orders_given"),
    (telling, "message_sent"),
    (facts, "results"),
    (facts, "events"),
    (facts, "counts"),
]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("owner", "name"), HOOKS, ids=[name for _, name in HOOKS])
def test_whatever_of_ours_breaks_the_game_goes_on(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    without = _short_game()

    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(owner, name, broken)
    with testing.capture(metrics=False):
        assert play(until=1902) == without
        if name == "failed":
            with pytest.raises(ZeroDivisionError), monkeypatch.context() as patched:
                patched.setattr(Game, "_process", lambda _self: 1 / 0)
                Game().process()
    assert any(what == "internal_error" for what, _ in drops.counts())


def test_uninstrumenting_puts_every_member_back() -> None:
    before = dict(vars(Game))
    with testing.capture(metrics=False):
        assert vars(Game)["process"] is not before["process"]
        assert "__del__" in vars(Game)
        assert inspect.signature(Game.set_orders) == inspect.signature(before["set_orders"])
        assert Game.process.__doc__ == before["process"].__doc__
    assert dict(vars(Game)) == before


def test_what_others_have_wrapped_since_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Game.get_state
    with testing.capture(metrics=False):
        ours = Game.get_state

        def theirs(self: Any) -> Any:
            return ours(self)

        Game.get_state = theirs
    try:
        assert Game.get_state is theirs
        assert Game().get_state()["name"] == "S1901M"
    finally:
        Game.get_state = original


def test_a_member_that_an_engine_lacks_is_named_and_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Game, "get_phase_data")
    with testing.capture(metrics=False) as captured:
        seams = otel_llm.status()["seams"]["otel_llm_diplomacy"]
        assert seams == {"diplomacy.engine.game": "patched, without get_phase_data"}
        game = Game()
        game.process()
        game.draw()
        assert len(names(captured)) == 3


def test_the_seam_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with testing.capture(metrics=False):
        assert otel_llm.status()["seams"]["otel_llm_diplomacy"] == {"diplomacy.engine.game": "patched"}
    assert DiplomacyInstrumentor().seams() == {"diplomacy.engine.game": "not patched"}


def test_games_are_freed_and_nothing_of_them_is_kept(captured: Captured) -> None:
    known: Games = known_games()
    with (
        warnings.catch_warnings()
    ):  # what earlier tests left, such as the event loop of an older pytest-asyncio
        warnings.simplefilter("ignore")
        gc.collect()
    before = len(known._table)
    for n in range(20):
        game = Game(f"g{n}")
        game.process()
        if n < 2:
            copy.deepcopy(game).process()
        if n % 2:
            game.draw()
    phases = [weakref.ref(found.phase) for found in known._table.values() if found.phase is not None]
    maps = weakref.ref(game._phase_wrapper_type)
    del game
    gc.collect()
    names(captured)
    gc.collect()
    assert maps() is None
    assert len(known._table) == before
    assert len(known._by_id) <= 1
    # What was looked at last is current in this context, and no more than that.
    assert sum(ref() is not None for ref in phases) <= 1
    assert names(captured).count("invoke_workflow diplomacy") == 20


def test_states_that_were_handed_out_are_remembered_within_bounds(captured: Captured) -> None:
    game = Game()
    for _ in range(_MAX_STATES + 500):
        game.get_state()
    assert len(known_games()._states) == _MAX_STATES


def test_a_game_made_before_we_came_is_followed_from_where_it_is() -> None:
    game = Game("early")
    game.process()
    with testing.capture(metrics=False) as captured:
        game.process()
        game.draw()
        assert names(captured) == ["invoke_workflow diplomacy", "phase F1901M", "phase S1902M"]


def test_nothing_happens_without_instrument() -> None:
    DiplomacyInstrumentor().instrument(skip_dep_check=True)
    try:
        assert play(until=1902)[0][0]["status"] == "completed"
        assert known_games()._by_id == {}
    finally:
        DiplomacyInstrumentor().uninstrument()


def test_the_engine_is_not_imported_for_a_program_that_does_without() -> None:
    code = "import otel_llm, sys; otel_llm.instrument(store=None); print('diplomacy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
    assert diplomacy.__name__ in sys.modules


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_its_parents_spans_alone(captured: Captured) -> None:
    game = Game("g")
    game.get_state()
    child = os.fork()
    if child == 0:
        game.process()
        game.draw()
        told = [span.context.span_id for span in captured.spans() if span.name == "invoke_workflow diplomacy"]
        # A span of its own, under the same id; the parent's is not ended here.
        os._exit(0 if len(told) == 1 and captured.exporter is not None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert names(captured) == []
    game.process()
    game.draw()
    assert names(captured) == ["invoke_workflow diplomacy", "phase S1901M", "phase F1901M"]


def test_a_subclass_with_a_destructor_of_its_own_is_followed_too(captured: Captured) -> None:
    class Mine(Game):
        def __del__(self) -> None:
            pass

    game = Mine("g")
    game.process()
    game.draw()
    del game
    gc.collect()
    assert id(known := known_games())
    assert not any(f.game_id == "g" for f in known._table.values())
    assert len(names(captured)) == 3
    assert [span.attributes[sc.GAME_STATUS] for span in captured.spans()[-1:]] == ["completed"]


def test_games_may_go_at_any_moment_also_while_another_begins(captured: Captured) -> None:
    before = gc.get_threshold()
    gc.set_threshold(20)  # finalizers run in the middle of everything
    try:
        for n in range(10):
            Game(f"g{n}").get_state()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert names(captured).count("invoke_workflow diplomacy") == 10
    assert drops.counts() == {}
