"""A run that the program has started is written into, and stays the program's in everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
