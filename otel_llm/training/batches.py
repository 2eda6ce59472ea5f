"""Rollouts that were generated together, for plug-ins: handed over as they are, made into spans on the worker.

    batch = RolloutBatch(8, parent=step.span, inherited=step.inherited, start_ns=began, end_ns=ended)
    batch.column(sc.SAMPLE_OUTPUT_TOKENS, mask.sum(dim=1))      # a sequence or a tensor: one value a rollout
    batch.rewards("correct", scores)
    batch.advantages(advantages)
    batch.submit()
    loss.consumes(batch, indices)                                # resolved later, in the order of handing over

On the caller's thread a batch costs a few references and copies of tensors, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace as trace_api
from opentelemetry.trace import INVALID_SPAN, Span, SpanContext

from otel_llm import drops, hooks, recording
from otel_llm import semconv as sc
from otel_llm.training.choosing import chosen
from otel_llm.training.consuming import Rollout
from otel_llm.training.deferred import Deferred, deferred
from otel_llm.training.problems import note_problems, without_spread
from otel_llm.training.rollout_texts import RolloutTexts
from otel_llm.training.rollouts import ROLLOUT, SCORED, UNSCORED, RolloutScope, describe_rewards

if TYPE_CHECKING:
    from otel_llm.attributes import Describer
    from otel_llm.llm import AttributeValue
    from otel_llm.recording import Recorder
    from otel_llm.scoping import Scope

_OVERHEAD_BYTES: Final = 512

Texts = Sequence[Any] | Callable[[], Sequence[Any]] | None


class RolloutBatch:
    """Rollouts of one generation on one rank.

    Args:
        size: how many.
        parent: the span that they belong to, a step's or a generation's; None: each is a trace of its own.
        inherited: attributes that each gets: what the scope around hands down.
        start_ns: when generating them began, in nanoseconds since the epoch.
        end_ns: when it ended; spans end with that time.

    Attributes:
        nbytes: what it keeps alive, about.
    """

    def __init__(
        self,
        size: int,
        *,
        parent: Span | None,
        inherited: Mapping[str, AttributeValue],
        start_ns: int,
        end_ns: int,
    ) -> None:
        self._size = size
        self._parent = parent
        self._inherited = dict(inherited)
        self._start_ns = start_ns
        self._end_ns = max(start_ns, end_ns)
        self._columns: dict[str, Deferred] = {}
        self._rewards: dict[str, tuple[Deferred, float | None]] = {}
        self._prompts: Texts = None
        self._answers: Texts = None
        self._most_content: int | None = None
        self._with_content: frozenset[int] = frozenset()
        self._tasks: Texts = None
        self._flat: Callable[[], Sequence[bool]] | None = None
        self._extra: dict[str, Deferred] = {}
        self._opened: dict[int, RolloutScope] = {}
        self._found: list[Rollout | None] = []
        self._recorder: Recorder | None = recording.active
        self._forks = 0 if self._recorder is None else self._recorder.forks
        self.nbytes = _OVERHEAD_BYTES * size

    def __len__(self) -> int:
        return self._size

    # --- what is known --------------------------------------------------------------------------------

    def column(self, key: str, values: Any) -> None:
        """Give one value a rollout for an attribute.

        Args:
            key: the attribute's key.
            values: a sequence, an array or a tensor with one value a rollout (tensors are read later); one single
                value is that of all.
        """
        self._columns[key] = kept = deferred(values)
        self.nbytes += kept.nbytes

    def rewards(self, name: str, values: Any, weight: float | None = None) -> None:
        """Give the scores of one component of the reward, None or NaN where there is none.

        Args:
            name: the component.
            values: one a rollout.
            weight: what it is multiplied with in the total.
        """
        kept = deferred(values)
        self._rewards[name] = kept, weight
        self.nbytes += kept.nbytes

    def totals(self, values: Any) -> None:
        """Give the rewards that are learned from; else they are the weighted sums of the components."""
        self.column(sc.SAMPLE_REWARD, values)

    def advantages(self, values: Any) -> None:
        """Give the advantages."""
        self.column(sc.SAMPLE_ADVANTAGE, values)

    def texts(self, prompts: Texts, answers: Texts, *, most: int | None = None) -> None:
        """Give prompts and answers, for as far as the content policy allows.

        Args:
            prompts: a text, or messages as SDKs take them, a rollout; or a function that returns them, on the worker.
            answers: likewise.
            most: of how many rollouts; the best, the worst and the most surprising go first (see `choosing`). Default:
                of all. Lengths are kept of all.
        """
        self._prompts, self._answers = prompts, answers
        self._most_content = most

    def tasks(self, texts: Texts) -> None:
        """Give what else the dataset has of each rollout's task, as JSON; kept where its texts are.

        Args:
            texts: a text a rollout, or a function that returns them, on the worker.
        """
        self._tasks = texts

    def spread(self, flat: Callable[[], Sequence[bool]]) -> None:
        """Tell of groups that are not in this batch alone which have no spread; else the batch finds out by itself.

        Args:
            flat: returns for each rollout whether all of its group got the same reward; called on the worker.
        """
        self._flat = flat

    def kept_only(self, key: str, values: Any) -> None:
        """Give what only the local store keeps: long lists of numbers, one a rollout."""
        self._extra[key] = kept = deferred(values)
        self.nbytes += kept.nbytes

    def open(self, index: int, handed_down: Mapping[str, AttributeValue] | None = None) -> RolloutScope:
        """Return a rollout that starts now, for what happens within it: tool calls, turns, model calls.

        Args:
            index: which of the batch.
            handed_down: what spans below it get besides, such as its id and group.
        """
        scope = self._opened.get(index)
        if scope is None:
            scope = BatchedRollout({**self._inherited, **(handed_down or {})}, self._parent)
            scope.start()
            self._opened[index] = scope
        return scope

    def adopt(self, index: int, scope: RolloutScope) -> None:
        """Take a rollout that the program has opened itself: what is known here is told to it.

        Args:
            index: which of the batch.
            scope: one that is open, or waits for its advantage; others are left alone.
        """
        if scope.joins_batch():
            self._opened[index] = scope

    def submit(self) -> None:
        """Hand it over. Once."""
        recorder = self._recorder
        if recorder is not None and recorder.forks == self._forks:
            recorder.finisher.put(self)

    # --- on the worker --------------------------------------------------------------------------------

    def rollout_at(self, index: int) -> Rollout | None:
        """Return a rollout for links; None where there is none, or the worker has not seen the batch yet."""
        return self._found[index] if 0 <= index < len(self._found) else None

    def keeps_texts_of(self, index: int) -> bool:
        """Say whether a rollout is one of those whose texts are kept."""
        return index in self._with_content

    def finish(self) -> None:
        """Make the spans."""
        recorder = self._recorder
        if recorder is None:
            return
        describer = recorder.describer
        columns = {key: self._values(kept) for key, kept in self._columns.items()}
        rewards = {name: (kept.numbers(self._size), weight) for name, (kept, weight) in self._rewards.items()}
        extra = {key: self._values(kept) for key, kept in self._extra.items()}
        flat = _called(self._flat) or without_spread(columns, rewards, self._size)
        self._with_content = chosen(columns, rewards, self._size, self._most_content)
        texts = RolloutTexts(
            describer,
            _called(self._prompts),
            _called(self._answers),
            _called(self._tasks),
            self._with_content,
        )
        # Secrets are looked for in a column at a time, not once a rollout.
        told = [describer.column(key, values) for key, values in columns.items()]
        scores = {describer.scrub_name(name): found for name, found in rewards.items()}
        tracer = recorder.seat.tracer()
        around = trace_api.set_span_in_context(INVALID_SPAN if self._parent is None else self._parent)
        self._found = []
        for i in range(self._size):
            out: dict[str, Any] = {key: values[i] for key, values in told if values[i] is not None}
            given = {name: (values[i], None, weight) for name, (values, weight) in scores.items()}
            describe_rewards(out, given, has_total=sc.SAMPLE_REWARD in out)
            is_scored = bool(given) or sc.SAMPLE_REWARD in out or sc.SAMPLE_ADVANTAGE in out
            out[sc.SAMPLE_STATUS] = SCORED if is_scored else UNSCORED
            note_problems(out, no_spread=flat[i])
            self._found.append(self._one(recorder, tracer, around, i, out, given, texts, extra))
        self._columns, self._rewards, self._extra = {}, {}, {}
        self._prompts = self._answers = self._tasks = None
        self._flat = None
        self._opened = {}

    def _values(self, kept: Deferred) -> list[Any]:
        value = kept.value()
        items = value if isinstance(value, list) else [value] * self._size
        found = [_attribute(item) for item in items[: self._size]]
        return found + [None] * (self._size - len(found))

    def _one(
        self,
        recorder: Recorder,
        tracer: trace_api.Tracer,
        around: Any,
        i: int,
        out: dict[str, Any],
        scores: Mapping[str, tuple[Any, str | None, float | None]],
        texts: RolloutTexts,
        extra: Mapping[str, list[Any]],
    ) -> Rollout | None:
        describer = recorder.describer
        group = out.get(sc.SAMPLE_GROUP)
        opened = self._opened.get(i)
        described: dict[str, Any] | None = None
        kept: dict[str, Any] = {}
        if opened is None:
            start = {**self._inherited, sc.SCOPE_KIND: "rollout"}
            if self._parent is not None and self._parent.is_recording():
                # In one step, which is cheaper; without a parent it is not known yet whether anybody will see it.
                described, kept = self._described(describer, i, out, texts, extra)
                start.update(described)
            if describer.drops_any:
                start = describer.wanted(start)
            span = tracer.start_span(
                "rollout", around, trace_api.SpanKind.INTERNAL, start, None, self._start_ns
            )
        else:
            span = opened.span
        try:
            if span.is_recording():
                if described is None:
                    described, kept = self._described(describer, i, out, texts, extra)
                    span.set_attributes(describer.wanted(described) if describer.drops_any else described)
                for name, (score, _, _) in scores.items():
                    if score is not None:
                        span.add_event(
                            sc.EVENT_EVALUATION_RESULT,
                            {sc.EVALUATION_NAME: name, sc.EVALUATION_SCORE: float(score)},
                            self._end_ns,
                        )
                if kept and describer.keep is not None:
                    describer.keep(span, kept)
        finally:
            if opened is None:
                span.end(self._end_ns)
                if hooks.active:
                    told_of = {**self._inherited, **out}
                    hooks.finished("rollout", span, "rollout", told_of, self._start_ns, self._end_ns, None)
            else:
                opened.complete(self._end_ns)
        context: SpanContext = span.get_span_context()
        return Rollout(context, None if group is None else str(group)) if context.is_valid else None

    def _described(
        self,
        describer: Describer,
        i: int,
        out: Mapping[str, Any],
        texts: RolloutTexts,
        extra: Mapping[str, list[Any]],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the span of a rollout gets, and what the local store keeps besides."""
        content, kept = texts.of(i)
        if extra and i in self._with_content:
            more = {key: values[i] for key, values in extra.items() if values[i] is not None}
            kept = {**describer.scoped(more), **kept}
        return {**out, **content}, kept

    def shed(self) -> None:
        """Let go of texts and of what only the store keeps."""
        self._prompts = self._answers = None
        self._extra = {}
        self.nbytes = _OVERHEAD_BYTES * self._size

    def abandon(self) -> None:
        """Count what is lost."""
        drops.count("rollout", "queue_full", self._size)
        for scope in self._opened.values():
            scope.abandon()


def open_rollout(
    around: Scope,
    handed: Mapping[str, AttributeValue],
    own: Mapping[str, AttributeValue],
    *,
    at_ns: int | None = None,
) -> RolloutScope:
    """Start a rollout of a batch that is yet to come: a trace of its own, since it makes calls.

    Args:
        around: the step or the evaluation.
        handed: what the spans below it get too: its id, its group.
        own: what it starts with itself.
        at_ns: when it began; default: now.
    """
    scope = BatchedRollout({**around.inherited, **handed}, None, around, own)
    return scope.start(at_ns)


class BatchedRollout(RolloutScope):
    """A rollout of a batch that has started before the batch was complete."""

    _is_batched = True

    def __init__(
        self,
        inherited: Mapping[str, AttributeValue],
        parent: Span | None,
        around: Scope | None = None,
        own: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        super().__init__(ROLLOUT, "rollout", dict(inherited), dict(own or {}), around)
        self._around = parent

    def _origin(self, recorder: Recorder, current: Any, attributes: dict[str, AttributeValue]) -> Any:
        if self._around is None:
            return super()._origin(recorder, current, attributes)
        return trace_api.set_span_in_context(self._around, current), None

    def _hand_over(self, recorder: Recorder) -> None:
        """Do nothing: the batch ends it."""


def _called(texts: Texts) -> Sequence[Any]:
    if texts is None:
        return ()
    try:
        return texts() if callable(texts) else texts
    except Exception:
        drops.internal_error("reading the texts of rollouts")
        return ()


def _attribute(item: Any) -> Any:
    if isinstance(item, list | tuple):
        return tuple(item)
    return item
