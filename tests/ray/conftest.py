"""Ray in an environment of its own; a cluster is started by each program, in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
TIMEOUT_S = 300
"""Of one program; half a minute on a quiet machine, most of it Ray's start."""

Ray = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ray(tmp_path: Path) -> Ray:
    """Run a program in the environment with Ray, in `tmp_path`."""
    folder = os.environ.get("OTEL_LLM_TEST_RAY")
    if not folder:
        pytest.skip("OTEL_LLM_TEST_RAY is not set: OTEL_LLM_TEST_RAY=$(tests/components/ray.sh)")

    def run(program: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "OTEL_", "RAY_"))}
        return subprocess.run(
            [f"{folder}/bin/python", str(program), *arguments],
            env={
                **clean,
                "HOME": str(tmp_path),
                "RAY_USAGE_STATS_ENABLED": "0",
                "WANDB_SILENT": "true",
                "OTEL_LLM_SHUTDOWN_TIMEOUT": "60",
                **more,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run
