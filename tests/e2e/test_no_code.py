"""An unedited program, seen by `opentelemetry-instrument` and by `otel-llm run` alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoreReader

PROGRAM = Path(__file__).parent / "programs" / "unedited.py"
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        [BIN / "opentelemetry-instrument", sys.executable],
        [BIN / "otel-llm", "run"],
        [BIN / "otel-llm", "run", "--content", "full"],
    ],
    ids=["opentelemetry-instrument", "otel-llm run", "otel-llm run --content full"],
)
def test_every_call_of_an_unedited_program_is_stored(tmp_path: Path, command: list[str | Path]) -> None:
    with LoopbackServer() as server:
        done = subprocess.run(
            [*command, PROGRAM, server.url],
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        (sent,) = [request.sent for request in server.requests]
    assert (done.returncode, done.stdout, done.stderr) == (0, "assistant\n", "")
    (span,) = StoreReader(tmp_path / ".otel_llm").spans()
    assert span.name == "chat gpt-4.1-mini"
    assert span.attributes["gen_ai.response.id"] == sent.id
    assert span.attributes["gen_ai.usage.input_tokens"] == sent.usage.input
    assert ("gen_ai.input.messages" in span.attributes) == ("full" in command)


def test_a_bad_setting_is_one_clear_line_and_with_opentelemetry_instrument_the_program_runs(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "OTEL_LLM_CONTENT": "everything"}
    with LoopbackServer() as server:
        done = subprocess.run(
            [BIN / "opentelemetry-instrument", sys.executable, PROGRAM, server.url],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "assistant\n")
    assert "OTEL_LLM_CONTENT is 'everything'; it accepts none, length, preview or full" in done.stderr
    assert "Traceback" not in done.stderr
