"""Sums over interactions and calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_llm.analysis.records import CallRecord, InteractionRecord


@dataclass(slots=True)
class Totals:
    """Sums over some interactions and calls.

    Attributes:
        interactions: how many, each attempt counted.
        failed_interactions: those that failed (`InteractionRecord.succeeded` is False).
        open_interactions: those that have neither ended nor been judged.
        calls: model calls, each attempt counted.
        failed_calls: those that failed.
        rate_limited_calls: those that failed with `rate_limit`.
        input_tokens: None where nobody told.
        output_tokens: likewise.
        cost_usd: US dollars over what has a price; None where nothing has.
        valid_orders: orders that the program called valid.
        invalid_orders: orders that it called invalid.
        messages: messages that were sent.
        interactions_by_type: interactions by type.
        interactions_by_power: interactions by power.
        calls_by_model: calls by the model asked for.
    """

    interactions: int = 0
    failed_interactions: int = 0
    open_interactions: int = 0
    calls: int = 0
    failed_calls: int = 0
    rate_limited_calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    valid_orders: int = 0
    invalid_orders: int = 0
    messages: int = 0
    interactions_by_type: dict[str, int] = field(default_factory=dict)
    interactions_by_power: dict[str, int] = field(default_factory=dict)
    calls_by_model: dict[str, int] = field(default_factory=dict)

    @property
    def success_rate(self) -> float | None:
        """The share of interactions that succeeded among those that are decided, 0 to 1; None for none."""
        decided = self.interactions - self.open_interactions
        return (decided - self.failed_interactions) / decided if decided else None

    @classmethod
    def of(cls, interactions: Iterable[InteractionRecord], calls: Iterable[CallRecord] = ()) -> Totals:
        """Sum up.

        Args:
            interactions: with the calls made in them.
            calls: calls outside of them.
        """
        totals = cls()
        for interaction in interactions:
            totals._add_interaction(interaction)
        for call in calls:
            totals._add_call(call)
            totals._add_usage(call.input_tokens, call.output_tokens, call.cost_usd)
        return totals

    def _add_interaction(self, record: InteractionRecord) -> None:
        self.interactions += 1
        verdict = record.succeeded
        self.failed_interactions += verdict is False
        self.open_interactions += verdict is None
        self.valid_orders += record.valid_count or 0
        self.invalid_orders += record.invalid_count or 0
        self.messages += len(record.messages)
        _count(self.interactions_by_type, record.type)
        _count(self.interactions_by_power, record.power)
        for call in record.calls:
            self._add_call(call)
        self._add_usage(record.input_tokens, record.output_tokens, record.cost_usd)

    def _add_call(self, call: CallRecord) -> None:
        self.calls += 1
        self.failed_calls += call.failed
        self.rate_limited_calls += call.error_type == "rate_limit"
        _count(self.calls_by_model, call.model)

    def _add_usage(self, given: int | None, got: int | None, cost: float | None) -> None:
        if given is not None:
            self.input_tokens = (self.input_tokens or 0) + given
        if got is not None:
            self.output_tokens = (self.output_tokens or 0) + got
        if cost is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost


def _count(table: dict[str, int], key: str | None) -> None:
    if key:
        table[key] = table.get(key, 0) + 1
