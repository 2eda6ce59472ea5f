"""Seeds, forks, threads, executors, asyncio, a provider of the program's own, and a SIGKILL half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoreReader

PROGRAM = Path(__file__).parent / "programs" / "everything.py"
HANDED_OVER_S = 0.2
"""What the store promises: a call that ended so long ago is committed."""


@dataclass(frozen=True)
class Said:
    """One line of the program: a call that it saw finish."""

    at: float
    answer_id: str
    parent: str
    how: str
    stall: float


def said(text: str) -> list[Said]:
    lines = [line.split() for line in text.splitlines() if line.count(" ") == 4]
    return [Said(float(at), answer, parent, how, float(stall)) for at, answer, parent, how, stall in lines]


def start(url: str, rounds: int, tmp_path: Path, **env: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), url, str(rounds)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(calls: list[Said], tmp_path: Path) -> None:
    reader = StoreReader(tmp_path / ".otel_llm")
    spans = list(reader.spans())
    assert reader.problems == []
    ids = [span.span_id for span in spans]
    assert len(ids) == len(set(ids)), "an id is repeated"
    by_answer = {span.attributes.get("gen_ai.response.id"): span for span in spans}
    for call in calls:
        span = by_answer.get(call.answer_id)
        assert span is not None, f"lost: {call}"
        assert span.parent_id == call.parent, call


@pytest.mark.parametrize("own_provider", ["", "1"])
def test_nothing_is_lost_no_id_repeats_and_parents_are_right(tmp_path: Path, own_provider: str) -> None:
    with LoopbackServer() as server:
        process = start(server.url, 3, tmp_path, OWN_PROVIDER=own_provider)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        calls = said(out)
        assert len(calls) == len(server.requests) == 3 * 9 + 1
        assert {call.how for call in calls} == {"main", "thread", "pool", "task", "run_in_executor", "fork"}
    check(calls, tmp_path)
    # Two runs of the same seed: the ids of both are different.
    with LoopbackServer() as server:
        process = start(server.url, 3, tmp_path, OWN_PROVIDER=own_provider)
        again = said(process.communicate(timeout=120)[0])
    ids = {span.span_id for span in StoreReader(tmp_path / ".otel_llm").spans()}
    assert len(ids) == 2 * (3 * 9 + 1 + 3 + 1)
    assert again


KILLS = int(os.environ.get("OTEL_LLM_TEST_KILLS", "3"))


@pytest.mark.parametrize("n", range(KILLS))
def test_a_sigkill_half_way_loses_nothing_that_was_handed_over(tmp_path: Path, n: int) -> None:
    """`OTEL_LLM_TEST_KILLS=100` for a hundred of them."""
    with LoopbackServer() as server:
        process = start(server.url, 10_000, tmp_path)
        assert process.stdout is not None
        first = process.stdout.readline()  # it runs
        time.sleep(0.5 + (n * 0.137) % 1.5)
        killed_at = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
    calls = said(first + out)
    # A machine that does not run a thread for a while cannot commit in that while.
    handed_over = killed_at - HANDED_OVER_S - max(call.stall for call in calls)
    calls = [call for call in calls if call.at < handed_over]
    assert calls
    check(calls, tmp_path)
