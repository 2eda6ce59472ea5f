"""Many games at once: in one process, over processes, over threads; no figure of one is in another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import served
import stored
from selfplay.match import Match, play, replies
from selfplay.table import Outcome, Rules

import otel_llm
from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoreReader

GAMES = 50
PROCESSES = 3
GAMES_EACH = 4

# What a process of its own does: play, and print what its server saw.
PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:3]
import served
from selfplay.match import Match, play, replies
from selfplay.table import Rules
import otel_llm
from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoreReader

otel_llm.instrument()
match = Match(sys.argv[3:], rules=Rules(max_year=1901, rounds=1), seed=len(sys.argv[3]))
with LoopbackServer(reply=replies(match), keep=100_000) as server:
    play(match, server=server)
    print(json.dumps(served.by_game(server.requests)))
"""


def compare(store: stored.Store, truth: dict[str, dict[str, Any]]) -> None:
    """All that the store says of each game is what the server saw of it."""
    assert stored.by_game(store) == truth
    games = {game.attributes[sc.GAME_ID]: game for game in store.scopes("game")}
    assert games.keys() == truth.keys()
    interactions: dict[str, Counter[tuple[str, str]]] = {game: Counter() for game in games}
    for span in store.scopes("interaction"):
        it = span.attributes
        interactions[it[sc.GAME_ID]][it[sc.INTERACTION_TYPE], it[sc.POWER_NAME]] += 1
    for game_id, game in games.items():
        expected = truth[game_id]
        assert stored.totals(game) == {key: value for key, value in expected.items() if key != "by_phase"}
        by_type: Counter[str] = Counter()
        for (kind, _), count in interactions[game_id].items():
            by_type[kind] += count
        assert by_type == expected["by_type"]


def test_fifty_games_at_once_each_have_their_own_figures(tmp_path: Path) -> None:
    match = Match([f"game/{n}" for n in range(GAMES)], rules=Rules(max_year=1901, rounds=1), seed=3)
    otel_llm.instrument(store=tmp_path / "store")
    with LoopbackServer(reply=replies(match), keep=100_000) as server:
        outcomes = play(match, server=server)
        requests = server.requests
        assert server.served == len(requests)
    assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
    assert otel_llm.shutdown(30)

    store = stored.Store(tmp_path / "store")
    truth = served.by_game(requests)
    assert truth.keys() == set(match.game_ids)
    compare(store, truth)
    assert (
        len({json.dumps(figures) for figures in truth.values()}) > GAMES / 2
    )  # games differ, so mixing shows

    # Each call is the server's request, not only as many.
    seen = Counter(map(served.Served.of, requests))
    assert Counter(map(stored.seen_as, store.calls)) == seen
    # And each phase is a trace of one game.
    by_trace: dict[str, set[str]] = {}
    for span in store.spans:
        by_trace.setdefault(span.trace_id, set()).add(span.attributes[sc.GAME_ID])
    assert all(len(games) == 1 for games in by_trace.values())
    overlap = sorted(store.scopes("game"), key=lambda game: game.start_ns)
    assert overlap[-1].start_ns < min(game.end_ns or 0 for game in overlap)  # they were at once


def test_processes_that_share_a_store_keep_their_games_apart(tmp_path: Path, selfplay: Path) -> None:
    environment = {**os.environ, "OTEL_LLM_STORE": str(tmp_path / "store")}
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", PROGRAM, str(selfplay), str(Path(__file__).parent)),
                *(f"{'x' * process}-{n}" for n in range(GAMES_EACH)),
            ],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(1, PROCESSES + 1)
    ]
    truth: dict[str, dict[str, Any]] = {}
    for process in running:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-4000:]
        truth |= json.loads(output)
    assert len(truth) == PROCESSES * GAMES_EACH
    compare(stored.Store(tmp_path / "store"), truth)


def test_one_game_id_in_two_processes_loses_nothing(tmp_path: Path, selfplay: Path) -> None:
    environment = {**os.environ, "OTEL_LLM_STORE": str(tmp_path / "store")}
    command = [sys.executable, "-c", PROGRAM, str(selfplay), str(Path(__file__).parent), "the same"]
    outputs = []
    for process in [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        outputs.append(json.loads(output)["the same"])
    store = stored.Store(tmp_path / "store")
    assert len(store.scopes("game")) == 2
    found = stored.by_game(store)["the same"]
    assert found["calls"] == sum(figures["calls"] for figures in outputs)
    assert found["input_tokens"] == sum(figures["input_tokens"] for figures in outputs)


@pytest.mark.parametrize("games", [1, 3])
def test_the_command_plays_by_itself_and_says_what_to_do_next(
    tmp_path: Path, selfplay: Path, games: int
) -> None:
    done = subprocess.run(
        [sys.executable, str(selfplay), "--max_year", "1901", "--games", str(games), "--game_id", "evening"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ids = ["evening"] if games == 1 else [f"evening-{n}" for n in range(1, games + 1)]
    for game_id in ids:
        assert f"{game_id}: " in done.stdout
    assert "No --base_url" in done.stdout
    assert f"otel-llm show --game {ids[0]}" in done.stdout
    assert f"otel-llm report --game {ids[0]}" in done.stdout
    store = stored.Store(tmp_path / ".otel_llm")
    assert {game.attributes[sc.GAME_ID] for game in store.scopes("game")} == set(ids)


def test_a_game_that_is_interrupted_is_in_the_store(tmp_path: Path, selfplay: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(selfplay), "--max_year", "1990", "--game_id", "long"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(StoreReader(tmp_path / ".otel_llm").spans(name="phase F1901M", limit=1)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()) == (
        130,
        ["Interrupted. What was played is in the store: otel-llm show --games"],
    )
    store = stored.Store(tmp_path / ".otel_llm")  # which says that nothing is open
    (game,) = store.scopes("game")
    assert game.status == "error"
    assert game.attributes[sc.ERROR_TYPE] == "cancelled"
    # A call in a thread cannot be cancelled: it may end after its game.
    ended_within = sum(call.end_ns <= game.end_ns for call in store.calls)
    assert ended_within <= game.attributes[sc.TOTALS_PREFIX + "calls"] <= len(store.calls)


def test_any_endpoint_that_speaks_openai_will_do(tmp_path: Path, selfplay: Path) -> None:
    with LoopbackServer(reply=replies(Match([]))) as server:
        done = subprocess.run(
            [
                *(sys.executable, str(selfplay), "--max_year", "1901", "--num_negotiation_rounds", "0"),
                *("--game_id", "mine", "--base_url", f"{server.url}/v1"),
                *("--models", "my-model,FRANCE=aiohttp:other,ITALY=requests:llama3:8b"),
            ],
            cwd=tmp_path,
            env={**os.environ, "OPENAI_API_KEY": "k" * 20},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "No --base_url" not in done.stdout
        truth = served.by_game(server.requests)
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer " + "k" * 20}
    assert truth["mine"]["by_model"].keys() == {"my-model", "other", "llama3:8b"}
    compare(stored.Store(tmp_path / ".otel_llm"), truth)
