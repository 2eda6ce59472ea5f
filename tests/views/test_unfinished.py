"""Games whose process died in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import otel_llm
from otel_llm.store import StoreReader
from otel_llm.views.model import Sink
from otel_llm.views.replaying import Replay, Wanted
from otel_llm.views.unfinished import unfinished_games
from tests.views.programs import replay

PROGRAM = """
import time, otel_llm
from opentelemetry import trace
from tests.views.programs import _order, play
otel_llm.instrument(store="store")
play(1, 1, prefix="done")
with otel_llm.game("left", name="diplomacy", players={"FRANCE": "gpt-5", "ENGLAND": "gpt-5"}, episode=7):
    for year in (1901, 1902):
        with otel_llm.phase(f"S{year}M"):
            _order(trace.get_tracer("test"), "FRANCE", "gpt-5", failed=False)
            _order(trace.get_tracer("test"), "ENGLAND", "gpt-5", failed=year == 1902)
    with otel_llm.phase("S1903M"), otel_llm.interaction("order", power="FRANCE"):
        time.sleep(0.3)
        otel_llm.force_flush()
        print("in the middle", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def running(tmp_path):
    """A program in the middle of its second game."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"in the middle\n"
    with process:
        yield process
        process.kill()


def die(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def sessions(directory):
    import csv

    with (directory / "sessions.csv").open(encoding="utf-8", newline="") as file:
        return {row["game_id"]: row for row in csv.DictReader(file)}


def test_a_game_whose_process_died_gets_its_row_with_what_did_happen_in_it(running, tmp_path):
    die(running)
    assert replay("store", "--to", "csv", "--output", "out").exit_code == 0
    found = sessions(tmp_path / "out")
    assert found["done0"]["status"] == "completed"
    row = found["left"]
    assert (row["status"], row["name"], row["grpo_episode"]) == ("unfinished", "diplomacy", "7")
    assert json.loads(row["players"]) == ["FRANCE", "ENGLAND"]
    told = {
        "total_interactions": "4",
        "failed_interactions": "1",
        "success_rate": "0.75",
        "phases": "2",
        "calls": "4",
        "tokens_input": "480",
        "valid_orders": "4",
        "invalid_orders": "4",
        "interactions_by_type/order": "4",
        "interactions_by_power/FRANCE": "2",
    }
    assert {name: row[name] for name in told} == told
    assert float(row["duration_seconds"]) > 0
    ends = [span.end_ns for span in StoreReader(tmp_path / "store").spans() if span.end_ns is not None]
    assert float(row["end_time"]) >= max(ends) / 1e9 - 1e-3
    assert replay("store", "--to", "csv", "--output", "out").stdout.startswith("nothing to send")
    assert sessions(tmp_path / "out") == found


def test_a_game_that_goes_on_is_let_be_until_it_ends(running, tmp_path):
    assert list(unfinished_games(StoreReader(tmp_path / "store"))) == []
    assert replay("store", "--to", "csv", "--output", "out").exit_code == 0
    assert list(sessions(tmp_path / "out")) == ["done0"]
    die(running)
    assert replay("store", "--to", "csv", "--output", "out").exit_code == 0
    assert list(sessions(tmp_path / "out")) == ["done0", "left"]


def test_who_follows_a_run_gets_the_game_that_it_left(running, tmp_path):
    class Kept(Sink):
        name = book = "kept"

        def __init__(self):
            self.games = {}

        def write(self, batch):
            for artifact in batch.artifacts:
                self.games[artifact.name] = json.loads(artifact.files()["result.json"])["status"]
            batch.settle()
            return True

    class Book:
        def delivered(self, sink, spans): ...

        def flush(self, timeout_s):
            return True

    sink = Kept()
    passes = []

    def on_pass(sent):
        passes.append(sent)
        if len(passes) == 1:
            die(running)
        return True

    began = time.monotonic()
    Replay(tmp_path / "store", sink, Book(), Wanted(), on_pass).follow()
    assert sink.games == {"game-done0": "completed", "game-left": "unfinished"}
    assert time.monotonic() - began < 30


def test_games_that_ended_are_not_ended_again(tmp_path):
    otel_llm.instrument(store=tmp_path / "store")
    with otel_llm.game("g"):
        time.sleep(0.2)
        otel_llm.force_flush()
    otel_llm.shutdown()
    assert list(unfinished_games(StoreReader(tmp_path / "store"))) == []
