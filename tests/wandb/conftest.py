"""W&B in its own directory, without a network and without this machine's settings; programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("wandb")

HERE = Path(__file__).parent
_SLOW = {"environment", "flushed", "program", "replay"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What starts W&B's own processes takes minutes: it is a stage of its own, and runs where it is asked for."""
    skip = pytest.mark.skip(reason="a stage of its own: python -m pytest -m wandb tests/wandb")
    for item in items:
        if item.path.is_relative_to(HERE) and _SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker("wandb")
            if "wandb" not in (config.getoption("-m") or ""):
                item.add_marker(skip)


PROGRAMS = Path(__file__).parent / "programs"
TIMEOUT_S = 240
"""Of one program; some ten seconds on a quiet machine."""
Program = Callable[..., subprocess.CompletedProcess[str]]


def environment_in(directory: Path) -> dict[str, str]:
    """The environment of a program: nothing of W&B's or OpenTelemetry's but what is said here."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "OTEL_"))}
    return {
        **clean,
        "HOME": str(directory),
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_DIR": str(directory),
        "WANDB_CACHE_DIR": str(directory / "cache"),
        "WANDB_CONFIG_DIR": str(directory / "config"),
        "WANDB_PROJECT": "tests",
        "OTEL_LLM_STORE": str(directory / "store"),
        "OTEL_LLM_WANDB_JOIN_WAIT_S": "0",
        # Where everything is to arrive, a busy machine may take its time.
        "OTEL_LLM_SHUTDOWN_TIMEOUT": "60",
        "NO_COLOR": "1",
    }


def run_program(directory: Path, name: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one of the programs beside this file to its end, in a directory."""
    return subprocess.run(
        [sys.executable, str(PROGRAMS / name), *arguments],
        env={**environment_in(directory), **more},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return environment_in(tmp_path)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run a program: `program("game.py", "argument", NAME="value")`."""
    return partial(run_program, tmp_path)


@pytest.fixture
def replay(tmp_path: Path, environment: dict[str, str]) -> Program:
    """`otel-llm replay --to wandb STORE`."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "otel_llm.cli",
                "replay",
                "--to",
                "wandb",
                str(tmp_path / "store"),
                *arguments,
            ],
            env={**environment, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run
