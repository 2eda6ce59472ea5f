"""The same run from the store, and after the live writer was killed: equal, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wandb.conftest import Program
from tests.wandb.expected import assert_equal
from tests.wandb.offline import runs


def test_replay_writes_the_run_that_was_never_written_live(
    program: Program, replay: Program, tmp_path: Path
) -> None:
    program("whole.py", WITHOUT="wandb")
    assert runs(tmp_path) == []
    done = replay()
    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    assert_equal(tmp_path / "store", [run])


def test_replay_again_sends_nothing(program: Program, replay: Program, tmp_path: Path) -> None:
    program("whole.py", WITHOUT="wandb")
    replay()
    before = runs(tmp_path)
    done = replay()
    assert "nothing" in done.stdout + done.stderr
    assert_equal(tmp_path / "store", runs(tmp_path))
    assert runs(tmp_path)[: len(before)] == before


def test_replay_after_a_live_run_sends_nothing(program: Program, replay: Program, tmp_path: Path) -> None:
    program("whole.py")
    replay()
    assert_equal(tmp_path / "store", runs(tmp_path))


@pytest.mark.parametrize("seconds", ["0", "0.3", "1.5"])
def test_replay_completes_a_run_whose_program_was_killed(
    program: Program, replay: Program, tmp_path: Path, seconds: str
) -> None:
    program("killed.py", seconds)
    wait_for_core(tmp_path)
    (first,) = runs(tmp_path, torn=True)
    done = replay()
    assert done.returncode == 0, done.stderr
    both = runs(tmp_path, torn=True)
    wanted = assert_equal(tmp_path / "store", both)
    assert len(wanted.rows["interactions"]) == 32
    assert {run.run["id"] for run in both} == {first.run["id"]}
    assert {run.run["project"] for run in both} == {"tests"}


def test_w_and_b_counts_rows_on_in_the_directory_that_completes_a_run(
    program: Program, replay: Program, tmp_path: Path
) -> None:
    program("killed.py", "0")
    wait_for_core(tmp_path)
    replay()
    steps = [row["_step"] for run in runs(tmp_path, torn=True) for row in run.history]
    assert steps == sorted(set(steps))


def test_a_run_with_an_id_of_its_own_gets_all_of_the_store(
    program: Program, replay: Program, tmp_path: Path
) -> None:
    program("whole.py")
    done = replay(WANDB_RUN_ID="another1")
    assert done.returncode == 0, done.stderr
    live, other = sorted(runs(tmp_path), key=lambda run: run.run["id"] == "another1")
    assert_equal(tmp_path / "store", [live])
    assert_equal(tmp_path / "store", [other])


def test_several_unfinished_runs_of_a_store_are_not_guessed_between(
    program: Program, replay: Program, tmp_path: Path
) -> None:
    program("killed.py", "0")
    program("killed.py", "0")
    done = replay()
    assert done.returncode != 0
    assert "WANDB_RUN_ID" in done.stderr


def test_a_run_that_is_being_written_is_left_alone(replay: Program, tmp_path: Path) -> None:
    from otel_llm_wandb.journal import Journal

    (tmp_path / "store").mkdir()
    journal = Journal(tmp_path / "store", "busy1234")
    journal.started("busy1234", {"project": "tests"}, tmp_path)
    try:
        done = replay()
    finally:
        journal.close()
    assert done.returncode != 0
    assert "another process" in done.stderr


def wait_for_core(tmp_path: Path) -> None:
    """W&B's core outlives a program that was killed, and still writes what it has been given."""
    import time

    for _ in range(600):
        alive = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes()
                environ = (path.parent / "environ").read_bytes()
            except OSError:
                continue
            if b"wandb-core" in command and str(tmp_path).encode() in environ:
                alive.append(path)
        if not alive:
            return
        time.sleep(0.1)
    raise AssertionError("W&B's core does not end")


def test_one_run_for_all_ranks_to_which_replay_adds_what_the_others_did(
    program: Program, replay: Program, tmp_path: Path
) -> None:
    for rank in ("1", "0"):
        done = program("whole.py", RANK=rank, WORLD_SIZE="2")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    (run,) = runs(tmp_path)
    assert len(run.rows("interactions")) == 16
    done = replay()
    assert done.returncode == 0, done.stderr
    both = runs(tmp_path)
    assert {one.run["id"] for one in both} == {run.run["id"]}
    wanted = assert_equal(tmp_path / "store", both, artifacts=False)  # the same games twice, by name
    assert len(wanted.rows["interactions"]) == 32


def test_each_rank_gets_a_run_of_its_own_where_that_is_asked_for(program: Program, tmp_path: Path) -> None:
    for rank in ("1", "0"):
        program("whole.py", RANK=rank, WORLD_SIZE="2", OTEL_LLM_WANDB_ALL_RANKS="true")
    assert len({one.run["id"] for one in runs(tmp_path)}) == 2
