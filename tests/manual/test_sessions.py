"""Games that records open: none is mixed up with another, none is left behind."""

from __future__ import annotations

import asyncio
import collections
import gc
import os
import random
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

import otel_llm
from otel_llm import drops, runtime
from otel_llm import semconv as sc
from otel_llm.manual import sessions as module
from otel_llm.manual.sessions import sessions

POWERS = ("AUSTRIA", "ENGLAND", "FRANCE", "GERMANY", "ITALY", "RUSSIA", "TURKEY")


def order(game_id, power="FRANCE", phase="S1901M", **more):
    return otel_llm.log_order_generation(game_id, "m", power, phase, "p", "r", ["x"], True, 1, **more)


def play(game_id: str, seed: int) -> collections.Counter:
    """Log a game; return an independent count of what was logged."""
    draw = random.Random(seed)
    count: collections.Counter = collections.Counter()
    otel_llm.log_session_start(game_id, grpo_episode=seed)
    for phase in ("S1901M", "F1901M", "W1901A"):
        for power in POWERS:
            if draw.random() < 0.8:
                failed = draw.random() < 0.2
                count[phase, power] += 1
                count["failed"] += failed
                success = "Failure: x" if failed else True
                otel_llm.log_order_generation(game_id, "m", power, phase, "p", "r", ["x"], success, 1)
    otel_llm.log_session_end(game_id)
    return count


def check(store, counts) -> None:
    found: dict[str, collections.Counter] = {game_id: collections.Counter() for game_id in counts}
    for read in store.interactions():
        found[read.game_id][read.phase, read.power_name] += 1
        found[read.game_id]["failed"] += not read.success
        assert read.grpo_episode == int(read.game_id.partition("-")[2])
    assert found == counts
    for game in store.sessions():
        count = counts[game.game_id]
        assert game.total_interactions == sum(count.values()) - count["failed"]
        assert game.failed_interactions == count["failed"]
    games = {span.attributes[sc.GAME_ID]: span for span in store.spans("game")}
    for game_id, count in counts.items():
        a = games[game_id].attributes
        assert a[sc.TOTALS_PREFIX + "interactions"] == sum(count.values()) - count["failed"]
        assert a.get(sc.TOTALS_PREFIX + "failed_interactions", 0) == count["failed"]
    phases = {span.span_id: span for span in store.spans("phase")}
    assert len(phases) == 3 * len(counts)
    for span in store.spans("interaction"):
        assert phases[span.parent_id].attributes[sc.GAME_ID] == span.attributes[sc.GAME_ID]
        assert phases[span.parent_id].attributes[sc.PHASE_NAME] == span.attributes[sc.PHASE_NAME]


def test_games_in_many_threads_are_not_mixed(store) -> None:
    otel_llm.initialize_llm_logging()
    names = [f"game-{i}" for i in range(30)]
    with ThreadPoolExecutor(8) as pool:
        counts = dict(zip(names, pool.map(lambda name: play(name, int(name[5:])), names), strict=True))
    check(store, counts)


async def test_games_in_many_tasks_are_not_mixed(store) -> None:
    async def powers(game_id, phase):
        async def one(power):
            await asyncio.sleep(0)
            order(game_id, power, phase)

        await asyncio.gather(*(one(power) for power in POWERS))

    async def game(i):
        game_id = f"game-{i}"
        otel_llm.log_session_start(game_id, grpo_episode=i)
        for phase in ("S1901M", "F1901M", "W1901A"):
            await powers(game_id, phase)
        otel_llm.log_session_end(game_id)
        return game_id

    names = await asyncio.gather(*(game(i) for i in range(20)))
    count = collections.Counter(
        {(phase, power): 1 for phase in ("S1901M", "F1901M", "W1901A") for power in POWERS}
    )
    count["failed"] = 0
    check(store, dict.fromkeys(names, count))


def test_one_game_from_many_threads_is_one_game(store) -> None:
    def log(power):
        for _ in range(20):
            order("g", power)

    threads = [threading.Thread(target=log, args=(power,)) for power in POWERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    otel_llm.log_session_end("g")
    assert len(store.spans("game")) == len(store.spans("phase")) == 1
    (game,) = store.sessions()
    assert game.interactions_by_power == dict.fromkeys(POWERS, 20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_logs_the_same_game_and_ends_nothing_of_its_parents(store) -> None:
    otel_llm.initialize_llm_logging()
    order("g", "FRANCE")
    pid = os.fork()
    if pid == 0:
        try:
            order("g", "ITALY")
            otel_llm.log_session_end("g")
            runtime.shutdown(5)
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    order("g", "RUSSIA")
    otel_llm.log_session_end("g")
    games = store.spans("game")
    assert sorted(game.attributes[sc.TOTALS_PREFIX + "interactions"] for game in games) == [1, 2]
    (session,) = store.sessions()
    assert session.interactions_by_power == {"FRANCE": 1, "ITALY": 1, "RUSSIA": 1}


def test_a_session_that_is_started_twice_goes_on(store, caplog) -> None:
    otel_llm.log_session_start("g", mode="a")
    order("g")
    otel_llm.log_session_start("g", mode="b")
    order("g")
    otel_llm.log_session_end("g")
    (game,) = store.spans("game")
    assert game.attributes["otel_llm.custom.mode"] == "b"
    assert store.sessions()[0].total_interactions == 2
    assert "is open already" in caplog.text


def test_what_is_announced_after_the_first_record_holds_from_then_on(store) -> None:
    order("g")
    otel_llm.log_session_start("g", True, 4)
    order("g")
    otel_llm.log_session_end("g")
    assert [read.grpo_episode for read in store.interactions()] == [None, 4]
    (game,) = store.sessions()
    assert (game.is_grpo_training, game.grpo_episode) == (True, 4)


def test_a_session_without_an_id_gets_one(store) -> None:
    game_id = otel_llm.log_session_start()
    order(game_id)
    assert otel_llm.log_session_end(game_id) == game_id
    assert [game.game_id for game in store.sessions()] == [game_id]


def test_ending_a_game_that_is_not_open_is_said_once(store, caplog) -> None:
    otel_llm.initialize_llm_logging()
    assert otel_llm.log_session_end("never") is None
    assert otel_llm.log_session_end(None) is None
    assert drops.counts()["session", "not_open"] == 2
    assert caplog.text.count("no such game is open") == 1


def test_a_game_that_nobody_ends_ends_unfinished_when_its_last_interaction_did(store) -> None:
    moment = time.time() - 3600
    order("g", timestamp=moment)
    assert runtime.shutdown()
    (game,), (phase,) = store.spans("game"), store.spans("phase")
    for span in (game, phase):
        assert span.end_ns / 1e9 == pytest.approx(moment, abs=1e-5)
    assert game.attributes["game.status"] == "unfinished"
    assert game.attributes[sc.LEFT_OPEN] is True
    assert store.sessions()[0].status == "unfinished"


def test_a_second_game_under_the_same_id_is_summed_up_with_the_first(store) -> None:
    for _ in range(2):
        order("g")
        otel_llm.log_session_end("g")
    assert len(store.spans("game")) == 2
    (game,) = store.sessions()
    assert game.total_interactions == 2


def test_finished_games_leave_nothing_in_memory(store) -> None:
    otel_llm.initialize_llm_logging()
    left = []
    for i in range(50):
        otel_llm.log_session_start(f"game-{i}")
        order(f"game-{i}")
        left.append(weakref.ref(next(reversed(sessions._open.values())).game))
        otel_llm.log_session_end(f"game-{i}")
    assert len(sessions) == 0
    otel_llm.force_flush()
    gc.collect()
    assert sum(ref() is not None for ref in left) <= 1


def test_of_too_many_open_games_the_quietest_is_ended(store, monkeypatch, caplog) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    for i in range(4):
        order(f"game-{i}")
        order("game-0")
    assert len(sessions) == 3
    (ended,) = store.spans("game")
    assert (ended.attributes[sc.GAME_ID], ended.attributes["game.status"]) == ("game-1", "unfinished")
    assert drops.counts()["session", "too_many_open"] == 1
    assert "are open at once" in caplog.text


def test_of_very_many_phases_the_oldest_are_forgotten(store, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_PHASES", 2)
    for i in range(5):
        order("g", phase=f"grpo_e0_s{i}")
    assert len(next(iter(sessions._open.values()))._phases) == 2
    otel_llm.log_session_end("g")
    assert len(store.spans("phase")) == 5


def test_a_record_inside_a_game_of_the_program_joins_it(store) -> None:
    otel_llm.instrument()
    with otel_llm.game("g", name="diplomacy") as game:
        with otel_llm.phase("S1901M") as phase:
            order(None, phase=None)
            order("g")
            order("g", phase="F1901M")  # a phase that the program did not open
        order("g", phase="F1901M")
        otel_llm.log_session_end("g", outcome="draw")
        assert not game.ended
        order("other", "ITALY")
    spans = store.spans("interaction")
    (span,) = [span for span in store.spans("game") if span.attributes[sc.GAME_ID] == "g"]
    assert span.attributes["game.outcome"] == "draw"
    parents = [span.parent_id for span in spans[:4]]
    assert parents[:2] == [f"{phase.span.get_span_context().span_id:016x}"] * 2
    assert parents[2] == parents[3] != parents[0]
    assert [span.attributes[sc.GAME_ID] for span in spans] == ["g"] * 4 + ["other"]
    assert [session.game_id for session in store.sessions()] == ["g", "other"]
    assert {s.game_id: s.total_interactions for s in store.sessions()} == {"g": 4, "other": 1}


def test_a_record_inside_its_open_interaction_tells_it_and_doubles_nothing(store) -> None:
    otel_llm.instrument()
    with otel_llm.game("g"), otel_llm.phase("S1901M"):
        with otel_llm.interaction("order", power="FRANCE") as turn:
            own = otel_llm.log_order_generation(
                "g", "gpt-4o", "FRANCE", "S1901M", "prompt", "answer", ["A PAR H"], "Failure: Invalid LLM Moves (1): B", 99,
                tokens={"input": 5, "output": 6}, cost=0.25,
            )  # fmt: skip
            otel_llm.log_negotiation(
                "g", "gpt-4o", "FRANCE", "S1901M", messages=["hello"]
            )  # something else, made meanwhile
            assert own == f"{turn.span.get_span_context().span_id:016x}"
        with otel_llm.interaction("negotiation", power="ITALY"):
            otel_llm.log_negotiation(power_name="ITALY", messages=[{"recipient": "FRANCE", "content": "hi"}])
    order_, negotiation, third = store.interactions()
    assert [r.interaction_type for r in (order_, negotiation, third)] == [
        "order",
        "negotiation",
        "negotiation",
    ]
    assert (order_.success, order_.error_type, order_.response_time_ms) == (False, "invalid_llm_moves", 99)
    assert (order_.model_name, order_.input_length, order_.response_length) == ("gpt-4o", 6, 6)
    assert (order_.tokens, order_.cost_estimate) == ({"input": 5, "output": 6}, 0.25)
    assert [span.name for span in store.spans("chat")] == ["chat gpt-4o"]  # of the negotiation alone
    assert [event.name for event in store.spans("interaction")[-1].events] == ["game.message.sent"]


def test_a_record_of_another_power_inside_an_interaction_is_its_own(store) -> None:
    otel_llm.instrument()
    with otel_llm.game("g"), otel_llm.phase("S1901M"), otel_llm.interaction("order", power="FRANCE"):
        order("g", "ITALY")
        order("h", "FRANCE")
        order("g", "FRANCE", "F1901M")
    assert sorted((r.game_id, r.power_name, r.phase) for r in store.interactions()) == [
        ("g", "FRANCE", "F1901M"),
        ("g", "FRANCE", "S1901M"),
        ("g", "ITALY", "S1901M"),
        ("h", "FRANCE", "S1901M"),
    ]


def test_a_late_record_of_a_phase_never_seen_does_not_end_the_one_being_played(store) -> None:
    moment = time.time() - 1000
    order("g", phase="F1901M", timestamp=moment)
    order("g", phase="S1901M", timestamp=moment + 10)
    order("g", phase="F1901M", timestamp=moment + 20)
    order("g", phase="W1901A", timestamp=moment + 30)
    otel_llm.log_session_end("g", timestamp=moment + 40)
    ends = {span.attributes[sc.PHASE_NAME]: span.end_ns / 1e9 - moment for span in store.spans("phase")}
    # Both last until the next phase began.
    assert ends == pytest.approx({"F1901M": 30, "S1901M": 30, "W1901A": 40}, abs=0.01)
