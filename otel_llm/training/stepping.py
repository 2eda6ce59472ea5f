"""`otel_llm.steps`: a loop over batches whose body is a step each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from time import time_ns
from typing import Final, Generic, TypeVar

from otel_llm import drops
from otel_llm.scoping import Scope
from otel_llm.training.scopes import StepScope

T = TypeVar("T")

LOADING: Final = "data"


class Steps(Generic[T]):
    """Iterates over batches, one step each: its scope is current while the loop's body runs.

    A step ends when the next batch is asked for, or when the loop is left. Time spent in waiting for a batch is the
    part `data` of its step.
    """

    def __init__(self, batches: Iterable[T], make: Callable[[int], StepScope], start: int) -> None:
        """Made by `otel_llm.steps`.

        Args:
            batches: any iterable.
            make: makes the scope of a step; given its number.
            start: number of the first step.
        """
        self._batches = batches
        self._make = make
        self._next = start
        self._iterator: Iterator[T] | None = None
        self._using: AbstractContextManager[Scope] | None = None
        self.current: StepScope | None = None
        """The step that is being taken."""

    def __iter__(self) -> Steps[T]:
        return self

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]

    def __next__(self) -> T:
        self.close()
        if self._iterator is None:
            self._iterator = iter(self._batches)
        began = time_ns()
        batch = next(self._iterator)
        try:
            self.current = self._make(self._next)
            self.current.start(at_ns=began)
            self.current.spent(LOADING, time_ns() - began)
            self._using = self.current.use()
            self._using.__enter__()
        except Exception:
            drops.internal_error("starting a step")
        self._next += 1
        return batch

    def close(self) -> None:
        """End the step that is being taken."""
        scope, self.current = self.current, None
        if scope is not None:
            if self._using is not None:
                self._using.__exit__(None, None, None)
                self._using = None
            scope.end()

    def __del__(self) -> None:
        self.close()
