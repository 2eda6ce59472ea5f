"""`otel_llm.log_metrics`: any numbers of a program, by its own names, each with its step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import time_ns
from typing import Any, Final

from otel_llm import drops, runtime, step_series
from otel_llm.training.figures.belonging import belonging
from otel_llm.training.figures.taking import named, nbytes_of, scalars

SOURCE: Final = "training"
_BYTES: Final = 128


def log_metrics(metrics: Mapping[str, Any], step: int | None = None, run: str | None = None) -> None:
    """Log numbers; every value is kept with its step.

        otel_llm.log_metrics({"loss": loss.detach(), "eval": {"accuracy": 0.5}}, step=7)

    They go to the local store, to every sink and, as gauges, to OpenTelemetry. Tensors on any device are taken as they
    are and read later: nothing is waited for, and they need no `.item()`. Never raises; does nothing where nothing is
    instrumented.

    Args:
        metrics: numbers by name: Python's, NumPy's, tensors of one element. Nested mappings become `eval/accuracy`.
            NaN and infinities are kept; None is passed over; text, and what is not one number, is left out and counted
            (`otel-llm doctor`).
        step: the step; default: that of the current `otel_llm.step`, else none.
        run: the run's id; default: that of the current `otel_llm.training_run`.
    """
    if runtime.current() is None:
        return
    try:
        items = named(metrics)
        attributes, current = belonging(run)
        at = current if step is None else step_series.step_of(step)
        if not items:
            return
        if set(map(_type_of, items)) <= _PLAIN:
            rows = [(name, value, at) for name, value in items]
            step_series.record(rows, source=SOURCE, attributes=attributes)
        else:
            step_series.record(
                partial(scalars, items, at),
                source=SOURCE,
                at_ns=time_ns(),
                attributes=attributes,
                nbytes=_BYTES * len(items) + nbytes_of(*(value for _, value in items)),
            )
    except Exception:
        drops.internal_error("logging metrics")


_PLAIN: Final = frozenset({int, float})


def _type_of(item: tuple[str, Any]) -> type:
    return type(item[1])
