"""The plan that users print, loaded as it is, and the training callback that they print with it."""

from __future__ import annotations

import csv
import logging
import logging.handlers
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import otel_llm
from otel_llm import semconv as sc
from otel_llm.logging import (
    CSVHandler,
    TensorBoardHandler,
    get_metrics_logger,
    get_model_logger,
    get_reward_logger,
    get_system_logger,
    get_training_logger,
    log_generation_metrics,
    log_memory_usage,
    log_model_output,
    log_reward,
    log_reward_metrics,
    log_training_progress,
    shutdown,
)
from otel_llm.logging import initialize as init_logging
from otel_llm.logging._setup import metrics_plan
from otel_llm.store import StoreReader
from tests.logging_plan.event_files import scalars


def kinds(logger: logging.Logger) -> list[str]:
    return [type(handler).__name__ for handler in logger.handlers]


def test_every_logger_has_the_handlers_that_the_plan_gives_it(plan: Path) -> None:
    init_logging(str(plan))
    assert kinds(get_training_logger()) == ["StreamHandler", "RotatingFileHandler", "TensorBoardHandler"]
    assert kinds(get_model_logger()) == [
        "StreamHandler",
        "RotatingFileHandler",
        "CSVHandler",
        "TensorBoardHandler",
    ]
    assert kinds(get_reward_logger()) == ["RotatingFileHandler", "TensorBoardHandler"]
    assert kinds(get_system_logger()) == ["RotatingFileHandler"]
    assert kinds(get_metrics_logger()) == ["RotatingFileHandler", "TensorBoardHandler"]
    assert kinds(logging.getLogger()) == ["StreamHandler"]
    for logger in (get_training_logger(), get_model_logger(), get_reward_logger()):
        assert (logger.level, logger.propagate) == (logging.INFO, False)


def test_every_handler_has_the_settings_that_the_plan_gives_it(plan: Path) -> None:
    init_logging(plan)
    _, file, rows, board = get_model_logger().handlers
    assert isinstance(file, logging.handlers.RotatingFileHandler)
    assert (file.maxBytes, file.backupCount) == (10_485_760, 5)
    assert Path(file.baseFilename) == Path("logs/training.log").absolute()
    assert file.formatter is not None
    assert file.formatter._fmt == "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    assert file.formatter.datefmt == "%Y-%m-%d %H:%M:%S"
    assert isinstance(rows, CSVHandler)
    assert rows.columns == ("timestamp", "question", "answer", "llm_reasoning", "llm_answer")
    assert (rows._background._size, rows._background._interval_s) == (100, 5.0)
    assert isinstance(board, TensorBoardHandler)
    assert (board._background._size, board._background._interval_s) == (100, 30)
    assert board.directory == Path("logs/tensorboard").absolute()


def test_the_metrics_section_is_read(plan: Path) -> None:
    init_logging(plan)
    metrics = metrics_plan()
    assert (metrics.logging_frequency, metrics.validation_frequency, metrics.sampling_ratio) == (5, 250, 0.1)
    assert metrics.enabled == {
        "reward_metrics",
        "generation_metrics",
        "validation_metrics",
        "resource_metrics",
    }


class Callback:
    """The users' callback, with the calls that it makes in `on_step_end` and `on_train_end`."""

    def on_step_end(self, state: Any, outputs: list[tuple[str, str, str]], logs: dict[str, float]) -> None:
        log_training_progress(
            step=state.global_step,
            metrics={"progress_percent": state.global_step * 10, "correct_answers": 1, "total_answers": 2, "accuracy": 50.0},
        )  # fmt: skip
        for question, true_answer, model_output in outputs:
            log_model_output(
                question=question, true_answer=true_answer, model_output=model_output, reasoning="because"
            )
        rewards = {k.replace("rewards/", ""): [v] for k, v in logs.items() if k.startswith("rewards/")}
        log_reward_metrics(state.global_step, rewards)
        for i, reward in enumerate([1.0, 0.0]):
            log_reward(reward_name="correctness", values=[reward], samples=[f"sample_{i}"])
        log_generation_metrics(step=state.global_step, generations=[output for _, _, output in outputs])
        log_memory_usage()

    def on_train_end(self, state: Any) -> None:
        log_training_progress(
            step=state.global_step, metrics={"final_accuracy": 50.0, "training_complete": True}
        )
        get_training_logger().info("Training completed")


def test_a_training_run_lands_in_every_place_that_the_plan_names(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    otel_llm.instrument()
    init_logging(plan)
    callback = Callback()
    outputs = [
        ("2 + 2?", "4", "<think>sum</think><answer>4</answer>"),
        ("Capital,\nof France?", "Paris", "Lyon"),
    ]
    for step in range(1, 12):
        callback.on_step_end(SimpleNamespace(global_step=step), outputs, {"rewards/format": 0.5, "loss": 1.0})
    callback.on_train_end(SimpleNamespace(global_step=11))
    shutdown()

    with open("logs/model_outputs.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 22
    assert list(rows[0]) == ["timestamp", "question", "answer", "llm_reasoning", "llm_answer"]
    assert list(rows[0].values())[1:] == ["2 + 2?", "4", "because", "4"]
    assert list(rows[21].values())[1:] == ["Capital,\nof France?", "Paris", "because", "Lyon"]

    board = scalars(Path("logs/tensorboard"))
    assert board["training/accuracy"] == [(5, 50.0), (10, 50.0)], "every fifth step"
    assert board["training/training_complete"] == [(11, 1.0)], "and the end"
    assert board["reward/format/mean"] == [(5, 0.5), (10, 0.5)]
    assert [value for _, value in board["reward/correctness/mean"]] == [1.0, 0.0] * 11
    assert len(board["model/output_length"]) == 22
    assert board["generation/count"] == [(5, 2.0), (10, 2.0)]
    assert board["generation/tags/answer"] == [(5, 0.5)], "one batch in ten is looked at closely"
    assert "system/memory_rss_gb" not in board, "the plan gives the system's logger a file alone"

    text = Path("logs/training.log").read_text(encoding="utf-8")
    assert "- logging.training - INFO - step 5: progress_percent=50, correct_answers=1" in text
    assert "- logging.reward - INFO - reward correctness: mean=1" in text
    assert "- logging.system - INFO - memory: memory_rss_gb=" in text
    assert "Training completed" in text
    assert "Lyon" not in text, "what models say goes to the columns that ask for it"
    console = capsys.readouterr().err
    assert "logging.training" in console
    assert "logging.reward" not in console

    otel_llm.force_flush()
    reader = StoreReader(Path(".otel_llm"))
    stored = [(row.name, row.step, row.value) for row in reader.series()]
    assert [row for row in stored if row[0] == "training/accuracy"] == [("training/accuracy", 5, 50.0), ("training/accuracy", 10, 50.0)]  # fmt: skip
    assert len([row for row in stored if row[0] == "system/memory_rss_gb"]) == 11
    events = [log for log in reader.logs() if log.event_name == sc.EVENT_EVALUATION_RESULT]
    assert len(events) == 22
    assert dict(events[1].attributes) == {
        sc.EVALUATION_NAME: "correctness",
        sc.EVALUATION_SCORE: 0.0,
        sc.SAMPLE_ID: "sample_1",
    }
    points = {point.metric: point for point in reader.points()}
    assert points["training/accuracy"].kind == "gauge"
    assert points["reward/correctness"].kind == "histogram"
    assert points["reward/correctness"].value["count"] == 22
