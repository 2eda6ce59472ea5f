"""What wrapped reward functions saw, for the callback, to which a trainer passes neither completions nor rewards."""

from __future__ import annotations

import threading
import weakref
from typing import Any, Final, NamedTuple

from otel_llm.logging._metrics_plan import Cadence

MAX_OUTPUTS: Final = 4096
"""Outputs of one step that are kept for the callback; the rest is counted in the figures alone."""


class Output(NamedTuple):
    """One completion as a reward function saw it.

    Attributes:
        question: the prompt: a text, or messages.
        true_answer: the expected answer, None where the dataset has none.
        completion: what the model said: a text, or messages.
    """

    question: Any
    true_answer: Any
    completion: Any


class Collector:
    """Counts answers, and keeps the outputs of the current step while a callback is there to take them.

    Reward functions may run on several threads.

    Attributes:
        step: the step that is being taken, None outside any; set by the callback.
        correct: answers so far that were right, on this rank, while training.
        total: answers so far.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: weakref.WeakSet[object] = weakref.WeakSet()
        self._outputs: list[Output] = []
        self._every = 1
        self._cadences: dict[str, Cadence] = {}
        self.step: int | None = None
        self.correct = 0
        self.total = 0

    def attach(self, watcher: object, every: int) -> None:
        """Begin to serve a callback, until it detaches or is gone.

        Args:
            watcher: the callback.
            every: steps from one log of rewards to the next.
        """
        with self._lock:
            self._watchers.add(watcher)
            self._every = max(1, every)
            self._cadences.clear()
            self._outputs.clear()
            self.step = None

    def detach(self, watcher: object) -> None:
        """Stop to serve a callback."""
        with self._lock:
            self._watchers.discard(watcher)
            self._outputs.clear()
            self.step = None
            self._every = 1

    @property
    def is_evaluating(self) -> bool:
        """Whether a callback says that no step is being taken: what is scored now is an evaluation's."""
        return self.step is None and len(self._watchers) > 0

    def is_due(self, what: str, step: int | None) -> bool:
        """Say whether rewards are logged at a step."""
        with self._lock:
            cadence = self._cadences.setdefault(what, Cadence(self._every))
        return cadence.is_due(step)

    def answered(self, right: list[bool], outputs: list[Output]) -> None:
        """Take answers in that were judged; those of an evaluation do not count."""
        if self.is_evaluating:
            return
        with self._lock:
            self.total += len(right)
            self.correct += sum(right)
            if self._watchers:
                self._outputs += outputs[: max(0, MAX_OUTPUTS - len(self._outputs))]

    def take(self) -> list[Output]:
        """Return the outputs of the step, once."""
        with self._lock:
            found, self._outputs = self._outputs, []
        return found


collector: Final = Collector()
"""The one that wrapped functions and callbacks of this process share unless they are given another."""
