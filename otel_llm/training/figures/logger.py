"""The `Logger` that training scripts have: one object for metrics and examples, into W&B or TensorBoard.

A façade over `TrainingMetrics` and `log_metrics`. Which sink is fed is one argument; it knows them by name alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from otel_llm import drops, runtime
from otel_llm.training.figures.logging_metrics import log_metrics
from otel_llm.training.figures.training_metrics import TrainingMetrics

_WANDB: Final = {"project": "OTEL_LLM_WANDB_PROJECT", "name": "OTEL_LLM_WANDB_NAME"}
_DIRECTORY: Final = "OTEL_LLM_TENSORBOARD_DIR"


class Logger:
    """Logs a training run.

        logger = Logger(use_wandb=args.wandb, project=args.wandb_project, run_name=args.run_name, log_dir=args.log_dir)
        logger.log({"lr": 1e-5}, step=1)
        logger.log_batch_returns(returns, step=1)
        logger.log_example(completion, step=1)
        logger.close()

    Calls `otel_llm.instrument` where the program has not done so; then W&B, or TensorBoard, is fed from the start.
    Where it has, what it chose stays as it is.

    Args:
        use_wandb: whether to write a W&B run; if not, TensorBoard's files in `log_dir`.
        project: the W&B project; default: W&B's own.
        run_name: what the run is called; default: W&B's choice.
        log_dir: directory of TensorBoard's files; default: that of the exporter.
        config: settings of the run: numbers become `config/NAME`, at no step.
        metrics: what figures go through; default: a new `TrainingMetrics`.
        **settings: further arguments of `otel_llm.instrument`.

    Attributes:
        metrics: the `TrainingMetrics` behind it.
        invalid_loss_count: how many losses `log_invalid_loss` was told of.
    """

    def __init__(
        self,
        use_wandb: bool = True,
        project: str | None = None,
        run_name: str | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        metrics: TrainingMetrics | None = None,
        **settings: Any,
    ) -> None:
        self.metrics = TrainingMetrics() if metrics is None else metrics
        self.invalid_loss_count = 0
        self._started = runtime.current() is None
        if self._started:
            if use_wandb:
                _set({_WANDB["project"]: project, _WANDB["name"]: run_name})
            else:
                _set({_DIRECTORY: None if log_dir is None else os.fspath(log_dir)})
            runtime.instrument(**{"exporters": ["wandb" if use_wandb else "tensorboard"], **settings})
        else:
            drops.warn_once(
                "logger", "otel_llm is instrumented already: the Logger feeds the exporters chosen then"
            )
        if config:
            log_metrics({"config": config})

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers by name, as `otel_llm.log_metrics`."""
        log_metrics(metrics, step=step)

    def log_rollouts(self, returns: Any, *, step: int | None = None, **more: Any) -> None:
        """Log a batch of rollouts, as `TrainingMetrics.rollouts`."""
        self.metrics.rollouts(returns, step=step, **more)

    def log_batch_returns(self, returns: Any, step: int | None = None) -> None:
        """Log the returns of a batch as `batch_returns/*`: a number each rollout, or such by name."""
        self.metrics.batch_returns(returns, step=step)

    def log_training_step(self, *, step: int | None = None, **values: Any) -> None:
        """Log an optimisation step, as `TrainingMetrics.training_step`."""
        self.metrics.training_step(step=step, **values)

    def log_epoch_end(self, step: int | None = None) -> None:
        """Log the figures of an epoch."""
        self.metrics.epoch_end(step)

    def log_example(self, completion: Any, step: int | None = None) -> None:
        """Log what the model wrote, a text or messages, as `examples/completion`; the content policy holds."""
        from otel_llm.logging._figures import text_of_generation

        try:
            self.metrics.example(text_of_generation(completion), step=step)
        except Exception:
            drops.internal_error("an example")

    log_completion = log_example

    def log_invalid_loss(self, step: int | None = None) -> None:
        """Count a loss that is of no use: `training/invalid_loss_count`."""
        self.invalid_loss_count += 1
        self.metrics.invalid_loss(step)

    def log_checkpoint(self, step: int | None = None) -> None:
        """Log that a checkpoint was saved."""
        self.metrics.checkpoint(step)

    def close(self) -> None:
        """Log what the run came to, and write everything; what it started itself it ends.

        May be called within the run's scope or after it; see `TrainingMetrics`.
        """
        self.metrics.finish()
        if self._started:
            runtime.shutdown()
        else:
            runtime.force_flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is not None:
            os.environ[name] = value
