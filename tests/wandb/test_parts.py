"""The parts that touch no W&B: rows, tables, totals, journal, file, settings, layouts."""

from __future__ import annotations

import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.settings import SettingsError
from otel_llm.views.model import Histogram, Rows, Scalar, SinkOptions
from otel_llm_wandb import aggregates, journal
from otel_llm_wandb.datafile import DataFile
from otel_llm_wandb.errors import BrokenError, FullError, OverError, classified
from otel_llm_wandb.journal import BusyError, Journal
from otel_llm_wandb.outbox import ROW, Outbox, TableRows
from otel_llm_wandb.rows import MAX_BUCKETS, Distribution, Rower, is_from
from otel_llm_wandb.settings import MAX_ROWS, WandbSettings
from otel_llm_wandb.tables import Queue, bounded, interval_s
from tests.wandb.offline import BLOCK, MAGIC


def scalar(name: str, value: float, step: int | None, over: str | None = "training/global_step") -> Scalar:
    return Scalar(name, value, None if step is None else over, step, 7_000_000_000)


class TestRows:
    def test_values_of_one_step_are_one_row_with_the_step_in_it(self) -> None:
        rows = Rower().rows([scalar("training/loss", 1.0, 3), scalar("training/kl", 2.0, 3)])
        assert rows == [{"training/global_step": 3, "training/loss": 1.0, "training/kl": 2.0}]

    def test_late_and_repeated_values_are_kept(self) -> None:
        points = [scalar("training/loss", v, s) for v, s in ((1.0, 5), (2.0, 3), (3.0, 5), (math.nan, 5))]
        rows = Rower().rows(points)
        assert [(row["training/global_step"], repr(row["training/loss"])) for row in rows] == [
            (5, "1.0"), (3, "2.0"), (5, "3.0"), (5, "nan"),
        ]  # fmt: skip

    def test_what_has_no_step_is_drawn_over_time(self) -> None:
        assert Rower().rows([scalar("game/active", 1, None)]) == [{"otel_llm/time": 7.0, "game/active": 1}]

    def test_a_point_without_a_name_gets_one(self):
        rower = Rower()
        assert rower.rows([scalar("", 1.0, 3)]) == [{"training/global_step": 3, "unnamed": 1.0}]
        assert rower.definitions([scalar("", 1.0, 3)]) == [("unnamed", "training/global_step")]

    def test_a_namespace_is_defined_once_and_what_does_not_fit_by_its_name(self) -> None:
        rower = Rower()
        points = [
            scalar("training/loss", 1, 1),
            scalar("training/kl", 1, 1),
            scalar("training/x.y", 1, 1),  # W&B's globs do not reach across dots
            scalar("training/other", 1, 1, "epoch"),
            scalar("loss", 1, 1, "global_step"),
        ]
        assert rower.definitions(points) == [
            ("training/*", "training/global_step"),
            ("training/x.y", "training/global_step"),
            ("training/other", "epoch"),
            ("loss", "global_step"),
        ]
        assert rower.definitions(points) == []

    def test_a_prefix_goes_before_names_and_steps_that_lack_it(self) -> None:
        rower = Rower("training/")
        assert rower.rows([scalar("loss", 1, 2, "global_step"), scalar("training/kl", 3, 2)]) == [
            {"training/global_step": 2, "training/loss": 1, "training/kl": 3}
        ]

    def test_what_was_taken_up_from_this_run_is_known(self) -> None:
        told = {"otel_llm.series.source": "wandb", "otel_llm.series.run": "abc"}
        point = Scalar("loss", 1.0, None, 1, 1, told)
        assert is_from(point, "abc")
        assert not is_from(point, "other")

    @given(st.integers(1, 3000))
    def test_a_histogram_of_any_size_fits_and_keeps_its_counts_and_its_ends(self, buckets: int) -> None:
        edges = tuple(float(i) for i in range(buckets + 1))
        point = Histogram("h", (1,) * buckets, edges, buckets, None, None, None, 1)
        (row,) = Rower().rows([point])
        made = row["h"]
        assert isinstance(made, Distribution)
        assert len(made.counts) <= MAX_BUCKETS
        assert sum(made.counts) == buckets
        assert len(made.edges) == len(made.counts) + 1
        assert (made.edges[0], made.edges[-1]) == (edges[0], edges[-1])
        assert list(made.edges) == sorted(set(made.edges))


class TestTables:
    def test_cells_are_cut_and_of_kinds_that_json_has(self) -> None:
        rows = Rows("t", (("a", "text"),) * 6, [("x" * 11, "\ud800", 1 << 70, None, True, 1.5)])  # type: ignore[arg-type]
        assert bounded(rows, 10) == [
            ("x" * 10 + "...[truncated, original 11 chars]", "?", float(1 << 70), None, True, 1.5)
        ]

    @given(st.lists(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()), max_size=5))
    def test_any_cells_can_be_written_as_json(self, cells: list[Any]) -> None:
        columns = tuple((str(i), "text") for i in range(len(cells)))
        made = bounded(Rows("t", columns, [tuple(cells)]), 50)  # type: ignore[arg-type]
        json.dumps(made).encode()

    def test_columns_that_come_late_are_empty_in_earlier_rows_and_in_rows_without_them(self) -> None:
        queue = Queue("t")
        queue.add((("a", "int"),), [(1,)], 1)
        queue.add((("a", "int"), ("b", "int")), [(2, 3)], 2)
        queue.add((("a", "int"),), [(4,)], 3)
        rows, batches = queue.take()
        assert rows.cells == [(1, None), (2, 3), (4, None)]
        assert batches == (1, 2, 3)

    def test_no_flush_is_larger_than_what_w_and_b_shows(self) -> None:
        queue = Queue("t")
        queue.add((("a", "int"),), [(i,) for i in range(MAX_ROWS + 1)], 1)
        assert [(len(rows.cells), batches) for rows, batches in (queue.take(), queue.take())] == [
            (MAX_ROWS, ()), (1, (1,)),
        ]  # fmt: skip
        assert queue.since is None

    def test_the_interval_grows_so_that_a_day_has_some_hundred_flushes(self) -> None:
        settings = WandbSettings()
        age, flushes = 0.0, 0
        while age < 86_400:
            age += interval_s(settings, age)
            flushes += 1
        assert 100 < flushes < 300

    def test_figures_are_of_the_whole_run_and_latencies_of_the_flush(self) -> None:
        columns = (("success", "bool"), ("response_time_ms", "float"), ("tokens_input", "int"))
        totals: dict[str, float] = {}
        first = TableRows("interactions", columns, [(True, 10.0, 5), (False, 20.0, 5), (None, None, None)])
        assert aggregates.of_flush(first, totals) == {
            "interactions/count": 3,
            "interactions/tokens_input": 10,
            "interactions/tokens_output": 0,
            "interactions/cost_estimate": 0,
            "interactions/valid_orders": 0,
            "interactions/invalid_orders": 0,
            "interactions/success_rate": 0.5,
            "interactions/response_time_ms/mean": 15.0,
            "interactions/response_time_ms/p50": 10.0,
            "interactions/response_time_ms/p95": 20.0,
        }
        second = TableRows("interactions", columns, [(True, 30.0, 1)])
        made = aggregates.of_flush(second, totals)
        assert (made["interactions/count"], made["interactions/tokens_input"]) == (4, 11)
        assert made["interactions/success_rate"] == 2 / 3
        assert made["interactions/response_time_ms/mean"] == 30.0


class TestOutbox:
    def test_a_batch_is_settled_when_all_it_waits_for_is_in_the_file(self) -> None:
        settled = []
        outbox = Outbox()
        outbox.open(1, lambda: settled.append(1))
        for _ in range(2):
            outbox.hold(1)
            outbox.add({}, (1,))
        outbox.release(1)
        outbox.acknowledge(1)
        assert settled == []
        assert [entry.number for entry in outbox.unacknowledged()] == [2]
        outbox.acknowledge(2)
        assert settled == [1]

    def test_a_batch_without_anything_is_settled_at_once(self) -> None:
        settled = []
        outbox = Outbox()
        outbox.open(1, lambda: settled.append(1))
        outbox.release(1)
        assert settled == [1]


ROWS = [{"training/global_step": 1, "x": math.inf}, {"h": Distribution((1,), (0.0, 1.0))}]


class TestJournal:
    def written(self, store: Path) -> Path:
        one = Journal(store, "run1")
        one.started("run1", {"project": "p", "tags": ["a"]}, store / "d1")
        one.batch({"spans": [1, 2]}, 1, ROWS, [TableRows("t", (("a", "int"),), [(1,), (2,)])])
        one.table(3, "t", 1, {"count": 1})
        one.close()
        return one.path

    def test_what_the_file_lacks_is_what_is_left(self, tmp_path: Path) -> None:
        left = journal.read(self.written(tmp_path))
        assert left is not None
        assert left.keys == {"spans": {1, 2}}
        assert (left.run_id, left.started_with["project"], left.next_number) == ("run1", "p", 4)
        scalars, tables = left.beyond(0)
        assert (scalars, tables["t"].cells) == (ROWS, [(1,), (2,)])
        scalars, tables = left.beyond(2)
        assert (scalars, tables["t"].cells) == ([], [(1,), (2,)])
        scalars, tables = left.beyond(3)
        assert (scalars, tables["t"].cells) == ([], [(2,)])
        assert not left.is_closed

    def test_a_line_that_was_cut_off_is_as_if_never_written(self, tmp_path: Path) -> None:
        path = self.written(tmp_path)
        whole = path.read_bytes()
        for cut in range(1, len(whole.splitlines()[-1])):
            path.write_bytes(whole[:-cut])
            left = journal.read(path)
            assert left is not None
            assert left.next_number in {3, 4}
        path.write_bytes(whole[:-2])
        one = Journal(tmp_path, "run1")  # the next writer begins a line of its own
        one.table(3, "t", 2, {})
        one.close()
        left = journal.read(path)
        assert left is not None
        assert left.flushed[0][1].cells == [(1,), (2,)]

    def test_a_full_journal_hands_over_what_waits(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal, "_ROTATE_BYTES", 10)
        outbox = Outbox()
        one = Journal(tmp_path, "run1")
        one.started("run1", {}, tmp_path)
        for n in range(4):
            one.batch(
                {"spans": [n]}, outbox.next_number, [{"n": n}], [TableRows("t", (("a", "int"),), [(n,)])]
            )
            outbox.add({"n": n}, ())
            outbox.acknowledge(n)  # all but the last are in the file
            one.rotate(outbox.unacknowledged, [TableRows("t", (("a", "int"),), [(n,)])], {})
        one.close()
        left = journal.read(one.path)
        assert left is not None
        scalars, tables = left.beyond(3)
        assert (scalars, tables["t"].cells) == ([{"n": 3}], [(3,)])
        assert left.keys["spans"] >= {3}

    def test_who_resumes_a_run_and_is_killed_at_once_leaves_nothing_twice(self, tmp_path: Path) -> None:
        left = journal.read(self.written(tmp_path))
        assert left is not None
        scalars, tables = left.beyond(1)
        outbox = Outbox()
        outbox.next_number = left.next_number
        one = Journal(tmp_path, "run1")
        for row in scalars:
            outbox.add(row, ())
        one.carry(outbox.unacknowledged(), tables.values(), {})
        one.close()
        again = journal.read(one.path)
        assert again is not None
        again_scalars, again_tables = again.beyond(1)
        assert again_scalars == scalars == ROWS[1:]
        assert again_tables["t"].cells == [(1,), (2,)]
        assert again.keys == left.keys

    def test_a_run_has_one_writer(self, tmp_path: Path) -> None:
        one = Journal(tmp_path, "run1")
        with pytest.raises(BusyError):
            Journal(tmp_path, "run1")
        assert journal.is_busy(one.path)
        one.close()
        assert not journal.is_busy(one.path)
        Journal(tmp_path, "run1").close()


def datafile(records: list[bytes]) -> bytes:
    """Write records as W&B's core does."""
    made = bytearray(MAGIC)
    for record in records:
        first = True
        while True:
            left = BLOCK - len(made) % BLOCK
            if left < 7:
                made += bytes(left)
                left = BLOCK
            part, record = record[: left - 7], record[left - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not record]
            made += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            first = False
            if not record:
                break
    return bytes(made)


def row(number: int, padding: int = 0) -> bytes:
    from wandb.proto import wandb_internal_pb2

    record = wandb_internal_pb2.Record(num=number)
    record.history.step.num = number + 100
    for name, value in ((ROW, number), ("padding", "x" * padding)):
        item = record.history.item.add()
        item.nested_key.append(name)
        item.value_json = json.dumps(value)
    return record.SerializeToString()


class TestDataFile:
    @given(st.lists(st.integers(0, 70_000), min_size=1, max_size=6), st.data())
    def test_a_file_that_grows_is_read_on_wherever_it_was_cut(
        self, paddings: list[int], data: st.DataObject
    ) -> None:
        import tempfile

        whole = datafile([row(n + 1, padding) for n, padding in enumerate(paddings)])
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "run-x.wandb"
            file = DataFile(path)
            assert file.read().last_row == 0
            seen = 0
            for cut in cuts:
                path.write_bytes(whole[:cut])
                now = file.read().last_row
                assert now >= seen
                seen = now
            path.write_bytes(whole)
            assert file.read().last_row == len(paddings)
            assert file.contents.last_step == 100 + len(paddings)

    def test_a_summary_that_repeats_a_number_is_no_row(self, tmp_path: Path) -> None:
        from wandb.proto import wandb_internal_pb2

        record = wandb_internal_pb2.Record(num=1)
        item = record.summary.update.add()
        item.nested_key.append(ROW)
        item.value_json = "9"
        (tmp_path / "run-x.wandb").write_bytes(datafile([record.SerializeToString(), row(2)]))
        assert DataFile(tmp_path / "run-x.wandb").read().last_row == 2

    def test_a_damaged_file_counts_as_far_as_it_can_be_read(self, tmp_path: Path) -> None:
        whole = bytearray(datafile([row(1), row(2), row(3)]))
        whole[-1] ^= 1
        (tmp_path / "run-x.wandb").write_bytes(whole)
        assert DataFile(tmp_path / "run-x.wandb").read().last_row == 2


class TestSettings:
    def test_arguments_come_before_variables_and_those_before_defaults(self) -> None:
        environ = {"OTEL_LLM_WANDB_TABLE_ROWS": "100", "OTEL_LLM_WANDB_TAGS": "a, b"}
        made = WandbSettings.resolve({"tags": ["c"]}, environ)
        assert (made.table_rows, made.tags, made.finish_timeout) == (100, ("c",), 60.0)
        assert WandbSettings.resolve({}, environ).tags == ("a", "b")

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("MODE", "sometimes", "online, offline, disabled"),
            ("TABLE_ROWS", "many", "a whole number"),
            ("TABLE_ROWS", "10001", "1 to 10000"),
            ("FINISH_TIMEOUT", "-1", "a number"),
            ("JOIN", "perhaps", "true or false"),
            ("LAYOUT", "flat", "pipelines, job_types, hierarchy, groups"),
            ("PROJECTS", "training", "pairs such as"),
        ],
    )
    def test_a_bad_value_is_refused_with_what_would_be_accepted(
        self, name: str, value: str, says: str
    ) -> None:
        with pytest.raises(SettingsError, match=says):
            WandbSettings.resolve({}, {f"OTEL_LLM_WANDB_{name}": value})

    def test_an_unknown_setting_is_an_error(self) -> None:
        with pytest.raises(TypeError, match="colour"):
            WandbSettings.resolve({"colour": "red"}, {})

    def test_shared_mode_cannot_be_asked_for(self) -> None:
        with pytest.raises(SettingsError):
            WandbSettings.resolve({"mode": "shared"}, {})


class TestLayouts:
    def laid_out(self, layout: str, pipeline: str, **more: Any) -> WandbSettings:
        return WandbSettings.resolve(
            {"layout": layout, "pipeline": pipeline, **more}, {"OTEL_LLM_WANDB_EXPERIMENT": "e1"}
        )

    def test_a_run_per_pipeline_in_its_own_project(self) -> None:
        assert self.laid_out("pipelines", "training").project == "rl-training-demo"
        assert self.laid_out("pipelines", "inference", project="mine-{pipeline}").project == "mine-inference"

    def test_projects_by_job_type(self) -> None:
        assert self.laid_out("job_types", "training").project == "rl-agent"
        assert self.laid_out("job_types", "inference").project == "inference-only"
        assert self.laid_out("job_types", "eval", projects={"eval": "exams"}).project == "exams"

    def test_one_project_with_a_hierarchy_of_names(self) -> None:
        made = self.laid_out("hierarchy", "inference")
        assert (made.project, made.prefix, made.group) == ("rl-experiments", "inference/", None)

    def test_job_type_group_and_tags(self) -> None:
        made = self.laid_out("groups", "inference", tags=["seed-42"])
        assert (made.project, made.job_type, made.group, made.tags) == (
            "rl-experiments", "inference", "e1", ("seed-42", "inference"),
        )  # fmt: skip


def test_a_sink_says_which_book_it_is_in_before_it_has_a_run(tmp_path: Path) -> None:
    from otel_llm_wandb.sink import WandbSink

    assert WandbSink(WandbSettings(), SinkOptions(live=True, store=tmp_path)).book == "wandb"
    other = WandbSink(WandbSettings(run_id="other"), SinkOptions(store=tmp_path))
    assert other.book == "wandb@other"
    assert other.settled() == {}


@pytest.mark.parametrize(("batches", "rows"), [(64, 1), (3, 10_000)])
def test_what_waits_for_the_programs_run_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int, rows: int
) -> None:
    from otel_llm.views.model import Batch
    from otel_llm_wandb.sink import WandbSink

    started: list[int] = []
    sink = WandbSink(WandbSettings(join_wait_s=1000.0), SinkOptions(live=True, store=tmp_path))

    def begin(_run: Any, _left: Any) -> bool:
        started.append(len(sink._held))
        return False

    monkeypatch.setattr(sink._writer, "begin", begin)
    while not started:
        assert sink.write(Batch(tables=[Rows("t", (("a", "int"),), [(1,)] * rows)])) is not bool(started)
    assert len(sink._held) <= batches


def test_only_the_first_rank_of_a_job_starts_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_llm_wandb.environment import rank_here

    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert rank_here() == 0
    monkeypatch.setenv("RANK", "3")
    assert rank_here() == 0, "a launcher sets both"
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert rank_here() == 3
    monkeypatch.setenv("RANK", "0")
    assert rank_here() == 0


class TestErrors:
    """What W&B raises (0.31), by what is to be done about it."""

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (OSError(28, "No space left on device"), FullError),
            (ConnectionResetError(), BrokenError),
            (BrokenPipeError(), BrokenError),
            (TimeoutError(), BrokenError),
            (type("HandleAbandonedError", (Exception,), {})(), BrokenError),
            (type("UsageError", (Exception,), {})("run is finished"), OverError),
            (ValueError("odd"), ValueError),
            (PermissionError(13, "no"), PermissionError),
        ],
    )
    def test_each_is_told_from_the_others(self, error: Exception, kind: type[Exception]) -> None:
        assert type(classified(error, None)) is kind

    def test_whatever_a_finished_run_raises_means_that_it_is_over(self) -> None:
        class Finished:
            _is_finished = True

        assert type(classified(ValueError("odd"), Finished())) is OverError


SESSION_KEYS = {
    "start_time": 1.5,
    "end_time": 9.5,
    "duration_seconds": 8.0,
    "total_interactions": 3,
    "interactions_by_type/order": 2,
    "interactions_by_power/FRANCE": 1,
    "is_grpo_training": 1,
    "grpo_episode": 7,
}
INTERACTION_KEYS = {
    "timestamp": 4.5,
    "model_name": "gpt-5",
    "power_name": "FRANCE",
    "interaction_type": "order",
    "success": 0,
    "response_time_ms": 250.0,
    "game_id": "g/1",
    "phase": "S1901M",
    "phase_numeric": 1901,
    "season_numeric": 0,
    "input_length": 10,
    "response_length": 20,
    "supply_center_count": 3,
    "unit_count": 4,
    "error_type": "timeout",
    "grpo_episode": 7,
    "grpo_step": 8,
    "grpo_reward": 0.5,
    "tokens_input": 100,
    "tokens_thinking": 30,
    "cost_estimate": 0.002,
}


@pytest.mark.parametrize(
    ("table", "identity", "name", "wanted", "row"),
    [
        ("sessions", "game_id", "g_1", SESSION_KEYS, {"is_grpo_training": True, "outcome": "draw"}),
        ("interactions", "interaction_id", "i_1", INTERACTION_KEYS, {"time": 4.5, "success": False}),
    ],
)
def test_keys_with_ids_are_exactly_those_that_hand_written_loggers_had(
    table: str, identity: str, name: str, wanted: dict[str, Any], row: dict[str, Any]
) -> None:
    from otel_llm_wandb.keys import IdKeys

    cells = {"trace_id": "a", **wanted, identity: name.replace("_", "/"), "attempt": 1, **row}
    if table == "interactions":
        del cells["timestamp"]
        cells["game_id"] = "g/1"
    columns = tuple((heading, "text") for heading in cells)
    made = IdKeys(1, 1).values(TableRows(table, columns, [tuple(cells.values())] * 2))
    assert made == {f"{table}/{name}/{key}": value for key, value in wanted.items()}
    assert all(type(value) is not bool for value in made.values())
