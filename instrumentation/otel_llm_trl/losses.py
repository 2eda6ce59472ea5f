"""Losses and what they learned from; the backward pass, and what DeepSpeed does in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm import semconv as sc
from otel_llm.training.loops import loss as loss_scope
from otel_llm_trl import sessions, throughput
from otel_llm_trl.parts import Named, Part, around_of
from otel_llm_trl.sampling import KEY
from otel_llm_trl.sessions import Known, Session
from otel_llm_trl.tokens import Ratios


def loss(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Loss | None:
    """Record one loss: of a step, linked to the rollouts that it learns from."""
    session = sessions.of(trainer)
    if session is None or around_of(session) is None or "loss" in session.going:
        return None
    inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
    return Loss(session, inputs)


def clear(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Take the column of numbers out of a batch for good, where no loss is recorded."""
    inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
    if isinstance(inputs, dict):
        inputs.pop(KEY, None)


class Loss(Part):
    """A loss while it is computed.

    The column of numbers is out of the batch meanwhile, so that a trainer that hands all columns to its model does
    not hand over ours; afterwards it is back, since the same batch may be learned from again.
    """

    def __init__(self, session: Session, inputs: Any) -> None:
        self._session = session
        self._inputs = inputs
        self._numbers: Any = None
        self._known: list[tuple[Known, list[int]]] = []
        numbers: list[int] = []
        if isinstance(inputs, dict) and KEY in inputs:
            self._numbers = inputs.pop(KEY)
            numbers = [int(number) for number in self._numbers.tolist()]
        try:
            scope = loss_scope(micro_step=session.micro_step if session.evaluation is None else None)
            super().__init__(scope)
            session.going.add("loss")
            session.learning = self
            if session.evaluation is None:
                session.micro_step += 1
                if not numbers:
                    session.tokens += throughput.tokens_of(inputs)
            self._link(numbers)
        except BaseException:
            self._put_back()
            raise

    def _link(self, numbers: list[int]) -> None:
        session = self._session
        self._known = session.of_rollouts(numbers)
        for known, indices in self._known:
            self.scope.consumes(known.batch, indices)
            if session.step is not None and session.step.number is not None:
                staleness = session.step.number - 1 - known.policy_step
                self.scope.set({sc.SAMPLE_STALENESS: staleness})
                session.staleness.extend([staleness] * len(indices))
                if known.tokens:
                    session.tokens += sum(known.tokens[i] for i in indices)
                else:
                    session.tokens += throughput.tokens_of(self._inputs)
                self.scope.set({sc.TRAIN_ITERATION: session.times_learned(known, indices)})

    def _put_back(self) -> None:
        if self._numbers is not None:
            self._inputs[KEY] = self._numbers
            self._numbers = None

    def tokens(self) -> _Tokens:
        """Return what takes the log-probabilities that the loss computes."""
        return _Tokens(self)

    def took(self, logprobs: Any) -> None:
        """Take log-probabilities of the batch's tokens by the weights of now."""
        step = self._session.step
        if len(self._known) == 1 and logprobs is not None:
            Ratios(self._known, self._inputs, logprobs, None if step is None else step.number).submit()

    def done(self, result: Any) -> None:
        """Take the loss."""
        try:
            self._put_back()
            value = result[0] if isinstance(result, tuple) else result
            if value is not None:
                self.scope.set(loss=value)
        finally:
            self._session.going.discard("loss")
            self._session.learning = None
            super().done(result)

    def failed(self, error: BaseException) -> None:
        """End it, failed."""
        try:
            self._put_back()
        finally:
            self._session.going.discard("loss")
            self._session.learning = None
            super().failed(error)


class _Tokens:
    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def done(self, result: Any) -> None:
        self._loss.took(result[0] if isinstance(result, tuple) else result)

    def failed(self, error: BaseException) -> None:
        """Leave it to the loss."""


def backward(accelerator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | None:
    """Record a backward pass; its loss counts for the step."""
    session = sessions.of_part(accelerator)
    if session is None or session.step is None or "backward" in session.going:
        return None
    value = args[0] if args else kwargs.get("loss")
    if value is not None:
        session.losses.take(value)
    engine = getattr(getattr(accelerator, "deepspeed_engine_wrapped", None), "engine", None)
    if engine is not None:
        sessions.belongs(engine, session)
    return Named(session, "backward")


def engine_step(engine: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | None:  # noqa: ARG001
    """Record the optimizer's step of a DeepSpeed engine: it is within the backward pass, and not where trainers think."""
    session = sessions.of_part(engine)
    if session is None or session.step is None or "optimizer" in session.going:
        return None
    session.optimizes_in_backward = True
    return Named(session, "optimizer")
