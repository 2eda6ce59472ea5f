"""Real programs for end-to-end tests: backends, and the program that is watched, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from processes import Jaeger, RunProgram, clean_environment, serving_jaeger


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    binary = os.environ.get("OTEL_LLM_TEST_JAEGER")
    if not binary:
        pytest.skip("OTEL_LLM_TEST_JAEGER is not set: OTEL_LLM_TEST_JAEGER=$(tests/components/jaeger.sh)")
    with serving_jaeger(binary, tmp_path_factory.mktemp("jaeger") / "log.txt") as jaeger:
        yield jaeger


@pytest.fixture(scope="session")
def run_program(tmp_path_factory: pytest.TempPathFactory) -> RunProgram:
    """Runs a program of its own process in an empty directory; returns the JSON that it prints last.

    `by` is what starts it: `OTEL_LLM_RUN` for a program without a line about telemetry, nothing for one that calls
    `otel_llm.instrument()` itself.
    """

    def run(code: str, *arguments: str, by: tuple[str, ...] = (), env: Mapping[str, str]) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("program")
        program = folder / "program.py"
        program.write_text(code)
        done = subprocess.run(
            [sys.executable, *by, str(program), *arguments],
            cwd=folder,
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert done.stderr == "", f"it said something unasked:\n{done.stderr[-4000:]}"
        return json.loads(done.stdout.splitlines()[-1])

    return run
