"""A killed process: what it had handed over is there, and its file can be read."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_llm.store import StoreReader

KILLS = int(os.environ.get("OTEL_LLM_TEST_KILLS", "15"))
COMMITTED_WITHIN_NS = 200_000_000
ROOT = Path(__file__).parents[2]


def start(name, directory, **options):
    path = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.programs", name, str(directory)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, **options,
    )  # fmt: skip


def killed(directory, seconds):
    """Run the steady program, kill it, return the ids of spans that ended early enough, and all of them."""
    process = start("steady", directory, stdout=subprocess.PIPE)
    try:
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        at = time.monotonic_ns()
        lines = [first, *process.stdout.readlines()]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    ended = [line.decode().split() for line in lines if line.endswith(b"\n")]
    early = {span_id for span_id, when in ended if at - int(when) >= COMMITTED_WITHIN_NS}
    return early, {span_id for span_id, _ in ended}


@pytest.mark.slow
def test_nothing_that_ended_200_ms_before_a_sigkill_is_lost(tmp_path):
    moments = random.Random(0)
    for i in range(KILLS):
        directory = tmp_path / str(i)
        early, all_of_them = killed(directory, 0.25 + moments.random() * 0.5)
        reader = StoreReader(directory)
        spans = list(reader.spans())
        stored = {s.span_id for s in spans if s.end_ns is not None}
        assert early, "the test proves nothing"
        assert early <= stored
        assert stored <= all_of_them | {s.span_id for s in spans}
        assert [s.name for s in reader.open_spans() if s.name == "held open"] == ["held open"]
        assert reader.problems == []
        (info,) = reader.files()
        assert info.alive is False
        shutil.rmtree(directory)


def test_a_killed_process_s_file_is_read_the_same_from_a_read_only_copy(tmp_path):
    early, _ = killed(tmp_path / "run", 0.6)
    before = {s.span_id for s in StoreReader(tmp_path / "run").spans()}
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (tmp_path / "run").iterdir():
        if not file.name.endswith("-shm"):
            shutil.copy(file, copy)
    names = sorted(f.name for f in copy.iterdir())
    parents = [copy, *copy.parents][:-2]
    pid = os.fork()
    if not pid:
        code = 1
        try:
            for file in copy.iterdir():
                file.chmod(0o444)
            for parent in parents:
                parent.chmod(0o555)
            if os.getuid() == 0:  # for root nothing is read-only
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            reader = StoreReader(copy)
            found = {s.span_id for s in reader.spans()}
            code = 0 if found == before and not reader.problems else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    for parent in parents:
        parent.chmod(0o755)
    assert os.waitstatus_to_exitcode(status) == 0
    assert early <= before
    assert sorted(f.name for f in copy.iterdir()) == names


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_log_that_was_torn_is_read_up_to_its_last_good_transaction(tmp_path, cut):
    from otel_llm.store import StoreWriter

    from .conftest import provider_of

    writer = StoreWriter(tmp_path / "run")
    tracer = provider_of(writer).get_tracer("t")
    for name in "abc":
        with tracer.start_as_current_span(name):
            pass
        assert writer.flush(5)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (tmp_path / "run").iterdir():
        if not file.name.endswith("-shm"):
            shutil.copy(file, copy)
    writer.close(5)
    (log,) = copy.glob("*-wal")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - cut)
    reader = StoreReader(copy)
    names = [s.name for s in reader.spans()]
    assert names == ["a", "b", "c"][: len(names)]
    assert len(names) in {1, 2}
    assert reader.problems == []


def test_a_file_that_is_damaged_is_left_out_and_said_once(tmp_path, make_writer):
    from .conftest import provider_of

    directory = tmp_path / "run"
    for name in ("whole", "damaged"):
        writer = make_writer(directory)
        with provider_of(writer).get_tracer("t").start_as_current_span(name):
            pass
        assert writer.flush(5)
        path = writer.path
        assert writer.close(5)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)
    (directory / f"{'h'}-1-00000000.db").write_bytes(b"no database at all, but long enough to look at" * 100)
    reader = StoreReader(directory)
    for _ in range(2):
        assert [s.name for s in reader.spans()] == ["whole"]
        assert len(reader.traces()) == 1
    assert len(reader.problems) == 2
    assert any(path.name in problem for problem in reader.problems)
