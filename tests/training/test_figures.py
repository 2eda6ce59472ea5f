"""What a training loop tells becomes metrics under their names, equal to an independent computation."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_llm
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.store import SeriesRow, StoreReader
from otel_llm.training.figures import Logger, belonging, names


@pytest.fixture
def store(tmp_path: Any) -> Iterator[StoreReader]:
    otel_llm.instrument(store=tmp_path / "store", exporters=[], content="full", instrumentations=[])
    yield StoreReader(tmp_path / "store")
    otel_llm.shutdown()


def told(store: StoreReader) -> dict[str, list[tuple[int | None, float]]]:
    otel_llm.force_flush()
    found = defaultdict(list)
    for row in store.series():
        found[row.name].append((row.step, row.value))
    return dict(found)


def texts(store: StoreReader) -> list[tuple[Any, Any, Any]]:
    otel_llm.force_flush()
    logs = [log for log in store.logs() if log.event_name == sc.EVENT_TEXT]
    return [
        tuple(log.attributes.get(key) for key in (sc.SERIES_NAME, sc.TRAIN_STEP, sc.SERIES_TEXT))
        for log in logs
    ]


class OnDevice:
    """Stands in for a tensor on a GPU: reading it, except on the worker, is what must not happen."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.reads = 0
        self.dtype, self.device = "float32", SimpleNamespace(type="fake")

    def detach(self) -> OnDevice:
        return self

    def clone(self) -> OnDevice:
        copy = OnDevice(list(self.values) if isinstance(self.values, list) else self.values)
        copies.append(copy)
        return copy

    def numel(self) -> int:
        return len(self.values) if isinstance(self.values, list) else 1

    def element_size(self) -> int:
        return 4

    def tolist(self) -> Any:
        self.reads += 1
        return self.values

    def item(self) -> Any:
        raise AssertionError("waited for the device")

    __float__ = item


copies: list[OnDevice] = []


def step_spans(store: StoreReader) -> list[Any]:
    otel_llm.force_flush()
    return sorted(store.spans(name="training_step"), key=lambda span: span.start_ns)


# --- rollouts -------------------------------------------------------------------------------------
def test_a_batch_of_rollouts_is_told_under_the_names_of_old(store: StoreReader) -> None:
    metrics = otel_llm.TrainingMetrics()
    returns, kl, advantages = [1.0, 0.0, 0.5, 2.5], [0.1, 0.3], [[1.0, -1.0], [0.5, 0.0]]
    metrics.rollouts(returns=returns, kl=kl, advantages=advantages, replay_buffer_size=32)
    flat = [1.0, -1.0, 0.5, 0.0]
    expected = {
        "rollouts/returns_sum": 4.0,
        "rollouts/returns_mean": 1.0,
        "rollouts/returns_std": statistics.pstdev(returns),
        "rollouts/returns_max": 2.5,
        "rollouts/returns_min": 0.0,
        "rollouts/returns_best_mean": 1.0,
        "rollouts/returns_count": 4,
        "rollouts/kl_mean": 0.2,
        "rollouts/kl_std": statistics.pstdev(kl),
        "rollouts/kl_max": 0.3,
        "rollouts/kl_count": 2,
        "rollouts/advantages_mean": 0.125,
        "rollouts/advantages_std": statistics.pstdev(flat),
        "rollouts/advantages_count": 4,
        "rollouts/total_rollouts": 4,
        "rollouts/batch_step": 1,
        "system/replay_buffer_size": 32,
    }
    assert told(store) == {name: [(1, pytest.approx(value))] for name, value in expected.items()}


def test_the_best_mean_is_that_of_all_batches_and_totals_add_up(store: StoreReader) -> None:
    metrics = otel_llm.TrainingMetrics()
    for returns in ([1.0, 2.0], [5.0], [0.0, 0.0, math.nan]):
        metrics.rollouts(returns)
    found = told(store)
    assert found["rollouts/returns_best_mean"] == [(1, 1.5), (2, 5.0), (3, 5.0)]
    assert found["rollouts/total_rollouts"] == [(1, 2), (2, 3), (3, 6)]
    assert found["rollouts/returns_non_finite"] == [(3, 1)]
    assert found["rollouts/returns_mean"][2] == (3, 0.0)


def test_dr_grpo_tells_variance_skewness_and_its_critic(store: StoreReader) -> None:
    advantages = [0.0, 0.0, 0.0, 4.0]
    otel_llm.TrainingMetrics(critic_type="mean baseline", ddof=1).rollouts(advantages=advantages)
    found = told(store)
    assert found["dr_grpo/advantages_variance"] == [(1, pytest.approx(statistics.variance(advantages)))]
    assert found["dr_grpo/advantages_skewness"] == [(1, pytest.approx(6 / 3**1.5))]
    assert texts(store) == [("dr_grpo/critic_type", 1, "mean baseline")]


# --- steps, epochs, the end -----------------------------------------------------------------------
def test_steps_and_epochs(store: StoreReader) -> None:
    metrics = otel_llm.TrainingMetrics()
    losses, norms = [3.0, 1.0, 2.0], [0.5, 4.0, 1.0]
    for loss, norm in zip(losses, norms, strict=True):
        metrics.training_step(
            loss,
            kl=loss / 10,
            grad_norm=norm,
            learning_rate=[1e-5, 1e-4],
            components={"policy": loss - 1, "n": None},
        )
    metrics.epoch_end()
    metrics.training_step(7.0)
    metrics.epoch_end()
    found = told(store)
    assert found["training_step/loss"] == [(1, 3.0), (2, 1.0), (3, 2.0), (4, 7.0)]
    assert found["training_step/kl"] == [(1, 0.3), (2, 0.1), (3, 0.2)]
    assert found["training_step/grad_norm"] == [(1, 0.5), (2, 4.0), (3, 1.0)]
    assert found["training_step/learning_rate"] == [(1, 1e-5), (2, 1e-5), (3, 1e-5)]
    assert found["training_step/dr_component_policy"] == [(1, 2.0), (2, 0.0), (3, 1.0)]
    assert found["training_epoch/loss_mean"] == [(3, 2.0), (4, 7.0)]
    assert found["training_epoch/loss_std"] == [(3, pytest.approx(statistics.pstdev(losses))), (4, 0.0)]
    assert found["training_epoch/kl_mean"] == [(3, pytest.approx(0.2))]
    assert found["training_epoch/kl_std"] == [(3, pytest.approx(statistics.pstdev([0.3, 0.1, 0.2])))]
    assert found["training_epoch/grad_norm_mean"] == [(3, pytest.approx(5.5 / 3))]
    assert found["training_epoch/grad_norm_max"] == [(3, 4.0)]
    assert found["training/invalid_loss_count"] == [(1, 0)]


def test_the_step_around_is_told_its_figures_and_the_last_ones_stand(store: StoreReader) -> None:
    metrics = otel_llm.TrainingMetrics()
    copies.clear()
    with otel_llm.training_run("exp"):
        with otel_llm.step(1), otel_llm.part("optimizer"):
            metrics.training_step(9.0, grad_norm=9.0, learning_rate=9.0, step=1)
            metrics.training_step(OnDevice(0.5), grad_norm=OnDevice([2.0]), learning_rate=[0.1, 0.2], step=2)
            metrics.training_step(kl=1.0, step=3)
        assert len(copies) == 2, "a tensor is copied once"
        with otel_llm.step(2) as step:
            metrics.training_step(math.nan)
            step.set(learning_rate=0.3)
        with otel_llm.step(3):
            metrics.training_step("text", grad_norm=object(), learning_rate=[])
    metrics.training_step(1.0)
    first, second, third = (span.attributes for span in step_spans(store))
    keys = sc.TRAIN_LOSS, sc.TRAIN_GRAD_NORM, sc.TRAIN_LEARNING_RATE
    assert [first[key] for key in keys] == [0.5, 2.0, 0.1]
    assert math.isnan(second[sc.TRAIN_LOSS])
    assert second[sc.TRAIN_PROBLEMS] == ("loss_not_finite",)
    assert second[sc.TRAIN_LEARNING_RATE] == 0.3
    assert third.keys().isdisjoint(keys)
    assert told(store)["training_step/loss"][:2] == [(1, 9.0), (2, 0.5)]


def test_a_logger_tells_the_step_around_too(store: StoreReader) -> None:
    logger = Logger()
    with otel_llm.training_run("exp"), otel_llm.step(1):
        logger.log_training_step(loss=0.25, grad_norm=1.5, learning_rate=0.1)
    (span,) = step_spans(store)
    assert (span.attributes[sc.TRAIN_LOSS], span.attributes[sc.TRAIN_GRAD_NORM]) == (0.25, 1.5)


def test_every_rank_tells_its_own_step_where_values_are_gathered(
    store: StoreReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    belonging._places.clear()
    try:
        with otel_llm.training_run("exp"), otel_llm.step(1):
            otel_llm.TrainingMetrics(gathered=True).training_step(0.5)
        assert step_spans(store)[0].attributes[sc.TRAIN_LOSS] == 0.5
        assert "training_step/loss" not in told(store)
    finally:
        belonging._places.clear()


def finals(store: StoreReader) -> dict[str, tuple[Any, Any, Any]]:
    otel_llm.force_flush()
    return {
        row.name: (row.attributes.get(sc.RUN_ID), row.attributes.get(sc.RUN_ATTEMPT), row.value)
        for row in store.series()
        if row.name.startswith("final/")
    }


def test_figures_told_after_the_run_are_of_the_run_they_were_made_in(store: StoreReader) -> None:
    with otel_llm.training_run("exp", attempt=2):
        metrics = otel_llm.TrainingMetrics()
    metrics.finish()
    assert finals(store)["final/total_steps"] == ("exp", 2, 0)


def test_figures_told_after_the_run_are_of_the_run_in_which_others_were_told(store: StoreReader) -> None:
    logger = Logger()
    with otel_llm.training_run("first", attempt=0), otel_llm.step(1):
        logger.log_rollouts([1.0])
    with otel_llm.training_run("second", attempt=1), otel_llm.step(1):
        logger.log_training_step(loss=0.5)
    logger.log_checkpoint()
    logger.close()
    assert finals(store) == {
        "final/total_steps": ("second", 1, 1),
        "final/total_batches": ("second", 1, 1),
        "final/total_rollouts": ("second", 1, 1),
        "final/best_mean_return": ("second", 1, 1.0),
    }
    saved = next(row for row in store.series() if row.name == "checkpoint/saved")
    assert saved.attributes[sc.RUN_ID] == "second"


def test_a_run_that_was_given_stays_also_after_another(store: StoreReader) -> None:
    with otel_llm.training_run("around", attempt=0), otel_llm.TrainingMetrics(run="given") as metrics:
        metrics.training_step(0.5)
    metrics = otel_llm.TrainingMetrics(run="later")
    metrics.training_step(0.5)
    metrics.finish()
    otel_llm.force_flush()
    found = [(row.attributes[sc.RUN_ID]) for row in store.series() if row.name == "final/total_steps"]
    assert found == ["given", "later"]


def test_a_loss_that_is_not_finite_is_kept_counted_and_left_out_of_the_epoch(store: StoreReader) -> None:
    metrics = otel_llm.TrainingMetrics()
    for loss in (1.0, math.nan, math.inf):
        metrics.training_step(loss)
    metrics.invalid_loss()
    metrics.epoch_end()
    found = told(store)
    assert [repr(value) for _, value in found["training_step/loss"]] == ["1.0", "nan", "inf"]
    assert found["training/invalid_loss_count"] == [(1, 0), (2, 1), (3, 2), (3, 3)]
    assert found["training_epoch/loss_mean"] == [(3, 1.0)]
    assert found["training_epoch/loss_non_finite"] == [(3, 2)]


def test_checkpoints_and_the_end(store: StoreReader) -> None:
    with otel_llm.TrainingMetrics() as metrics:
        metrics.rollouts([1.0, 3.0])
        metrics.training_step(0.5)
        metrics.training_step(0.4)
        metrics.checkpoint()
    metrics.finish()
    found = told(store)
    assert found["checkpoint/saved"] == [(2, 1)]
    assert found["checkpoint/step"] == [(2, 2)]
    assert {name: rows for name, rows in found.items() if name.startswith("final/")} == {
        "final/total_steps": [(2, 2)],
        "final/total_batches": [(2, 1)],
        "final/total_rollouts": [(2, 2)],
        "final/best_mean_return": [(2, 2.0)],
    }


def test_a_resumed_run_goes_on_counting(store: StoreReader) -> None:
    first = otel_llm.TrainingMetrics()
    first.rollouts([4.0])
    first.training_step(math.nan)
    state = first.state_dict()
    resumed = otel_llm.TrainingMetrics()
    resumed.load_state_dict(state)
    resumed.rollouts([1.0])
    resumed.training_step(1.0)
    resumed.finish()
    found = told(store)
    assert found["rollouts/returns_best_mean"] == [(1, 4.0), (2, 4.0)]
    assert found["training_step/loss"][1] == (2, 1.0)
    assert found["final/total_rollouts"] == [(2, 2)]
    assert found["training/invalid_loss_count"][-1] == (2, 1)


def test_steps_are_those_of_the_scope_around_unless_given(store: StoreReader) -> None:
    metrics = otel_llm.TrainingMetrics()
    with otel_llm.training_run("r1"), otel_llm.step(41):
        metrics.training_step(1.0)
        metrics.training_step(2.0, step=50)
        otel_llm.log_metrics({"mine": 3.0})
    found = told(store)
    assert found["training_step/loss"] == [(41, 1.0), (50, 2.0)]
    assert found["mine"] == [(41, 3.0)]
    assert {row.attributes[sc.RUN_ID] for row in store.series()} == {"r1"}


def test_accelerate_and_ddp_are_told(store: StoreReader) -> None:
    accelerator = SimpleNamespace(
        device="cuda:1", num_processes=4, process_index=1, local_process_index=1, sync_gradients=False
    )
    metrics = otel_llm.TrainingMetrics(accelerator=accelerator)
    metrics.training_step(1.0)
    accelerator.sync_gradients = True
    metrics.training_step(1.0)
    found = told(store)
    assert found["accelerate/sync_gradients"] == found["ddp/sync_gradients"] == [(1, 0), (2, 1)]
    assert [found[f"ddp/{n}"] for n in ("num_processes", "process_index", "local_process_index")] == [
        [(1, 4)],
        [(1, 1)],
        [(1, 1)],
    ]
    assert texts(store) == [("accelerate/device", 1, "cuda:1")]


def test_returns_of_a_batch_by_name_and_without(store: StoreReader) -> None:
    metrics = otel_llm.TrainingMetrics()
    metrics.batch_returns([1.0, 3.0], step=1)
    metrics.batch_returns({"correct": [1.0, 0.0], "episodes": 2}, step=2)
    found = told(store)
    assert {name: rows for name, rows in found.items() if rows[0][0] == 1} == {
        "batch_returns/sum": [(1, 4.0)],
        "batch_returns/mean": [(1, 2.0)],
        "batch_returns/std": [(1, 1.0)],
        "batch_returns/max": [(1, 3.0)],
        "batch_returns/min": [(1, 1.0)],
        "batch_returns/count": [(1, 2)],
    }
    assert found["batch_returns/correct_mean"] == [(2, 0.5)]
    assert found["batch_returns/episodes"] == [(2, 2)]


# --- values of all kinds --------------------------------------------------------------------------
def test_a_tensor_is_read_late_and_what_happens_to_it_meanwhile_does_not_count(store: StoreReader) -> None:
    copies.clear()
    loss, returns = OnDevice(0.5), OnDevice([1.0, 2.0])
    metrics = otel_llm.TrainingMetrics()
    metrics.rollouts(returns)
    metrics.training_step(loss)
    otel_llm.log_metrics({"late": loss}, step=1)
    returns.values[:] = [9.0, 9.0]
    loss.values = 9.0
    assert not any(one.reads for one in (loss, returns))
    found = told(store)
    assert found["rollouts/returns_sum"] == [(1, 3.0)]
    assert found["training_step/loss"] == found["late"] == [(1, 0.5)]
    assert [one.reads for one in copies] == [1, 1, 1]


def test_arrays_lists_and_lists_of_tensors_are_alike(store: StoreReader) -> None:
    numpy = pytest.importorskip("numpy")
    given = [
        [1.0, 2.0],
        (1, 2),
        numpy.array([[1.0], [2.0]], dtype="float16"),
        [numpy.float32(1), numpy.array(2)],
        [OnDevice(1.0), OnDevice(2.0)],
        {"a": 1.0, "b": 2.0}.values(),
    ]
    metrics = otel_llm.TrainingMetrics()
    for values in given:
        metrics.rollouts(values)
    assert [value for _, value in told(store)["rollouts/returns_sum"]] == [3.0] * len(given)


def test_a_list_that_is_changed_afterwards_does_not_change_what_was_told(store: StoreReader) -> None:
    returns = [1.0, 2.0]
    metrics = otel_llm.TrainingMetrics()
    metrics.rollouts(returns)
    returns.clear()
    assert told(store)["rollouts/returns_sum"] == [(1, 3.0)]


@pytest.mark.parametrize("strange", [object(), "text", iter([1.0]), {"a": 1}, [None], [[]], b"x"])
def test_strange_values_hurt_nobody(store: StoreReader, strange: Any) -> None:
    metrics = otel_llm.TrainingMetrics(reduce=lambda mine: mine)
    metrics.rollouts(strange, strange, strange, step=strange)
    metrics.training_step(strange, kl=strange, components=strange, step=strange)
    metrics.batch_returns(strange)
    metrics.epoch_end(strange)
    metrics.checkpoint(strange)
    metrics.example(strange)
    metrics.load_state_dict({"best": strange, "rollouts": strange})
    otel_llm.log_metrics({"x": strange, "y": 1.0})
    assert told(store)["y"] == [(None, 1.0)]
    if hasattr(strange, "__next__"):
        assert list(strange) == [1.0]  # and what can be read once is left to the program


def test_nothing_happens_where_nothing_is_instrumented() -> None:
    metrics = otel_llm.TrainingMetrics()
    metrics.rollouts(OnDevice([1.0]))
    metrics.training_step(OnDevice(1.0))
    metrics.finish()
    otel_llm.log_metrics({"x": OnDevice(1.0)})
    assert drops.counts() == {}


# --- log_metrics ----------------------------------------------------------------------------------
def test_every_value_is_kept_with_its_step(store: StoreReader) -> None:
    for step in range(1, 500):
        otel_llm.log_metrics({"a": step / 2, "b": {"c": step, "d": {"e": True}}}, step=step)
    found = told(store)
    assert found["a"] == [(step, step / 2) for step in range(1, 500)]
    assert found["b/c"] == [(step, step) for step in range(1, 500)]
    assert found["b/d/e"][0] == (1, 1)


def test_nan_and_infinities_are_kept_text_is_counted(store: StoreReader, caplog: Any) -> None:
    otel_llm.log_metrics({"nan": math.nan, "inf": -math.inf, "no": None, "text": "x", "list": [1, 2], 3: 4})
    found = told(store)
    assert {name: repr(rows[0][1]) for name, rows in found.items()} == {"nan": "nan", "inf": "-inf"}
    assert drops.counts() == {("scalar", "text"): 1, ("scalar", "no_number"): 1, ("scalar", "no_name"): 1}
    assert "not finite" not in caplog.text


def test_rows_tell_run_and_rank(store: StoreReader, monkeypatch: Any) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    belonging._places.clear()
    otel_llm.log_metrics({"x": 1.0}, step=1, run="run-7")
    otel_llm.force_flush()
    belonging._places.clear()
    (row,) = store.series()
    assert row.attributes == {sc.SERIES_SOURCE: "training", sc.RUN_ID: "run-7", sc.RANK: 3}


# --- several ranks --------------------------------------------------------------------------------
FLOATS = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 6))
BATCHES = st.lists(
    st.lists(st.lists(FLOATS, min_size=1, max_size=5), min_size=3, max_size=3), min_size=1, max_size=4
)


def rows_of(returns_by_batch: list[list[float]], rank: int, **settings: Any) -> list[SeriesRow]:
    """What one rank would tell, without a process of its own."""
    from otel_llm.training.figures.totals import RunTotals

    totals = RunTotals(0, dr_grpo=True)
    out: list[SeriesRow] = []

    def keep(rows: Any) -> None:
        attributes = {sc.RANK: rank, sc.RUN_ID: "r"}
        out.extend(SeriesRow(name, step, value, len(out), attributes) for name, value, step in rows)

    for n, returns in enumerate(returns_by_batch, 1):
        keep(totals.of_rollouts({"returns": returns, "advantages": returns}, n, n))
        keep(
            totals.of_step(
                {"loss": returns[0], "kl": returns[-1], "grad_norm": 1.0}, [("part", returns[0])], n
            )
        )
    keep(totals.of_epoch(len(returns_by_batch)))
    keep(totals.of_end(len(returns_by_batch)))
    return out


@settings(deadline=None)
@given(BATCHES)
def test_rows_of_ranks_are_put_together_as_if_one_process_had_told_them(
    batches: list[list[list[float]]],
) -> None:
    ranks = [row for rank in range(3) for row in rows_of([batch[rank] for batch in batches], rank)]
    at_once = rows_of([[x for part in batch for x in part] for batch in batches], 0)
    wanted = {
        (row.name, row.step): row.value
        for row in at_once
        if row.name.startswith(("rollouts/", "dr_grpo/", "final/")) and "skewness" not in row.name
    }
    merged = otel_llm.merge_ranks(ranks)
    found = {(row.name, row.step): row.value for row in merged}
    assert all(sc.RANK not in row.attributes for row in merged)
    for key, value in wanted.items():
        assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-6), key
    for n, batch in enumerate(batches, 1):
        assert found["training_step/loss", n] == pytest.approx(
            statistics.fmean(part[0] for part in batch), abs=1e-9
        )
        assert found["training_step/dr_component_part", n] == found["training_step/loss", n]
    losses = [part[0] for batch in batches for part in batch]
    assert found["training_epoch/loss_mean", len(batches)] == pytest.approx(
        statistics.fmean(losses), abs=1e-9
    )
    assert found["training_epoch/loss_std", len(batches)] == pytest.approx(
        statistics.pstdev(losses), abs=1e-6
    )


def test_skewness_of_ranks_is_that_of_all() -> None:
    parts = [[0.0, 1.0, 5.0], [2.0], [3.0, 3.0, 90.0]]
    merged = otel_llm.merge_ranks([row for rank, part in enumerate(parts) for row in rows_of([part], rank)])
    (found,) = [row.value for row in merged if row.name == "dr_grpo/advantages_skewness"]
    values = [x for part in parts for x in part]
    mean = statistics.fmean(values)
    third = statistics.fmean((x - mean) ** 3 for x in values)
    assert found == pytest.approx(third / statistics.pstdev(values) ** 3)


def test_what_differs_by_nature_stays_with_its_rank() -> None:
    rows = [
        SeriesRow(name, 1, rank, rank, {sc.RANK: rank})
        for rank in (0, 1)
        for name in ("ddp/process_index", "own")
    ]
    assert otel_llm.merge_ranks(rows) == rows


def test_values_that_the_program_exchanges_are_told_once(store: StoreReader, monkeypatch: Any) -> None:
    others: list[Any] = []

    def gather(mine: list[Any]) -> list[Any]:
        return [*mine, others.pop(0)]

    other = otel_llm.TrainingMetrics(reduce=lambda mine: others.append(mine[0]) or mine)
    mine = otel_llm.TrainingMetrics(reduce=gather)
    monkeypatch.setattr("otel_llm.training.figures.training_metrics.place", lambda: SimpleNamespace(rank=1))
    other.rollouts([5.0, math.nan])
    monkeypatch.setattr("otel_llm.training.figures.training_metrics.place", lambda: SimpleNamespace(rank=0))
    mine.rollouts([1.0, 3.0])
    other._epoch.add({"loss": 9.0})
    monkeypatch.setattr("otel_llm.training.figures.training_metrics.place", lambda: SimpleNamespace(rank=1))
    other.epoch_end()
    monkeypatch.setattr("otel_llm.training.figures.training_metrics.place", lambda: SimpleNamespace(rank=0))
    mine.training_step(1.0)
    mine.epoch_end()
    found = told(store)
    assert found["rollouts/returns_mean"] == [(1, 3.0)]
    assert found["rollouts/returns_std"] == [(1, pytest.approx(statistics.pstdev([1.0, 3.0, 5.0])))]
    assert found["rollouts/total_rollouts"] == [(1, 4)]
    assert found["training_epoch/loss_mean"] == [(1, 5.0)]


def test_the_exchange_happens_on_every_rank_instrumented_or_not() -> None:
    calls = []
    metrics = otel_llm.TrainingMetrics(reduce=lambda mine: calls.append(mine) or mine)
    metrics.rollouts([1.0])
    metrics.rollouts(object())
    metrics.training_step(1.0)
    metrics.epoch_end()
    metrics.batch_returns([1.0])
    assert len(calls) == 4
    failing = otel_llm.TrainingMetrics(reduce=lambda mine: 1 / 0)  # type: ignore[arg-type]
    failing.rollouts([1.0])


def test_gathered_values_are_told_by_the_first_rank_alone(store: StoreReader, monkeypatch: Any) -> None:
    metrics = otel_llm.TrainingMetrics(gathered=True)
    monkeypatch.setattr("otel_llm.training.figures.training_metrics.place", lambda: SimpleNamespace(rank=2))
    metrics.rollouts([1.0])
    metrics.training_step(1.0)
    metrics.epoch_end()
    metrics.finish()
    assert told(store) == {}


def test_memory_stays_flat_where_an_epoch_never_ends() -> None:
    metrics = otel_llm.TrainingMetrics(reduce=lambda mine: mine)
    for step in range(5000):
        metrics.training_step(float(step))
    assert len(metrics._epoch._waiting) < 600


# --- the logger -----------------------------------------------------------------------------------
def test_the_logger_writes_tensorboard_where_wandb_is_off(tmp_path: Any, monkeypatch: Any) -> None:
    pytest.importorskip("tensorboard")
    for name in ("OTEL_LLM_TENSORBOARD_DIR", "OTEL_LLM_WANDB_PROJECT"):
        monkeypatch.setenv(name, "")
    with Logger(
        use_wandb=False,
        log_dir=tmp_path / "logs",
        config={"lr": 1e-5},
        store=tmp_path / "store",
        content="full",
    ) as logger:
        logger.log({"lr": 0.1}, step=1)
        logger.log_rollouts([1.0, 2.0], step=1)
        logger.log_training_step(loss=0.5, step=1)
        logger.log_epoch_end(step=1)
        logger.log_batch_returns([1.0, 2.0], step=1)
        logger.log_example("<answer>4</answer>", step=1)
        logger.log_completion([{"role": "assistant", "content": "five"}], step=2)
        logger.log_invalid_loss(step=2)
        logger.log_checkpoint(step=2)
        assert logger.invalid_loss_count == 1
    store = StoreReader(tmp_path / "store")
    found = {row.name for row in store.series()}
    assert {
        "lr",
        "config/lr",
        "batch_returns/mean",
        "training/invalid_loss_count",
        "final/total_steps",
    } <= found
    shown = [log.attributes[sc.SERIES_TEXT] for log in store.logs() if log.event_name == sc.EVENT_TEXT]
    assert shown == ["<answer>4</answer>", "five"]
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


def test_examples_follow_the_content_policy(tmp_path: Any) -> None:
    otel_llm.instrument(store=tmp_path / "store", exporters=[], instrumentations=[])
    otel_llm.TrainingMetrics().example("secret words", step=1)
    otel_llm.force_flush()
    (log,) = StoreReader(tmp_path / "store").logs()
    assert log.attributes[sc.SERIES_TEXT + sc.LENGTH_SUFFIX] == 12
    assert sc.SERIES_TEXT not in log.attributes


def test_every_name_of_the_catalogue_says_how_ranks_combine() -> None:
    spelled = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    for_themselves = {names.DDP_INDEX, names.DDP_LOCAL_INDEX, names.DDP_SYNC, names.ACCELERATE_SYNC}
    texts_of = {names.CRITIC_TYPE, names.ACCELERATE_DEVICE, names.EXAMPLE}
    parts = {*names.FIGURES, names.COUNT, names.NON_FINITE}
    for name in spelled - parts - for_themselves - texts_of:
        assert names.combined_by(name) is not None, name
