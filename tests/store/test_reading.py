"""Questions to the store: by id, by filter, what is new; over many files, while they are written."""

from __future__ import annotations

import os
import sqlite3
import threading
import time

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from otel_llm.store import AmbiguousTraceError, StoreReader, StoreWriter, TraceSummary, schema

from .conftest import provider_of

S = 1_000_000_000


def span(trace, number, name="s", start=1, seconds=1.0, parent=None, error=False, service="a", **attributes):
    return ReadableSpan(
        name,
        SpanContext(trace, number, False, TraceFlags(1)),
        SpanContext(trace, parent, False) if parent else None,
        Resource({"service.name": service}),
        {key.replace("__", "."): value for key, value in attributes.items()},
        status=Status(StatusCode.ERROR if error else StatusCode.UNSET),
        start_time=int(start * S),
        end_time=int((start + seconds) * S),
    )


@pytest.fixture
def filled(directory, make_writer):
    """Two processes' files: a trace over both, and two of one call each."""
    first, second = make_writer(), make_writer()
    model = "gen_ai__request__model"
    first.ended(span(0xAA << 120, 1, "root", 10, 10))
    first.ended(
        span(0xAA << 120, 2, "chat big", 11, 2, 1, gen_ai__usage__input_tokens=10, gen_ai__usage__output_tokens=3,
             otel_llm__cost__total=0.5, tags=("x", "y"), **{model: "big-1"})
    )  # fmt: skip
    second.ended(
        span(0xAA << 120, 3, "chat small", 12, 1, 1, service="b", gen_ai__usage__input_tokens=5,
             otel_llm__cost__total=0.25, error__type="rate_limit", **{model: "small-1"})
    )  # fmt: skip
    second.ended(span(0xAB << 120, 4, "chat big", 30, 0.5, n=3, **{model: "big-2"}))
    first.ended(span(0xBB << 120, 5, "tool", 40, 0.1, error=True, n=3.0))
    assert first.close(5)
    assert second.flush(5)
    return directory


def names(spans):
    return sorted(s.name for s in spans)


def test_a_trace_is_put_together_from_all_files(filled, reader):
    found = reader.trace(f"{0xAA << 120:032x}")
    assert [(s.name, s.parent_id) for s in found] == [
        ("root", None),
        ("chat big", f"{1:016x}"),
        ("chat small", f"{1:016x}"),
    ]
    assert len({s.file for s in found}) == 2
    assert [s.resource for s in found] == [{"service.name": n} for n in "aab"]


@pytest.mark.parametrize("digits", ["bb00", "0xBB000", " BB" + "0" * 30])
def test_a_trace_is_found_by_its_first_digits(filled, reader, digits):
    assert names(reader.trace(digits)) == ["tool"]


def test_digits_that_fit_several_traces_name_them(directory, writer, reader):
    writer.ended(span(0xABCD1 << 108, 1))
    writer.ended(span(0xABCD2 << 108, 1))
    writer.flush(5)
    with pytest.raises(AmbiguousTraceError, match="abcd10"):
        reader.trace("abcd")
    assert len(reader.trace("abcd1")) == 1


@pytest.mark.parametrize("wrong", ["", "abc", "xyz1", "0" * 33])
def test_what_is_no_trace_id_is_refused(filled, reader, wrong):
    with pytest.raises(ValueError, match="no trace id"):
        reader.trace(wrong)


def test_a_trace_that_is_not_there_is_empty(filled, reader):
    assert reader.trace("dddd") == []


def test_traces_are_summed_up_over_all_files_latest_first(filled, reader):
    big = TraceSummary(
        trace_id=f"{0xAA << 120:032x}",
        name="root",
        start_ns=10 * S,
        end_ns=20 * S,
        spans=3,
        open=0,
        errors=1,
        models=("big-1", "small-1"),
        input_tokens=15,
        output_tokens=3,
        cost_usd=0.75,
        services=("a", "b"),
    )
    found = reader.traces()
    assert [t.name for t in found] == ["tool", "chat big", "root"]
    assert found[2] == big
    assert big.duration_s == 10
    assert [t.name for t in reader.traces(limit=2)] == ["tool", "chat big"]
    assert reader.traces(limit=0) == []
    assert reader.traces(model="small-1") == [big]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["chat big", "chat big", "chat small", "root", "tool"]),
        ({"model": "big-1"}, ["chat big"]),
        ({"model": "big-*"}, ["chat big", "chat big"]),
        ({"name": "chat *"}, ["chat big", "chat big", "chat small"]),
        ({"errors": True}, ["chat small", "tool"]),
        ({"min_duration_s": 2}, ["chat big", "root"]),
        ({"since_ns": 12 * S, "until_ns": 40 * S}, ["chat big", "chat small"]),
        ({"attributes": {"n": "3"}}, ["chat big", "tool"]),
        ({"attributes": {"tags": "y"}}, ["chat big"]),
        ({"attributes": {"error.type": "rate_limit", "gen_ai.request.model": "small-1"}}, ["chat small"]),
        ({"attributes": {"missing": "x"}}, []),
        ({"limit": 2}, ["chat big", "tool"]),
        ({"limit": 1, "name": "chat*"}, ["chat big"]),
    ],
)
def test_spans_are_found_by_what_they_are(filled, reader, asked, expected):
    assert names(reader.spans(**asked)) == expected
    if "limit" not in asked:
        traces = {s.trace_id for s in reader.spans(**asked)}
        assert {t.trace_id for t in reader.traces(**asked)} == traces


def test_the_last_spans_come_in_order_of_their_start(directory, writer, reader):
    for i in range(50):
        writer.ended(span(i + 1, i + 1, str(i), start=(i * 7) % 50 + 1))
    writer.flush(5)
    assert [s.start_ns // S for s in reader.spans(limit=5)] == [46, 47, 48, 49, 50]


def test_a_span_that_is_open_shows_and_its_trace_has_no_end(directory, writer, reader, tracer):
    with tracer.start_as_current_span("root") as root:
        with tracer.start_as_current_span("child"):
            pass
        time.sleep(0.06)
        root.set_attribute("late", 1)
        writer.flush(5)
        (open_,) = reader.open_spans()
        assert (open_.name, open_.end_ns, open_.duration_s) == ("root", None, None)
        (trace,) = reader.traces()
        assert (trace.name, trace.end_ns, trace.spans, trace.open) == ("root", None, 2, 1)
        assert names(reader.spans()) == ["child", "root"]
        assert names(reader.spans(min_duration_s=0.05)) == ["root"]
    writer.flush(5)
    assert reader.open_spans() == []
    assert [(s.name, s.attributes) for s in reader.spans()] == [("child", {}), ("root", {"late": 1})]


def test_a_span_that_stays_open_is_written_once_and_without_being_asked(directory, writer, reader, tracer):
    span_ = tracer.start_span("long")
    deadline = time.monotonic() + 5
    while not reader.open_spans():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for _ in range(5):
        with tracer.start_as_current_span("short"):
            pass
        writer.flush(5)
    assert writer.stats["written"]["open_span"] == 1
    span_.end()


def test_what_ended_is_committed_within_200_ms_and_idle_writers_sleep(directory, writer, reader, tracer):
    for _ in range(5):
        with tracer.start_as_current_span("s") as s:
            pass
        time.sleep(0.2)
        assert reader.trace(f"{s.get_span_context().trace_id:032x}")
    time.sleep(2.5)  # past the checkpoint that follows the last commit
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02


def test_tail_gives_what_was_committed_since(directory, make_writer, reader):
    first = make_writer()
    first.ended(span(1, 1, "old"))
    first.flush(5)
    found, cursor = reader.tail()
    assert found == []
    first.ended(span(1, 2, "new"))
    first.flush(5)
    second = make_writer()
    second.ended(span(2, 3, "of a new process"))
    second.flush(5)
    found, cursor = reader.tail(cursor)
    assert names(found) == ["new", "of a new process"]
    found, cursor = reader.tail(cursor)
    assert found == []
    first.ended(span(1, 4, "later"))
    first.close(5)
    found, cursor = reader.tail(cursor)
    assert names(found) == ["later"]
    assert reader.tail(cursor)[0] == []


def test_tail_misses_nothing_of_a_busy_writer_and_gives_nothing_twice(directory, make_writer, reader):
    writer = make_writer(commit_interval_s=0.002)
    _, cursor = reader.tail()
    stop = threading.Event()

    def load():
        for i in range(1, 1500):
            writer.ended(span(i, i))
            if i % 10 == 0:
                time.sleep(0.002)
        stop.set()

    loader = threading.Thread(target=load)
    loader.start()
    found = []
    while not stop.is_set():
        new, cursor = reader.tail(cursor)
        found += new
    loader.join()
    writer.flush(5)
    time.sleep(0.01)
    found += reader.tail(cursor)[0]
    assert [int(s.span_id, 16) for s in found] == list(range(1, 1500))
    assert reader.problems == []


def test_many_writers_and_a_reader_do_not_wait_for_each_other(directory, make_writer, reader):
    writers = [make_writer(commit_interval_s=0.001) for _ in range(4)]
    each = 300

    def load(writer, base):
        tracer = provider_of(writer).get_tracer("t")
        for _ in range(each):
            with tracer.start_as_current_span(str(base)):
                time.sleep(0.0005)

    threads = [threading.Thread(target=load, args=(w, i)) for i, w in enumerate(writers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        reader.traces()
        list(reader.spans(limit=10))
    for writer in writers:
        assert writer.flush(10)
        assert writer.stats["dropped"] == {}
    assert len(list(reader.spans())) == each * len(writers)
    assert reader.problems == []


def test_a_reader_in_the_middle_of_a_file_does_not_keep_the_writer_from_committing(directory, writer, reader):
    for i in range(300):
        writer.ended(span(i + 1, i + 1))
    writer.flush(5)
    slow = reader.spans()
    next(slow)
    for i in range(300, 600):
        writer.ended(span(i + 1, i + 1))
        writer.flush(5)
    assert writer.stats["written"]["span"] == 600
    assert writer.degraded is None
    assert len(list(slow)) == 299
    assert len(list(reader.spans())) == 600


def test_reading_changes_no_file(filled, reader):
    def state():
        return {
            f.name: (f.stat().st_size, f.stat().st_mtime_ns)
            for f in filled.iterdir()
            if f.suffix != ".db-shm"
        }

    before = state()
    reader.traces()
    list(reader.spans())
    reader.trace("bb00")
    reader.tail(reader.tail()[1])
    list(reader.undelivered("x"))
    reader.files()
    assert {k: v for k, v in state().items() if not k.endswith("-shm")} == {
        k: v for k, v in before.items() if not k.endswith("-shm")
    }


def test_a_file_of_a_newer_version_is_left_alone_and_said(filled, reader):
    path = filled / schema.file_name("h-1-0000", 1)
    db = sqlite3.connect(path)
    db.executescript(f"CREATE TABLE spans(x); PRAGMA user_version={schema.VERSION + 1};")
    db.close()
    before = path.read_bytes()
    for _ in range(2):
        assert len(list(reader.spans())) == 5
    (problem,) = reader.problems
    assert "newer" in problem
    assert path.name in problem
    assert path.read_bytes() == before


def test_other_files_in_the_directory_are_no_business_of_ours(filled, reader):
    (filled / "notes.db").write_text("mine")
    (filled / "run.log").write_text("mine")
    (filled / "h-1-ab.db").mkdir()
    assert len(list(reader.spans())) == 5
    assert [p.partition(":")[0] for p in reader.problems] == ["h-1-ab.db"]


def test_a_directory_that_is_not_there_reads_as_empty(tmp_path):
    reader = StoreReader(tmp_path / "nowhere")
    assert reader.traces() == []
    assert reader.trace("abcd") == []
    assert reader.tail()[0] == []
    assert reader.files() == []
    assert reader.problems == []


def test_files_are_described(filled, reader, make_writer):
    closed, live = sorted(reader.files(), key=lambda f: f.alive)
    assert (closed.alive, live.alive) == (False, True)
    assert (closed.spans, live.spans) == (3, 2)
    assert (live.pid, live.host) == (os.getpid(), schema.host_name())
    assert live.meta["version"]
    assert live.nbytes > 10_000


def test_a_store_holds_a_trace_of_many_spans(directory, make_writer, reader):
    writer = make_writer()
    for i in range(5000):
        writer.ended(span(1 << 100, i + 1, start=i + 1, parent=1 if i else None))
    assert writer.close(20)
    assert len(reader.trace(f"{1 << 100:032x}")) == 5000
    (trace,) = reader.traces()
    assert trace.spans == 5000


def test_a_writer_in_another_directory_with_odd_characters(tmp_path):
    where = tmp_path / "a b%?#ü"
    writer = StoreWriter(where)
    writer.ended(span(1 << 100, 1))
    assert writer.close(5)
    reader = StoreReader(where)
    assert len(list(reader.spans())) == 1
    assert reader.problems == []


def test_a_file_that_is_just_being_made_is_no_problem(directory, make_writer, reader):
    writers = [make_writer(commit_interval_s=0.0) for _ in range(30)]
    made = threading.Event()

    def make():
        for i, writer in enumerate(writers):
            writer.ended(span(1 << 100, i + 1))
            writer.flush(5)
        made.set()

    maker = threading.Thread(target=make)
    maker.start()
    while not made.is_set():
        list(reader.spans())
    maker.join()
    assert len(list(reader.spans())) == 30
    assert reader.problems == []
