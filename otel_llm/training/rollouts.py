"""One rollout: what it is, its rewards, its advantage; its span stays open until these are known."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from time import time_ns
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from opentelemetry import trace as trace_api
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.trace import Link, Span

from otel_llm import drops, fields
from otel_llm import semconv as sc
from otel_llm.scoping import Kind
from otel_llm.training import holding
from otel_llm.training.deferred import Deferred, deferred
from otel_llm.training.scopes import TrainingScope
from otel_llm.version import VERSION

if TYPE_CHECKING:
    from otel_llm.llm import AttributeValue
    from otel_llm.recording import Recorder

ROLLOUT: Final = Kind("rollout", root=True, under=frozenset({"training_run", "step"}))
"""A rollout of a program's own is a trace: it makes calls."""

SCORED: Final = "scored"
UNSCORED: Final = "unscored"
MAX_COMPONENTS: Final = 64


class RolloutScope(TrainingScope):
    """A rollout while it lasts, and until its advantage is known.

    `reward`, `total_reward`, `advantage` and `policy` may be called after its block has ended.
    """

    figure_keys: ClassVar[Mapping[str, str]] = {
        "input_tokens": sc.SAMPLE_INPUT_TOKENS,
        "output_tokens": sc.SAMPLE_OUTPUT_TOKENS,
        "turns": sc.SAMPLE_TURNS,
        "staleness": sc.SAMPLE_STALENESS,
    }
    _rewards: dict[str, tuple[Deferred, str | None, float | None]] | None = None
    _waits = False
    _complete = False
    _gone = False
    _in_batch = False
    _is_batched = False

    def _links(self, outside: Span) -> list[Link]:
        step = self.parent
        found: list[Link] = []
        if step is not None and (context := step.span.get_span_context()).is_valid:
            found.append(Link(context, {sc.LINK_KIND: sc.LINK_STEP if step.kind == "step" else sc.LINK_RUN}))
        around = outside.get_span_context()
        if around.is_valid and not (found and found[0].context.span_id == around.span_id):
            found.append(Link(around, {sc.LINK_KIND: sc.LINK_STARTED_IN}))
        return found

    def start(self, at_ns: int | None = None) -> Self:
        """Start it, as `Scope.start`; a plug-in that waits for the program's rollouts learns of it."""
        is_first = not self.started
        super().start(at_ns)
        waiting = getattr(self.parent, "collecting", None)
        if is_first and waiting is not None and not self._is_batched:
            waiting.append(self)
        return self

    def set(self, attributes: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Tell something about it, as `TrainingScope.set`; `prompt` and `response` are content, as for `content`."""
        if "prompt" in more or "response" in more:
            self.content(prompt=more.pop("prompt", None), response=more.pop("response", None))
        return super().set(attributes, **more)

    # --- what is known of it --------------------------------------------------------------------------

    def reward(
        self, name: object, score: Any, *, explanation: str | None = None, weight: float | None = None
    ) -> Self:
        """Note one component of its reward.

        Args:
            name: the component.
            score: a number or a tensor; None and NaN are noted as problems.
            explanation: why.
            weight: what it is multiplied with in the total; default: not known.
        """
        try:
            called = fields.text_of(name)[: fields.MAX_KEY]
            if self._gone:
                self._late(called, score, explanation)
                return self
            if self._rewards is None:
                self._rewards = {}
            elif called not in self._rewards and len(self._rewards) >= MAX_COMPONENTS:
                drops.count("attribute", "too_many")
                return self
            self._rewards[called] = deferred(score), explanation, weight
        except Exception:
            drops.internal_error("noting a reward")
        return self

    def total_reward(self, value: Any) -> Self:
        """Note the reward that is learned from; else it is the weighted sum of the components.

        Args:
            value: a number or a tensor.
        """
        return self._note(sc.SAMPLE_REWARD, value)

    def advantage(self, value: Any) -> Self:
        """Note its advantage; with that the rollout is complete.

        Args:
            value: a number or a tensor.
        """
        self._note(sc.SAMPLE_ADVANTAGE, value)
        self._complete = True
        if holding.let_go(self):
            self.handed_over()
        return self

    def policy(self, *, step: int | None = None, version: object = None) -> Self:
        """Note which weights made it.

        Args:
            step: the step after which the weights were as they were; 0 for those that training began with.
            version: the inference server's own word for them.
        """
        if step is not None:
            self._note(sc.SAMPLE_POLICY_STEP, step)
        if version is not None:
            self._note(sc.SAMPLE_POLICY_VERSION, fields.text_of(version)[: fields.MAX_KEY])
        return self

    def tokens(self, *, input: Any = None, output: Any = None, truncated: bool | None = None) -> Self:  # noqa: A002
        """Note how long it is.

        Args:
            input: tokens of the prompt.
            output: tokens of the completion.
            truncated: whether it ended at the limit.
        """
        self._note(sc.SAMPLE_INPUT_TOKENS, input)
        self._note(sc.SAMPLE_OUTPUT_TOKENS, output)
        return self._note(sc.SAMPLE_TRUNCATED, truncated)

    def _note(self, key: str, value: Any) -> Self:
        try:
            if value is None:
                return self
            if self._gone:
                self._late(key, value, None)
                return self
            ended, self.ended = self.ended, False
            self.figure(key, value)
            self.ended = ended
        except Exception:
            drops.internal_error("telling a rollout something")
        return self

    def _late(self, name: str, value: Any, explanation: str | None) -> None:
        """Tell of what came after the span had ended, as an event with its ids; views join the two."""
        if self._recorder is not None:
            self._recorder.finisher.put(_Late(self, self._recorder, name, deferred(value), explanation))

    # --- its end --------------------------------------------------------------------------------------

    def joins_batch(self) -> bool:
        """Leave its end to a batch, which knows the rest; False where it is too late for that."""
        if self._gone or self._recorder is None or self._recorder.forks != self._forks:
            return False
        holding.let_go(self)
        self._gone = self._in_batch = True
        return True

    def complete(self, at_ns: int) -> None:
        """End it for the batch it belongs to; on the worker.

        Args:
            at_ns: when it ended, where it has not yet.
        """
        self._gone = self._in_batch = True
        if not self.ended:
            self.end(at_ns=at_ns)
        self.finish()

    def _hand_over(self, recorder: Recorder) -> None:
        if self._in_batch:
            return
        if self._complete:
            self._gone = True
            super()._hand_over(recorder)
        else:
            holding.hold(self)

    def handed_over(self) -> None:
        """Let the worker do the rest, whatever is still unknown."""
        if self._gone or self._recorder is None or self._recorder.forks != self._forks:
            return
        self._gone = True
        self._recorder.finisher.put(self)

    def finish(self) -> None:
        """Read rewards and figures, then do what every scope does."""
        try:
            self._read()
        except Exception:
            drops.internal_error("reading a rollout")
        super().finish()

    def _read(self) -> None:
        rewards, self._rewards = self._rewards, None
        figures = self._figures or {}
        if rewards:
            told = {
                name: (score.numbers(1)[0], explanation, weight)
                for name, (score, explanation, weight) in rewards.items()
            }
            describe_rewards(self.attributes, told, has_total=sc.SAMPLE_REWARD in figures)
            for name, (score, explanation, _) in told.items():
                if score is not None:
                    event: dict[str, AttributeValue] = {
                        sc.EVALUATION_NAME: name,
                        sc.EVALUATION_SCORE: float(score),
                    }
                    if explanation is not None:
                        event[sc.EVALUATION_EXPLANATION] = str(explanation)[:_MAX_EXPLANATION]
                    self.events = [*self.events, (sc.EVENT_EVALUATION_RESULT, self.end_ns, event)]
        if not self._in_batch:
            is_scored = bool(rewards) or sc.SAMPLE_REWARD in figures or sc.SAMPLE_ADVANTAGE in figures
            self.attributes[sc.SAMPLE_STATUS] = SCORED if is_scored else UNSCORED


_MAX_EXPLANATION: Final = 2000


class _Late:
    """A reward or figure that came after its rollout had ended, waiting for the worker: a tensor is read there."""

    def __init__(
        self,
        rollout: RolloutScope,
        recorder: Recorder,
        name: str,
        value: Deferred,
        explanation: str | None,
    ) -> None:
        self._span = rollout.span
        self._told: dict[str, Any] = {
            key: rollout.inherited[key]
            for key in (sc.RUN_ID, sc.TRAIN_STEP, sc.SAMPLE_ID, sc.SAMPLE_GROUP)
            if key in rollout.inherited
        }
        self._told[sc.EVALUATION_NAME] = name
        self._recorder = recorder
        self._value = value
        self._explanation = explanation
        self._at_ns = time_ns()
        self.nbytes = 512 + value.nbytes

    def finish(self) -> None:
        """Emit it."""
        self._told[sc.EVALUATION_NAME] = self._recorder.describer.scrub_name(self._told[sc.EVALUATION_NAME])
        number = self._value.numbers(1)[0]
        if number is not None:
            self._told[sc.EVALUATION_SCORE] = float(number)
        if self._explanation is not None:
            clean = self._recorder.describer.scrub(str(self._explanation))
            self._told[sc.EVALUATION_EXPLANATION] = clean[:_MAX_EXPLANATION]
        get_logger("otel_llm", VERSION, schema_url=sc.SCHEMA_URL).emit(
            LogRecord(
                timestamp=self._at_ns,
                context=trace_api.set_span_in_context(self._span),
                severity_number=SeverityNumber.INFO,
                event_name=sc.EVENT_EVALUATION_RESULT,
                attributes=self._told,
            )
        )

    def shed(self) -> None:
        """Keep it: it is small."""

    def abandon(self) -> None:
        """Count it."""
        drops.count("event", "queue_full")


def describe_rewards(
    out: dict[str, AttributeValue],
    rewards: Mapping[str, tuple[Any, str | None, float | None]],
    *,
    has_total: bool,
) -> None:
    """Write the components of a reward as attributes, their total where it is not known otherwise, and problems.

    Args:
        out: the rollout's attributes.
        rewards: score, explanation and weight by component; the score is None where there was none.
        has_total: whether the total is known already.
    """
    problems: list[str] = []
    total: float | None = None
    for name, (score, _, weight) in rewards.items():
        key = name.replace(".", "_")
        if score is None:
            problems.append(MISSING)
            continue
        out[sc.SAMPLE_REWARDS_PREFIX + key] = float(score)
        if weight is not None:
            out[sc.SAMPLE_WEIGHTS_PREFIX + key] = float(weight)
        if isfinite(score):
            total = (total or 0.0) + float(score) * (1.0 if weight is None else float(weight))
        else:
            problems.append(NOT_FINITE)
    if total is not None and not has_total:
        out[sc.SAMPLE_REWARD] = total
    if problems:
        before = out.get(sc.SAMPLE_PROBLEMS, ())
        out[sc.SAMPLE_PROBLEMS] = tuple(dict.fromkeys([*before, *problems]))  # type: ignore[misc]


MISSING: Final = "reward_missing"
NOT_FINITE: Final = "reward_not_finite"
