"""A run that the program has started is written into, and stays the program's in everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from tests.wandb.conftest import Program
from tests.wandb.expected import assert_equal
from tests.wandb.offline import runs


@pytest.mark.parametrize("how", ["implicit", "explicit"])
def test_the_programs_run_gets_our_rows_and_loses_none_of_its_own(
    program: Program, tmp_path: Path, how: str
) -> None:
    done = program("joined.py", how)
    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    assert run.run["id"] == json.loads(done.stdout)["id"]
    assert run.run["project"] == "programs-own"
    theirs = [row["theirs"] for row in run.history if "theirs" in row]
    assert theirs == list(range(10))
    if how == "explicit":
        assert [row["_step"] for row in run.history if "theirs" in row] == list(range(10))
    assert_equal(tmp_path / "store", [run])
    assert run.exit_code == 0


def test_a_run_that_the_program_starts_a_little_later_is_waited_for(program: Program, tmp_path: Path) -> None:
    done = program("joined.py", "late", OTEL_LLM_WANDB_JOIN_WAIT_S="30")
    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    assert run.run["project"] == "programs-own"
    assert_equal(tmp_path / "store", [run])


def test_a_run_of_our_own_is_invisible_to_the_program(program: Program, tmp_path: Path) -> None:
    done = program("joined.py", "separate")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["run while ours is written"]
    assert seen["hooks"]
    assert seen["WANDB_SERVICE"] is None
    by_project = {run.run["project"]: run for run in runs(tmp_path)}
    assert by_project["programs-own"].run["id"] == seen["id"]
    assert [row["theirs"] for row in by_project["programs-own"].history] == list(range(10))
    assert_equal(tmp_path / "store", [by_project["tests"]])


def test_what_comes_after_the_program_has_finished_its_run_is_replayed_into_it(
    program: Program, replay: Program, tmp_path: Path
) -> None:
    done = program("joined.py", "finishing")
    assert done.returncode == 0, done.stderr
    assert "finished by the program" in done.stderr
    (first,) = runs(tmp_path)
    again = replay()
    assert again.returncode == 0, again.stderr
    both = runs(tmp_path)
    assert {run.run["id"] for run in both} == {first.run["id"]}
    assert {run.run["project"] for run in both} == {"programs-own"}
    assert_equal(tmp_path / "store", both)


def test_shutting_down_leaves_the_programs_run_open(program: Program, tmp_path: Path) -> None:
    done = program("joined.py", "shutdown")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["still theirs"]
    (run,) = runs(tmp_path)
    assert [row["theirs"] for row in run.history if "theirs" in row] == list(range(11))


@pytest.mark.parametrize("how", ["implicit", "explicit", "separate"])
def test_curves_that_the_bridge_takes_up_do_not_go_round_in_circles(
    program: Program, tmp_path: Path, how: str
) -> None:
    done = program("joined.py", how, OTEL_LLM_BRIDGES="wandb")
    assert done.returncode == 0, done.stderr
    found = {run.run["project"]: run for run in runs(tmp_path)}
    theirs = found["programs-own"]
    assert [row["theirs"] for row in theirs.history if "theirs" in row] == list(range(10))
    series = [
        row for row in StoreReader(tmp_path / "store").series() if "story" not in row.attributes.values()
    ]
    assert [(row.name, row.value) for row in series] == [("theirs", i) for i in range(10)]
    if how == "explicit":
        assert [row.step for row in series] == list(range(10))
    assert {row.attributes[sc.SERIES_RUN] for row in series} == {json.loads(done.stdout)["id"]}
    gauges = {row.metric for row in StoreReader(tmp_path / "store").points()}
    assert not [name for name in gauges if name.startswith(("otel_llm/", "interactions/", "sessions/"))]
    losses = [row["training/loss"] for run in found.values() for row in run.history if "training/loss" in row]
    assert losses == [1 / (step + 1) for step in range(20)]
    # What was taken up from the very run that is written is not written to it again.
    copies = {
        key for run in found.values() for row in run.history for key in row if key.startswith("theirs/")
    }
    assert copies == ({f"theirs/run={theirs.run['id']}"} if how == "separate" else set())
