"""CSV and Parquet hold what the store holds, cell by cell, however they came to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import otel_llm
from otel_llm import drops, runtime
from otel_llm.store import StoreReader
from tests.tabular.reading import comparable, csv_rows, expected, parquet_rows
from tests.views.programs import ANSWER, play, replay, roll_out, train

READ = {"csv": csv_rows, "parquet": parquet_rows}
TABLES = [
    "interactions",
    "sessions",
    "calls",
    "completions",
    "full_trajectories",
    "model_outputs",
    "logs",
    "scalars",
    "histograms",
]


def everything():
    play(3, 3)
    train()
    roll_out()


def assert_equal(kind, directory, store):
    """Compare every cell of every table with what the store's content comes to."""
    wanted = expected(store)
    assert set(TABLES) <= set(wanted)
    for table, rows in wanted.items():
        assert comparable(READ[kind](directory, table)) == comparable(rows), table


@pytest.fixture(params=["csv", "parquet"])
def kind(request):
    return request.param


def test_live_files_equal_the_store_cell_by_cell(kind, tmp_path):
    otel_llm.instrument(store="store", exporters=[kind], content="full")
    everything()
    assert otel_llm.shutdown()
    assert drops.counts() == {}
    assert_equal(kind, tmp_path / f"otel_llm_{kind}", tmp_path / "store")
    assert replay("store", "--to", kind).stdout == f"nothing to send: {kind} has everything that matches\n"


def test_replayed_files_equal_the_store_and_a_second_replay_sends_nothing(kind, tmp_path):
    otel_llm.instrument(store="store", content="full")
    everything()
    otel_llm.shutdown()
    done = replay("store", "--to", kind, "--output", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "5 scalars" in done.stdout
    assert_equal(kind, tmp_path / "out", tmp_path / "store")
    assert replay("store", "--to", kind, "--output", "out").stdout.startswith("nothing to send")
    assert_equal(kind, tmp_path / "out", tmp_path / "store")
    # Another place is another sink.
    replay("store", "--to", kind, "--output", "elsewhere")
    assert_equal(kind, tmp_path / "elsewhere", tmp_path / "store")


def test_a_replay_sends_what_came_since(kind, tmp_path):
    for prefix in ("first", "second"):
        otel_llm.instrument(store="store", content="full")
        play(1, 1, prefix=prefix)
        otel_llm.shutdown()
        assert replay("store", "--to", kind, "--output", "out").exit_code == 0
    rows = READ[kind](tmp_path / "out", "interactions")
    assert [row["game_id"] for row in rows] == ["first0", "first0", "second0", "second0"]


PROGRAM = """
import sys, otel_llm
from tests.views.programs import play, train, roll_out
otel_llm.instrument(store="store", exporters=[sys.argv[1]], content="full")
print("ready", flush=True)
train()
for n in range(10_000):
    roll_out(n)
    play(1, 2, prefix=f"{n}-", pause_s=0.002)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.4, 1.1])
def test_killed_half_way_and_replayed_it_is_all_there_once(kind, tmp_path, seconds):
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "OTEL_LLM_CSV_FLUSH_INTERVAL": "0.05",
        "OTEL_LLM_PARQUET_FLUSH_INTERVAL": "0.3",
        "OTEL_LLM_CSV_BUFFER_ROWS": "20",
    }
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind], env=environment, stdout=subprocess.PIPE, cwd=tmp_path
    )
    assert program.stdout.readline() == b"ready\n"
    directory = tmp_path / f"otel_llm_{kind}"
    wait_for(lambda: list(StoreReader(tmp_path / "store").spans(limit=1)))
    time.sleep(seconds)
    program.send_signal(signal.SIGKILL)
    program.communicate()
    # What a killed writer committed last has been seen to come with the second replay only; never was it lost.
    for _ in range(3):
        done = replay("store", "--to", kind)
        assert done.exit_code == 0, done.output
        if done.stdout.startswith("nothing to send"):
            break
    rows = READ[kind](directory, "interactions")
    assert len({row["span_id"] for row in rows}) == len(rows)
    assert rows or not seconds
    wanted = expected(tmp_path / "store")
    for table, stored in wanted.items():
        assert comparable(READ[kind](directory, table)) == comparable(stored), table
    assert replay("store", "--to", kind).stdout.startswith("nothing to send")


def wait_for(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_replay_leaves_a_directory_alone_that_a_program_writes(kind, tmp_path):
    otel_llm.instrument(store="store", exporters=[kind])
    play(1, 1)
    otel_llm.force_flush()
    done = replay("store", "--to", kind)
    assert done.exit_code == 1
    assert "is being written by another process" in done.stderr
    otel_llm.shutdown()
    assert replay("store", "--to", kind).exit_code == 0


def test_a_directory_that_cannot_be_written_costs_nothing_but_the_files(kind, tmp_path, caplog):
    (tmp_path / f"otel_llm_{kind}").write_text("in the way")
    otel_llm.instrument(store="store", exporters=[kind], shutdown_timeout=1.0)
    play(1, 1)
    assert not otel_llm.shutdown()
    assert f"the sink {kind} cannot be set up" in caplog.text
    assert len(list(StoreReader("store").undelivered(f"{kind}@{tmp_path}/otel_llm_{kind}"))) == 6
    done = replay("store", "--to", kind)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    (tmp_path / f"otel_llm_{kind}").unlink()
    assert replay("store", "--to", kind).exit_code == 0
    assert len(READ[kind](tmp_path / f"otel_llm_{kind}", "interactions")) == 2


def test_a_full_disk_is_said_and_the_rest_comes_later(kind, tmp_path):
    otel_llm.instrument(store="store", content="full")
    everything()
    otel_llm.shutdown()
    # A limit on the size of files does to a write what a full disk does.
    program = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from otel_llm.cli import main
from otel_llm.store import writer
import otel_llm_tabular
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
sys.argv = ["otel-llm", "replay", "store", "--to", "{kind}", "--output", "out"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1, done
    assert "could not be sent" in done.stderr
    assert "File too large" in done.stderr
    assert replay("store", "--to", kind, "--output", "out").exit_code == 0
    assert_equal(kind, tmp_path / "out", tmp_path / "store")


def test_processes_at_the_same_time_write_files_of_their_own(kind, tmp_path):
    root = Path(__file__).parents[2]
    program = (
        "import sys, otel_llm; from tests.views.programs import play; "
        f"otel_llm.instrument(store='store', exporters=['{kind}'], content='full'); "
        "play(2, 2, prefix=sys.argv[1], pause_s=0.1); otel_llm.shutdown()"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, name],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(root),
                "OTEL_LLM_SHUTDOWN_TIMEOUT": "60",
            },  # three import pyarrow
        )
        for name in "abc"
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    wanted = expected(tmp_path / "store")
    for table in ("interactions", "sessions", "calls"):
        rows = READ[kind](tmp_path / f"otel_llm_{kind}", table)
        assert comparable(rows) == comparable(wanted[table])
    assert replay("store", "--to", kind).stdout.startswith("nothing to send")


def test_following_a_run_ends_with_it(kind, tmp_path):
    root = Path(__file__).parents[2]
    program = (
        "import otel_llm; from tests.views.programs import play; "
        "otel_llm.instrument(store='store', content='full'); play(3, 3, pause_s=0.1); otel_llm.shutdown()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}
    )
    wait_for((tmp_path / "store").exists)
    done = replay("store", "--to", kind, "--output", "out", "--follow")
    assert running.wait(30) == 0
    assert done.exit_code == 0
    wanted = expected(tmp_path / "store")
    for table in ("interactions", "sessions", "scalars"):
        assert comparable(READ[kind](tmp_path / "out", table)) == comparable(wanted[table])


def test_filters_choose_spans_and_tables_come_from_a_file(tmp_path):
    otel_llm.instrument(store="store")
    play(1, 2)
    train()
    otel_llm.shutdown()
    (tmp_path / "mine.py").write_text(
        "import otel_llm\n"
        "otel_llm.define_table('mine', of='interaction', columns={'who': 'game.power.name'})\n"
    )
    from otel_llm.views import defining

    before = defining._defined
    try:
        done = replay("store", "--to", "csv", "--output", "o", "--errors", "--tables", "mine.py")
    finally:
        defining._defined = before
    assert done.exit_code == 0
    assert (tmp_path / "o" / "mine.csv").read_text().splitlines()[1].endswith(",ENGLAND")
    assert not (tmp_path / "o" / "scalars.csv").exists()


def test_pandas_reads_the_files(tmp_path):
    otel_llm.instrument(store="store", exporters=["csv", "parquet"], content="full")
    everything()
    otel_llm.shutdown()
    ours = {row["span_id"]: row for row in expected("store")["interactions"]}
    for frame in (
        pd.read_csv("otel_llm_csv/interactions.csv"),
        pd.read_parquet("otel_llm_parquet/interactions"),
    ):
        assert len(frame) == len(ours) == 18
        assert frame["success"].dtype == bool
        for _, row in frame.iterrows():
            assert row["response_time_ms"] == ours[row["span_id"]]["response_time_ms"]
            assert row["input_length"] == ours[row["span_id"]]["input_length"]
    trajectories = pd.read_csv("otel_llm_csv/full_trajectories.csv")
    assert "Paris is the capital." in trajectories["Full_Trajectory"][0]
    assert ANSWER not in Path("otel_llm_csv/interactions.csv").read_text()
    config = pd.read_json("otel_llm_csv/config.json", typ="series")
    assert config["telemetry.distro.name"] == "otel-llm"


def test_the_same_through_opentelemetrys_own_configuration(tmp_path):
    """`OTEL_TRACES_EXPORTER` on a provider that is not ours, with no call of ours at all."""
    program = """
from opentelemetry.sdk._configuration import _initialize_components
_initialize_components()
from opentelemetry import trace, metrics
with trace.get_tracer("x").start_as_current_span("chat gpt-5", attributes={"gen_ai.operation.name": "chat"}):
    pass
metrics.get_meter("x").create_counter("n").add(2)
trace.get_tracer_provider().shutdown()
metrics.get_meter_provider().shutdown()
"""
    environment = {
        **os.environ,
        "OTEL_TRACES_EXPORTER": "otel_llm_csv",
        "OTEL_METRICS_EXPORTER": "otel_llm_csv",
    }
    environment["OTEL_LOGS_EXPORTER"] = "none"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(csv_rows(tmp_path / "otel_llm_csv", "calls")) == 1
    assert [(row["name"], row["value"]) for row in csv_rows(tmp_path / "otel_llm_csv", "scalars")] == [
        ("n", 2.0)
    ]


def test_complete_parquet_files_that_cannot_be_put_in_place_are_not_thrown_away(tmp_path, monkeypatch):
    otel_llm.instrument(store="store", exporters=["parquet"], content="full")
    rename = Path.rename
    broken = [True]

    def failing(self, target):
        if broken[0] and self.name.startswith("slot-") and Path(target).suffix == ".parquet":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    play(1, 1, prefix="first")
    runtime.force_flush(30)
    assert parquet_rows(tmp_path / "otel_llm_parquet", "interactions") == []
    assert list((tmp_path / "otel_llm_parquet" / ".otel_llm").glob("slot-1-interactions*"))
    broken[0] = False
    play(1, 1, prefix="second")
    assert otel_llm.shutdown()
    rows = parquet_rows(tmp_path / "otel_llm_parquet", "interactions")
    assert [row["game_id"] for row in rows] == ["first0", "first0", "second0", "second0"]
    assert replay("store", "--to", "parquet").stdout.startswith("nothing to send")
