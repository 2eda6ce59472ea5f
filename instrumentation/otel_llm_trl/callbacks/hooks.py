"""What the callbacks do at each event of a Hugging Face trainer. Knows neither transformers nor TRL.

A trainer passes `on_step_end` neither its logs nor itself. So answers come from wrapped reward functions
(`otel_llm_trl.rewards`), logs from `on_log`, and gradients from `on_pre_optimizer_step`.
"""

# ruff: noqa: ARG002 (a trainer passes every event the same)

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import otel_llm
from otel_llm import drops
from otel_llm.logging import (
    get_training_logger,
    log_generation_metrics,
    log_memory_usage,
    log_model_output,
    log_reward_metrics,
    log_training_progress,
    log_validation_metrics,
)
from otel_llm.logging._figures import text_of_generation
from otel_llm.training.figures import names
from otel_llm_trl.callbacks import saved
from otel_llm_trl.callbacks.frequencies import ENHANCED, Frequencies
from otel_llm_trl.callbacks.gradients import log_gradient_norms
from otel_llm_trl.callbacks.progress import Answers, answers_a_step, rewards_in
from otel_llm_trl.rewards import Collector, collector

F = TypeVar("F", bound=Callable[..., Any])

CORRECTNESS_REWARD: Final = 2.0
TAGS: Final = ("reasoning", "answer")
_PROGRESS: Final = ("loss", "grad_norm", "learning_rate", "reward", "kl", "entropy")


def _harmless(function: F) -> F:
    """Let a hook return the trainer's control whatever happens in it."""

    @functools.wraps(function)
    def hook(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        try:
            function(self, args, state, control, **kwargs)
        except Exception:
            drops.internal_error(function.__name__)
        return control

    return cast("F", hook)


class LoggingHooks:
    """The events of a trainer.

    Args:
        frequencies: how often what is logged; default: that of `EnhancedLoggingCallback`.
        correctness_reward: what a right answer is worth; used only where no reward function is wrapped.
        checkpoint_dir: where counts are kept, so that a resumed training goes on counting; None for nowhere.
        validate: called with the step and the model every `frequencies.validation` steps; returns metrics. Without
            it the trainer is asked to evaluate at those steps too, if it evaluates at all (`eval_strategy`).
        tags: XML tags that answers are expected to use.
        collected_by: what wrapped reward functions report to; default: the process's own.
    """

    frequencies: Frequencies = ENHANCED

    def __init__(
        self,
        frequencies: Frequencies | None = None,
        *,
        correctness_reward: float = CORRECTNESS_REWARD,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        validate: Callable[[int, Any], Mapping[str, Any]] | None = None,
        tags: tuple[str, ...] = TAGS,
        collected_by: Collector = collector,
    ) -> None:
        if frequencies is not None:
            self.frequencies = frequencies
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir).absolute()
        self._validate = validate
        self._tags = tags
        self._collector = collected_by
        self._answers = Answers(collected_by, correctness_reward)

    @property
    def correct_answers(self) -> int:
        """Right answers so far."""
        return self._answers.correct

    @property
    def total_answers(self) -> int:
        """Answers so far."""
        return self._answers.total

    # --- the trainer's events -------------------------------------------------------------------------

    @_harmless
    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say that the trainer is set up."""
        get_training_logger().info("Training initialization completed")

    @_harmless
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to count; go on from what was counted before, where the training is resumed."""
        resumed = None
        if self.checkpoint_dir is not None and state.global_step > 0:
            resumed = saved.load(self.checkpoint_dir / _rank(args), state.global_step)
        self._answers.begin(state.global_step, resumed)
        self._collector.attach(self, self.frequencies.metrics)
        if self.frequencies.memory:
            log_memory_usage(state.global_step)

    @_harmless
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the step, for what reward functions log."""
        self._collector.step = state.global_step + 1

    @_harmless
    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log norms of gradients."""
        step = state.global_step + 1
        if self.frequencies.is_due("gradients", step):
            log_gradient_norms(kwargs.get("model"), step)

    @_harmless
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log progress, answers, figures of generations, memory; validate."""
        step, due = state.global_step, self.frequencies.is_due
        self._collector.step = None
        outputs = self._collector.take()
        if due("progress", step) and not (self._answers.from_logs and not _is_first(state)):
            log_training_progress(step, self._progress(state))
        if outputs and due("outputs", step):
            for one in outputs:
                log_model_output(
                    question=_question(one.question),
                    true_answer=one.true_answer,
                    model_output=_said(one.completion),
                    step=step,
                )
        if outputs and due("generations", step):
            log_generation_metrics(step, [_said(one.completion) for one in outputs], tags=self._tags)
        if due("memory", step):
            log_memory_usage(step)
        if due("validation", step):
            self._validated(args, state, control, kwargs.get("model"))

    @_harmless
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Take what the trainer logged: mean rewards, loss, learning rate."""
        if not isinstance(logs, Mapping) or any(key.startswith("eval_") for key in logs):
            return
        step = state.global_step
        self._answers.read(logs, step, answers_a_step(args))
        if not _is_first(state):
            return  # it is the same on every rank
        if rewards := rewards_in(logs):
            log_reward_metrics(step, {name: [value] for name, value in rewards.items()})
        told = {name: logs[name] for name in _PROGRESS if name in logs}
        if self._answers.from_logs:
            told |= self._progress(state)
        if told:
            log_training_progress(step, told)

    @_harmless
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Log what the trainer's own evaluation found."""
        if isinstance(metrics, Mapping) and _is_first(state):
            log_validation_metrics(
                state.global_step, {name.removeprefix("eval_"): value for name, value in metrics.items()}
            )

    @_harmless
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the checkpoint, and keep what was counted beside it."""
        step = state.global_step
        if _is_first(state):
            otel_llm.log_metrics({names.CHECKPOINT_SAVED: 1, names.CHECKPOINT_STEP: step}, step=step)
        if self.checkpoint_dir is not None:
            saved.save(self.checkpoint_dir / _rank(args), step, self._answers.state())

    @_harmless
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log what the training came to."""
        self._collector.detach(self)
        if not self._answers.from_logs or _is_first(state):
            log_training_progress(
                state.global_step,
                {
                    "final_accuracy": self._answers.accuracy,
                    "correct_answers": self._answers.correct,
                    "total_answers": self._answers.total,
                    "training_complete": True,
                },
            )
        get_training_logger().info("Training completed")

    # --- what they share ------------------------------------------------------------------------------

    def _progress(self, state: Any) -> dict[str, float]:
        steps = state.max_steps  # of the state: in the arguments it may be -1
        return {
            "progress_percent": 100.0 * state.global_step / steps if steps and steps > 0 else 0.0,
            "accuracy": self._answers.accuracy,
            "correct_answers": self._answers.correct,
            "total_answers": self._answers.total,
        }

    def _validated(self, args: Any, state: Any, control: Any, model: Any) -> None:
        if self._validate is None:
            # A trainer that is not set up to evaluate may have nothing to evaluate on, and would raise.
            if str(getattr(args, "eval_strategy", "no")).rpartition(".")[2].lower() != "no":
                control.should_evaluate = True
            else:
                drops.warn_once(
                    "validation",
                    "the trainer does not evaluate (eval_strategy is no): give the callback `validate`",
                )
            return
        try:
            found = self._validate(state.global_step, model)
        except Exception as error:  # the program's own, but in the middle of a training
            drops.count("validation", "failed")
            drops.warn_once("validate", "the validation of a callback failed: %r", error)
            return
        log_validation_metrics(state.global_step, found)


def _is_first(state: Any) -> bool:
    return bool(getattr(state, "is_world_process_zero", True))


def _rank(args: Any) -> str:
    return f"rank-{getattr(args, 'process_index', 0) or 0}"


def _said(completion: Any) -> str:
    """Return what the model said; of one message, as TRL gives it without tools, at once."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, list) and len(completion) == 1 and isinstance(completion[0], Mapping):
        content = completion[0].get("content")
        if isinstance(content, str):
            return content
    return text_of_generation(completion)


def _question(prompt: Any) -> Any:
    """Return the last message of a prompt that is messages."""
    if isinstance(prompt, list | tuple) and prompt and isinstance(prompt[-1], Mapping):
        return prompt[-1].get("content", prompt)
    return prompt
