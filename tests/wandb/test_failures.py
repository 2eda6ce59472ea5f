"""Whatever happens to W&B: the program goes on, nothing is lost that the store does not have, and it is said."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wandb.conftest import PROGRAMS, TIMEOUT_S, Program
from tests.wandb.expected import assert_equal, of_store
from tests.wandb.offline import runs
from tests.wandb.server import WandbServer
from tests.wandb.test_replay import wait_for_core

KEY = "k" * 40


def saw(done: Any) -> dict[str, Any]:
    """What the program saw: no exception, nothing that blocked it."""
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert seen["raised"] == []
    assert "Traceback" not in done.stderr
    assert seen["slowest"] < 10, "games and training steps, not W&B"
    return seen


def test_a_core_that_is_killed_is_started_again_and_the_run_goes_on(program: Program, tmp_path: Path) -> None:
    done = program("failing.py", "core-killed")
    seen = saw(done)
    first, second = runs(tmp_path, torn=True)
    assert first.run["id"] == second.run["id"]
    assert_equal(tmp_path / "store", [first, second])
    assert seen["done"]
    assert "core is gone" in done.stderr


def test_a_program_that_tears_w_and_b_down_does_not_end_our_run(
    program: Program, tmp_path: Path, replay: Program
) -> None:
    done = program("failing.py", "teardown")
    saw(done)
    replay()
    assert_equal(tmp_path / "store", runs(tmp_path, torn=True))


def test_a_forked_child_neither_writes_nor_ends_the_parents_run(program: Program, tmp_path: Path) -> None:
    seen = saw(program("failing.py", "fork"))
    assert seen["child"] == 0
    assert seen["done"]
    (run,) = runs(tmp_path)
    assert run.exit_code == 0
    assert {row["game_id"] for row in run.rows("sessions")} == {"game-0", "game-1"}


def test_what_a_forked_child_did_is_replayed_into_the_run(
    program: Program, tmp_path: Path, replay: Program
) -> None:
    saw(program("failing.py", "fork"))
    replay()
    assert_equal(tmp_path / "store", runs(tmp_path))


def test_on_a_full_disk_the_run_stops_and_replay_completes_it(
    program: Program, tmp_path: Path, replay: Program
) -> None:
    done = program("failing.py", "disk-full", OTEL_LLM_SHUTDOWN_TIMEOUT="10")
    seen = saw(done)
    assert not seen["done"]
    assert seen["shutdown"] < 9.5, "there is no waiting for a disk to be cleared"
    assert any(": wandb_" in what for what in seen["dropped"]), seen["dropped"]
    assert "otel-llm replay --to wandb" in done.stderr
    again = replay()
    assert again.returncode == 0, again.stderr
    assert_equal(tmp_path / "store", runs(tmp_path))


def test_a_disk_that_really_is_full_costs_the_program_nothing_and_replay_writes_the_run_elsewhere(
    environment: dict[str, str], tmp_path: Path, replay: Program
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f"mount -t tmpfs -o size=220k tmpfs {disk} && exec $0 $@"
    separate = ["unshare", "--map-root-user", "--mount", "bash", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*separate, mounted, "true"], check=False).returncode
    ):
        pytest.skip("a small disk cannot be mounted here")
    done = subprocess.run(
        [*separate, mounted, sys.executable, str(PROGRAMS / "failing.py"), "unchecked"],
        env={**environment, "WANDB_DIR": str(disk), "OTEL_LLM_SHUTDOWN_TIMEOUT": "10"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0
    assert seen["raised"] == []
    assert seen["slowest"] < 10
    assert not seen["done"]
    assert seen["shutdown"] < 15
    assert "the disk is full" in done.stderr
    again = replay()  # on another disk; the first one is gone, and with it the artifacts that it had
    assert again.returncode == 0, again.stderr
    assert_equal(tmp_path / "store", runs(tmp_path), artifacts=False)


def test_without_a_login_the_run_is_written_offline(program: Program, tmp_path: Path) -> None:
    done = program("failing.py", "none", WANDB_MODE="online", WANDB_BASE_URL="http://127.0.0.1:9")
    seen = saw(done)
    assert seen["done"]
    assert "written offline" in done.stderr
    (run,) = [one for one in runs(tmp_path) if one.history]
    assert_equal(tmp_path / "store", [run])


def test_without_a_network_the_run_is_written_offline(program: Program, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        done = program(
            "failing.py",
            "none",
            WANDB_MODE="online",
            WANDB_API_KEY=KEY,
            WANDB_BASE_URL=f"http://127.0.0.1:{closed.getsockname()[1]}",
            OTEL_LLM_WANDB_INIT_TIMEOUT="2",
        )
    seen = saw(done)
    assert seen["done"]
    assert "written offline" in done.stderr
    (run,) = [one for one in runs(tmp_path) if one.history]
    assert_equal(tmp_path / "store", [run])


def online(server: WandbServer) -> dict[str, str]:
    return {
        "WANDB_MODE": "online",
        "WANDB_API_KEY": KEY,
        "WANDB_BASE_URL": server.url,
        "WANDB_ENTITY": "team",
    }


def test_online_the_server_gets_every_row(program: Program, tmp_path: Path) -> None:
    with WandbServer() as server:
        seen = saw(program("failing.py", "none", **online(server)))
        sent = server.rows()
        made = [asked.body for asked in server.asked if b"mutation CreateArtifact " in asked.body]
    assert seen["done"]
    assert any(b"game-game-0" in body for body in made)
    (run,) = runs(tmp_path)
    assert_equal(tmp_path / "store", [run], artifacts=False)
    numbers = [row["otel_llm/row"] for row in run.history if "otel_llm/row" in row]
    assert [row["otel_llm/row"] for row in sent if "otel_llm/row" in row] == numbers


@pytest.mark.parametrize("status", [0, 500, 429, 404])
def test_a_server_that_fails_does_not_hold_the_program_and_the_run_is_whole_on_disk(
    program: Program, tmp_path: Path, status: int
) -> None:
    with WandbServer(fail=status) as server:
        done = program(
            "failing.py",
            "none",
            **online(server),
            OTEL_LLM_WANDB_FINISH_TIMEOUT="3",
            OTEL_LLM_SHUTDOWN_TIMEOUT="20",
        )
    seen = saw(done)
    assert seen["shutdown"] < 22
    (run,) = runs(tmp_path, torn=True)
    assert_equal(tmp_path / "store", [run], artifacts=False)


def test_a_core_that_dies_again_and_again_loses_nothing_that_replay_does_not_bring(
    program: Program, tmp_path: Path, replay: Program
) -> None:
    with WandbServer(panics=True) as server:
        done = program("failing.py", "none", **online(server))
    assert done.returncode == 0
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["raised"] == []
    wait_for_core(tmp_path)
    again = replay()
    assert again.returncode == 0, again.stderr
    assert_equal(tmp_path / "store", runs(tmp_path, torn=True), artifacts=False)


def test_a_disabled_run_writes_nothing_and_settles_nothing(
    program: Program, tmp_path: Path, replay: Program
) -> None:
    done = program("failing.py", "none", WANDB_MODE="disabled")
    saw(done)
    assert done.stderr == ""
    assert runs(tmp_path) == []
    replay()
    assert_equal(tmp_path / "store", runs(tmp_path))


def test_without_w_and_b_the_program_runs_and_the_store_has_everything(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "wandb.py").write_text("raise ImportError('not here')\n")
    done = program("failing.py", "none", PYTHONPATH=str(tmp_path / "hidden"))
    saw(done)
    assert len(of_store(tmp_path / "store").rows["interactions"]) == 16
