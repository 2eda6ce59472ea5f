"""`otel_llm.TrainingMetrics`: what a training loop of one's own tells of batches, steps and epochs, made into metrics.

The caller's thread copies values; moments, totals and rows are made on the worker, in the order of the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import time_ns
from types import TracebackType
from typing import Any, Final, Self

from otel_llm import drops, runtime, step_series
from otel_llm.llm import AttributeValue
from otel_llm.training.figures import names
from otel_llm.training.figures.belonging import belonging, place
from otel_llm.training.figures.launching import Launch, gpu_rows
from otel_llm.training.figures.logging_metrics import SOURCE
from otel_llm.training.figures.ranks import Epoch, Reduce, over_ranks
from otel_llm.training.figures.taking import named, nbytes_of, taken
from otel_llm.training.figures.telling_step import tell_step
from otel_llm.training.figures.texts import record_text, record_word
from otel_llm.training.figures.totals import Row, RunTotals

_DRAIN_S: Final = 10.0


class TrainingMetrics:
    """Metrics of a training loop: `rollouts/*`, `training_step/*`, `training_epoch/*`, `system/*`, `final/*`.

        metrics = otel_llm.TrainingMetrics()
        for batch in batches:
            metrics.rollouts(returns=returns, kl=kl, advantages=advantages)
            for experience in loader:
                metrics.training_step(loss=loss, kl=kl, grad_norm=norm, learning_rate=scheduler.get_last_lr())
            metrics.epoch_end()
        metrics.finish()

    Values are numbers, lists, NumPy arrays or tensors of any shape on any device; tensors are neither waited for nor
    changed, and may be changed afterwards. Every row is kept with its step: what is given, else the number of the
    current `otel_llm.step`, else the count of calls from 1. Rows belong to the run around; outside any, as after its
    end, to the one in which something was told last, else in which the object was made. No method raises, and all do
    nothing where nothing is instrumented.

    On several ranks each tells of its own values, with its rank, and `merge_ranks` puts them together exactly. For one
    curve over all ranks, either give values of all ranks (`gathered`) or a function that exchanges a few numbers
    (`reduce`).

    Args:
        run: the run's id; default: that of the current `otel_llm.training_run`.
        accelerator: an `accelerate.Accelerator`, for `accelerate/*` and `ddp/*`.
        dr_grpo: tell `dr_grpo/advantages_variance` and `dr_grpo/advantages_skewness`; default: if there is a critic.
        critic_type: the kind of critic of DR-GRPO.
        ddof: 0 for standard deviations of the values themselves, 1 for what `torch.std` gives.
        gathered: values are those of all ranks already: only rank 0 tells them.
        reduce: called on every rank with a list of one item, returns those of all ranks, as
            `accelerate.utils.gather_object` does. It is called by `rollouts`, `batch_returns` and `epoch_end`, whether
            anything is instrumented or not, so all ranks have to call these alike. They then wait for the values.
            Rank 0 tells the result.
        gpu_memory: tell `system/gpu_memory_*` with every batch.
    """

    def __init__(
        self,
        *,
        run: str | None = None,
        accelerator: Any = None,
        dr_grpo: bool | None = None,
        critic_type: str | None = None,
        ddof: int = 0,
        gathered: bool = False,
        reduce: Reduce | None = None,
        gpu_memory: bool = True,
    ) -> None:
        self._run = run
        self._launch = Launch(accelerator)
        self._critic_type = critic_type
        self._gathered = gathered
        self._reduce = reduce
        self._gpu_memory = gpu_memory
        self._totals = RunTotals(ddof, dr_grpo=critic_type is not None if dr_grpo is None else dr_grpo)
        self._epoch = Epoch()
        self._batches = 0
        self._steps = 0
        self._introduced = False
        self._finished = False
        self._belongs: dict[str, AttributeValue] = {}
        try:
            self._place(None, None)
        except Exception:
            drops.internal_error("making metrics")

    # --- telling --------------------------------------------------------------------------------------

    def rollouts(
        self,
        returns: Any = None,
        kl: Any = None,
        advantages: Any = None,
        *,
        batch: int | None = None,
        replay_buffer_size: int | None = None,
        step: int | None = None,
    ) -> None:
        """Tell of a batch of rollouts: `rollouts/*`, and `system/*`.

        Args:
            returns: a number each rollout.
            kl: KL divergences, of rollouts or of tokens.
            advantages: a number each rollout, or each token.
            batch: the batch's number; default: counted from 1.
            replay_buffer_size: how many experiences wait to be learned from.
            step: what the rows are drawn over.
        """
        try:
            self._batches += 1
            number = self._batches if batch is None else batch
            values = {"returns": returns, "kl": kl, "advantages": advantages}
            reduced = over_ranks(self._reduce, values)
            if not self._is_on:
                return
            attributes, at = self._place(step, self._batches)
            self._introduce(attributes, at)
            self._memory(replay_buffer_size, attributes, at)
            if not self._is_others(reduced):
                told = {name: taken(value) for name, value in values.items()} if reduced is None else reduced
                self._put(partial(self._totals.of_rollouts, told, number, at), attributes, told.values())
        except Exception:
            drops.internal_error("metrics of rollouts")

    def training_step(
        self,
        loss: Any = None,
        *,
        kl: Any = None,
        grad_norm: Any = None,
        learning_rate: Any = None,
        components: Mapping[str, Any] | None = None,
        sync_gradients: bool | None = None,
        step: int | None = None,
    ) -> None:
        """Tell of one optimisation step: `training_step/*`. A loss that is not finite is counted.

        Loss, gradient norm and learning rate are also told to the current `otel_llm.step`: of several updates in a
        step the last ones stand on its span.

        Args:
            loss: its loss, one number.
            kl: its KL divergence.
            grad_norm: the norm of all gradients, as `clip_grad_norm_` returns it.
            learning_rate: a number; of several, as `get_last_lr` returns them, the first is told.
            components: parts of the loss, each told as `training_step/dr_component_NAME`.
            sync_gradients: whether gradients were exchanged; default: what the accelerator says.
            step: what the rows are drawn over.
        """
        try:
            self._steps += 1
            values = {"loss": loss, "kl": kl, "grad_norm": grad_norm, "learning_rate": learning_rate}
            if self._reduce is not None:
                self._epoch.add({name: taken(values[name]) for name in ("loss", "kl", "grad_norm")})
            if not self._is_on:
                return
            attributes, at = self._place(step, self._steps)
            self._introduce(attributes, at)
            told = {name: taken(value) for name, value in values.items()}
            tell_step(told)
            if self._gathered and place().rank:
                return
            parts = [] if components is None else named(components)
            kept = [*told.values(), *(value for _, value in parts)]
            synced = self._launch.synced(sync_gradients, at)
            self._put(
                partial(_chained, partial(self._totals.of_step, told, parts, at), synced), attributes, kept
            )
        except Exception:
            drops.internal_error("metrics of a step")

    def epoch_end(self, step: int | None = None) -> None:
        """Tell of the steps since the last epoch's end: `training_epoch/*`."""
        try:
            reduced = over_ranks(self._reduce, self._epoch.take()) if self._reduce is not None else None
            if not self._is_on:
                return
            attributes, at = self._place(step, self._steps)
            if not self._is_others(reduced):
                self._put(partial(self._totals.of_epoch, at, reduced), attributes)
        except Exception:
            drops.internal_error("metrics of an epoch")

    def batch_returns(self, returns: Any, *, step: int | None = None) -> None:
        """Tell of the returns of a batch: `batch_returns/mean`, `std`, `max`, `min`, `sum`.

        Args:
            returns: a number each rollout; or by name, for `batch_returns/NAME` of one number and `NAME_mean`,
                `NAME_std` … of several.
            step: what the rows are drawn over.
        """
        try:
            values = (
                {str(name): value for name, value in returns.items()}
                if isinstance(returns, Mapping)
                else None
            )
            values = {"": returns} if values is None else values
            reduced = over_ranks(self._reduce, values)
            if not self._is_on:
                return
            attributes, at = self._place(step, self._batches or None)
            if not self._is_others(reduced):
                told = {name: taken(value) for name, value in values.items()} if reduced is None else reduced
                self._put(partial(self._totals.of_batch_returns, told, at), attributes, told.values())
        except Exception:
            drops.internal_error("metrics of returns")

    def system(self, *, replay_buffer_size: int | None = None, step: int | None = None) -> None:
        """Tell how much GPU memory is in use, and how large the replay buffer is: `system/*`."""
        try:
            if self._is_on:
                self._memory(replay_buffer_size, *self._place(step, self._batches or None))
        except Exception:
            drops.internal_error("metrics of the system")

    def checkpoint(self, step: int | None = None) -> None:
        """Tell that a checkpoint was saved: `checkpoint/saved`, `checkpoint/step`."""
        try:
            if self._is_on:
                attributes, at = self._place(step, self._steps)
                rows = [(names.CHECKPOINT_SAVED, 1, at)]
                if at is not None:
                    rows.append((names.CHECKPOINT_STEP, at, at))
                self._put(rows, attributes)
        except Exception:
            drops.internal_error("metrics of a checkpoint")

    def example(self, completion: str, *, name: str = names.EXAMPLE, step: int | None = None) -> None:
        """Show what the model wrote: a text `examples/completion`, as far as the content policy lets it be kept."""
        try:
            if self._is_on:
                attributes, at = self._place(step, self._batches or None)
                record_text(
                    name, completion if isinstance(completion, str) else str(completion), at, attributes
                )
        except Exception:
            drops.internal_error("an example")

    def invalid_loss(self, step: int | None = None) -> None:
        """Count a loss that the loop itself found to be of no use and told nobody: `training/invalid_loss_count`."""
        try:
            if self._is_on:
                attributes, at = self._place(step, self._steps)
                totals = self._totals
                self._put(lambda: [totals.of_invalid_loss(at)], attributes)
        except Exception:
            drops.internal_error("metrics of a loss")

    def finish(self, step: int | None = None) -> None:
        """Tell what the run came to: `final/*`, within the run's scope or after it. Only the first call counts."""
        try:
            if self._is_on and not self._finished:
                self._finished = True
                attributes, at = self._place(step, self._steps or self._batches)
                if not self._is_others(self._reduce):
                    self._put(partial(self._totals.of_end, at), attributes)
        except Exception:
            drops.internal_error("metrics of a run")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish()

    # --- going on -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, as plain data: totals, and the best mean. Waits for what was told so far."""
        active = runtime.current()
        if active is not None:
            active.finisher.drain(_DRAIN_S)
        return {**self._totals.state_dict(), "told_batches": self._batches, "told_steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, in a run that is resumed; before anything is told."""
        try:
            self._totals.load(state)
            self._batches = int(state.get("told_batches", 0))
            self._steps = int(state.get("told_steps", 0))
        except Exception:
            drops.internal_error("resuming metrics")

    # --- what they share ------------------------------------------------------------------------------

    @property
    def _is_on(self) -> bool:
        return runtime.current() is not None

    def _is_others(self, reduced: object) -> bool:
        """Say whether rank 0 tells this for all."""
        return (reduced is not None or self._gathered) and place().rank != 0

    def _place(self, step: int | None, counted: int | None) -> tuple[dict[str, AttributeValue], int | None]:
        attributes, current = belonging(self._run)
        if self._belongs.keys() <= attributes.keys():
            self._belongs = attributes
        else:  # outside the run that it belongs to
            attributes = {**attributes, **self._belongs}
        given = step_series.step_of(step)
        return attributes, next((at for at in (given, current, counted) if at is not None), None)

    def _put(
        self,
        rows: Sequence[Row] | Callable[[], Iterable[Row]],
        attributes: Mapping[str, AttributeValue],
        kept: Iterable[Any] = (),
    ) -> None:
        step_series.record(
            rows, source=SOURCE, at_ns=time_ns(), attributes=attributes, nbytes=1024 + nbytes_of(*kept)
        )

    def _memory(
        self, replay_buffer_size: int | None, attributes: Mapping[str, AttributeValue], at: int | None
    ) -> None:
        rows: list[Row] = gpu_rows(at) if self._gpu_memory else []
        if replay_buffer_size is not None:
            rows.append((names.REPLAY_BUFFER, replay_buffer_size, at))
        if rows:
            self._put(rows, attributes)

    def _introduce(self, attributes: Mapping[str, AttributeValue], at: int | None) -> None:
        """Tell once what does not change."""
        if self._introduced:
            return
        self._introduced = True
        if rows := self._launch.rows(at):
            self._put(rows, attributes)
        if (device := self._launch.device) is not None:
            record_word(names.ACCELERATE_DEVICE, device, at, attributes)
        if self._critic_type is not None:
            record_word(names.CRITIC_TYPE, self._critic_type, at, attributes)


def _chained(rows: Callable[[], Iterable[Row]], more: Sequence[Row]) -> Iterable[Row]:
    yield from rows()
    yield from more
