"""Run ids, attempts, and ids that ranks derive without talking to each other."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_llm.training import runs
from otel_llm.training.place import Place, find_place
from otel_llm.training.runs import derived_ids, identify


def place(rank: int = 0, world: int = 1) -> Place:
    return Place(rank, rank, world, "host-a", "cpu")


def torchrun(rank: int, world: int = 2, **more: str) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29511",
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_RESTART_COUNT": "0",
        **more,
    }


@pytest.fixture
def same_start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let several identities in this process be those of several processes."""

    def start() -> None:
        monkeypatch.setattr(runs, "_identities", iter(range(1, 100)))

    return start


def test_ids_are_derived_from_run_attempt_and_step_alone() -> None:
    ids = derived_ids("run-1", 0, "step", 7)
    assert ids == derived_ids("run-1", 0, "step", 7)
    others = [
        derived_ids("run-2", 0, "step", 7),
        derived_ids("run-1", 1, "step", 7),
        derived_ids("run-1", 0, "step", 8),
        derived_ids("run-1", 0, "evaluation", 7),
        derived_ids("run-1", 0, "step", 7, times=1),
        derived_ids("run-", 10, "step", 7),
    ]
    assert len({ids, *others}) == len(others) + 1
    assert 0 < ids.trace_id < 2**128
    assert 0 < ids.root_id < 2**64


def test_a_step_that_begins_again_is_another_trace_on_every_rank_alike() -> None:
    by_rank = []
    for rank in (0, 1):
        runs._times.clear()  # each rank is a process of its own
        ids = []
        for _ in range(2):  # the same run twice, where nobody counts attempts
            identity = identify("r", 0, place=place(rank, 2), environ={})
            ids += [identity.ids("step", 1), identity.ids("step", 2), identity.ids("step", 1)]
        by_rank.append(ids)
    assert by_rank[0] == by_rank[1]
    assert len(set(by_rank[0])) == 6


def test_what_is_remembered_of_steps_is_bounded() -> None:
    identity = identify("r", 0, place=place(), environ={})
    for number in range(3 * runs._MAX_NUMBERS):
        identity.ids("step", number)
    assert len(runs._times) == runs._MAX_NUMBERS


def test_the_place_is_what_the_launcher_says() -> None:
    assert find_place(environ=torchrun(1))[:3] == (1, 1, 2)
    slurm = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS": "8"}
    assert find_place(environ=slurm)[:3] == (5, 1, 8)
    assert find_place(environ={})[:3] == (0, 0, 1)
    assert find_place(environ={"RANK": "3"})[:3] == (0, 0, 1)  # somebody's own variable
    assert find_place(environ={"RANK": "x", "WORLD_SIZE": "y"})[:3] == (0, 0, 1)


def test_ranks_of_plain_torchrun_on_one_host_agree_and_two_jobs_differ(same_start: Any) -> None:
    same_start()
    one = identify(place=place(0, 2), environ=torchrun(0))
    same_start()
    other = identify(place=place(1, 2), environ=torchrun(1))
    assert one.run_id == other.run_id
    assert one.run_id not in {"none", ""}
    same_start()
    assert identify(place=place(0, 2), environ=torchrun(0, MASTER_PORT="29512")).run_id != one.run_id
    assert (
        identify(place=place(0, 2), environ=torchrun(0)).run_id != one.run_id
    )  # a second run in the same job


def test_an_argument_wins_over_the_environment() -> None:
    environ = {"OTEL_LLM_RUN_ID": "from-env", "OTEL_LLM_RUN_ATTEMPT": "4"}
    from_environ = identify(place=place(), environ=environ)
    assert (from_environ.run_id, from_environ.attempt) == ("from-env", 4)
    told = identify("told", 2, place=place(), environ=environ)
    assert (told.run_id, told.attempt) == ("told", 2)


def test_a_run_that_is_started_again_is_a_new_attempt_and_ranks_agree_on_it(
    tmp_path: Path, same_start: Any
) -> None:
    alone = [identify("exp", place=place(), directory=tmp_path, environ={}).attempt for _ in range(3)]
    assert alone == [0, 1, 2]
    seen = []
    for port in ("1", "2"):
        for rank in (0, 1):
            same_start()
            environ = torchrun(rank, MASTER_PORT=port)
            seen.append(identify("joint", place=place(rank, 2), directory=tmp_path, environ=environ).attempt)
    assert seen == [0, 0, 1, 1]


def test_a_launcher_that_restarts_its_workers_starts_a_new_attempt(same_start: Any) -> None:
    same_start()
    again = identify("exp", place=place(0, 2), environ=torchrun(0, TORCHELASTIC_RESTART_COUNT="2"))
    assert again.attempt == 2


def test_a_store_that_cannot_be_written_costs_the_attempt_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a directory should be")
    assert identify("exp", place=place(), directory=tmp_path, environ={}).attempt == 0


class FakeStore:
    """A key-value store as `torch.distributed` has it, shared by threads."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.ready = threading.Condition()

    def set(self, key: str, value: str) -> None:
        with self.ready:
            self.held[key] = value.encode()
            self.ready.notify_all()

    def wait(self, keys: list[str], timeout: timedelta) -> None:
        with self.ready:
            if not self.ready.wait_for(
                lambda: all(key in self.held for key in keys), timeout.total_seconds()
            ):
                raise TimeoutError

    def get(self, key: str) -> bytes:
        return self.held[key]


def fake_group(monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
    group = ModuleType("torch.distributed")
    group.is_available = lambda: True  # type: ignore[attr-defined]
    group.is_initialized = lambda: True  # type: ignore[attr-defined]
    group.distributed_c10d = SimpleNamespace(_get_default_store=lambda: store)  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "torch.distributed", group)


def test_ranks_of_several_hosts_agree_through_the_store_of_their_process_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, same_start: Any
) -> None:
    fake_group(monkeypatch, FakeStore())
    found: dict[int, Any] = {}

    def rank(number: int) -> None:
        found[number] = identify(
            place=Place(number, 0, 2, f"host-{number}", "cpu"), directory=tmp_path / str(number), environ={}
        )

    monkeypatch.setattr(runs, "_next_identity", lambda: 1)
    threads = [threading.Thread(target=rank, args=(number,)) for number in (1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found[0].run_id == found[1].run_id
    assert found[0].attempt == found[1].attempt


def test_a_rank_that_waits_in_vain_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_AGREE_S", 0.05)
    fake_group(monkeypatch, FakeStore())
    identity = identify("exp", place=place(1, 2), environ=torchrun(1))
    assert (identity.run_id, identity.attempt) == ("exp", 0)


def test_a_broken_process_group_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_group(monkeypatch, object())
    assert identify("exp", place=place(0, 2), environ=torchrun(0)).run_id == "exp"


def test_ids_of_long_and_strange_run_ids() -> None:
    assert len(identify("x" * 10_000, place=place(), environ={}).run_id) == runs._MAX_ID
    assert derived_ids("\ud800", 0, "step", 1).trace_id
    assert os.getpid()  # nothing was started
