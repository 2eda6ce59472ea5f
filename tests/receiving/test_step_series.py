"""Curves of a program on another machine: the same rows in its own store and in the receiver's."""

from __future__ import annotations

import os
import subprocess
import sys

from otel_llm.store import StoreReader

PROGRAM = """
import otel_llm
from otel_llm import step_series
otel_llm.instrument()
for step in range(300):
    rows = [("train/loss", 1 / (step + 1), step), ("train/tokens", step * 1000, step)]
    step_series.record(rows, source="training", run="r1", attributes={"rl.rank": 0})
otel_llm.shutdown(20)
"""


def key(row):
    return row.name, row.step, repr(row.value), row.time_ns, tuple(sorted(row.attributes.items()))


def test_a_program_that_exports_over_otlp_brings_its_series_with_exact_steps(receiving, tmp_path):
    running = receiving()
    own = tmp_path / "own"
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": running.url, "OTEL_LLM_STORE": str(own)}
    subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **given}, check=True, timeout=60)
    here, there = list(StoreReader(own).series()), list(running.reader.series())
    assert len(here) == 600
    assert sorted(map(key, there)) == sorted(map(key, here))
    for reader in (StoreReader(own), running.reader):
        assert not [row for row in reader.logs() if row.event_name == "otel_llm.series.recorded"]
