"""Actors that own a W&B run: one a pipeline, to which its workers send what they measured.

    Training = ray.remote(max_concurrency=8)(TrainingPipelineActor)
    training = Training.remote(layout="groups", steps=100)
    ray.get(training.aggregate_worker_metrics.remote({"training/loss": 0.5}, step=3, worker=0))
    ray.get(training.flush_aggregated_metrics.remote(step=3))     # the mean over workers, as one point
    ray.get(training.finish.remote())

What they log are ordinary metrics of otel_llm: they are in the local store and in every other exporter too. The
classes are plain; `ray.remote` makes actors of them, with whatever options the program wants.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final

from opentelemetry import trace

from otel_llm import drops, runtime
from otel_llm.training.figures.logging_metrics import log_metrics
from otel_llm_ray.joining import CONFIGURATION

WANDB: Final = "wandb"
_FINISH_S: Final = 60.0
_MOST_STEPS: Final = 10_000


class WandbRun:
    """A W&B run that many threads, and through its actor many processes, log to.

    Args:
        **settings: of the run, as for `otel_llm_wandb.configure`: `project`, `entity`, `name`, `group`, `job_type`,
            `tags`, `layout`, `pipeline`, `mode` …

    Raises:
        ImportError: W&B is not installed: `pip install otel-llm[wandb]`.
        SettingsError: a setting has a value it does not accept.
    """

    def __init__(self, **settings: Any) -> None:
        import otel_llm_wandb

        settings.setdefault("join", False)
        otel_llm_wandb.configure(**settings)
        # The worker is instrumented already, without this run: once more, with it.
        told: dict[str, Any] = json.loads(os.environ.get(CONFIGURATION) or "{}")
        active = runtime.current()
        if active is not None and not told:
            told = {"store": active.settings.store}
        told["exporters"] = list(dict.fromkeys([*told.get("exporters", ()), WANDB]))
        _end_this_call()
        runtime.shutdown()
        runtime.instrument(**told)
        from otel_llm_ray.workers import start

        start()

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers; every value is kept with its step.

        Args:
            metrics: by name; nested mappings become `a/b`.
            step: any; steps need not rise.
        """
        log_metrics(metrics, step)

    def log_checkpoint(self, path: str, step: int, name: str = "checkpoint") -> None:
        """Make a file or folder a version of an artifact.

        Args:
            path: on the actor's node.
            step: of the training.
            name: the artifact's.
        """
        import otel_llm_wandb

        otel_llm_wandb.log_checkpoint(Path(path), step=step, name=name)

    def finish(self, timeout_s: float = _FINISH_S) -> bool:
        """Write everything and end the run.

        Args:
            timeout_s: seconds that this may take at most.

        Returns:
            Whether everything was written in time; what was not is in the store (`otel-llm replay --to wandb`).
        """
        _end_this_call()
        return runtime.shutdown(timeout_s)


def _end_this_call() -> None:
    """End the span of the remote call that runs: what records it is about to stop."""
    span: Any = trace.get_current_span()
    if span.is_recording():
        span.end()
        span.end = _nothing  # Ray ends it once more when the call returns


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


class PipelineActor(WandbRun):
    """The run of one pipeline, and the figures of its workers until each step is complete.

    Args:
        **settings: as for `WandbRun`; `pipeline` is the class's own.
    """

    pipeline: str = "pipeline"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"pipeline": self.pipeline, **settings})
        self._lock = threading.Lock()
        self._waiting: dict[int | None, dict[str, dict[object, float]]] = {}

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers at once, as `WandbRun.log`."""
        self.log(metrics, step)

    def aggregate_worker_metrics(
        self, metrics: Mapping[str, float], step: int | None = None, worker: object = 0
    ) -> None:
        """Keep what one worker measured in one step, until `flush_aggregated_metrics`.

        Args:
            metrics: numbers by name; the last of a worker counts.
            step: the step.
            worker: who measured it.
        """
        with self._lock:
            if step not in self._waiting and len(self._waiting) >= _MOST_STEPS:
                self._waiting.pop(next(iter(self._waiting)))
                drops.count("scalar", "never_flushed")
            of_step = self._waiting.setdefault(step, {})
            for name, value in metrics.items():
                of_step.setdefault(name, {})[worker] = float(value)

    def flush_aggregated_metrics(self, step: int | None = None) -> dict[str, float]:
        """Log the mean over workers of what they measured in a step.

        Args:
            step: the step; None: what was measured without one.

        Returns:
            What was logged. Of values that are not finite the others' mean is logged.
        """
        with self._lock:
            of_step = self._waiting.pop(step, {})
        means: dict[str, float] = {}
        for name, by_worker in of_step.items():
            values = [value for value in by_worker.values() if isfinite(value)] or list(by_worker.values())
            means[name] = sum(values) / len(values)
        self.log(means, step)
        return means

    def finish(self, timeout_s: float = _FINISH_S) -> bool:
        """Log what still waits, write everything and end the run; see `WandbRun.finish`."""
        for step in list(self._waiting):
            self.flush_aggregated_metrics(step)
        return super().finish(timeout_s)


class TrainingPipelineActor(PipelineActor):
    """The run of the training pipeline."""

    pipeline = "training"


class InferencePipelineActor(PipelineActor):
    """The run of the inference pipeline."""

    pipeline = "inference"
