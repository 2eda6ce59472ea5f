"""What programs call: loggers by their purpose, and functions that log outputs, rewards, progress and memory.

Each function writes one record to its logger, for the plan's handlers, and hands its numbers to the local store (as
series with their step) and to OpenTelemetry (as metrics). None of them raises, changes what it is given, or waits for
a GPU.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from otel_llm import drops, runtime
from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue
from otel_llm.logging import _figures as figures
from otel_llm.logging._evaluations import record_evaluations
from otel_llm.logging._metrics_plan import GENERATION, RESOURCE, REWARD, VALIDATION
from otel_llm.logging._outputs import record_output
from otel_llm.logging._setup import metrics_plan
from otel_llm.numeric import as_text
from otel_llm.step_series import record, scalars_of, step_of
from otel_llm.trajectory import EXPECTED_TAGS

F = TypeVar("F", bound=Callable[..., Any])

_SOURCE: Final = "logging"
_ENDS: Final = ("training_complete",)
"""Metrics that say that there will be no later step, so that they are logged at whatever step."""
_MAX_WORD: Final = 100
_STACK: Final = 4  # from `Logger.info` to the caller of a function here


def get_training_logger() -> logging.Logger:
    """Return the logger `logging.training`."""
    return logging.getLogger("logging.training")


def get_model_logger() -> logging.Logger:
    """Return the logger `logging.model`."""
    return logging.getLogger("logging.model")


def get_reward_logger() -> logging.Logger:
    """Return the logger `logging.reward`."""
    return logging.getLogger("logging.reward")


def get_metrics_logger() -> logging.Logger:
    """Return the logger `logging.metrics`."""
    return logging.getLogger("logging.metrics")


def get_system_logger() -> logging.Logger:
    """Return the logger `logging.system`."""
    return logging.getLogger("logging.system")


def _harmless(function: F) -> F:
    """Count what a function raises, and return None instead."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:
            drops.internal_error(function.__name__)
            return None

    return cast("F", call)


@_harmless
def log_training_progress(
    step: int, metrics: Mapping[str, Any] | None = None, *, force: bool = False, **more: Any
) -> None:
    """Log how far training has come, every `logging_frequency` steps.

    Args:
        step: the training step.
        metrics: numbers by name; they become `training/NAME`, unless the name has a path of its own. What is no
            number is part of the text only. A true `training_complete` is logged at whatever step.
        force: log at whatever step.
        **more: further metrics.
    """
    told = {**(metrics or {}), **more}
    at = step_of(step)
    if force or any(told.get(name) for name in _ENDS) or metrics_plan().is_due("training", at):
        _tell(get_training_logger(), f"step {step}", told, _under("training", told), at)


@_harmless
def log_validation_metrics(step: int, metrics: Mapping[str, Any]) -> None:
    """Log what a validation found, as `validation/NAME`; see `should_validate`.

    Args:
        step: the training step.
        metrics: numbers by name.
    """
    if VALIDATION in metrics_plan().enabled:
        _tell(
            get_metrics_logger(),
            f"step {step}: validation",
            metrics,
            _under("validation", metrics),
            step_of(step),
        )


def should_validate(step: int) -> bool:
    """Say whether to validate at a step: every `validation_frequency` steps, where the category is enabled."""
    return metrics_plan().is_validation_due(step_of(step))


@_harmless
def log_model_output(
    question: Any,
    true_answer: Any,
    model_output: Any,
    reasoning: str | None = None,
    *,
    llm_answer: str | None = None,
    step: int | None = None,
    **more: Any,
) -> None:
    """Log one output of the model, as a row: each one, whatever the frequency.

    Texts go to handlers that have a column for them (CSV) and, where the store keeps content, to the table
    `model_outputs`; the message has lengths alone.

    Args:
        question: what was asked.
        true_answer: the expected answer.
        model_output: what the model said: a text, or messages.
        reasoning: its reasoning; default: what stands between `<think>` or `<reasoning>` tags.
        llm_answer: its answer; default: what stands between `<answer>` tags, else all but the reasoning.
        step: the training step.
        **more: further columns.
    """
    output = figures.text_of_generation(model_output)
    thought = figures.reasoning_of(output) if reasoning is None else reasoning
    answer = figures.answer_of(output) if llm_answer is None else llm_answer
    row = {
        **more,
        "question": question,
        "answer": true_answer,
        "true_answer": true_answer,
        "model_output": output,
        "llm_reasoning": thought,
        "llm_answer": answer,
        "step": step,
    }
    record_output(row, step_of(step))
    lengths = {"output_length": len(output), "reasoning_length": len(thought or "")}
    _tell(get_model_logger(), "model output", lengths, _under("model", lengths), step_of(step), row)


@_harmless
def log_reward(
    reward_name: str, values: Any, samples: Sequence[Any] | None = None, *, step: int | None = None
) -> None:
    """Log what a reward function gave: each value as an event, their mean and spread as `reward/NAME/…`.

    Args:
        reward_name: the function's name.
        values: a number each sample.
        samples: what the samples are called, in the order of the values.
        step: the training step; with it every `logging_frequency` steps, else each time.
    """
    plan, at = metrics_plan(), step_of(step)
    if REWARD not in plan.enabled or not plan.is_due(f"reward {reward_name}", at):
        return
    numbers = figures.numbers_of(values)
    if not numbers:
        return
    record_evaluations(reward_name, numbers, samples, at)
    told = figures.spread(numbers)
    name = f"reward/{reward_name}"
    _tell(
        get_reward_logger(),
        f"reward {reward_name}" if at is None else f"step {at}: reward {reward_name}",
        told,
        _under(name, told),
        at,
        samples={name: numbers},
    )


@_harmless
def log_reward_metrics(step: int, rewards: Mapping[str, Any]) -> None:
    """Log the rewards of a batch, every `logging_frequency` steps: `reward/NAME/mean`, `std`, `min`, `max`.

    Args:
        step: the training step.
        rewards: per reward function a number each sample.
    """
    plan, at = metrics_plan(), step_of(step)
    if REWARD not in plan.enabled or not plan.is_due("rewards", at):
        return
    numbers = {str(name): figures.numbers_of(values) for name, values in rewards.items()}
    told = {
        f"{name}/{figure}": value
        for name, values in numbers.items()
        for figure, value in figures.spread(values).items()
    }
    if told:
        samples = {f"reward/{name}": values for name, values in numbers.items() if values}
        message = f"step {step}: rewards"
        _tell(
            get_metrics_logger(),
            message,
            told,
            [(f"reward/{k}", v) for k, v in told.items()],
            at,
            samples=samples,
        )


@_harmless
def log_generation_metrics(
    step: int, generations: Sequence[Any], *, tags: Iterable[str] = EXPECTED_TAGS
) -> None:
    """Log figures of a batch of generations, every `logging_frequency` steps, as `generation/…`.

    Lengths are taken of every batch that is logged; words, repetition and adherence to tags of the share of them that
    `sampling_ratio` says.

    Args:
        step: the training step.
        generations: what the model said: texts, or messages.
        tags: XML tags that answers are expected to use.
    """
    plan, at = metrics_plan(), step_of(step)
    if GENERATION not in plan.enabled or not plan.is_due("generation", at):
        return
    texts = [figures.text_of_generation(generation) for generation in generations]
    told = figures.generation_figures(texts)
    if plan.is_sampled("generation"):
        told |= figures.expensive_generation_figures(texts, tags)
    _tell(
        get_metrics_logger(),
        f"step {step}: generations",
        told,
        [(f"generation/{name}", value) for name, value in told.items()],
        at,
    )


@_harmless
def log_memory_usage(step: int | None = None) -> dict[str, float]:
    """Log the memory that the process and its GPU use, as `system/…`, in GB of 2**30 bytes.

    Args:
        step: the training step; with it every `logging_frequency` steps, else each time.

    Returns:
        The figures: `memory_rss_gb`, and with a GPU `gpu_memory_allocated_gb`, `gpu_memory_reserved_gb`,
        `gpu_memory_peak_gb`; empty where nothing was logged.
    """
    plan, at = metrics_plan(), step_of(step)
    if RESOURCE not in plan.enabled or not plan.is_due("resource", at):
        return {}
    told = figures.memory_figures()
    _tell(
        get_system_logger(),
        "memory" if at is None else f"step {at}: memory",
        told,
        _under("system", told),
        at,
    )
    return told


# --- what they share ------------------------------------------------------------------------------
def _under(prefix: str, metrics: Any) -> list[tuple[str, int | float]]:
    return [(name if "/" in name else f"{prefix}/{name}", value) for name, value in scalars_of(metrics)]


def _tell(
    logger: logging.Logger,
    what: str,
    told: Mapping[str, Any],
    scalars: list[tuple[str, int | float]],
    step: int | None,
    row: Mapping[str, Any] | None = None,
    samples: Mapping[str, Sequence[int | float]] | None = None,
) -> None:
    if runtime.current() is not None:
        rows = [(name, value, step) for name, value in scalars]
        record(rows, source=_SOURCE, samples=samples, attributes=_belongs())
    if not logger.isEnabledFor(logging.INFO):
        return
    extra: dict[str, Any] = {"step": step, "scalars": dict(scalars)}
    if row is not None:
        extra["row"] = row
    words = ", ".join(f"{name}={_word(value)}" for name, value in told.items())
    logger.info("%s: %s" if words else "%s%s", what, words, extra=extra, stacklevel=_STACK)


def _belongs() -> Mapping[str, AttributeValue]:
    """Return run and rank; nothing where there is one process, and no run."""
    from otel_llm.training.figures.belonging import belonging

    told, _ = belonging()
    return told if told.get(sc.RANK) or sc.RUN_ID in told else {}


def _word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return as_text(value)[:_MAX_WORD]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
