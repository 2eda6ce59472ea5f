"""What losses made of the tokens of rollouts: told once a rollout's span has ended, so as events with its ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_llm import semconv as sc

if TYPE_CHECKING:
    from otel_llm.analysis.training.records import RolloutRecord
    from otel_llm.store import StoreReader


class LearnedTokens:
    """Finds them, a trace at a time: rollouts of one step are in one, or each in its own.

    Args:
        reader: the store.
    """

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._trace_id: str | None = None
        self._found: dict[str | None, Mapping[str, Any]] = {}

    def add_to(self, record: RolloutRecord) -> None:
        """Put the ratios of the last loss that learned from a rollout into its record, if its tokens are kept."""
        if not record.token_ids:
            return
        trace_id = record.span.trace_id
        if trace_id != self._trace_id:
            rows = self._reader.logs(trace_id=trace_id, event_name=sc.EVENT_TRAINING_TOKENS)
            self._trace_id, self._found = trace_id, {row.span_id: row.attributes for row in rows}
        told = self._found.get(record.span.span_id)
        if told is None:
            return
        ratios = told.get(sc.SAMPLE_TOKEN_RATIOS)
        if isinstance(ratios, tuple) and len(ratios) == len(record.token_ids):
            record.token_ratios = ratios
        logprobs = told.get(sc.SAMPLE_TOKEN_LOGPROBS)
        if (
            not record.token_logprobs
            and isinstance(logprobs, tuple)
            and len(logprobs) == len(record.token_ids)
        ):
            record.token_logprobs = logprobs
