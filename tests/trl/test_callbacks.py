"""What the callbacks log at a trainer's events, with a trainer's state in place of a trainer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import otel_llm
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from otel_llm_trl.callbacks import Frequencies, LoggingHooks
from otel_llm_trl.callbacks.frequencies import ENHANCED, OPTIMIZED
from otel_llm_trl.rewards import Collector, logged


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


class Training:
    """Calls hooks as `transformers.Trainer` does: no logs at the end of a step, and no trainer anywhere."""

    def __init__(self, hooks: LoggingHooks, max_steps: int, **args: Any) -> None:
        self.hooks = hooks
        self.state = SimpleNamespace(global_step=0, max_steps=max_steps, is_world_process_zero=True)
        self.control = SimpleNamespace(should_evaluate=False)
        self.args = SimpleNamespace(**{"max_steps": -1, "eval_strategy": "no", "process_index": 0, **args})

    def call(self, event: str, **more: Any) -> None:
        control = getattr(self.hooks, event)(
            self.args, self.state, self.control, model=None, processing_class=None, optimizer=None, **more
        )
        assert control is self.control

    def step(self, work: Any = lambda: None, logs: dict[str, float] | None = None) -> None:
        self.call("on_step_begin")
        work()
        self.call("on_pre_optimizer_step")
        self.state.global_step += 1
        self.call("on_step_end")
        if logs is not None:
            self.call("on_log", logs=logs)


def judged(collector: Collector) -> Any:
    def correctness_reward_func(completions: Any, answer: Any, **_: Any) -> list[float]:
        return [2.0 if text == right else 0.0 for text, right in zip(completions, answer, strict=True)]

    return logged(correctness_reward_func, collected_by=collector)


EVERY = Frequencies(1, 1, 1, 1, 0, 1)


def test_progress_accuracy_and_the_end(store: StoreReader) -> None:
    collector = Collector()
    training = Training(LoggingHooks(EVERY, collected_by=collector), max_steps=4)
    function = judged(collector)
    training.call("on_init_end")
    training.call("on_train_begin")
    for said in ("4", "5"):
        training.step(
            lambda said=said: function(prompts=["2+2?"] * 2, completions=[said, "4"], answer=["4", "4"])
        )
    training.call("on_train_end")
    found = told(store)
    assert found["training/progress_percent"] == [(1, 25.0), (2, 50.0)]
    assert found["training/accuracy"] == [(1, 100.0), (2, 75.0)]
    assert found["training/correct_answers"] == [(1, 2), (2, 3), (2, 3)]
    assert found["training/total_answers"] == [(1, 2), (2, 4), (2, 4)]
    assert found["training/final_accuracy"] == [(2, 75.0)]
    assert found["training/training_complete"] == [(2, 1)]
    assert found["reward/correctness/mean"] == [(1, 2.0), (2, 1.0)]


def test_answers_come_with_reasoning_beside_the_true_ones(store: StoreReader) -> None:
    collector = Collector()
    training = Training(LoggingHooks(EVERY, collected_by=collector), max_steps=1)
    function = judged(collector)
    training.call("on_train_begin")
    text = "<reasoning>adding</reasoning><answer>4</answer>"
    prompt = [{"role": "system", "content": "think"}, {"role": "user", "content": "2+2?"}]
    training.step(lambda: function(prompts=[prompt], completions=[text], answer=["4"]))
    found = told(store)
    (log,) = [log for log in store.logs() if log.event_name == sc.EVENT_MODEL_OUTPUT]
    assert log.attributes == {
        sc.TRAIN_STEP: 1,
        sc.MODEL_OUTPUT_QUESTION: "2+2?",
        sc.MODEL_OUTPUT_TRUE_ANSWER: "4",
        sc.MODEL_OUTPUT_REASONING: "adding",
        sc.MODEL_OUTPUT_ANSWER: "4",
    }
    assert found["generation/tags/reasoning"] == found["generation/tags/answer"] == [(1, 1.0)]
    assert found["generation/length/mean"] == [(1, len(text))]


def test_without_wrapped_functions_answers_come_from_the_trainers_logs(store: StoreReader) -> None:
    args = {
        "train_batch_size": 4,
        "world_size": 2,
        "gradient_accumulation_steps": 2,
        "num_iterations": 2,
    }  # 8 scored a step
    training = Training(LoggingHooks(EVERY, collected_by=Collector()), max_steps=10, **args)
    training.call("on_train_begin")
    training.step()
    training.step(
        logs={"rewards/correctness_reward_func/mean": 0.5, "rewards/correctness_reward_func/std": 9.0}
    )
    training.step(logs={"rewards/correctness_reward_func": 2.0, "loss": 0.25, "learning_rate": 1e-5})
    training.call("on_train_end")
    found = told(store)
    # 2 steps of 8 at a quarter of the reward of 2.0, then 8 that are all right
    assert found["training/correct_answers"][-1] == (3, 4 + 8)
    assert found["training/total_answers"][-1] == (3, 24)
    assert found["training/final_accuracy"] == [(3, 50.0)]
    assert found["reward/correctness_reward_func/mean"] == [(2, 0.5), (3, 2.0)]
    assert found["training/loss"] == [(3, 0.25)]
    assert found["training/learning_rate"] == [(3, 1e-5)]


def test_what_the_trainer_evaluates_is_a_validation_and_counts_for_nothing_else(store: StoreReader) -> None:
    collector = Collector()
    training = Training(LoggingHooks(EVERY, collected_by=collector), max_steps=2)
    function = judged(collector)
    training.call("on_train_begin")
    training.step()
    function(completions=["4"] * 9, answer=["4"] * 9)
    training.call("on_log", logs={"eval_loss": 1.5, "rewards/correctness_reward_func/mean": 2.0})
    training.call("on_evaluate", metrics={"eval_loss": 1.5, "eval_runtime": 0.1})
    found = told(store)
    assert collector.total == 0
    assert found["validation/loss"] == [(1, 1.5)]
    assert "training/loss" not in found


def test_each_thing_has_its_frequency(store: StoreReader) -> None:
    collector = Collector()
    hooks = LoggingHooks(Frequencies(2, 3, 4, 5, 0, 6), collected_by=collector)
    training = Training(hooks, max_steps=12)
    function = judged(collector)
    training.call("on_train_begin")
    for _ in range(12):
        training.step(lambda: function(completions=["4"], answer=["4"]))
    found = told(store)
    assert [step for step, _ in found["training/progress_percent"]] == [2, 4, 6, 8, 10, 12]
    assert [step for step, _ in found["reward/correctness/mean"]] == [3, 6, 9, 12]
    assert [step for step, _ in found["model/output_length"]] == [4, 8, 12]
    assert [step for step, _ in found["generation/count"]] == [5, 10]
    assert [step for step, _ in found["system/memory_rss_gb"]] == [0, 6, 12]
    assert collector.total == 12


def test_the_optimised_one_logs_less_often() -> None:
    assert all(
        getattr(OPTIMIZED, name) == 0 or getattr(OPTIMIZED, name) > getattr(ENHANCED, name)
        for name in ("progress", "metrics", "outputs", "generations", "gradients", "memory")
    )
    assert (ENHANCED.metrics, ENHANCED.generations, ENHANCED.gradients) == (5, 5, 20)
    assert (OPTIMIZED.progress, OPTIMIZED.metrics) == (5, 20)


# --- validation -----------------------------------------------------------------------------------
def test_the_programs_own_validation_runs_every_so_often(store: StoreReader) -> None:
    hooks = LoggingHooks(Frequencies(validation=2), validate=lambda step, model: {"accuracy": step / 10})
    training = Training(hooks, max_steps=4)
    for _ in range(4):
        training.step()
    assert told(store)["validation/accuracy"] == [(2, 0.2), (4, 0.4)]
    assert training.control.should_evaluate is False


def test_a_trainer_that_evaluates_is_asked_to_and_one_that_does_not_is_left_alone(caplog: Any) -> None:
    for strategy, asked in (
        ("steps", True),
        ("IntervalStrategy.EPOCH", True),
        ("no", False),
        ("IntervalStrategy.NO", False),
    ):
        training = Training(LoggingHooks(Frequencies(validation=1)), max_steps=1, eval_strategy=strategy)
        training.step()
        assert training.control.should_evaluate is asked
    assert "give the callback `validate`" in caplog.text


def test_a_validation_that_fails_does_not_end_the_training(caplog: Any) -> None:
    training = Training(
        LoggingHooks(Frequencies(validation=1), validate=lambda step, model: 1 / 0), max_steps=1
    )
    training.step()
    assert drops.counts()["validation", "failed"] == 1


# --- checkpoints ----------------------------------------------------------------------------------
def test_a_resumed_training_goes_on_counting(store: StoreReader, tmp_path: Any) -> None:
    collector = Collector()
    function = judged(collector)
    first = Training(LoggingHooks(EVERY, checkpoint_dir=tmp_path / "c", collected_by=collector), max_steps=4)
    first.call("on_train_begin")
    for said in ("4", "0"):
        first.step(lambda said=said: function(completions=[said], answer=["4"]))
        first.call("on_save")
    first.step(lambda: function(completions=["4"], answer=["4"]))  # and dies before its next checkpoint
    assert json.loads((tmp_path / "c/rank-0/logging-state-2.json").read_text()) == {
        "step": 2,
        "correct_answers": 1,
        "total_answers": 2,
    }
    hooks = LoggingHooks(EVERY, checkpoint_dir=tmp_path / "c", collected_by=collector)
    resumed = Training(hooks, max_steps=4)
    resumed.state.global_step = 2
    resumed.call("on_train_begin")
    resumed.step(lambda: function(completions=["4"], answer=["4"]))
    assert (hooks.correct_answers, hooks.total_answers) == (2, 3)
    found = told(store)
    assert found["checkpoint/saved"] == [(1, 1), (2, 1)]
    assert found["checkpoint/step"] == [(1, 1), (2, 2)]


def test_states_that_are_torn_are_passed_over_and_old_ones_go(tmp_path: Any) -> None:
    from otel_llm_trl.callbacks import saved

    for step in range(10):
        saved.save(tmp_path, step, {"correct_answers": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"logging-state-{n}.json" for n in range(5, 10)
    ]
    (tmp_path / "logging-state-8.json").write_text("{")
    assert saved.load(tmp_path, 8) == {"step": 7, "correct_answers": 7}
    assert saved.load(tmp_path, 4) is None
    assert saved.load(tmp_path / "none", 4) is None
    (tmp_path / "file").write_text("")
    saved.save(tmp_path / "file", 1, {})
    assert drops.counts() == {("checkpoint", "not_written"): 1}


# --- and they hurt nobody -------------------------------------------------------------------------
def test_a_state_that_is_none_returns_the_control_all_the_same(caplog: Any) -> None:
    hooks, control = LoggingHooks(EVERY), object()
    for event in (
        "on_train_begin",
        "on_step_begin",
        "on_pre_optimizer_step",
        "on_step_end",
        "on_log",
        "on_save",
    ):
        assert getattr(hooks, event)(None, None, control, logs={"loss": 1}) is control


def test_what_ranks_log_is_told_apart(store: StoreReader, monkeypatch: Any) -> None:
    from otel_llm.training.figures import belonging

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    belonging._places.clear()
    training = Training(LoggingHooks(EVERY), max_steps=1)
    training.state.is_world_process_zero = False
    training.step(logs={"loss": 1.0})
    otel_llm.force_flush()
    belonging._places.clear()
    rows = list(store.series())
    assert {row.attributes[sc.RANK] for row in rows} == {1}
    assert "training/loss" not in {row.name for row in rows}  # the first rank tells it for all


def test_importing_the_callbacks_imports_no_trainer() -> None:
    code = (
        "import sys, otel_llm_trl.callbacks, otel_llm_trl.rewards\n"
        "assert not {'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
