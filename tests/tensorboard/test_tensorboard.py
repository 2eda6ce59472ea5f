"""Event files, read by TensorBoard's own reader."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import otel_llm
from otel_llm.store import StoreReader
from otel_llm.views.mapping import Mapper, Taken
from otel_llm.views.model import Batch, Rows, Scalar
from otel_llm_tensorboard.settings import TensorBoardSettings
from otel_llm_tensorboard.sink import TensorBoardSink
from tests.views.programs import SERIES, play, replay, roll_out, train


def read(directory):
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    return events


def everything():
    play(3, 3)
    train()
    roll_out()


def scalars(directory):
    """Return all points: `{tag: [(step, value, wall time), …]}`."""
    events = read(directory)
    return {
        tag: [(e.step, repr(e.value), e.wall_time) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def stored(store):
    reader = StoreReader(store)
    return Mapper().map(
        Taken(list(reader.spans()), list(reader.points()), list(reader.series()), list(reader.logs()))
    )


def assert_equal(directory, store):
    """Compare every point of every curve, and every distribution, with the store."""
    batch = stored(store)
    found, wanted = scalars(directory), {}
    for s in batch.scalars:
        step = int(s.time_ns / 1e9) if s.step is None else s.step
        wanted.setdefault(s.name, []).append((step, repr(float(np.float32(s.value))), s.time_ns / 1e9))
    tables = {"interactions", "sessions", "full_trajectories"}
    assert {tag for tag in found if tag.partition("/")[0] not in tables} == set(wanted)
    for tag, points in wanted.items():
        assert sorted(found[tag]) == sorted(points), tag
    (rows,) = [rows for rows in batch.tables if rows.table == "interactions"]
    times = [cells[rows.names.index("response_time_ms")] for cells in rows.cells]
    assert [value for _, value, _ in found["interactions/response_time_ms"]] == [
        repr(float(np.float32(t))) for t in times
    ]
    events = read(directory)
    for wanted_histogram in batch.histograms:
        made = [
            h
            for h in events.Histograms(wanted_histogram.name)
            if h.wall_time == wanted_histogram.time_ns / 1e9
        ]
        value = made[0].histogram_value
        assert len(made) == 1
        assert (value.num, value.bucket[1:]) == (
            wanted_histogram.count,
            list(map(float, wanted_histogram.counts)),
        )
        assert value.bucket_limit == list(wanted_histogram.edges)


def test_live_curves_equal_the_store(tmp_path):
    otel_llm.instrument(store="store", exporters=["tensorboard"], content="full")
    everything()
    assert otel_llm.shutdown()
    assert_equal(tmp_path / "otel_llm_tensorboard", tmp_path / "store")
    assert replay("store", "--to", "tensorboard").stdout.startswith("nothing to send")


def test_replayed_curves_equal_the_store_and_come_once(tmp_path):
    otel_llm.instrument(store="store", content="full")
    everything()
    otel_llm.shutdown()
    for _ in range(2):
        assert replay("store", "--to", "tensorboard", "--output", "runs/1").exit_code == 0
        assert_equal(tmp_path / "runs" / "1", tmp_path / "store")
    found = scalars(tmp_path / "runs" / "1")
    assert next((step, float(value)) for step, value, _ in found["training/loss"]) == (1, pytest.approx(0.3))
    assert math.isnan(float(found["training/loss"][1][1]))
    assert len([name for name, *_ in SERIES if name == "training/loss"]) == 3


def test_killed_half_way_and_replayed_every_point_is_there_once(tmp_path):
    program = (
        "import otel_llm; from tests.views.programs import play, train\n"
        "otel_llm.instrument(store='store', exporters=['tensorboard'], content='full'); train()\n"
        "for n in range(10_000): play(1, 2, prefix=f'{n}-', pause_s=0.002)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    running = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 60  # the import alone takes seconds where much else runs
    while not list((tmp_path).glob("otel_llm_tensorboard/events*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.7)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert replay("store", "--to", "tensorboard").exit_code == 0
    assert_equal(tmp_path / "otel_llm_tensorboard", tmp_path / "store")


def test_texts_and_hyperparameters_are_shown(tmp_path):
    from tensorboard.plugins.hparams import metadata

    otel_llm.instrument(store="store", exporters=["tensorboard"], content="full", service_name="agent")
    everything()
    otel_llm.shutdown()
    events = read(tmp_path / "otel_llm_tensorboard")
    texts = [e.tensor_proto.string_val[0].decode() for e in events.Tensors("full_trajectories/text_summary")]
    assert "Paris is the capital." in texts[0]
    assert len(events.Tensors("interactions/text_summary")) == 10
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    info = metadata.parse_session_start_info_plugin_data(content)
    assert info.hparams["service.name"].string_value == "agent"


def test_numbers_that_32_bits_cannot_hold_are_infinite(tmp_path):
    sink = TensorBoardSink(TensorBoardSettings(), tmp_path)
    values = [1e300, -1e300, 10**400, 2**60 + 1, math.nan]
    assert sink.write(Batch(scalars=[Scalar("x", value, None, 2**70, n) for n, value in enumerate(values)]))
    sink.close(1)
    found = read(tmp_path).Scalars("x")
    assert [event.value for event in found[:4]] == [math.inf, -math.inf, math.inf, float(2**60)]
    assert math.isnan(found[4].value)


def test_a_process_beside_another_has_a_run_of_its_own(tmp_path):
    sinks = [TensorBoardSink(TensorBoardSettings(), tmp_path) for _ in range(2)]
    for sink in sinks:
        sink.write(Batch(scalars=[Scalar("x", 1.0, "global_step", 1, 1)]))
    for sink in sinks:
        sink.close(1)
    assert len(list(tmp_path.glob("events*"))) == len(list(tmp_path.glob("s2/events*"))) == 1


def test_how_many_texts_are_shown_can_be_set(tmp_path):
    columns = (("trace_id", "text"), ("span_id", "text"), ("time", "float"), ("question", "text"))
    rows = Rows("completions", columns, [("t", "s", 1.0, f"q {n} | ```x``` \n") for n in range(250)])
    for texts, shown in (("3", 5), ("0", 0)):
        settings = TensorBoardSettings.resolve({"OTEL_LLM_TENSORBOARD_TEXTS": texts})
        sink = TensorBoardSink(settings, tmp_path / texts)
        sink.write(Batch(tables=[rows]))
        sink.close(1)
        tags = read(tmp_path / texts).Tags()["tensors"]
        assert tags == (["completions/text_summary"] if shown else [])
        if shown:
            assert [e.step for e in read(tmp_path / texts).Tensors(tags[0])] == [0, 1, 2, 100, 200]
    with pytest.raises(ValueError, match="it accepts"):
        TensorBoardSettings.resolve({"OTEL_LLM_TENSORBOARD_TEXTS": "many"})
