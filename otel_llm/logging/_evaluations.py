"""Scores of reward functions as the conventions' events of an evaluation; made on the worker, one a score."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from otel_llm import drops, runtime
from otel_llm import semconv as sc
from otel_llm.version import VERSION

MAX_EVENTS: Final = 1000
"""Scores of one call that become events."""

_MAX_NAME: Final = 1000


def record_evaluations(name: str, values: Sequence[int | float], samples: Any, step: int | None) -> None:
    """Tell of each value as an event of the current span; does nothing where nothing is instrumented.

    Args:
        name: what was scored.
        values: a score each sample.
        samples: what the samples are called, in their order; anything but a list or tuple for no names.
        step: the training step.
    """
    active = runtime.current()
    if active is None:
        return
    named = (
        [str(sample)[:_MAX_NAME] for sample in samples[:MAX_EVENTS]]
        if isinstance(samples, list | tuple)
        else []
    )
    active.finisher.put(_Evaluations(name, list(values[:MAX_EVENTS]), named, step))
    if len(values) > MAX_EVENTS:
        drops.count("event", "too_many_rewards", len(values) - MAX_EVENTS)


class _Evaluations:
    """The scores of one call, waiting for the worker."""

    __slots__ = ("_at_ns", "_context", "_name", "_named", "_step", "_values", "nbytes")

    def __init__(self, name: str, values: list[int | float], named: list[str], step: int | None) -> None:
        self._name = name
        self._values = values
        self._named = named
        self._step = step
        self._at_ns = time_ns()
        self._context = context_api.get_current()
        self.nbytes = 512 + 32 * len(values) + sum(map(len, named))

    def finish(self) -> None:
        """Emit an event each; on the worker."""
        logger = get_logger("otel_llm", VERSION, schema_url=sc.SCHEMA_URL)
        for i, value in enumerate(self._values):
            attributes: dict[str, Any] = {sc.EVALUATION_NAME: self._name, sc.EVALUATION_SCORE: float(value)}
            if i < len(self._named):
                attributes[sc.SAMPLE_ID] = self._named[i]
            if self._step is not None:
                attributes[sc.TRAIN_STEP] = self._step
            logger.emit(
                LogRecord(
                    timestamp=self._at_ns,
                    context=self._context,
                    severity_number=SeverityNumber.INFO,
                    event_name=sc.EVENT_EVALUATION_RESULT,
                    attributes=attributes,
                )
            )

    def shed(self) -> None:
        """Do nothing: there is nothing large to let go of."""

    def abandon(self) -> None:
        """Count what is lost."""
        drops.count("event", "queue_full", len(self._values))
