"""The four arrangements, as the example shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wandb.conftest import TIMEOUT_S
from tests.wandb.offline import OfflineRun, runs

EXAMPLE = Path(__file__).parents[2] / "examples" / "wandb_layouts"


def played(layout: str, tmp_path: Path, environment: dict[str, str]) -> dict[str, OfflineRun]:
    if not EXAMPLE.exists():
        pytest.skip("the examples are not beside the tests")
    clean = {
        key: value for key, value in environment.items() if key not in {"WANDB_PROJECT", "OTEL_LLM_STORE"}
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), layout, "--steps", "12", "--directory", str(tmp_path)],
        env=clean,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = runs(tmp_path)
    return {"training" if "training/loss" in run.history[0] else "inference": run for run in found}


EXPECTED: dict[str, dict[str, tuple[str, str]]] = {
    "pipelines": {
        "training": ("rl-training-demo", "training"),
        "inference": ("rl-inference-demo", "inference"),
    },
    "job_types": {"training": ("rl-agent", "training"), "inference": ("inference-only", "inference")},
    "hierarchy": {"training": ("rl-experiments", ""), "inference": ("rl-experiments", "")},
    "groups": {"training": ("rl-experiments", "training"), "inference": ("rl-experiments", "inference")},
}


@pytest.mark.parametrize("layout", EXPECTED)
def test_each_layout_puts_runs_where_it_says(
    layout: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    found = played(layout, tmp_path, environment)
    where = {name: (run.run["project"], run.run["job_type"]) for name, run in found.items()}
    assert where == EXPECTED[layout]
    for name, wanted in (
        ("training", ["training/grads/grad_norm_0", "training/loss"]),
        ("inference", ["inference/e2e/speed", "inference/reward/mean"]),
    ):
        for metric in wanted:
            steps = [step for step, _ in found[name].curve(metric, f"{name}/global_step")]
            assert steps == list(range(12)), metric
    groups = {run.run["group"] for run in found.values()}
    assert len(groups) == 1
    assert bool(groups.pop()) == (layout == "groups")
    tags: dict[str, Any] = {name: run.run["tags"] for name, run in found.items()}
    assert all("demo" in some for some in tags.values())
    (checkpoint,) = [one for one in found["training"].artifacts if one["type"] == "checkpoint"]
    assert (checkpoint["name"], checkpoint["metadata"]) == ("policy", {"step": 9})
    assert "step-9" in checkpoint["aliases"]
    assert found["training"].artifact("policy") == {"step-9.txt": b"weights after step 9\n"}
    assert len(found["inference"].rows("full_trajectories")) == 24
    assert any(one["type"] == "trajectories" for one in found["inference"].artifacts)
