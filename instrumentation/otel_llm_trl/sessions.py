"""What is known of a trainer while it trains or evaluates: its run, its step, its batches of rollouts.

The program's thread alone writes here. A trainer is held weakly: it goes when its program lets it go.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_llm.training.deferred import Deferred, deferred
from otel_llm_trl import settings

if TYPE_CHECKING:
    from otel_llm.training.batches import RolloutBatch
    from otel_llm.training.scopes import EvaluationScope, PartScope, RunScope, StepScope
    from otel_llm_trl.losses import Loss
    from otel_llm_trl.sampling import Sampling

_KEPT_BATCHES: Final = 64
"""Batches of rollouts that a loss may still learn from. A trainer keeps one."""


_KEPT_NUMBERS: Final = 4096


class Known(NamedTuple):
    """A batch of rollouts that losses may learn from.

    Attributes:
        first: the number of its first rollout in this process.
        size: how many there are.
        batch: the rollouts.
        policy_step: the step whose weights made them.
        tokens: of each, prompt and completion; empty where that is not known without waiting for a device.
    """

    first: int
    size: int
    batch: RolloutBatch
    policy_step: int
    tokens: list[int]


class Losses:
    """The losses of a step's batches, not read yet."""

    def __init__(self) -> None:
        self._values: list[Deferred] = []

    def take(self, value: Any) -> None:
        """Keep one; nothing is waited for."""
        if len(self._values) < _KEPT_NUMBERS:
            self._values.append(deferred(value))

    def __len__(self) -> int:
        return len(self._values)

    def total(self) -> Deferred:
        """Return their sum, to be read on the worker."""
        return _Sum(self._values)


class _Sum(Deferred):
    __slots__ = ("_parts",)

    def __init__(self, parts: list[Deferred]) -> None:
        super().__init__(None)
        self._parts = parts
        self.nbytes = sum(part.nbytes for part in parts)

    def value(self) -> Any:
        """Add them up."""
        found = [number for part in self._parts for number in part.numbers(1) if number is not None]
        return float(sum(found)) if found else None


class Session:
    """One call of `train`, or of `evaluate` outside of it.

    Attributes:
        trainer: weakly; call it.
        settings: of this plug-in.
        run: the scope of the run.
        step: the scope of the step that goes on, or has just ended and waits for its figures.
        step_ended_ns: when that step ended, its checkpoint included; None while it goes on.
        step_took_ns: how long it took the trainer, without checkpoint and evaluation.
        evaluation: the scope of the evaluation that goes on.
        optimizer: the scope of the optimizer's step that goes on.
        optimizes_in_backward: whether the optimizer's step is known from an engine: the trainer's own is an empty one.
        sampling: what is known of the batch that is being generated and scored.
        learning: the loss that is being computed.
        going: names of the parts that go on.
        losses: of this step, as they were when they went into the backward pass.
        tokens: that losses of this step learned from; with padding where the host does not know their number.
        generated: tokens that were generated in this step.
        staleness: of each rollout that a loss of this step learned from, in steps.
        micro_step: how many losses this step has had.
        samples_of_step: rollouts that this step has generated on this rank.
        parameters: how many the model has, once it was asked.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer: weakref.ref[Any] = weakref.ref(trainer)
        self.settings = getattr(trainer, "_otel_llm_settings", None) or settings.current()
        self.run: RunScope | None = None
        self.step: StepScope | None = None
        self.step_ended_ns: int | None = None
        self.step_took_ns = 0
        self.evaluation: EvaluationScope | None = None
        self.optimizer: PartScope | None = None
        self.optimizes_in_backward = False
        self.sampling: Sampling | None = None
        self.learning: Loss | None = None
        self.going: set[str] = set()
        self.micro_step = 0
        self.samples_of_step = 0
        self.losses = Losses()
        self.tokens = 0
        self.generated = 0
        self.staleness: list[int] = []
        self._learned: dict[int, int] = {}
        self.parameters: int | None = None
        self._numbered = 0
        self._batches: deque[Known] = deque(maxlen=_KEPT_BATCHES)

    @property
    def mode(self) -> str:
        """`eval` while an evaluation goes on, else `train`."""
        return "train" if self.evaluation is None else "eval"

    def number_batch(self, size: int) -> int:
        """Return the number of the first rollout of a new batch; numbers of a process never come back."""
        first = self._numbered
        self._numbered += size
        return first

    def keep(self, known: Known) -> None:
        """Remember a batch that losses will learn from."""
        self._batches.append(known)

    def new_step(self) -> None:
        """Begin to count anew."""
        self.micro_step = self.samples_of_step = self.tokens = self.generated = 0
        self.losses = Losses()
        self.staleness = []

    def times_learned(self, known: Known, indices: list[int]) -> int:
        """Return how often rollouts of a batch were learned from before, and count this time."""
        number = known.first + indices[0]
        times = self._learned.pop(number, 0)
        self._learned[number] = times + 1
        if len(self._learned) > _KEPT_NUMBERS:
            del self._learned[next(iter(self._learned))]
        return times

    def of_rollouts(self, numbers: list[int]) -> list[tuple[Known, list[int]]]:
        """Return the batches that rollouts are of, with their indices there, in the order of the rollouts."""
        found: dict[int, tuple[Known, list[int]]] = {}
        for number in numbers:
            for known in reversed(self._batches):
                if known.first <= number < known.first + known.size:
                    found.setdefault(known.first, (known, []))[1].append(number - known.first)
                    break
        return list(found.values())


_of_trainers: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
_of_parts: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def of(trainer: Any) -> Session | None:
    """Return what is known of a trainer; None while it neither trains nor evaluates."""
    return _of_trainers.get(trainer)


def of_part(part: Any) -> Session | None:
    """Return what is known of the trainer that a callback handler, an accelerator or an engine belongs to."""
    return _of_parts.get(part)


def belongs(part: Any, session: Session) -> None:
    """Note that a part, known only while it is used, belongs to a trainer."""
    if _of_parts.get(part) is not session:
        _of_parts[part] = session


def begin(trainer: Any) -> Session | None:
    """Begin to follow a trainer; None where it is followed already."""
    if trainer in _of_trainers:
        return None
    session = Session(trainer)
    _of_trainers[trainer] = session
    for name in ("callback_handler", "accelerator"):
        part = getattr(trainer, name, None)
        if part is not None:
            _of_parts[part] = session
    return session


def end(session: Session) -> None:
    """Follow a trainer no more."""
    trainer = session.trainer()
    for table in (_of_trainers, _of_parts):
        for key in [key for key, known in list(table.items()) if known is session]:
            table.pop(key, None)
    if trainer is not None:
        _of_trainers.pop(trainer, None)


def version_of(library: str) -> str | None:
    """Return the version of a library that the program has imported."""
    found = getattr(sys.modules.get(library), "__version__", None)
    return found if isinstance(found, str) else None


def world_of(trainer: Any) -> tuple[int, int]:
    """Return the trainer's rank and how many there are."""
    accelerator = trainer.accelerator
    return int(accelerator.process_index), int(accelerator.num_processes)


def all_of(parts: tuple[Any, ...]) -> list[Session]:
    """Return the sessions that some of the parts belong to: callback handlers, accelerators."""
    found: list[Session] = []
    for part in parts:
        try:
            known = _of_parts.get(part)
        except TypeError:  # it cannot be referred to weakly: none of ours
            continue
        if known is not None:
            found.append(known)
    return found
