"""What may stay: age, total size, finished files only; and files that killed processes left."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from otel_llm.store import Retention, StoreReader, StoreWriter
from otel_llm.store.retention import finish

from .conftest import provider_of

ROOT = Path(__file__).parents[2]


def fill(writer, n=1, size=100, first=1):
    for i in range(n):
        attributes = {"a": os.urandom(size // 2).hex(), "n": first + i}
        writer.ended(
            ReadableSpan(
                "s", SpanContext(1, first + i, False), attributes=attributes, start_time=1, end_time=2
            )
        )


def finished(directory, n=1, size=100):
    writer = StoreWriter(directory)
    fill(writer, n, size)
    assert writer.flush(5)
    path = writer.path
    assert writer.close(5)
    return path


def age(path, seconds):
    when = time.time() - seconds
    for name in (path, f"{path}-wal"):
        if os.path.exists(name):
            os.utime(name, (when, when))


def test_files_past_their_age_go_when_a_process_starts_to_write(directory, make_writer):
    old, young = finished(directory), finished(directory)
    age(old, 1000)
    writer = make_writer(retention=Retention(max_age_s=500))
    fill(writer)
    assert writer.flush(5)
    assert writer.close(5)
    assert not old.exists()
    assert young.exists()
    assert len(StoreReader(directory).files()) == 2


def test_the_oldest_files_go_until_the_rest_is_small_enough(directory, make_writer):
    paths = [finished(directory, 10, 40_000) for _ in range(5)]
    for i, path in enumerate(paths):
        age(path, 1000 - i)
    size = paths[0].stat().st_size
    writer = make_writer(retention=Retention(max_bytes=int(size * 2.5)))
    fill(writer)
    assert writer.flush(5)
    writer.close(5)
    assert [p.exists() for p in paths] == [False, False, False, True, True]


def test_a_file_that_a_live_process_writes_never_goes(directory, make_writer):
    program = f"""
    import sys
    from otel_llm.store import StoreWriter
    from tests.store.test_retention import fill
    writer = StoreWriter({str(directory)!r})
    fill(writer, 10, 10_000)
    writer.flush(5)
    print(writer.path, flush=True)
    sys.stdin.readline()
    fill(writer, 1, 100, 100)
    print(writer.close(5), flush=True)
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    mine = make_writer(retention=Retention(max_bytes=1 << 20))
    try:
        path = Path(other.stdout.readline().strip())
        fill(mine)
        mine.flush(5)
        age(path, 10_000)
        age(mine.path, 10_000)
        sweeping = make_writer(retention=Retention(max_age_s=1, max_bytes=1))
        fill(sweeping)
        assert sweeping.flush(5)
        assert sweeping.close(5)
        assert path.exists()
        assert mine.path.exists()
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "True\n"
    finally:
        other.stdin.close()
        other.wait(10)
        other.stdout.close()
    assert len([s for s in StoreReader(directory).spans() if s.file == path.name]) == 11
    age(path, 10_000)
    last = make_writer(retention=Retention(max_age_s=1))
    fill(last)
    assert last.flush(5)
    assert last.close(5)
    assert not path.exists()


def test_a_killed_process_s_log_is_moved_into_its_file(directory, make_writer):
    pid = os.fork()
    if not pid:
        writer = StoreWriter(directory)
        fill(writer, 5)
        writer.flush(5)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    (log,) = directory.glob("*-wal")
    path = log.with_name(log.name.removesuffix("-wal"))
    age(path, 1000)
    writer = make_writer()
    fill(writer)
    assert writer.flush(5)
    assert writer.close(5)
    assert not log.exists()
    assert len([s for s in StoreReader(directory).spans() if s.file == path.name]) == 5


def test_finishing_says_whether_somebody_writes(directory, writer):
    fill(writer)
    writer.flush(5)
    path = writer.path
    assert finish(path) is False
    fill(writer, first=2)
    assert writer.flush(5)
    writer.close(5)
    assert finish(path) is True
    assert len(list(StoreReader(directory).spans())) == 2


def test_a_writer_goes_on_in_a_new_file_when_its_file_is_large(directory, make_writer):
    writer = make_writer(retention=Retention(max_file_bytes=200_000))
    tracer = provider_of(writer).get_tracer("t")
    with tracer.start_as_current_span("open all the time"):
        time.sleep(0.06)
        for i in range(20):
            fill(writer, 10, 8_000, 1 + i * 10)
            assert writer.flush(5)
        reader = StoreReader(directory)
        files = reader.files()
        assert len(files) > 4
        assert len({f.writer for f in files}) == 1
        assert [s.name for s in reader.open_spans()] == ["open all the time"]
        assert sum(f.alive for f in files) == 1
    assert writer.flush(5)
    assert reader.open_spans() == []
    spans = list(reader.spans())
    assert sorted(s.attributes["n"] for s in spans if s.name == "s") == list(range(1, 201))
    assert [s.end_ns is None for s in spans if s.name != "s"] == [False]


def test_a_long_running_writer_lets_its_own_old_parts_go(directory, make_writer):
    writer = make_writer(retention=Retention(max_bytes=1_600_000))
    for i in range(40):
        fill(writer, 10, 20_000, 1 + i * 10)
        assert writer.flush(5)
        time.sleep(0.01)
    writer.close(5)
    total = sum(f.stat().st_size for f in directory.iterdir())
    assert total < 2_400_000
    kept = [s.attributes["n"] for s in StoreReader(directory).spans()]
    assert max(kept) == 400
    assert min(kept) > 1


@pytest.mark.parametrize("retention", [None, Retention()])
def test_without_limits_everything_stays(directory, make_writer, retention):
    old = finished(directory)
    age(old, 1e8)
    writer = make_writer(retention=retention)
    fill(writer)
    writer.flush(5)
    writer.close(5)
    assert old.exists()
