"""A backend that is away: the program goes on, what does not fit is counted, and `replay` sends the rest."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoreReader
from tests.e2e.otlp import collector

PROGRAM = Path(__file__).parent / "programs" / "busy.py"
OTEL_LLM = Path(sys.executable).parent / "otel-llm"
N = 300


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_replay_sends_what_a_backend_that_was_away_has_missed_and_nothing_twice(tmp_path: Path) -> None:
    port = unused_port()
    env = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "90",  # of 300 calls
        "OTEL_LLM_SHUTDOWN_TIMEOUT": "2",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    with LoopbackServer() as server:
        done = subprocess.run(
            [sys.executable, PROGRAM, server.url, str(N)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < int(done.stdout) < N
    stored = [span.span_id for span in StoreReader(tmp_path / ".otel_llm").spans()]
    assert len(stored) == N
    with collector(port) as taken:
        for _ in range(2):
            replay = subprocess.run(
                [OTEL_LLM, "replay", "--to", "otlp"],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert replay.returncode == 0, replay.stderr
    assert sorted(taken.span_ids) == sorted(stored)
