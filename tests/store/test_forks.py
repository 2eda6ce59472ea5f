"""Forks: the child writes its own file, the parent's is never touched, nothing is there twice."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

from otel_llm.store import StoreReader, StoreWriter, forks

from .conftest import provider_of

ROOT = Path(__file__).parents[2]


def in_child(work, timeout_s=20):
    """Run `work` in a forked child; it must return, soon."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + timeout_s
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.005)


def one(tracer, name):
    with tracer.start_as_current_span(name):
        pass


def test_parent_and_child_write_files_of_their_own_and_nothing_twice(directory, writer, tracer):
    one(tracer, "before, committed")
    writer.flush(5)
    parents_file = writer.path
    one(tracer, "before, waiting")
    with tracer.start_as_current_span("open in the parent"):

        def child():
            one(tracer, "child")
            assert writer.flush(5)
            assert writer.path != parents_file
            assert writer.close(5)

        in_child(child)
    one(tracer, "after")
    assert writer.flush(5)
    assert writer.path == parents_file
    reader = StoreReader(directory)
    by_file = {}
    for span in reader.spans():
        by_file.setdefault(span.file == parents_file.name, []).append(span.name)
    assert by_file == {
        True: ["before, committed", "before, waiting", "open in the parent", "after"],
        False: ["child"],
    }
    assert reader.problems == []


def test_the_child_s_garbage_collection_does_not_take_the_parent_s_log(directory, writer, tracer):
    one(tracer, "first")
    writer.flush(5)
    log = writer.path.with_name(writer.path.name + "-wal")
    assert log.exists()
    in_child(gc.collect)
    assert log.exists()
    one(tracer, "second")
    assert writer.flush(5)
    assert [s.name for s in StoreReader(directory).spans()] == ["first", "second"]


def test_a_child_that_outlives_its_parent_and_exits_in_full_leaves_the_log_alone(directory):
    program = f"""
    import os, sys, time
    from otel_llm.store import StoreWriter
    from tests.store.conftest import provider_of
    writer = StoreWriter({str(directory)!r})
    tracer = provider_of(writer).get_tracer("t")
    with tracer.start_as_current_span("parent"):
        pass
    writer.flush(5)
    parent = os.getpid()
    if os.fork():
        os.kill(parent, 9)
    while os.getppid() == parent:
        time.sleep(0.01)
    # ... and now the interpreter's whole exit, finalizers included, when nobody holds the parent's locks
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, timeout=30, check=False)
    time.sleep(0.5)
    (log,) = directory.glob("*-wal")
    assert log.stat().st_size > 0
    assert [s.name for s in StoreReader(directory).spans()] == ["parent"]


def test_a_fork_whose_hook_did_not_run_is_noticed_by_the_process_id(directory, writer, tracer, monkeypatch):
    one(tracer, "parent")
    writer.flush(5)
    parents_file = writer.path
    monkeypatch.setattr(forks, "_watched", set())

    def child():
        one(tracer, "child")
        assert writer.flush(5)
        assert writer.path != parents_file

    in_child(child)
    assert sorted(s.name for s in StoreReader(directory).spans()) == ["child", "parent"]


def test_a_span_that_both_parent_and_child_end_is_shown_once(directory, writer, tracer):
    with tracer.start_as_current_span("both") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
        time.sleep(0.1)
        writer.flush(5)

        def child():
            span.end()
            assert writer.close(5)

        in_child(child)
    assert writer.flush(5)
    (stored,) = StoreReader(directory).trace(trace_id)
    assert (stored.name, stored.end_ns is None) == ("both", False)


def test_forks_while_the_writer_is_at_work_leave_no_child_hanging(directory, make_writer):
    writer = make_writer(directory, commit_interval_s=0.0)
    tracer = provider_of(writer).get_tracer("t")
    stop = threading.Event()

    def load():
        while not stop.is_set():
            one(tracer, "load")
            time.sleep(0.0002)

    loader = threading.Thread(target=load)
    loader.start()
    try:
        for _ in range(20):

            def child():
                one(tracer, "child")
                assert writer.close(5)

            in_child(child)
    finally:
        stop.set()
        loader.join()
    assert writer.flush(10)
    names = [s.name for s in StoreReader(directory).spans()]
    assert names.count("child") == 20
    assert names.count("load") == writer.stats["written"]["span"]


def test_a_fork_waits_until_no_thread_is_inside_sqlite(directory, writer, tracer, monkeypatch):
    from otel_llm.store.database import Database

    write, inside = Database.write, threading.Event()

    def slow(self, batch):
        inside.set()
        time.sleep(0.2)
        try:
            return write(self, batch)
        finally:
            inside.clear()

    monkeypatch.setattr(Database, "write", slow)
    one(tracer, "parent")
    assert inside.wait(5)

    def child():
        assert not inside.is_set()

    in_child(child)


def test_a_child_that_writes_nothing_makes_no_file(directory, writer, tracer):
    one(tracer, "parent")
    writer.flush(5)
    in_child(lambda: writer.close(5))
    assert len(list(directory.glob("*.db"))) == 1


def test_a_closed_writer_stays_closed_in_the_child(directory):
    writer = StoreWriter(directory)
    tracer = provider_of(writer).get_tracer("t")
    one(tracer, "parent")
    writer.close(5)

    def child():
        one(tracer, "child")
        assert writer.flush(1)

    in_child(child)
    assert [s.name for s in StoreReader(directory).spans()] == ["parent"]
