"""TRL's AsyncGRPOTrainer samples in a process of its own: what is left to record is recorded, and training is left alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from tests.trl import runs

PROGRAM = runs.HERE / "programs" / "asynchronous.py"
pytestmark = [pytest.mark.trl, pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What came of a training with telemetry and of one without."""
    if "trl" not in (request.config.getoption("-m") or ""):
        pytest.skip("a stage of its own: tests/trl/environments.sh && python -m pytest -m trl tests/trl")
    try:
        command = [runs.environment("newest") / "bin" / "python", PROGRAM, runs.model("newest")]
    except runs.MissingEnvironmentError:
        pytest.skip("no environment 'newest': run tests/trl/environments.sh newest")
    folder: Path = tmp_path_factory.mktemp("asynchronous")
    started = {
        how: subprocess.Popen(
            [*command, folder / how, how],
            env=runs.variables(runs.scratch() / "metadata") | {"ACCELERATE_USE_CPU": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for how in ("on", "off")
    }
    said = {how: process.communicate(timeout=runs.TIMEOUT) for how, process in started.items()}
    for how, process in started.items():
        assert process.returncode == 0, said[how][1][-3000:]
    found = {how: json.loads(out.strip().splitlines()[-1]) for how, (out, _) in said.items()}
    return {how: found[how] | {"said": said[how][1], "store": folder / how / "store"} for how in found}


def test_training_is_the_same_to_the_last_bit(trained: dict[str, dict[str, Any]]) -> None:
    for name in ("weights", "history"):
        assert trained["on"][name] == trained["off"][name]
    assert not trained["on"]["dropped"]


def test_that_rollouts_are_not_seen_is_said_once(trained: dict[str, dict[str, Any]]) -> None:
    said = [line for line in trained["on"]["said"].splitlines() if line.startswith("otel_llm:")]
    assert len(said) == 1
    assert "AsyncGRPOTrainer has no place to record batches of rollouts" in said[0]
    assert trained["on"]["seams"]["sampling"] == "missing in AsyncGRPOTrainer"


def test_steps_losses_and_figures_are_recorded(trained: dict[str, dict[str, Any]]) -> None:
    reader = StoreReader(trained["on"]["store"])
    spans = list(reader.spans())
    run = next(span for span in spans if span.name.startswith("training_run"))
    assert run.attributes[sc.RL_ALGORITHM] == "grpo"
    for number in (1, 2, 3):
        mine = [span for span in spans if span.attributes.get(sc.TRAIN_STEP) == number]
        assert sorted(span.name for span in mine) == ["backward", "loss", "optimizer", "training_step"]
        assert len({span.trace_id for span in mine}) == 1
    logged = {entry["step"]: entry["reward"] for entry in trained["on"]["history"] if "reward" in entry}
    assert {row.step: row.value for row in reader.series("reward")} == logged
