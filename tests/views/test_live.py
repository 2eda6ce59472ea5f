"""Sinks that are fed inside the program: never in its way, and with the same result as a replay."""

from __future__ import annotations

import os
import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

import otel_llm
from otel_llm import drops
from otel_llm.views import registry
from otel_llm.views.exporters import ViewSpanExporter
from otel_llm.views.live import LiveSink
from otel_llm.views.model import Sink
from tests.views.programs import play, train


class Recording(Sink):
    """Keeps what it is given."""

    name = book = "recording"
    linger_s = 0.0
    fails = 0

    def __init__(self, options=None):
        self.options = options
        self.batches = []
        self.closed = False

    def write(self, batch):
        if self.fails:
            self.fails -= 1
            raise OSError("no space")
        self.batches.append(batch)
        batch.settle()
        return True

    def close(self, timeout_s):
        self.closed = True
        return True

    def rows(self, table):
        found = [rows for batch in self.batches for rows in batch.tables if rows.table == table]
        return [dict(zip(rows.names, cells, strict=True)) for rows in found for cells in rows.cells]


def ended(n=1, **attributes):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    made = []
    for _ in range(n):
        span = tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat", **attributes})
        span.end()
        made.append(span)
    return made


@pytest.fixture
def sink():
    return Recording()


@pytest.fixture
def live(sink):
    made = LiveSink("recording", lambda options: sink, max_bytes=1 << 20)
    yield made
    made.close(2)


def test_spans_arrive_as_rows(live, sink):
    assert live.spans(ended(3))
    assert live.flush(5)
    assert len(sink.rows("calls")) == 3
    assert live.close(5)
    assert sink.closed


def test_a_batch_that_was_not_taken_is_given_again(live, sink):
    sink.fails = 2
    live.spans(ended(3))
    assert live.close(10)
    assert len(sink.rows("calls")) == 3


def test_what_does_not_fit_is_dropped_and_counted():
    gate = threading.Event()

    class Stuck(Recording):
        def write(self, batch):
            gate.wait(10)
            return super().write(batch)

    live = LiveSink("stuck", Stuck, max_bytes=100_000)
    taken = [live.spans(ended(1)) for _ in range(200)]
    gate.set()
    assert live.close(5)
    lost = taken.count(False)
    assert lost > 100
    assert drops.counts()["span", "stuck_queue_full"] == lost


def test_a_sink_that_hangs_does_not_hold_the_program():
    gate = threading.Event()

    class Hanging(Recording):
        def write(self, batch):
            gate.wait(30)
            return True

    live = LiveSink("hanging", Hanging)
    live.spans(ended(5))
    time.sleep(0.1)
    live.spans(ended(7))
    began = time.monotonic()
    assert not live.flush(0.2)
    assert not live.close(0.5)
    assert time.monotonic() - began < 2
    assert sum(drops.counts().values()) == 12
    gate.set()


def test_a_sink_that_cannot_be_made_is_said_once_and_counted(caplog):
    def refuse(options):
        raise ImportError("it needs paper")

    live = LiveSink("paper", refuse)
    live.spans(ended(2))
    assert not live.flush(2)
    assert not live.close(1)
    assert [record.getMessage() for record in caplog.records] == [
        "the sink paper cannot be set up: it needs paper"
    ]
    assert drops.counts()["span", "paper_unreachable"] == 2


def test_a_sinks_own_http_calls_are_no_telemetry(sink):
    from otel_llm.providers import suppressed

    seen = []

    class Looking(Recording):
        def write(self, batch):
            seen.append(suppressed())
            return super().write(batch)

    live = LiveSink("looking", Looking)
    live.spans(ended(1))
    assert live.close(5)
    assert seen == [True]


def test_a_forked_child_leaves_the_sink_to_its_parent(live, sink):
    live.spans(ended(2))
    assert live.flush(5)
    registry._known.add(live)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        took = live.spans(ended(1))
        done = live.flush(1) and live.close(1) in {True, False}
        os.write(write, f"{took} {done}".encode())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.read(read, 100) == b"False True"
    live.spans(ended(1))
    assert live.close(5)
    assert len(sink.rows("calls")) == 3


@pytest.fixture
def installed(monkeypatch, sink):
    """Install `sink` and its exporter under the name `recording`."""
    factories = {"recording": lambda options: setattr(sink, "options", options) or sink}
    monkeypatch.setattr(registry, "find", lambda name: factories[name])

    class Exporter(ViewSpanExporter):
        sink = "recording"

    from otel_llm import exporting

    monkeypatch.setattr(
        exporting,
        "entry_points",
        lambda **which: [Loaded(Exporter)] if which.get("name") in {None, "otel_llm_recording"} else [],
    )
    return sink


class Loaded:
    """An entry point of a package that is not installed."""

    name = "otel_llm_recording"

    def __init__(self, value):
        self.load = lambda: value


def test_the_exporter_is_the_sdks_and_its_last_user_closes_the_sink(installed):
    from otel_llm.exporting import make_span_exporter

    one, other = make_span_exporter("recording"), make_span_exporter("otel_llm_recording")
    assert one.live is other.live
    assert one.export(ended(2)) is SpanExportResult.SUCCESS
    one.shutdown()
    one.shutdown()
    assert not installed.closed
    assert other.export(ended(1)) is SpanExportResult.SUCCESS
    other.shutdown()
    assert installed.closed
    assert len(installed.rows("calls")) == 3
    assert other.export(ended(1)) is SpanExportResult.FAILURE


@pytest.mark.parametrize("how", ["argument", "variable", "both"])
def test_instrument_feeds_a_sink_with_all_that_the_store_has(installed, monkeypatch, tmp_path, how):
    if how != "argument":
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otel_llm_recording")
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otel_llm_recording")
    exporters = [] if how == "variable" else ["recording"]
    otel_llm.instrument(store=tmp_path / "store", exporters=exporters, content="full")
    play(1, 2)
    train()
    assert otel_llm.shutdown()
    assert installed.closed
    assert (installed.options.live, installed.options.store) == (True, tmp_path / "store")
    assert len(installed.rows("interactions")) == 4
    assert len(installed.rows("sessions")) == 1
    scalars = [scalar for batch in installed.batches for scalar in batch.scalars]
    assert [s.step for s in scalars if s.name == "training/loss"] == [1, 3, 2]
    assert len([s for s in scalars if s.name.startswith("rollouts/total")]) == 1
    assert len(installed.rows("model_outputs")) == 1
    # The store knows that all of it was delivered.
    from otel_llm.store import StoreReader
    from otel_llm.store.following import delivered

    reader = StoreReader(tmp_path / "store")
    assert list(reader.undelivered("recording")) == []
    assert len(delivered(reader, "recording/series")) == 5


def test_content_that_only_the_store_keeps_is_in_live_rows_too(installed, tmp_path):
    otel_llm.instrument(
        store=tmp_path / "store", exporters=["recording"], content="length", store_content="full"
    )
    with otel_llm.step(1), otel_llm.rollout("s1") as rollout:
        rollout.content(prompt="Why?", response="Because.")
    assert otel_llm.shutdown()
    (row,) = installed.rows("full_trajectories")
    assert "Because." in row["Full_Trajectory"]


def test_what_sampling_leaves_out_is_left_out_by_a_replay_too(installed, tmp_path):
    from otel_llm.store import StoreReader

    otel_llm.instrument(store=tmp_path / "store", exporters=["recording"], sampling="recording=off")
    with otel_llm.interaction("order", power="FRANCE"):
        pass
    otel_llm.shutdown()
    assert list(StoreReader(tmp_path / "store").undelivered("recording")) == []


def test_a_sink_that_is_off_neither_settles_nor_loses_anything(installed, tmp_path):
    from otel_llm.store import StoreReader

    class Off(Recording):
        def write(self, batch):
            self.is_off = True
            return True

    installed.write = Off.write.__get__(installed)
    otel_llm.instrument(store=tmp_path / "store", exporters=["recording"])
    play(1, 1)
    assert otel_llm.shutdown()
    assert drops.counts() == {}
    assert len(list(StoreReader(tmp_path / "store").undelivered("recording"))) == 1 + 1 + 2 * 2


def test_an_end_is_bounded_though_a_sink_hangs_and_there_are_metrics_and_logs(installed, tmp_path):
    gate = threading.Event()
    installed.flush = lambda timeout_s: gate.wait(60)
    installed.close = lambda timeout_s: gate.wait(60)
    otel_llm.instrument(store=tmp_path / "store", exporters=["recording"], shutdown_timeout=2)
    play(1, 1)
    train()
    began = time.monotonic()
    assert not otel_llm.shutdown()
    gate.set()
    assert time.monotonic() - began < 8


def test_a_sink_that_refuses_at_the_end_is_given_time_to_end_by_itself():
    ended_with = []

    class Refusing(Recording):
        def write(self, batch):
            return False

        def close(self, timeout_s):
            ended_with.append(timeout_s)
            return True

    live = LiveSink("refusing", Refusing)
    live.spans(ended(1))
    began = time.monotonic()
    assert not live.close(3)
    assert time.monotonic() - began < 2.9
    assert ended_with[0] > 1
    assert drops.counts()["row", "refusing_unsettled"] == 1


def test_a_library_that_wants_to_end_the_program_ends_nothing(installed, tmp_path):
    class Exiting(Recording):
        times = 1

        def write(self, batch):
            if self.times:
                self.times -= 1
                raise SystemExit(2)
            return Recording.write(self, batch)

    sink = Exiting()
    live = LiveSink("exiting", lambda options: sink)
    live.spans(ended(3))
    assert live.close(5)
    assert len(sink.rows("calls")) == 3


def test_a_thread_that_dies_is_told_of():
    class Dying(Recording):
        def write(self, batch):
            raise KeyboardInterrupt

    live = LiveSink("dying", Dying)
    live.spans(ended(1))
    assert not live.close(5)
    assert drops.counts()["internal_error", "sink dying: its thread"] == 1
