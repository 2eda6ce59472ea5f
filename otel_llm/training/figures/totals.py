"""What training metrics add up over a run. Touched by the worker alone, or by whoever drains the queue in its place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_llm.training.figures import names
from otel_llm.training.figures.moments import Moments
from otel_llm.training.figures.taking import Taken, number_of, numbers_of, scalars

Row = tuple[str, int | float, int | None]

EPOCH: Final = {"loss": names.EPOCH_LOSS, "kl": names.EPOCH_KL, "grad_norm": names.EPOCH_GRAD_NORM}
_STEP: Final = {
    "loss": names.STEP_LOSS,
    "kl": names.STEP_KL,
    "grad_norm": names.STEP_GRAD_NORM,
    "learning_rate": names.STEP_LEARNING_RATE,
}
_KEPT: Final = ("steps", "batches", "rollouts", "invalid_losses")


class RunTotals:
    """Counters and the best mean of a run, and the moments of its current epoch.

    Args:
        ddof: as for `Moments.variance`.
        dr_grpo: whether variance and skewness of advantages are told.

    Attributes:
        steps: optimisation steps so far.
        batches: batches of rollouts so far.
        rollouts: rollouts so far.
        invalid_losses: losses so far that were not finite.
        best: the highest mean return of a batch so far; None before the first.
    """

    def __init__(self, ddof: int, *, dr_grpo: bool) -> None:
        self._ddof = ddof
        self._dr_grpo = dr_grpo
        self.steps = 0
        self.batches = 0
        self.rollouts = 0
        self.invalid_losses = 0
        self.best: float | None = None
        self._epoch: dict[str, Moments] = {}
        self._said_invalid = False

    def state_dict(self) -> dict[str, Any]:
        """Return what a later process needs to go on."""
        return {**{name: getattr(self, name) for name in _KEPT}, "best": self.best}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        for name in _KEPT:
            if isinstance(value := state.get(name), int):
                setattr(self, name, value)
        if isinstance(best := state.get("best"), int | float):
            self.best = best

    def of_rollouts(
        self, values: Mapping[str, Taken | Moments], batch: int, step: int | None
    ) -> Iterator[Row]:
        """Yield the rows of a batch of rollouts: `returns`, `kl`, `advantages`."""
        moments = {name: moments_of(value) for name, value in values.items() if value is not None}
        self.batches += 1
        returns = moments.get("returns")
        if returns is not None:
            self.rollouts += returns.count + returns.left_out
            mean = returns.mean
            if mean is not None and (self.best is None or mean > self.best):
                self.best = mean
            yield from self._figures(names.RETURNS, returns, step)
            if self.best is not None:
                yield names.BEST_MEAN, self.best, step
        for name, family in (("kl", names.KL), ("advantages", names.ADVANTAGES)):
            if name in moments:
                yield from self._figures(family, moments[name], step)
        if self._dr_grpo and "advantages" in moments:
            yield from self._figures(names.DR_ADVANTAGES, moments["advantages"], step)
        yield names.TOTAL_ROLLOUTS, self.rollouts, step
        yield names.BATCH_STEP, batch, step

    def _figures(self, family: str, moments: Moments, step: int | None) -> Iterator[Row]:
        for figure in names.FIGURES[family]:
            value = moments.figure(figure, self._ddof)
            if value is not None:
                yield names.figure_name(family, figure), value, step
        if family == names.DR_ADVANTAGES:  # those of `rollouts/advantages`
            return
        yield names.figure_name(family, names.COUNT), moments.count, step
        if moments.left_out:
            yield names.figure_name(family, names.NON_FINITE), moments.left_out, step

    def of_step(
        self, values: Mapping[str, Taken], components: list[tuple[str, Taken]], step: int | None
    ) -> Iterator[Row]:
        """Yield the rows of an optimisation step; its loss, KL and gradient norm count for the epoch."""
        self.steps += 1
        found = {name: _one(value) for name, value in values.items() if value is not None}
        for name, value in found.items():
            if value is not None:
                yield _STEP[name], value, step
                if name in EPOCH:
                    self._epoch.setdefault(name, Moments()).add(value)
        for name, value, at in scalars(components, step):
            yield f"{names.STEP_COMPONENT}{name}", value, at
        loss = found.get("loss")
        if loss is not None and not math.isfinite(loss):
            yield self.of_invalid_loss(step)
        elif not self._said_invalid:
            self._said_invalid = True
            yield names.INVALID_LOSSES, self.invalid_losses, step

    def of_invalid_loss(self, step: int | None) -> Row:
        """Count a loss that cannot be learned from; return its row."""
        self.invalid_losses += 1
        self._said_invalid = True
        return names.INVALID_LOSSES, self.invalid_losses, step

    def of_epoch(self, step: int | None, of_all: Mapping[str, Moments] | None = None) -> Iterator[Row]:
        """Yield the rows of an epoch, and begin the next.

        Args:
            step: the step at its end.
            of_all: moments over all ranks, instead of this one's.
        """
        epoch, self._epoch = self._epoch if of_all is None else of_all, {}
        for name, family in EPOCH.items():
            if name in epoch:
                yield from self._figures(family, epoch[name], step)

    def of_batch_returns(self, values: Mapping[str, Taken | Moments], step: int | None) -> Iterator[Row]:
        """Yield the rows of `batch_returns`: the figures of what has no name, and of each that has one."""
        for name, value in values.items():
            moments = moments_of(value)
            if not name:
                yield from self._figures(names.BATCH_RETURNS, moments, step)
            elif moments.count + moments.left_out == 1:
                number = number_of(value) if not isinstance(value, Moments) else moments.mean
                if number is not None:
                    yield f"{names.BATCH_RETURNS}/{name}", number, step
            else:
                for figure in names.FIGURES[names.BATCH_RETURNS]:
                    if (number := moments.figure(figure, self._ddof)) is not None:
                        yield f"{names.BATCH_RETURNS}/{name}_{figure}", number, step

    def of_end(self, step: int | None) -> Iterator[Row]:
        """Yield the rows of the run's end."""
        yield names.FINAL_STEPS, self.steps, step
        yield names.FINAL_BATCHES, self.batches, step
        yield names.FINAL_ROLLOUTS, self.rollouts, step
        if self.best is not None:
            yield names.FINAL_BEST_MEAN, self.best, step
        if self.steps:
            yield names.INVALID_LOSSES, self.invalid_losses, step


def moments_of(value: Taken | Moments) -> Moments:
    """Return the moments of what was taken."""
    return value if isinstance(value, Moments) else Moments.of(numbers_of(value))


def _one(value: Taken) -> int | float | None:
    """Return one number; of several, as of the learning rates of several groups, the first."""
    found = numbers_of(value)
    return found[0] if found and isinstance(found[0], int | float) else None
