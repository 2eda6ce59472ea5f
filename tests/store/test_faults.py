"""A store that cannot be written: one warning, counted drops, never an exception, and on again when it can."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from otel_llm import drops
from otel_llm.store import StoreReader, schema, trouble

from .conftest import provider_of


def spans(n, size=100):
    return [
        ReadableSpan(
            "s", SpanContext(1, i + 1, False), attributes={"a": "x" * size}, start_time=1, end_time=2
        )
        for i in range(n)
    ]


def warnings_in(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "otel_llm" and r.levelno >= logging.WARNING]


@pytest.fixture
def soon(monkeypatch):
    """Try again after a moment instead of a second."""
    monkeypatch.setattr(trouble, "_FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(trouble, "_LAST_WAIT_S", 0.1)


def until(condition, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def test_a_directory_that_cannot_be_made_degrades_with_one_warning(tmp_path, make_writer, caplog, soon):
    (tmp_path / "file").write_text("in the way")
    writer = make_writer(tmp_path / "file" / "run")
    for span in spans(10):
        writer.ended(span)
    assert writer.flush(5) is False
    assert writer.flush(5) is False
    assert "no directory" in writer.degraded
    (warning,) = warnings_in(caplog)
    assert "cannot write its store" in warning
    assert str(tmp_path) in warning
    assert writer.close(5) is False
    assert writer.stats["dropped"] == {"store_read_only": 10}
    assert drops.counts()["span", "store_read_only"] == 10


def test_little_waits_in_memory_while_no_file_could_ever_be_made(tmp_path, make_writer, soon):
    (tmp_path / "file").write_text("in the way")
    writer = make_writer(tmp_path / "file")
    writer.ended(spans(1)[0])
    assert writer.flush(5) is False
    for span in spans(100, 1_000_000):
        writer.ended(span)
    assert writer.stats["queued_bytes"] < 20 << 20
    assert writer.stats["dropped"]["store_read_only"] > 80


def test_it_goes_on_by_itself_when_the_directory_becomes_writable(tmp_path, make_writer, soon):
    where = tmp_path / "file"
    where.write_text("in the way")
    writer = make_writer(where)
    for span in spans(10):
        writer.ended(span)
    assert writer.flush(5) is False
    where.unlink()
    until(lambda: writer.stats["written"]["span"] == 10)
    assert writer.degraded is None
    assert len(list(StoreReader(where).spans())) == 10
    assert writer.stats["dropped"] == {}


def test_a_full_disk_loses_only_what_does_not_fit_in_memory(
    directory, make_writer, monkeypatch, caplog, soon
):
    pages = []
    create = schema.create

    def small(path):
        db = create(path)
        pages.append(db)
        db.execute("PRAGMA max_page_count=40")  # SQLITE_FULL, as from a full disk
        return db

    monkeypatch.setattr(schema, "create", small)
    writer = make_writer(directory, max_queue_bytes=1 << 20)
    random_text = os.urandom(400_000).hex()
    given = 0
    for span in spans(8):
        span._attributes["a"] = random_text[given * 1000 :]  # does not compress
        writer.ended(span)
        given += 1
        writer.flush(1)
        if writer.degraded:
            break
    assert "disk is full" in writer.degraded
    assert len(warnings_in(caplog)) == 1
    for span in spans(8, 300_000):
        writer.ended(span)
    assert writer.stats["dropped"]["store_disk_full"] >= 1
    assert writer.stats["queued_bytes"] <= 1 << 20
    reader = StoreReader(directory)
    before = len(list(reader.spans()))
    assert before == writer.stats["written"]["span"]
    pages[0].execute("PRAGMA max_page_count=1000000")
    until(lambda: writer.degraded is None)
    assert writer.flush(5)
    total = 8 + given
    assert len(list(reader.spans())) == total - writer.stats["dropped"]["store_disk_full"]
    assert reader.problems == []


def test_a_file_that_may_not_grow_is_left_for_another(directory):
    # A limit on file sizes is the nearest thing to a failing disk that needs no privileges.
    program = f"""
    import resource, signal, sys
    from otel_llm.store import StoreWriter, trouble
    from tests.store.test_faults import spans
    import os
    trouble._FIRST_WAIT_S = trouble._LAST_WAIT_S = 0.05
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    writer = StoreWriter({str(directory)!r})
    for i, span in enumerate(spans(30)):
        span._attributes["a"] = os.urandom(30_000).hex()
        writer.ended(span)
        writer.flush(1)
    import time
    time.sleep(0.3)
    writer.flush(2)
    writer.close(2)
    print(writer.stats["written"]["span"], writer.stats["dropped"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=True,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
    )  # fmt: skip
    assert done.stdout == "30 {}\n", done.stderr
    assert done.stderr.count("cannot write its store") == 1
    reader = StoreReader(directory)
    assert len({s.span_id for s in reader.spans()}) == 30
    assert len(reader.files()) > 1
    assert reader.problems == []


def test_a_file_somebody_has_locked_is_written_when_it_is_free(
    directory, writer, tracer, monkeypatch, soon, caplog
):
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.05)
    with tracer.start_as_current_span("first"):
        pass
    assert writer.flush(5)
    other = sqlite3.connect(writer.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with tracer.start_as_current_span("second"):
        pass
    assert writer.flush(5) is False
    assert "lock" in writer.degraded
    other.execute("COMMIT")
    other.close()
    until(lambda: writer.degraded is None)
    assert [s.name for s in StoreReader(directory).spans()] == ["first", "second"]
    assert len(warnings_in(caplog)) == 1


def test_a_file_system_without_locks_is_named_in_the_warning(
    directory, make_writer, monkeypatch, caplog, soon
):
    def without_locks(path):
        return sqlite3.connect(
            f"{path.as_uri()}?vfs=unix-dotfile", uri=True, isolation_level=None, check_same_thread=False
        )

    monkeypatch.setattr(schema, "connect", without_locks)
    writer = make_writer(directory)
    writer.ended(spans(1)[0])
    assert writer.flush(5) is False
    (warning,) = warnings_in(caplog)
    assert "local disk" in warning
    assert list(directory.iterdir()) == []


def test_a_read_only_directory_degrades(tmp_path):
    # In a child that gives up root's rights, for whom no directory is read-only.
    where = tmp_path / "run"
    where.mkdir()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            for parent in [where, *where.parents][:-2]:
                os.chmod(parent, 0o555)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            from otel_llm.store import StoreWriter

            writer = StoreWriter(where)
            writer.ended(spans(1)[0])
            flushed = writer.flush(5)
            code = 0 if not flushed and writer.degraded else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    for parent in [where, *where.parents][:-2]:
        os.chmod(parent, 0o755)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_new_directory_is_for_its_owner_alone_and_one_that_is_there_keeps_its_mode(make_writer, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o775)
    for where, mode in ((tmp_path / "new" / "store", 0o700), (shared, 0o775)):
        writer = make_writer(where)
        writer.ended(spans(1)[0])
        assert writer.flush(5)
        assert where.stat().st_mode & 0o777 == mode


def test_a_store_that_is_removed_while_it_is_written_goes_on_in_a_new_file(directory, writer, tracer, caplog):
    import shutil

    with tracer.start_as_current_span("first"):
        pass
    writer.flush(5)
    shutil.rmtree(directory)
    with tracer.start_as_current_span("second"):
        pass
    assert writer.flush(5)
    assert [s.name for s in StoreReader(directory).spans()] == ["second"]
    (warning,) = warnings_in(caplog)
    assert "was removed" in warning


def test_a_full_queue_drops_what_is_new_and_counts_it(directory, make_writer, monkeypatch):
    writer = make_writer(directory, max_queue_bytes=20_000, commit_interval_s=5)
    for span in spans(100):
        writer.ended(span)
    dropped = writer.stats["dropped"]["store_queue_full"]
    assert 0 < dropped < 100
    assert writer.flush(5)
    stored = list(StoreReader(directory).spans())
    assert len(stored) == 100 - dropped
    assert drops.counts()["span", "store_queue_full"] == dropped
    writer.ended(spans(101)[100])
    assert writer.flush(5)
    (info,) = StoreReader(directory).files()
    assert info.meta["dropped.store_queue_full"] == str(dropped)


def test_something_that_is_no_span_harms_nothing(directory, writer):
    writer.started(None)
    writer.ended(None)
    writer.ended(ReadableSpan("no context"))
    writer.logs([None])
    writer.points(3)
    writer.series([None])
    writer.delivered("otlp", [("no", "bytes")])
    writer.ended(spans(1)[0])
    assert writer.flush(5)
    assert writer.stats["dropped"] == {"store_unreadable": 2}
    assert len(list(StoreReader(directory).spans())) == 1


def test_the_caller_does_not_wait_for_a_disk_that_hangs(directory, make_writer, monkeypatch):
    from otel_llm.store.database import Database

    write = Database.write

    def slow(self, batch):
        time.sleep(1.0)
        return write(self, batch)

    monkeypatch.setattr(Database, "write", slow)
    writer = make_writer(directory)
    tracer = provider_of(writer).get_tracer("t")
    begin = time.perf_counter()
    for _ in range(200):
        with tracer.start_as_current_span("s"):
            pass
    assert time.perf_counter() - begin < 0.5
    assert writer.flush(0.1) is False
    assert writer.close(10)
    assert len(list(StoreReader(directory).spans())) == 200
