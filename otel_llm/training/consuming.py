"""Which rollouts a loss learned from, as links; put together on the worker, after the rollouts themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.trace import SpanContext

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.training.deferred import Deferred, deferred

if TYPE_CHECKING:
    from otel_llm.recording import Recorder
    from otel_llm.scoping import Scope

_DEFAULT_LIMIT: Final = 128


class Rollout(NamedTuple):
    """A rollout as links see it.

    Attributes:
        context: of its span.
        group: the samples that it is compared with; None for none.
    """

    context: SpanContext
    group: str | None


class Consumed:
    """What one scope learned from: rollouts that are known, or some of a batch that the worker has yet to see."""

    __slots__ = ("_batch", "_indices", "_known")

    def __init__(self, known: list[Rollout], batch: Any = None, indices: Deferred | None = None) -> None:
        self._known = known
        self._batch = batch
        self._indices = indices

    @classmethod
    def of(cls, rollouts: Any, indices: Any = None) -> Consumed:
        """Take what a program gave. See `ConsumingScope.consumes`."""
        if hasattr(rollouts, "rollout_at"):
            return cls([], rollouts, None if indices is None else deferred(indices))
        return cls(list(_known(rollouts if isinstance(rollouts, Iterable) else [rollouts])))

    def rollouts(self) -> list[Rollout]:
        """Return the rollouts, each once; on the worker."""
        if self._batch is None:
            return self._known
        if self._indices is None:
            wanted: Iterable[int] = range(len(self._batch))
        else:
            wanted = dict.fromkeys(int(i) for i in self._indices.numbers() if i is not None)
        found = [self._batch.rollout_at(index) for index in wanted]
        return [one for one in found if one is not None]


def _known(rollouts: Iterable[Any]) -> Iterable[Rollout]:
    seen: set[int] = set()
    for one in rollouts:
        span = getattr(one, "span", one)
        context = span if isinstance(span, SpanContext) else span.get_span_context()
        if context.is_valid and context.span_id not in seen:
            seen.add(context.span_id)
            group = getattr(one, "inherited", {}).get(sc.SAMPLE_GROUP)
            yield Rollout(context, None if group is None else str(group))


def add_links(scope: Scope, rollouts: list[Rollout], recorder: Recorder) -> None:
    """Link a scope's span to rollouts; to one of each group where the provider keeps too few links for all.

    Args:
        scope: a loss or a step; its span has not ended.
        rollouts: what it learned from.
        recorder: knows the provider.
    """
    scope.attributes[sc.TRAIN_CONSUMED] = len(rollouts)
    if not scope.span.is_recording() or not rollouts:
        return
    kind = sc.LINK_CONSUMED
    limit = _limit(recorder)
    if limit is not None and len(rollouts) + _ROOM > limit:
        kind = sc.LINK_CONSUMED_GROUP
        by_group = {one.group if one.group is not None else id(one): one for one in rollouts}
        rollouts = list(by_group.values())
        if len(rollouts) + _ROOM > limit:
            drops.count("link", "provider_limit", len(rollouts) + _ROOM - limit)
            rollouts = rollouts[: max(0, limit - _ROOM)]
    for one in rollouts:
        told = {sc.LINK_KIND: kind}
        if kind is sc.LINK_CONSUMED_GROUP and one.group is not None:
            told[sc.SAMPLE_GROUP] = one.group
        scope.span.add_link(one.context, told)


_ROOM: Final = 2
"""Links that a step has besides."""


def _limit(recorder: Recorder) -> int | None:
    """Return how many links the provider in use keeps of a span; None for any number, as ours does."""
    limits = getattr(recorder.seat.provider, "_span_limits", None)
    found = getattr(limits, "max_links", _DEFAULT_LIMIT)
    return found if isinstance(found, int) else None
