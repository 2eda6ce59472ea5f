"""Tokens of completions, where they were asked for: ids, log-probabilities, importance ratios. On the worker.

What is known when a batch is scored is kept with its rollouts, in the local store. The ratio of the probabilities of
a token, new weights to old, is known when a loss learns from it: by then the rollout's span has ended, and the ratios
are an event with its ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from otel_llm import recording
from otel_llm import semconv as names
from otel_llm.training.batches import RolloutBatch
from otel_llm.training.deferred import Deferred, deferred
from otel_llm.version import VERSION
from otel_llm_trl.sessions import Known


def give(batch: RolloutBatch, completion_ids: Any, result: Any) -> None:
    """Give a batch its tokens.

    Args:
        batch: the rollouts.
        completion_ids: a list of ids a rollout.
        result: what the trainer goes on with.
    """
    lengths = [len(ids) for ids in completion_ids]
    batch.kept_only(names.SAMPLE_TOKEN_IDS, completion_ids)
    if not isinstance(result, Mapping):
        return
    for key in ("sampling_per_token_logps", "old_per_token_logps"):
        if result.get(key) is not None:
            batch.kept_only(names.SAMPLE_TOKEN_LOGPROBS, _Rows(result[key], lengths))
            break
    if result.get("importance_sampling_ratio") is not None:
        batch.kept_only(names.SAMPLE_TOKEN_RATIOS, _Rows(result["importance_sampling_ratio"], lengths))


class _Rows(Deferred):
    """Rows of a padded tensor, each as long as it is without the padding behind it."""

    __slots__ = ("_lengths",)

    def __init__(self, tensor: Any, lengths: list[int]) -> None:
        super().__init__(tensor)
        self._lengths = lengths

    def value(self) -> Any:
        """Return the rows."""
        found = super().value()
        if not isinstance(found, list):
            return None
        return [
            row[:length] if isinstance(row, list) else [row]
            for row, length in zip(found, self._lengths, strict=False)
        ]


class Ratios:
    """What one loss made of the tokens of its batch, waiting for the worker.

    Args:
        known: the batches that its rollouts are of, with their indices there, in the order of the rows.
        inputs: the loss's batch.
        logprobs: of the tokens by the weights of now, `(rows, tokens)`.
        step: the step that learns.
    """

    def __init__(
        self, known: list[tuple[Known, list[int]]], inputs: Mapping[str, Any], logprobs: Any, step: int | None
    ) -> None:
        self._known = known
        self._step = step
        self._new = deferred(logprobs)
        old = inputs.get("old_per_token_logps")
        self._old = None if old is None else deferred(old)
        self._mask = deferred(inputs["completion_mask"])
        self._ids = deferred(inputs["completion_ids"])
        kept = (self._new, self._mask, self._ids, *(() if self._old is None else (self._old,)))
        self.nbytes = 512 + sum(one.nbytes for one in kept)

    def submit(self) -> None:
        """Hand it over."""
        if recording.active is not None:
            recording.active.finisher.put(self)

    def finish(self) -> None:
        """Emit one event a rollout whose texts are kept too."""
        new, mask, ids = self._new.value(), self._mask.value(), self._ids.value()
        old = new if self._old is None else self._old.value()
        if new is None or mask is None or ids is None or old is None:
            return
        logger = get_logger("otel_llm", VERSION, schema_url=names.SCHEMA_URL)
        row = 0
        for known, indices in self._known:
            for index in indices:
                rollout = known.batch.rollout_at(index)
                if rollout is not None and known.batch.keeps_texts_of(index) and row < len(new):
                    there = [i for i, is_there in enumerate(mask[row]) if is_there]
                    told: dict[str, Any] = {
                        names.SAMPLE_TOKEN_IDS: tuple(ids[row][i] for i in there),
                        names.SAMPLE_TOKEN_LOGPROBS: tuple(new[row][i] for i in there),
                        names.SAMPLE_TOKEN_RATIOS: tuple(_ratio(new[row][i] - old[row][i]) for i in there),
                    }
                    if self._step is not None:
                        told[names.TRAIN_STEP] = self._step
                    span = trace_api.NonRecordingSpan(rollout.context)
                    logger.emit(
                        LogRecord(
                            context=trace_api.set_span_in_context(span),
                            severity_number=SeverityNumber.INFO,
                            event_name=names.EVENT_TRAINING_TOKENS,
                            attributes=told,
                        )
                    )
                row += 1

    def shed(self) -> None:
        """Let everything go."""
        self._known = []
        self.nbytes = 64

    def abandon(self) -> None:
        """Do nothing: nobody waits for it."""


def _ratio(difference: float) -> float:
    try:
        return exp(difference)
    except OverflowError:
        return float("inf")
