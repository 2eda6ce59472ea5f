"""Fixed keys beside the tables: running figures of interactions and games, however many there are.

The curves that people look at while a run goes on. Twelve keys, whatever the number of interactions; `sessions/{id}/…` and
`interactions/{id}/…` (see `keys`) are one key a value. Imports nothing of W&B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from otel_llm_wandb.outbox import TableRows

INTERACTIONS: Final = "interactions"
SESSIONS: Final = "sessions"
COUNT: Final = "count"

_SUMS: Final = {
    INTERACTIONS: {
        "tokens_input": "tokens_input",
        "tokens_output": "tokens_output",
        "cost_estimate": "cost_estimate",
        "valid_orders": "valid_orders",
        "invalid_orders": "invalid_orders",
    },
    SESSIONS: {
        "duration_seconds": "duration_seconds",
        "total_interactions": "total_interactions",
        "cost": "cost",
    },
}
STEPS: Final = {table: f"{table}/{COUNT}" for table in _SUMS}
"""What a table's figures are drawn over."""

_LATENCY: Final = "response_time_ms"
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95}


def of_flush(rows: TableRows, totals: dict[str, float]) -> dict[str, float]:
    """Return what is logged beside a table, and bring `totals` up to date.

    Counts and sums are of the whole run so far, latencies of the rows of this flush. The step of all is
    `{table}/count`.

    Args:
        rows: the rows of this flush.
        totals: the table's sums so far; changed.
    """
    sums = _SUMS.get(rows.name)
    if sums is None:
        return {}
    at = {name: index for index, (name, _) in enumerate(rows.columns)}
    totals[COUNT] = totals.get(COUNT, 0) + len(rows.cells)
    for name, column in sums.items():
        totals[name] = totals.get(name, 0) + sum(_numbers(rows, at.get(column)))
    made = {f"{rows.name}/{name}": value for name, value in totals.items() if name not in {"known", "good"}}
    if rows.name == INTERACTIONS:
        known = [row[at["success"]] for row in rows.cells if row[at["success"]] is not None]
        totals["known"] = totals.get("known", 0) + len(known)
        totals["good"] = totals.get("good", 0) + sum(map(bool, known))
        if totals["known"]:
            made[f"{INTERACTIONS}/success_rate"] = totals["good"] / totals["known"]
        made |= _latencies(sorted(_numbers(rows, at.get(_LATENCY))))
    return made


def _numbers(rows: TableRows, column: int | None) -> list[float]:
    if column is None:
        return []
    values = [row[column] for row in rows.cells]
    return [float(v) for v in values if v is not None and math.isfinite(v)]


def _latencies(values: list[float]) -> Mapping[str, Any]:
    if not values:
        return {}
    name = f"{INTERACTIONS}/{_LATENCY}"
    made = {f"{name}/mean": sum(values) / len(values)}
    for key, share in _QUANTILES.items():
        made[f"{name}/{key}"] = values[min(len(values) - 1, math.ceil(share * len(values)) - 1)]
    return made
