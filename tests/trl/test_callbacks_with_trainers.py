"""The callbacks in a real GRPO training, on a CPU, with a model made on the spot."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.trl import runs

PROGRAM = Path(__file__).parent / "programs" / "with_callbacks.py"
pytestmark = [pytest.mark.trl, pytest.mark.slow]


def trained(directory: Path, which: str, config: pytest.Config) -> dict[str, Any]:
    if "trl" not in (config.getoption("-m") or ""):
        pytest.skip("a stage of its own: tests/trl/environments.sh && python -m pytest -m trl tests/trl")
    try:
        python = runs.environment("newest") / "bin" / "python"
    except runs.MissingEnvironmentError:
        pytest.skip("no environment 'newest': run tests/trl/environments.sh newest")
    directory.mkdir()
    done = subprocess.run(
        [python, PROGRAM, directory, which],
        check=False,
        capture_output=True,
        text=True,
        timeout=runs.TIMEOUT,
        env=runs.variables(runs.scratch() / "metadata"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def enhanced(tmp_path_factory: Any, request: Any) -> dict[str, Any]:
    return trained(tmp_path_factory.mktemp("trl") / "enhanced", "enhanced", request.config)


def test_progress_and_answers_are_logged_each_step(enhanced: dict[str, Any]) -> None:
    told = enhanced["told"]
    assert told["training/progress_percent"] == [[1, 25.0], [2, 50.0], [3, 75.0], [4, 100.0]]
    # 8 completions a step; what was generated in the evaluation does not count
    assert told["training/total_answers"] == [[1, 8], [2, 16], [3, 24], [4, 32], [4, 32]]
    right = {
        entry["step"]: 8 * entry["rewards/correctness_reward_func/mean"] / 2.0 for entry in _logged(enhanced)
    }
    correct = dict(map(tuple, told["training/correct_answers"]))
    assert {step: correct[step] - correct.get(step - 1, 0) for step in right} == pytest.approx(right)
    assert told["training/final_accuracy"] == [[4, pytest.approx(100 * correct[4] / 32)]]
    assert told["training/training_complete"] == [[4, 1]]
    assert enhanced["outputs"] == 32


def test_rewards_generations_validation_and_memory_are_logged(enhanced: dict[str, Any]) -> None:
    told = enhanced["told"]
    assert {step for step, _ in told["reward/correctness/mean"]} == {2, 4}
    for name in ("xmlcount", "soft_format", "strict_format", "int", "anti_repetition", "topic_relevance"):
        assert f"reward/{name}/mean" in told
    assert [step for step, _ in told["generation/count"]] == [2, 4]
    assert told["validation/loss"][0][0] == 3
    assert [step for step, _ in told["training/loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in told["system/memory_rss_gb"]] == [0, 1, 2, 3, 4]
    assert told["checkpoint/step"] == [[2, 2], [4, 4]]


def test_norms_of_gradients_are_those_of_the_parameters(enhanced: dict[str, Any]) -> None:
    told = enhanced["told"]
    for step in (2, 4):
        expected = enhanced["norms"][str(step)]
        found = {
            name.removeprefix("gradients/"): dict(map(tuple, rows))[step]
            for name, rows in told.items()
            if name.startswith("gradients/")
        }
        assert found == pytest.approx(expected, rel=1e-5)
        assert len(found) > 10
    assert {step for name, rows in told.items() if name.startswith("gradients/") for step, _ in rows} == {
        2,
        4,
    }


def test_training_is_the_same_to_the_last_digit_without_them(
    enhanced: dict[str, Any], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    without = trained(tmp_path / "none", "none", pytestconfig)
    assert enhanced["history"] == without["history"]
    assert enhanced["norms"] == without["norms"]
    assert enhanced["dropped"] == {}


def test_the_optimised_one_keeps_its_counts_beside_the_checkpoints(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    found = trained(tmp_path / "optimized", "optimized", pytestconfig)
    kept = json.loads((tmp_path / "optimized/kept/rank-0/logging-state-4.json").read_text())
    assert kept["total_answers"] == 32
    assert found["told"]["training/total_answers"] == [[4, 32]]
    assert not [name for name in found["told"] if name.startswith("gradients/")]


def _logged(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        entry
        for entry in found["history"]
        if "loss" in entry and "rewards/correctness_reward_func/mean" in entry
    ]
