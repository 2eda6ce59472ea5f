"""Two processes with torch: metrics over both are those of the raw tensors, told apart and exchanged."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from tests.trl import runs

PROGRAM = Path(__file__).parent / "programs" / "ranks.py"
pytestmark = [pytest.mark.trl, pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: Any, request: Any) -> Path:
    if "trl" not in (request.config.getoption("-m") or ""):
        pytest.skip("needs torch, as a stage has it: python -m pytest -m trl tests/training")
    try:
        python = runs.environment("newest") / "bin" / "python"
    except runs.MissingEnvironmentError:
        pytest.skip("no environment 'newest': run tests/trl/environments.sh newest")
    directory: Path = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = runs.variables(runs.scratch() / "metadata") | {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    ranks = [
        subprocess.Popen(
            [python, PROGRAM, directory],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, errors = rank.communicate(timeout=240)
        assert rank.returncode == 0, errors[-3000:]
    return directory


def expected(directory: Path) -> dict[tuple[str, int], float]:
    raw = [json.loads((directory / f"raw-{rank}.json").read_text()) for rank in (0, 1)]
    out: dict[tuple[str, int], float] = {}
    best = float("-inf")
    total = 0
    for n in range(3):
        returns, kl, advantages = (
            [x for one in raw for x in one[name][n]] for name in ("returns", "kl", "advantages")
        )
        mean = statistics.fmean(returns)
        best, total = max(best, mean), total + len(returns)
        spread = statistics.stdev(advantages)
        third = statistics.fmean((x - statistics.fmean(advantages)) ** 3 for x in advantages)
        told = {
            "rollouts/returns_sum": sum(returns),
            "rollouts/returns_mean": mean,
            "rollouts/returns_std": statistics.stdev(returns),
            "rollouts/returns_max": max(returns),
            "rollouts/returns_min": min(returns),
            "rollouts/returns_best_mean": best,
            "rollouts/kl_mean": statistics.fmean(kl),
            "rollouts/kl_std": statistics.stdev(kl),
            "rollouts/kl_max": max(kl),
            "rollouts/advantages_mean": statistics.fmean(advantages),
            "rollouts/advantages_std": spread,
            "rollouts/total_rollouts": total,
            "dr_grpo/advantages_variance": spread**2,
            "dr_grpo/advantages_skewness": third / statistics.pstdev(advantages) ** 3,
        }
        out |= {(name, n + 1): value for name, value in told.items()}
    losses, norms = ([x for one in raw for x in one[name]] for name in ("loss", "grad_norm"))
    out |= {
        ("training_epoch/loss_mean", 6): statistics.fmean(losses),
        ("training_epoch/loss_std", 6): statistics.stdev(losses),
        ("training_epoch/grad_norm_mean", 6): statistics.fmean(norms),
        ("training_epoch/grad_norm_max", 6): max(norms),
        ("final/total_steps", 6): 6,
        ("final/total_batches", 6): 3,
        ("final/total_rollouts", 6): total,
        ("final/best_mean_return", 6): best,
    }
    return out


def test_rows_of_both_ranks_put_together_are_those_of_all_values(trained: Path) -> None:
    rows = [row for row in StoreReader(trained / "store").series() if row.attributes[sc.RUN_ID] == "apart"]
    assert {row.attributes[sc.RANK] for row in rows} == {0, 1}
    found = {(row.name, row.step): row.value for row in otel_llm.merge_ranks(rows, ddof=1)}
    wanted = expected(trained)
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, rel=1e-6)
    raw = [json.loads((trained / f"raw-{rank}.json").read_text()) for rank in (0, 1)]
    for step in range(6):
        assert found["training_step/loss", step + 1] == pytest.approx(
            (raw[0]["loss"][step] + raw[1]["loss"][step]) / 2
        )


def test_exchanged_values_are_told_by_rank_0_and_are_those_of_all(trained: Path) -> None:
    rows = [
        row
        for row in StoreReader(trained / "store").series()
        if row.attributes[sc.RUN_ID] == "reduced"
        and not row.name.startswith(("training_step/", "training/", "ddp/"))
    ]
    wanted = expected(trained)
    found = {(row.name, row.step): row.value for row in rows if row.attributes[sc.RANK] == 0}
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, rel=1e-6)
    assert {row.attributes[sc.RANK] for row in rows} == {0}
