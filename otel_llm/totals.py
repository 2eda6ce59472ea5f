"""What happened below a scope, added up: calls, tokens, cost, interactions, failures.

Added to on the worker alone, as calls and scopes finish, so nothing is locked. Bounded: a scope that sees more
than `MAX_KEYS` different models, powers or types puts the rest under `other`. Imports the names alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_llm import semconv as sc

MAX_KEYS: Final = 64
OTHER: Final = "other"


class Totals:
    """Figures of one scope; read them at any time, they lag behind by what still waits in the queue.

    Attributes:
        calls: model calls, each attempt counted.
        failed_calls: those that failed.
        input_tokens: sum over the calls that told.
        output_tokens: likewise.
        cost: US dollars by list prices, over the calls whose price is known.
        interactions: interactions that ended, each attempt counted.
        failed_interactions: those that failed.
        phases: phases that ended.
        valid_orders: orders that the program called valid.
        invalid_orders: orders that it called invalid.
        calls_by_model: calls by the model asked for.
        interactions_by_type: interactions by type.
        interactions_by_power: interactions by power.
        last_call_error: class of failure of the last call that finished, None where it succeeded.
    """

    __slots__ = (
        "calls",
        "calls_by_model",
        "cost",
        "failed_calls",
        "failed_interactions",
        "input_tokens",
        "interactions",
        "interactions_by_power",
        "interactions_by_type",
        "invalid_orders",
        "last_call_error",
        "output_tokens",
        "phases",
        "valid_orders",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.failed_calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0
        self.interactions = 0
        self.failed_interactions = 0
        self.phases = 0
        self.valid_orders = 0
        self.invalid_orders = 0
        self.calls_by_model: dict[str, int] = {}
        self.interactions_by_type: dict[str, int] = {}
        self.interactions_by_power: dict[str, int] = {}
        self.last_call_error: str | None = None

    def add_call(
        self,
        model: str | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cost: float | None,
        error_type: str | None,
    ) -> None:
        """Count a model call that finished."""
        self.calls += 1
        self.input_tokens += input_tokens or 0
        self.output_tokens += output_tokens or 0
        self.cost += cost or 0.0
        self.failed_calls += error_type is not None
        self.last_call_error = error_type
        if model:
            _count(self.calls_by_model, model)

    def add_interaction(self, kind: str | None, power: str | None, *, failed: bool) -> None:
        """Count an interaction that ended."""
        self.interactions += 1
        self.failed_interactions += failed
        if kind:
            _count(self.interactions_by_type, kind)
        if power:
            _count(self.interactions_by_power, power)

    @property
    def success_rate(self) -> float | None:
        """The share of interactions that did not fail, 0 to 1; None where there was none."""
        return (
            (self.interactions - self.failed_interactions) / self.interactions if self.interactions else None
        )

    def attributes(self) -> dict[str, int | float]:
        """Return the figures that are not empty, as attributes `game.totals.*`."""
        return {f"{sc.TOTALS_PREFIX}{name}": value for name, value in self._figures()}

    def _figures(self) -> Iterator[tuple[str, int | float]]:
        for name in _COUNTS:
            if value := getattr(self, name):
                yield name, value
        if (rate := self.success_rate) is not None:
            yield "success_rate", rate
        for name in _TABLES:
            for key, value in getattr(self, name).items():
                # A dot would make two levels of one name.
                yield f"{name}.{key.replace('.', '_')}", value


_COUNTS: Final = (
    "calls", "failed_calls", "input_tokens", "output_tokens", "cost", "interactions", "failed_interactions",
    "phases", "valid_orders", "invalid_orders",
)  # fmt: skip
_TABLES: Final = ("calls_by_model", "interactions_by_type", "interactions_by_power")


def _count(table: dict[str, int], key: str) -> None:
    if key not in table and len(table) >= MAX_KEYS:
        key = OTHER
    table[key] = table.get(key, 0) + 1
