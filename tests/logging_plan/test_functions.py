"""What the functions log, when, and that they hurt nobody."""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

import otel_llm
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.logging import (
    initialize,
    log_generation_metrics,
    log_memory_usage,
    log_model_output,
    log_reward,
    log_reward_metrics,
    log_training_progress,
    log_validation_metrics,
    should_validate,
)
from otel_llm.logging._metrics_plan import Cadence, Sampler
from otel_llm.store import StoreReader
from otel_llm.views.mapping import Mapper, Taken


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def told(self) -> list[tuple[str, Any, dict[str, float]]]:
        return [(r.name, r.step, r.scalars) for r in self.records]  # type: ignore[attr-defined]


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    logger = logging.getLogger("logging")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def plan(**metrics: Any) -> None:
    initialize({"metrics": metrics})


# --- when -----------------------------------------------------------------------------------------
def test_progress_is_logged_every_so_many_steps(kept: Kept) -> None:
    plan(logging_frequency=5)
    for step in range(1, 18):
        log_training_progress(step=step, metrics={"loss": 1 / step})
        log_training_progress(step, {"lr": 0.1})
    assert [step for _, step, _ in kept.told()] == [5, 5, 10, 10, 15, 15]


def test_a_program_that_tells_of_some_steps_only_is_heard_as_often(kept: Kept) -> None:
    plan(logging_frequency=5)
    for step in range(3, 40, 3):
        log_training_progress(step, {"loss": 1.0})
    assert [step for _, step, _ in kept.told()] == [6, 12, 15, 21, 27, 30, 36]


def test_the_end_of_training_and_what_is_forced_are_logged_at_any_step(kept: Kept) -> None:
    plan(logging_frequency=100)
    log_training_progress(7, {"loss": 1.0})
    log_training_progress(7, {"training_complete": True})
    log_training_progress(8, loss=2.0, force=True)
    assert [scalars for _, _, scalars in kept.told()] == [
        {"training/training_complete": 1},
        {"training/loss": 2.0},
    ]


def test_validation_has_its_own_frequency(kept: Kept) -> None:
    plan(logging_frequency=5, validation_frequency=250)
    assert [step for step in range(1, 1001) if should_validate(step)] == [250, 500, 750, 1000]
    log_validation_metrics(250, {"accuracy": 0.5})
    assert kept.told() == [("logging.metrics", 250, {"validation/accuracy": 0.5})]


@pytest.mark.parametrize(
    ("category", "silent"),
    [
        ("reward_metrics", {"logging.reward", "rewards"}),
        ("generation_metrics", {"generations"}),
        ("validation_metrics", {"validation"}),
        ("resource_metrics", {"logging.system"}),
    ],
)
def test_a_category_that_is_off_is_silent_and_the_others_are_not(
    kept: Kept, category: str, silent: set[str]
) -> None:
    plan(enable={category: False})
    log_reward("correctness", [1.0])
    log_reward_metrics(1, {"correctness": [1.0]})
    log_generation_metrics(1, ["text"])
    log_validation_metrics(1, {"accuracy": 1.0})
    log_memory_usage()
    log_training_progress(1, {"loss": 1.0})
    heard = {
        r.name if r.name != "logging.metrics" else r.getMessage().partition(": ")[2].partition(":")[0]
        for r in kept.records
    }
    everything = {
        "logging.reward",
        "rewards",
        "generations",
        "validation",
        "logging.system",
        "logging.training",
    }
    assert heard == everything - silent
    assert should_validate(1) is (category != "validation_metrics")


def test_expensive_figures_are_taken_of_the_share_that_the_plan_says_without_random_numbers(
    kept: Kept,
) -> None:
    plan(sampling_ratio=0.1)
    state = random.getstate()
    for step in range(100):
        log_generation_metrics(step, ["a b c d", "a b c d"])
    assert random.getstate() == state
    sampled = [step for _, step, scalars in kept.told() if "generation/repetition" in scalars]
    assert sampled == list(range(0, 100, 10))


@given(st.integers(1, 20), st.lists(st.integers(0, 200), min_size=1))
def test_no_two_due_steps_are_missed_between(every: int, steps: list[int]) -> None:
    cadence = Cadence(every)
    for step in steps:
        due = cadence.is_due(step)
        assert due or step % every
        assert cadence.is_due(step) == due, "the same step has the same answer"


@given(st.fractions(0, 1, max_denominator=1000), st.integers(1, 500))
def test_a_share_is_taken_evenly(ratio: Any, n: int) -> None:
    sampler = Sampler(float(ratio))
    taken = sum(sampler.take() for _ in range(n))
    assert 0 <= taken - n * ratio < 1


# --- what -----------------------------------------------------------------------------------------
def test_progress_keeps_names_that_have_a_path(kept: Kept) -> None:
    log_training_progress(3, {"loss": 0.5, "rollouts/kl_mean": 0.1, "phase": "warm-up", "done": False})
    (record,) = kept.records
    assert record.getMessage() == "step 3: loss=0.5, rollouts/kl_mean=0.1, phase=warm-up, done=False"
    assert kept.told() == [
        ("logging.training", 3, {"training/loss": 0.5, "rollouts/kl_mean": 0.1, "training/done": 0})
    ]
    assert record.funcName == "test_progress_keeps_names_that_have_a_path"


def test_rewards_have_their_mean_and_spread(kept: Kept) -> None:
    log_reward_metrics(2, {"correctness": [1.0, 0.0], "format": [0.5], "none": [], "odd": ["x"]})
    log_reward("correctness", [1.0, 0.0, 2.0], step=4)
    log_reward("correctness", 3.0)
    assert kept.told() == [
        (
            "logging.metrics",
            2,
            {
                "reward/correctness/mean": 0.5,
                "reward/correctness/std": 0.5,
                "reward/correctness/min": 0.0,
                "reward/correctness/max": 1.0,
                "reward/format/mean": 0.5,
            },
        ),
        (
            "logging.reward",
            4,
            {
                "reward/correctness/mean": 1.0,
                "reward/correctness/std": pytest.approx((2 / 3) ** 0.5),
                "reward/correctness/min": 0.0,
                "reward/correctness/max": 2.0,
            },
        ),
        ("logging.reward", None, {"reward/correctness/mean": 3.0}),
    ]


def test_generations_have_figures_whatever_shape_they_have(kept: Kept) -> None:
    generations = ["<think>x</think><answer>a b c a b c</answer>", [{"role": "assistant", "content": ""}]]
    log_generation_metrics(1, generations, tags=["think", "cite"])
    (scalars,) = [scalars for _, _, scalars in kept.told()]
    assert scalars == {
        "generation/count": 2,
        "generation/length/mean": 22.0,
        "generation/length/std": 22.0,
        "generation/length/min": 0,
        "generation/length/max": 44,
        "generation/empty": 0.5,
        "generation/words/mean": 3.0,
        "generation/unique": 1.0,
        "generation/repetition": 0.0,
        "generation/tags/think": 0.5,
        "generation/tags/cite": 0.0,
        "generation/tags/all": 0.0,
    }


@pytest.mark.parametrize(
    ("output", "reasoning", "answer"),
    [
        ("<think>\nsum\n</think> <answer> 4 </answer>", "sum", "4"),
        ("<reasoning>sum</reasoning>\n4", "sum", "4"),
        ("<answer>3</answer> no: <answer>4</answer>", None, "4"),
        ("just 4", None, "just 4"),
        ([{"role": "assistant", "content": "<answer>4</answer>"}], None, "4"),
    ],
)
def test_reasoning_and_answer_are_found_in_an_output(
    kept: Kept, output: Any, reasoning: str | None, answer: str
) -> None:
    log_model_output("2 + 2?", "4", output, step=9, level_of_difficulty=2)
    row = kept.records[0].row  # type: ignore[attr-defined]
    assert (row["llm_reasoning"], row["llm_answer"]) == (reasoning, answer)
    assert (row["question"], row["answer"], row["step"], row["level_of_difficulty"]) == ("2 + 2?", "4", 9, 2)
    log_model_output("q", "4", output, reasoning="given", llm_answer="told")
    assert kept.records[1].row["llm_reasoning"] == "given"  # type: ignore[attr-defined]
    assert kept.records[1].row["llm_answer"] == "told"  # type: ignore[attr-defined]


def test_memory_of_the_process_and_of_a_gpu_that_the_program_uses(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        memory_allocated=lambda: 2 << 30,
        memory_reserved=lambda: 3 << 30,
        max_memory_allocated=lambda: 4 << 30,
    )
    monkeypatch.setitem(__import__("sys").modules, "torch", SimpleNamespace(cuda=cuda))
    figures = log_memory_usage(step=3)
    assert 0.001 < figures.pop("memory_rss_gb") < 100
    assert figures == {"gpu_memory_allocated_gb": 2, "gpu_memory_reserved_gb": 3, "gpu_memory_peak_gb": 4}
    assert kept.records[0].name == "logging.system"
    cuda.is_initialized = lambda: False  # asking an unused GPU would set one up
    monkeypatch.setattr(cuda, "memory_allocated", lambda: pytest.fail("asked"))
    assert set(log_memory_usage()) == {"memory_rss_gb"}


# --- where, and whom it hurts ---------------------------------------------------------------------
def test_numbers_reach_the_store_without_any_plan() -> None:
    otel_llm.instrument()
    log_training_progress(1, {"loss": 0.5})
    log_reward("format", [1.0])
    otel_llm.force_flush()
    rows = [(row.name, row.step, row.value) for row in StoreReader(Path(".otel_llm")).series()]
    assert rows == [("training/loss", 1, 0.5), ("reward/format/mean", None, 1.0)]


def outputs() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The attributes of stored answers, and the rows that the table `model_outputs` gets of them."""
    otel_llm.shutdown()
    logs = [row for row in StoreReader(Path(".otel_llm")).logs() if row.event_name == sc.EVENT_MODEL_OUTPUT]
    batch = Mapper().map(Taken(logs=logs))
    rows = [
        dict(zip(table.names, cells, strict=True))
        for table in batch.tables
        if table.table == "model_outputs"
        for cells in table.cells
    ]
    return [dict(row.attributes) for row in logs], rows


def test_a_logged_answer_is_a_row_of_the_table_of_model_outputs() -> None:
    otel_llm.instrument(content="length", store_content="full")
    with otel_llm.step(4):
        here = trace.get_current_span().get_span_context()
        log_model_output(
            "2 + 2?", 4, "<think>My key is sk-proj-abcdefghijklmnop1234.</think><answer>4</answer>"
        )
    _, (row,) = outputs()
    assert (row["trace_id"], row["span_id"]) == (f"{here.trace_id:032x}", f"{here.span_id:016x}")
    assert row["timestamp"].endswith("+00:00")
    assert [row[name] for name in ("question", "answer", "llm_reasoning", "llm_answer")] == [
        "2 + 2?", "4", "My key is [redacted].", "4",
    ]  # fmt: skip


def test_of_a_logged_answer_only_lengths_are_kept_unless_content_is_asked_for() -> None:
    otel_llm.instrument()
    log_model_output("2 + 2?", "4", "<think>sum</think><answer>four</answer>", step=7)
    (kept,), rows = outputs()
    assert kept == {
        sc.TRAIN_STEP: 7,
        "otel_llm.output.question_length": 6,
        "otel_llm.output.true_answer_length": 1,
        "otel_llm.output.reasoning_length": 3,
        "otel_llm.output.answer_length": 4,
    }
    assert rows == []


def test_a_preview_of_a_logged_answer_is_cut_and_says_so() -> None:
    otel_llm.instrument(store_content="preview", preview_length=10)
    log_model_output("q", None, "x" * 100)
    (kept,), (row,) = outputs()
    assert kept[sc.MODEL_OUTPUT_ANSWER] == "x" * 10 + "...[truncated, original 100 chars]"
    assert row["answer"] is None


def test_a_program_that_keeps_no_content_at_all_stores_no_answers() -> None:
    otel_llm.instrument(content="none")
    log_model_output("q", "4", "4")
    assert outputs() == ([], [])


def test_nothing_is_changed_and_nothing_raises(kept: Kept) -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no")

    metrics = {"a": {"b": [1]}, "c": 1.0}
    rewards = {"x": [1.0, None, "y"], "z": 2.0}
    before = copy.deepcopy((metrics, rewards))
    log_training_progress(1, metrics)
    log_reward_metrics(1, rewards)
    assert (metrics, rewards) == before
    for odd in (None, 3, "x", [], Hostile(), float("nan"), object()):
        log_training_progress(odd, odd)  # type: ignore[arg-type]
        log_reward(odd, odd, odd)  # type: ignore[arg-type]
        log_reward_metrics(odd, odd)  # type: ignore[arg-type]
        log_generation_metrics(odd, odd)  # type: ignore[arg-type]
        log_model_output(odd, odd, odd)
        log_validation_metrics(odd, odd)  # type: ignore[arg-type]
        log_memory_usage(odd)  # type: ignore[arg-type]
        should_validate(odd)  # type: ignore[arg-type]
    assert all(what == "internal_error" for what, _ in drops.counts())


def test_a_tensor_on_a_device_is_not_waited_for(kept: Kept) -> None:
    class Tensor:
        dtype = "float32"
        device = SimpleNamespace(type="cuda")

        def numel(self) -> int:
            return 1

        def item(self) -> float:
            raise AssertionError("waited for the device")

        def __str__(self) -> str:
            raise AssertionError("waited for the device")

        __repr__ = __str__

    log_training_progress(1, {"loss": Tensor(), "lr": 0.1})
    assert kept.told() == [("logging.training", 1, {"training/lr": 0.1})]
