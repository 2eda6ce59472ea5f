"""What the sink writes while the program runs, read back by readers that are not ours."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wandb.conftest import Program, run_program
from tests.wandb.expected import assert_equal
from tests.wandb.offline import OfflineRun, runs


@pytest.fixture(scope="module")
def flushed(tmp_path_factory: pytest.TempPathFactory) -> OfflineRun:
    """A run whose tables were written in several flushes; made once."""
    directory = tmp_path_factory.mktemp("flushed")
    done = run_program(directory, "whole.py", "flushes")
    assert done.returncode == 0, done.stderr
    (run,) = runs(directory)
    return run


@pytest.mark.parametrize("how", ["shutdown", "exit"])
def test_a_game_and_a_training_run_are_in_the_offline_run_exactly(
    program: Program, tmp_path: Path, how: str
) -> None:
    done = program("whole.py", how)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (run,) = runs(tmp_path)
    wanted = assert_equal(tmp_path / "store", [run])
    assert {name: len(rows) for name, rows in wanted.rows.items()} == {
        "interactions": 16,
        "sessions": 2,
        "calls": 8,
        "full_trajectories": 3,
    }
    assert run.exit_code == 0
    assert run.run["project"] == "tests"
    assert json.loads(done.stdout or "{}") == {}


def test_increments_of_one_table_hold_the_same_rows(program: Program, tmp_path: Path) -> None:
    program("whole.py", "flushes", OTEL_LLM_WANDB_TABLES="incremental")
    (run,) = runs(tmp_path)
    kinds = {row["interactions"]["_type"] for row in run.history if "interactions" in row}
    assert kinds == {"incremental-table-file"}
    assert_equal(tmp_path / "store", [run])


def test_every_row_carries_the_ids_of_its_trace_and_span(flushed: OfflineRun) -> None:
    run = flushed
    for table in ("interactions", "sessions", "calls", "full_trajectories"):
        ids = [(row["trace_id"], row["span_id"]) for row in run.rows(table)]
        assert all(len(trace) == 32 and len(span) == 16 for trace, span in ids)
        assert len(set(ids)) == len(ids)


def test_each_curve_has_its_own_step_in_the_same_row_and_is_defined_over_it(flushed: OfflineRun) -> None:
    run = flushed
    assert run.metrics["training/*"] == {"step": "training/global_step", "sync": False, "hidden": False}
    assert run.metrics["otel_llm/row"]["hidden"]
    losses = [name for row in run.history for name in row if name.startswith("training/loss")]
    curve = [
        (row["training/global_step"], row[losses[0]])
        for row in run.history
        if losses[0] in row and "training/global_step" in row
    ]
    assert curve == [(step, 1 / (step + 1)) for step in range(20)]


def test_the_end_of_a_run_has_each_table_in_one_and_the_trajectories_as_files(flushed: OfflineRun) -> None:
    run = flushed
    assert sum("interactions" in row for row in run.history) > 1, "written in several flushes"
    assert run.rows("interactions_all") == run.rows("interactions")
    files = run.artifact(f"trajectories-{run.run['id']}")
    lines = gzip.decompress(files["full_trajectories.jsonl.gz"]).decode().splitlines()
    assert [json.loads(line) for line in lines] == run.rows("full_trajectories")


def test_a_finished_game_is_an_artifact_of_its_spans_and_its_result(flushed: OfflineRun) -> None:
    run = flushed
    files = run.artifact("game-game-0")
    spans = [json.loads(line) for line in files["spans.jsonl"].splitlines()]
    assert len(spans) == 1 + 2 + 2 * 4 + 2 * 2
    result = json.loads(files["result.json"])
    assert (result["game_id"], result["status"], result["outcome"]) == ("game-0", "completed", "draw")


def test_what_is_staged_for_upload_lies_in_the_run_directory(flushed: OfflineRun) -> None:
    run = flushed
    staged = [path for one in run.artifacts for path in one["files"].values()]
    assert staged
    assert all(path.is_relative_to(run.directory) and path.exists() for path in staged)


def test_wandbs_own_inspect_command_reads_the_same_rows(
    flushed: OfflineRun, environment: dict[str, str]
) -> None:
    run = flushed
    tool = Path(sys.executable).with_name("wandb")
    if not tool.exists():
        pytest.skip("the wandb command is not beside this Python")
    told = subprocess.run(
        [tool, "leet", "inspect", "--json", str(run.directory)],
        env={**environment, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    records = [json.loads(line) for line in told.stdout.splitlines()]
    assert [flat(row) for row in run.history] == [
        {"_step": record["history"]["step"].get("num", 0), **record["history"]["item"]}
        for record in records
        if record["type"] == "history"
    ]


def flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A row as W&B's command prints it: mappings with dots."""
    made: dict[str, Any] = {}
    for key, value in row.items():
        made |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return made


def test_fixed_keys_beside_the_tables_sum_up_the_run(flushed: OfflineRun) -> None:
    run = flushed
    last = [row for row in run.history if "interactions/count" in row][-1]
    interactions = run.rows("interactions")
    assert last["interactions/count"] == len(interactions) == 16
    judged = [row["success"] for row in interactions if row["success"] is not None]
    assert last["interactions/success_rate"] == sum(judged) / len(judged)
    assert last["interactions/tokens_output"] == sum(row["tokens_output"] or 0 for row in interactions)
    assert run.metrics["interactions/*"]["step"] == "interactions/count"


def test_keys_with_ids_are_off_by_default(flushed: OfflineRun) -> None:
    run = flushed
    assert not [key for row in run.history for key in row if "game-0" in key]


def test_keys_with_ids_can_be_had_for_so_many_games_and_interactions(
    program: Program, tmp_path: Path
) -> None:
    program("whole.py", OTEL_LLM_WANDB_SESSION_KEYS="1", OTEL_LLM_WANDB_INTERACTION_KEYS="3")
    (run,) = runs(tmp_path)
    keys = {key: value for row in run.history for key, value in row.items() if key.count("/") > 1}
    sessions = {key.split("/")[1] for key in keys if key.startswith("sessions/")}
    assert sessions == {"game-0"}
    assert keys["sessions/game-0/total_interactions"] == 8
    assert keys["sessions/game-0/is_grpo_training"] == 1
    assert keys["sessions/game-0/interactions_by_type/order"] == 4
    assert keys["sessions/game-0/interactions_by_power/FRANCE"] == 4
    first, *_ = run.rows("interactions")
    own = {
        k.rpartition("/")[2]: v
        for k, v in keys.items()
        if k.startswith(f"interactions/{first['interaction_id']}/")
    }
    assert own["timestamp"] == first["time"]
    assert own["power_name"] == first["power_name"]
    assert own["success"] == int(first["success"])
    with_ids = {
        key.split("/")[1]
        for key in keys
        if key.startswith("interactions/") and "response_time" not in key.split("/")[1]
    }
    assert len(with_ids) == 3


def test_small_traces_can_be_had_as_w_and_bs_own_trace_tables(program: Program, tmp_path: Path) -> None:
    from dataclasses import fields

    from wandb.sdk.data_types import trace_tree

    program("whole.py", OTEL_LLM_WANDB_TRACE_TREES="2", OTEL_LLM_CONTENT="full")
    (run,) = runs(tmp_path)
    values = [row["traces"] for row in run.history if "traces" in row]
    assert 1 <= len(values) <= 2
    assert {value["_type"] for value in values} == {"wb_trace_tree"}
    root = json.loads(values[0]["root_span_dumps"])
    known = {field.name for field in fields(trace_tree.Span)}
    seen = []

    def walk(span: dict[str, Any]) -> None:
        assert set(span) == known
        assert span["status_code"] in {code.value for code in trace_tree.StatusCode}
        assert span["span_kind"] in {kind.value for kind in trace_tree.SpanKind}
        seen.append((span["span_kind"], span["name"]))
        for below in span["child_spans"]:
            assert (
                span["start_time_ms"] <= below["start_time_ms"] <= below["end_time_ms"] <= span["end_time_ms"]
            )
            walk(below)

    walk(root)
    assert ("AGENT", "invoke_agent FRANCE") in seen
    assert "LLM" in {kind for kind, _ in seen}
    assert_equal(tmp_path / "store", [run])
