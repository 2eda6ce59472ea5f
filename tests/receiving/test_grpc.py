"""OTLP over gRPC; the tests are in `over_grpc`, and run in a process of their own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(
    importlib.util.find_spec("grpc") is None, reason="grpcio is not installed: OTLP over gRPC was NOT tested"
)
def test_what_is_sent_over_grpc():
    here = Path(__file__)
    given = ["-q", "-p", "no:cacheprovider", "--rootdir", here.parents[2], here.with_name("over_grpc.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *map(str, given)],
        cwd=here.parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
