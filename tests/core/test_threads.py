"""Our threads stay threads where a program makes greenlets of its own after we were loaded."""

from __future__ import annotations

import _thread
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from otel_llm import threads


@pytest.fixture(params=["as usual", "replaced"])
def starts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "replaced":

        def greenlet(*_: Any) -> None:
            raise AssertionError("no greenlet is wanted")

        monkeypatch.setattr(_thread, "start_new_thread", greenlet)


@pytest.mark.usefixtures("starts")
def test_a_worker_runs_knows_itself_and_can_be_waited_for() -> None:
    go, seen = threading.Event(), []

    def work(what: str) -> None:
        go.wait(10)
        seen.append((what, threads.is_current(worker)))

    worker = threads.start(work, "otel_llm-test", ("x",))
    assert worker.is_alive()
    worker.join(0.01)
    assert worker.is_alive()
    assert not threads.is_current(worker)
    assert not threads.is_current(None)
    go.set()
    worker.join(10)
    assert not worker.is_alive()
    assert seen == [("x", True)]


@pytest.mark.parametrize("late", [True, False])
def test_a_program_of_greenlets_goes_on_whenever_it_became_one(tmp_path: Path, late: bool) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    ours = "import otel_llm; otel_llm.instrument()"
    patched = "from gevent import monkey; monkey.patch_all()"
    program = f"""
    {ours if late else patched}
    {patched if late else ours}
    import gevent, os
    for _ in range(3):
        with otel_llm.game("g"):
            gevent.sleep(0.2)
    assert otel_llm.force_flush(5)
    print("over", flush=True)
    os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "over\n", done.stderr
