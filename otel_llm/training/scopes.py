"""Runs, steps, parts of steps, losses and evaluations as scopes: their traces span all ranks.

The names that programs use are in `otel_llm.training`; the mechanism of scopes is in `otel_llm.scoping`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, Span, SpanContext, TraceFlags

from otel_llm import drops, fields
from otel_llm import semconv as sc
from otel_llm.ids import SystemIdGenerator
from otel_llm.scoping import Kind, Scope
from otel_llm.training import holding
from otel_llm.training.consuming import Consumed, add_links
from otel_llm.training.deferred import Deferred, deferred, is_lazy
from otel_llm.training.together import Rollouts, by_batch

if TYPE_CHECKING:
    from otel_llm.llm import AttributeValue
    from otel_llm.recording import Recorder
    from otel_llm.training.runs import RunIdentity

RUN: Final = Kind("training_run", root=True, under=frozenset({"none"}))
STEP: Final = Kind("step", root=True, under=frozenset({"training_run"}))
EVALUATION: Final = Kind("evaluation", root=True, under=frozenset({"training_run", "step"}))

OTHER: Final = "other"
LOSS_NOT_FINITE: Final = "loss_not_finite"
_MAX_PARTS: Final = 64


class TrainingScope(Scope):
    """A scope of training: figures may be tensors, which are read later, on the worker."""

    _figures: dict[str, Deferred] | None = None
    figure_keys: ClassVar[Mapping[str, str]] = {}
    """Names of figures that have attributes of their own."""

    def set(self, attributes: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Tell something about it, as `Scope.set`; numbers may be tensors on any device, which are not waited for.

        Args:
            attributes: under exactly these names.
            **more: figures such as `loss`, `grad_norm`, `learning_rate`, `epoch`, and fields of the program's own.
        """
        try:
            if self.ended:
                return super().set(attributes, **more)
            for name in [name for name in more if name in self.figure_keys]:
                self.figure(self.figure_keys[name], more.pop(name))
            for name in [name for name, value in more.items() if is_lazy(value)]:
                self.figure(sc.CUSTOM_PREFIX + name, more.pop(name))
            if attributes:
                plain: dict[str, Any] = {}
                for key, value in attributes.items():
                    if is_lazy(value):
                        self.figure(key, value)
                    else:
                        plain[key] = value
                attributes = plain
        except Exception:
            drops.internal_error("telling a training scope something")
        return super().set(attributes, **more)

    def figure(self, key: str, value: Any) -> None:
        """Keep a number under an attribute's key; a tensor is read on the worker."""
        if value is None or self.ended:
            return
        if self._figures is None:
            self._figures = {}
        elif key not in self._figures and len(self._figures) >= fields.MAX_ITEMS:
            drops.count("attribute", "too_many")
            return
        kept = deferred(value)
        self._figures[key] = kept
        self.nbytes += kept.nbytes

    def finish(self) -> None:
        """Read the figures, then do what every scope does."""
        if self._figures:
            for key, kept in self._figures.items():
                value = kept.value()
                while isinstance(value, list) and len(value) == 1:
                    value = value[0]
                if isinstance(value, list):
                    value = tuple(item for item in value if isinstance(item, int | float))
                try:
                    if (told := _figure(key, value)) is not None:
                        self.attributes[key] = told
                except Exception:
                    self.not_usable([key])
                if key == sc.TRAIN_LOSS and isinstance(value, float) and not isfinite(value):
                    before: Any = self.attributes.get(sc.TRAIN_PROBLEMS, ())
                    self.attributes[sc.TRAIN_PROBLEMS] = tuple(dict.fromkeys([*before, LOSS_NOT_FINITE]))
            self._figures = None
        super().finish()

    def shed(self) -> None:
        """Let go of what is large."""
        super().shed()
        self._figures = None


_STANDARD: Final = "rl."
_MAY_BE_TEXT: Final = frozenset({sc.SAMPLE_POLICY_VERSION})
_INT_BITS: Final = 63


def _figure(key: str, value: Any) -> AttributeValue | None:
    """Return a figure as its attribute; under our own keys it is a number.

    Raises:
        Exception: it cannot be one.
    """
    if value is None or type(value) in {bool, float, tuple}:
        return value  # type: ignore[no-any-return]
    if key in _MAY_BE_TEXT or not key.startswith(_STANDARD):
        return fields.plain(value)
    return value if type(value) is int and value.bit_length() <= _INT_BITS else fields.number(value)


class JointScope(TrainingScope):
    """One whose trace all ranks share: rank 0 has its root, the others are children of that.

    On a provider that is not ours, where ids cannot be chosen, every rank's span is a child of a root that only the
    ids know of.
    """

    collecting: list[Any] | None = None
    """Takes the rollouts that a program opens below it, in order, where a plug-in waits for them."""

    identity: RunIdentity | None = None
    joint: tuple[str, int] | None = None
    """What the ids are derived from besides the run: `step` and its number."""

    _ids: Any = None

    def _origin(
        self, recorder: Recorder, current: Context, attributes: dict[str, AttributeValue]
    ) -> tuple[Context | None, list[Link] | None]:
        if self.identity is None or self.joint is None:
            return super()._origin(recorder, current, attributes)
        links = self._links(trace_api.get_current_span(current))
        ids = self.identity.ids(*self.joint)
        recorder.seat.tracer()
        if recorder.seat.is_own and self.identity.place.rank == 0:
            self._ids = ids
            return trace_api.set_span_in_context(INVALID_SPAN, current), links
        root = SpanContext(
            ids.trace_id, ids.root_id, is_remote=True, trace_flags=_flags(recorder, ids.trace_id, self)
        )
        return trace_api.set_span_in_context(NonRecordingSpan(root), current), links

    def _made_span(
        self,
        recorder: Recorder,
        base: Context | None,
        attributes: dict[str, AttributeValue],
        links: list[Link] | None,
    ) -> Span:
        own = recorder.seat.own
        generator: Any = None if own is None else own.id_generator
        if self._ids is None or not isinstance(generator, SystemIdGenerator):
            return super()._made_span(recorder, base, attributes, links)
        with generator.choosing(*self._ids):
            return super()._made_span(recorder, base, attributes, links)

    def _links(self, outside: Span) -> list[Link]:
        """Link the run, and where it began if that is something else."""
        parent = self.parent
        found: list[Link] = []
        if parent is not None and (context := parent.span.get_span_context()).is_valid:
            found.append(
                Link(context, {sc.LINK_KIND: sc.LINK_RUN if parent.kind == "training_run" else sc.LINK_STEP})
            )
        around = outside.get_span_context()
        if around.is_valid and not (found and around.span_id == found[0].context.span_id):
            found.append(Link(around, {sc.LINK_KIND: sc.LINK_STARTED_IN}))
        return found

    def fresh(self) -> Scope:
        """Return one like this that has not started."""
        made = cast("JointScope", super().fresh())
        made.identity, made.joint = self.identity, self.joint
        return made


def _flags(recorder: Recorder, trace_id: int, scope: Scope) -> TraceFlags:
    """Return whether rank 0 samples the trace: samplers decide by its id, so every rank can tell."""
    sampler = getattr(recorder.seat.provider, "sampler", None)
    if sampler is None:
        return TraceFlags(TraceFlags.SAMPLED)
    try:
        decided = sampler.should_sample(Context(), trace_id, scope.name, trace_api.SpanKind.INTERNAL, {}, ())
        return TraceFlags(TraceFlags.SAMPLED if decided.decision.is_sampled() else TraceFlags.DEFAULT)
    except Exception:
        drops.internal_error("asking the sampler about a step")
        return TraceFlags(TraceFlags.SAMPLED)


class RunScope(JointScope):
    """A training run, or one attempt of it."""


class PartScope(TrainingScope):
    """One part of a step; its time, without that of parts within it, is added to the step's."""

    part: str = ""
    _inside_ns = 0

    def end(self, exception: BaseException | None = None, *, at_ns: int | None = None) -> None:
        """End it, as `Scope.end`, and add its time to the step's."""
        if not self.ended and self.start_ns:
            super().end(exception, at_ns=at_ns)
            try:
                _add_time(self)
            except Exception:
                drops.internal_error("adding up the time of a step")

    def fresh(self) -> Scope:
        """Return one like this that has not started."""
        made = cast("PartScope", super().fresh())
        made.part = self.part
        return made


def _add_time(scope: PartScope) -> None:
    took = scope.end_ns - scope.start_ns
    at = scope.parent
    while at is not None and not isinstance(at, PartScope | StepScope | EvaluationScope):
        at = at.parent
    own = max(0, took - scope._inside_ns)
    if isinstance(at, PartScope):
        at._inside_ns += took
    # An evaluation has a trace and a time of its own, also where it happens within a step.
    while at is not None and not isinstance(at, StepScope | EvaluationScope):
        at = at.parent
    if isinstance(at, StepScope):
        at.spent(scope.part, own)


class ConsumingScope(TrainingScope):
    """One that learns from rollouts: it links them when it ends."""

    _consumed: list[Consumed] | None = None
    _sampled: tuple[Rollouts, ...] = ()

    def consumes(self, rollouts: Iterable[Any], indices: Any = None) -> Self:
        """Say what it learns from.

        Args:
            rollouts: scopes of rollouts, or their span contexts; `otel_llm.rollouts` or some of them; or one
                `RolloutBatch`.
            indices: of a batch, which of its rollouts: a sequence or a tensor of whole numbers. Default: all.
        """
        try:
            if self.ended or self._recorder is None:
                return self
            if self._consumed is None:
                self._consumed = []
            sampled, others = by_batch(rollouts, indices)
            for batch, chosen in sampled:
                self._consumed.append(Consumed.of(batch, chosen))
                self._sampled = (*self._sampled, batch)
            if others is not None:
                self._consumed.append(Consumed.of(others, indices))
        except Exception:
            drops.internal_error("noting what was learned from")
        return self

    def end(self, exception: BaseException | None = None, *, at_ns: int | None = None) -> None:
        """End it, as `Scope.end`; sampled rollouts that it learned from and that still waited are handed over first."""
        if not self.ended:
            for batch in self._sampled:
                batch.handed_over()
        super().end(exception, at_ns=at_ns)

    def finish(self) -> None:
        """Link what was learned from, here and on the step; then do what every scope does."""
        consumed, recorder = self._consumed, self._recorder
        if consumed and recorder is not None:
            try:
                found = [one for part in consumed for one in part.rollouts()]
                add_links(self, found, recorder)
                step = self.nearest("step")
                if step is not None and step is not self and isinstance(step, StepScope):
                    step.learned(found)
            except Exception:
                drops.internal_error("linking rollouts")
            self._consumed = None
        super().finish()


class LossPart(ConsumingScope, PartScope):
    """The loss of one batch."""

    figure_keys: ClassVar[Mapping[str, str]] = {"loss": sc.TRAIN_LOSS, "epoch": sc.TRAIN_EPOCH}


class StepScope(ConsumingScope, JointScope):
    """One optimisation step, on this rank."""

    figure_keys: ClassVar[Mapping[str, str]] = {
        "loss": sc.TRAIN_LOSS,
        "grad_norm": sc.TRAIN_GRAD_NORM,
        "learning_rate": sc.TRAIN_LEARNING_RATE,
        "epoch": sc.TRAIN_EPOCH,
    }
    _times: dict[str, int] | None = None
    _learned: dict[int, Any] | None = None
    _held_open = False

    @property
    def number(self) -> int | None:
        """The step's number."""
        found = self.inherited.get(sc.TRAIN_STEP)
        return found if isinstance(found, int) else None

    @property
    def times(self) -> Mapping[str, int]:
        """Nanoseconds that each part took so far."""
        return self._times or {}

    def spent(self, part: str, ns: int) -> None:
        """Add time to a part.

        Args:
            part: which.
            ns: nanoseconds.
        """
        if self._times is None:
            self._times = {}
        if part not in self._times and len(self._times) >= _MAX_PARTS:
            part = OTHER
        self._times[part] = self._times.get(part, 0) + ns

    def metrics(self, values: Mapping[str, Any]) -> Self:
        """Note the trainer's own metrics of this step; numbers, or tensors that are read later.

        Args:
            values: by the trainer's names.
        """
        for name, value in values.items():
            if value is not None and not isinstance(value, str):
                self.figure(sc.TRAIN_METRICS_PREFIX + name, value)
        return self

    def keep_open(self) -> None:
        """Let `end` only note the time: what is learned later still counts, until `release`."""
        self._held_open = True

    def release(self) -> None:
        """Hand it over, if it has ended."""
        self._held_open = False
        if self.ended and self._recorder is not None and self._recorder.forks == self._forks:
            self._hand_over(self._recorder)

    def end(self, exception: BaseException | None = None, *, at_ns: int | None = None) -> None:
        """End it, as `Scope.end`; the rollouts that waited for it end with it."""
        if self.ended or not self.start_ns:
            return
        holding.release(self)
        super().end(exception, at_ns=at_ns)

    def _hand_over(self, recorder: Recorder) -> None:
        if self._held_open:
            return
        if self._times is not None:
            total = self.end_ns - self.start_ns
            for part, ns in self._times.items():
                self.attributes[sc.TRAIN_TIME_PREFIX + fields.text_of(part).replace(".", "_")] = ns / 1e9
            self.attributes.setdefault(
                sc.TRAIN_TIME_PREFIX + OTHER, max(0, total - sum(self._times.values())) / 1e9
            )
        super()._hand_over(recorder)

    def learned(self, rollouts: Iterable[Any]) -> None:
        """Note what a loss of this step learned from; on the worker."""
        if self._learned is None:
            self._learned = {}
        for one in rollouts:
            self._learned.setdefault(one.context.span_id, one)

    def finish(self) -> None:
        """Link all that its losses learned from; then do what every scope does."""
        if self._learned and self._recorder is not None:
            add_links(self, list(self._learned.values()), self._recorder)
            self._learned = None
        super().finish()


class EvaluationScope(ConsumingScope, JointScope):
    """One evaluation."""
