"""From one stored span to one record of training; values are read with care, see `otel_llm.analysis.values`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.analysis.training.records import PartRecord, RankRecord, RolloutRecord, SpanRef
from otel_llm.analysis.values import error_of, flag, label, number, text, texts, whole

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

RUN: Final = "training_run"
STEP: Final = "step"
ROLLOUT: Final = "rollout"
LOSS: Final = "loss"
REWARD: Final = "reward"
PARTS: Final = (
    "data", "sampling", "generation", "weight_sync", "logprobs", "rewards", REWARD, "advantages", LOSS, "backward",
    "optimizer", "checkpoint", "evaluation",
)  # fmt: skip
"""Kinds of parts that are known, in the order in which a step does them."""
_OWN_PART: Final = "part"
_PART_KINDS: Final = frozenset({*PARTS, _OWN_PART})
TIME_OF_KIND: Final = {REWARD: "rewards"}
"""Names of the time split, where they are not the kind's."""
ENCLOSING: Final = frozenset({"sampling"})
"""Parts that are the sum of others: they have no share of their own in the time of a step."""
_NAMED_SCALARS: Final = (
    ("loss", sc.TRAIN_LOSS), ("grad_norm", sc.TRAIN_GRAD_NORM), ("learning_rate", sc.TRAIN_LEARNING_RATE)
)  # fmt: skip


def kind_of(span: StoredSpan) -> str | None:
    """Return the scope's kind of a span; None where it has none."""
    return text(span.attributes, sc.SCOPE_KIND)


def attempt_of(attributes: Mapping[str, Any]) -> int:
    """Return the number of the attempt."""
    return whole(attributes, sc.RUN_ATTEMPT) or 0


def any_number(attributes: Mapping[str, Any], key: str) -> float | None:
    """Return a number, NaN and infinities too; None for anything else."""
    value = attributes.get(key)
    if isinstance(value, float):
        return value
    return number(attributes, key)


def numbers_below(attributes: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Return numbers by the rest of their names."""
    start = len(prefix)
    return {
        key[start:]: value
        for key in attributes
        if key.startswith(prefix) and (value := any_number(attributes, key)) is not None
    }


def ref(span: StoredSpan) -> SpanRef:
    """Return where a span is."""
    return SpanRef(span.trace_id, span.span_id)


def is_part(span: StoredSpan) -> bool:
    """Say whether a span is a part of a step."""
    return kind_of(span) in _PART_KINDS


def part(span: StoredSpan) -> PartRecord:
    """Return the record of a part of a step."""
    a = span.attributes
    kind = text(a, sc.TRAIN_PART) or kind_of(span) or _OWN_PART
    consumed, groups = consumed_by(span)
    error_type, error_message = error_of(span)
    return PartRecord(
        kind=kind,
        name=span.name,
        rank=whole(a, sc.RANK) or 0,
        span=ref(span),
        parent_id=span.parent_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        loss=any_number(a, sc.TRAIN_LOSS) if kind == LOSS else None,
        micro_step=whole(a, sc.TRAIN_MICRO_STEP),
        update=whole(a, sc.TRAIN_UPDATE),
        iteration=whole(a, sc.TRAIN_ITERATION),
        consumed=consumed,
        consumed_groups=groups,
        error_type=error_type,
        error_message=error_message,
    )


def describe_rank(record: RankRecord, span: StoredSpan) -> None:
    """Put into a rank's record what its span of the step says."""
    a = span.attributes
    record.span = ref(span)
    record.start_ns, record.end_ns = span.start_ns, span.end_ns
    place(record, a)
    record.times = {name: took for name, took in numbers_below(a, sc.TRAIN_TIME_PREFIX).items() if took >= 0}
    record.scalars = numbers_below(a, sc.TRAIN_METRICS_PREFIX)
    for name, key in _NAMED_SCALARS:
        value = any_number(a, key)
        if value is not None:
            record.scalars.setdefault(name, value)
    record.consumed, record.consumed_groups = consumed_by(span)
    record.problems = texts(a, sc.TRAIN_PROBLEMS)
    record.error_type, record.error_message = error_of(span)


def place(record: RankRecord, a: Mapping[str, Any]) -> None:
    """Put into a rank's record where it runs, as far as it is not known yet."""
    if record.local_rank is None:
        record.local_rank = whole(a, sc.LOCAL_RANK)
    record.host = record.host or label(a, sc.HOST_NAME)
    record.device = record.device or label(a, sc.DEVICE)


def consumed_by(span: StoredSpan) -> tuple[tuple[SpanRef, ...], tuple[tuple[SpanRef, str | None], ...]]:
    """Return the rollouts that a span links as learned from: one by one, and those that stand for a group."""
    single: list[SpanRef] = []
    groups: list[tuple[SpanRef, str | None]] = []
    for link in span.links:
        kind = link.attributes.get(sc.LINK_KIND)
        if kind == sc.LINK_CONSUMED:
            single.append(SpanRef(link.trace_id, link.span_id))
        elif kind == sc.LINK_CONSUMED_GROUP:
            groups.append((SpanRef(link.trace_id, link.span_id), label(link.attributes, sc.SAMPLE_GROUP)))
    return tuple(single), tuple(groups)


def rollout(span: StoredSpan) -> RolloutRecord:
    """Return the record of a rollout."""
    a = span.attributes
    rewards, explanations = _rewards(span)
    error_type, error_message = error_of(span)
    return RolloutRecord(
        run_id=label(a, sc.RUN_ID) or "",
        attempt=attempt_of(a),
        step=whole(a, sc.TRAIN_STEP),
        rank=whole(a, sc.RANK) or 0,
        sample_id=label(a, sc.SAMPLE_ID) or span.span_id,
        group=label(a, sc.SAMPLE_GROUP),
        index=whole(a, sc.SAMPLE_INDEX),
        mode=text(a, sc.SAMPLE_MODE) or "train",
        status=text(a, sc.SAMPLE_STATUS),
        reward=any_number(a, sc.SAMPLE_REWARD),
        rewards=rewards,
        weights=numbers_below(a, sc.SAMPLE_WEIGHTS_PREFIX),
        explanations=explanations,
        advantage=any_number(a, sc.SAMPLE_ADVANTAGE),
        input_tokens=whole(a, sc.SAMPLE_INPUT_TOKENS),
        output_tokens=whole(a, sc.SAMPLE_OUTPUT_TOKENS),
        truncated=flag(a, sc.SAMPLE_TRUNCATED),
        policy_step=whole(a, sc.SAMPLE_POLICY_STEP),
        policy_version=label(a, sc.SAMPLE_POLICY_VERSION),
        staleness=whole(a, sc.SAMPLE_STALENESS),
        turns=whole(a, sc.SAMPLE_TURNS),
        problems=texts(a, sc.SAMPLE_PROBLEMS),
        task=text(a, sc.SAMPLE_TASK),
        input_messages=a.get(sc.INPUT_MESSAGES),
        output_messages=a.get(sc.OUTPUT_MESSAGES),
        token_ids=_tuple(a, sc.SAMPLE_TOKEN_IDS),
        token_logprobs=_tuple(a, sc.SAMPLE_TOKEN_LOGPROBS),
        token_ratios=_tuple(a, sc.SAMPLE_TOKEN_RATIOS),
        span=ref(span),
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        error_type=error_type,
        error_message=error_message,
    )


def _rewards(span: StoredSpan) -> tuple[dict[str, float], dict[str, str]]:
    """Return scores and explanations by component; the attributes have the last word on scores."""
    scores: dict[str, float] = {}
    explanations: dict[str, str] = {}
    for event in span.events:
        if event.name != sc.EVENT_EVALUATION_RESULT:
            continue
        name = label(event.attributes, sc.EVALUATION_NAME) or "reward"
        score = any_number(event.attributes, sc.EVALUATION_SCORE)
        if score is not None:
            scores[name] = score
        explanation = text(event.attributes, sc.EVALUATION_EXPLANATION)
        if explanation is not None:
            explanations[name] = explanation
    return scores | numbers_below(span.attributes, sc.SAMPLE_REWARDS_PREFIX), explanations


def _tuple(attributes: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    value = attributes.get(key)
    return value if isinstance(value, tuple) else ()
