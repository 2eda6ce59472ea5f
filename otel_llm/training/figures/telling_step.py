"""What metrics of a training step say to the scope of the step around, so that a loop tells it once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.scoping import current_scope
from otel_llm.training.deferred import Deferred
from otel_llm.training.figures.taking import Taken, numbers_of
from otel_llm.training.scopes import StepScope

_KEYS: Final = {
    "loss": sc.TRAIN_LOSS,
    "grad_norm": sc.TRAIN_GRAD_NORM,
    "learning_rate": sc.TRAIN_LEARNING_RATE,
}


def tell_step(values: Mapping[str, Taken]) -> None:
    """Tell the current step, if there is one, what was taken of its figures; read on the worker. Never raises.

    Args:
        values: by name; `loss`, `grad_norm` and `learning_rate` are told.
    """
    try:
        scope = current_scope()
        step = None if scope is None else scope.nearest("step")
        if not isinstance(step, StepScope) or step.ended:
            return
        for name, key in _KEYS.items():
            if (value := values.get(name)) is not None:
                step.figure(key, _First(value))
    except Exception:
        drops.internal_error("telling a step its figures")


class _First(Deferred):
    """The first number of what was taken, as it is told to the step's metrics; None where that is none."""

    __slots__ = ("_taken_value",)

    def __init__(self, taken: Taken) -> None:
        self._taken_value = taken
        self.nbytes = 64  # the rest is counted where the metrics are handed over

    def value(self) -> Any:
        try:
            found = numbers_of(self._taken_value)
            return float(found[0]) if found and isinstance(found[0], int | float) else None
        except Exception:
            drops.internal_error("reading a step's figure")
            return None
