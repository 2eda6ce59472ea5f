"""Rollouts that a loop of one's own has sampled together, with one call: `otel_llm.rollouts`.

    with otel_llm.part("generation", model=name) as sampling:
        completions = generate(prompts)
    rollouts = otel_llm.rollouts(
        prompts=prompts, completions=completions, rewards={"correct": scores}, group_size=8, during=sampling
    )
    rollouts.advantages(advantages)                     # handed over: spans are made on the worker
    with otel_llm.loss([rollouts[i] for i in chosen]):
        ...

A thin face over `RolloutBatch`, which plug-ins use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final, Self, overload

from otel_llm import drops, fields
from otel_llm import semconv as sc
from otel_llm.training import holding
from otel_llm.training.consuming import Rollout
from otel_llm.training.deferred import deferred, is_lazy

if TYPE_CHECKING:
    from otel_llm.scoping import Scope
    from otel_llm.training.batches import RolloutBatch

ONE: Final = object()
"""What `many_of` says of one value."""


class Rollouts(Sequence["SampledRollout"]):
    """Rollouts that were sampled together, in the order in which they were given.

    They wait for their advantages; their spans are made when these are told, when a loss that learned from some of
    them or their step ends, or after a minute outside any step. No method raises.
    """

    def __init__(self, size: int, around: Scope | None, batch: RolloutBatch | None) -> None:
        """Made by `otel_llm.rollouts`.

        Args:
            size: how many.
            around: the step or the evaluation; None for none.
            batch: what they are handed over as; None where nothing is instrumented.
        """
        self._size = size
        self.around = around
        self.batch = batch
        self._single: list[Any] | None = None
        self._told: set[int] = set()
        self._unusable: list[str] = []
        self._gone = False

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> SampledRollout: ...

    @overload
    def __getitem__(self, index: slice) -> list[SampledRollout]: ...

    def __getitem__(self, index: int | slice) -> SampledRollout | list[SampledRollout]:
        if isinstance(index, slice):
            return [SampledRollout(self, i) for i in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(index)
        return SampledRollout(self, index % self._size)

    def __iter__(self) -> Iterator[SampledRollout]:
        return (SampledRollout(self, index) for index in range(self._size))

    def __repr__(self) -> str:
        return f"<Rollouts {len(self)} {'handed over' if self._gone else 'waiting'}>"

    # --- what is learned later ------------------------------------------------------------------------

    def reward(self, name: object, scores: Any, *, weight: float | None = None) -> Self:
        """Note one component of their rewards.

        Args:
            name: the component.
            scores: a number each: a list, an array or a tensor of any shape; None or NaN where there is none.
            weight: what it is multiplied with in the total; default: not known.
        """
        try:
            called = fields.text_of(name)[: fields.MAX_KEY]
            if (values := self.fitting(called, scores)) is not None and self.batch is not None:
                self.batch.rewards(called, values, weight)
        except Exception:
            drops.internal_error("noting rewards")
        return self

    def total_reward(self, values: Any) -> Self:
        """Note the rewards that are learned from; else they are the weighted sums of the components.

        Args:
            values: a number each.
        """
        return self.column("total_reward", sc.SAMPLE_REWARD, values)

    def advantages(self, values: Any) -> Self:
        """Note their advantages; with that they are complete.

        Args:
            values: a number each.
        """
        self.column("advantages", sc.SAMPLE_ADVANTAGE, values)
        self._single = None
        self.handed_over()
        return self

    def advantage_of(self, index: int, value: Any) -> None:
        """Note the advantage of one; with that of the last they are complete.

        Args:
            index: which.
            value: a number or a tensor.
        """
        try:
            if self._gone:
                self.late()
                return
            if self._single is None:
                self._single = [None] * len(self)
            if is_lazy(value):
                value = deferred(value.reshape(()) if count_of(value) == 1 else None)
            self._single[index] = value
            self._told.add(index)
            if len(self._told) == len(self):
                self.advantages(self._single)
        except Exception:
            drops.internal_error("noting an advantage")

    # --- telling the batch ----------------------------------------------------------------------------

    def column(self, called: str, key: str, values: Any) -> Self:
        """Tell an attribute of each.

        Args:
            called: what the program calls it.
            key: the attribute's key.
            values: one each, or one for all; None for none.
        """
        try:
            if (fitting := self.fitting(called, values)) is not None and self.batch is not None:
                self.batch.column(key, fitting)
        except Exception:
            drops.internal_error("telling rollouts something")
        return self

    def fitting(self, called: str, values: Any) -> Any:
        """Return values as the batch takes them, None where there are none; note those that do not fit."""
        if self.batch is None or values is None:
            return None
        if self._gone:
            self.late()
            return None
        many = many_of(values)
        if many is ONE:
            return values
        if many is None or count_of(many) != len(self):
            self.not_usable(called)
            return None
        return many.reshape(-1) if len(getattr(many, "shape", ())) > 1 else many

    def late(self) -> None:
        """Count what was told when their spans had been made."""
        if self.batch is not None:
            drops.count("rollout", "late")
            drops.warn_once("rollouts-late", "rollouts were told something after they had been handed over")

    def not_usable(self, name: str) -> None:
        """Note a value that was left out."""
        self._unusable.append(name)
        drops.warn_once(f"unusable:{name}", "the value given for %s cannot be used, and is left out", name)

    def handed_over(self) -> None:
        """Let the worker make their spans, whatever is still unknown. Only the first call counts."""
        try:
            if self._gone:
                return
            if self._single is not None:
                self.column("advantages", sc.SAMPLE_ADVANTAGE, self._single)
            self._gone = True
            if self.batch is not None:
                holding.let_go(self)
                if self._unusable:
                    names = tuple(dict.fromkeys(self._unusable))
                    self.batch.column(sc.INVALID_FIELDS, [names] * len(self))
                self.batch.submit()
        except Exception:
            drops.internal_error("handing rollouts over")

    # --- what those see with whom they wait, and who links them ---------------------------------------

    def nearest(self, kind: str) -> Scope | None:
        """Return the nearest scope of a kind from here upwards."""
        return None if self.around is None else self.around.nearest(kind)

    def rollout_at(self, index: int) -> Rollout | None:
        """Return one for links; None where the worker has not seen it yet."""
        return None if self.batch is None else self.batch.rollout_at(index)


@dataclass(frozen=True, slots=True)
class SampledRollout:
    """One of `Rollouts`: it can be learned from, in `otel_llm.loss`.

    Attributes:
        of: the rollouts that it is one of.
        index: which of them, from 0.
    """

    of: Rollouts
    index: int

    def advantage(self, value: Any) -> Self:
        """Note its advantage. `Rollouts.advantages` takes all at once.

        Args:
            value: a number or a tensor.
        """
        self.of.advantage_of(self.index, value)
        return self


def by_batch(rollouts: Any, indices: Any = None) -> tuple[list[tuple[Rollouts, Any]], Any]:
    """Sort out what a loss was given.

    Args:
        rollouts: `Rollouts`, some of them, scopes of rollouts, or all these mixed; or something else.
        indices: which of `Rollouts`.

    Returns:
        Each `Rollouts` with the indices of those that were given, None for all; and what is none of these, None
        where nothing else was given.
    """
    if isinstance(rollouts, Rollouts):
        return [(rollouts, indices)], None
    if isinstance(rollouts, SampledRollout):
        rollouts = [rollouts]
    if hasattr(rollouts, "rollout_at") or not isinstance(rollouts, Iterable):
        return [], rollouts
    items = list(rollouts)
    found: dict[int, tuple[Rollouts, list[int]]] = {}
    others: list[Any] = []
    for item in items:
        if isinstance(item, SampledRollout):
            found.setdefault(id(item.of), (item.of, []))[1].append(item.index)
        else:
            others.append(item)
    return list(found.values()), others if others or not found else None


def many_of(values: Any) -> Any:
    """Return values as a sequence or an array, `ONE` where it is one value; None where it is neither."""
    shape = getattr(values, "shape", None)
    if shape is not None and hasattr(values, "tolist"):
        return values if len(shape) else ONE
    if isinstance(values, str | bytes | int | float):
        return ONE
    if isinstance(values, Sequence):
        return values
    if isinstance(values, Collection) and not isinstance(values, Mapping | set | frozenset):
        return list(values)
    return None


def count_of(values: Any) -> int:
    """Return how many there are, without looking at them."""
    shape = getattr(values, "shape", None)
    return len(values) if shape is None else prod(int(side) for side in shape)
