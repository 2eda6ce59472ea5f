"""`sessions/{id}/…` and `interactions/{id}/…`: a key a value, as many hand-written loggers have it. Off by default, bounded.

Each of these keys has one point, so no chart is of use; W&B's core keeps every key in memory for ever (2.3 kB each: 958 MB
after 20,000 interactions of 20), and W&B advises fewer than 10,000 keys a project. The tables hold the same, and more.
Imports nothing of W&B.
"""

from __future__ import annotations

import re
from typing import Any, Final

from otel_llm import drops
from otel_llm_wandb.aggregates import INTERACTIONS, SESSIONS
from otel_llm_wandb.outbox import TableRows

SESSION: Final = (
    "start_time",
    "end_time",
    "duration_seconds",
    "total_interactions",
    "is_grpo_training",
    "grpo_episode",
)
"""Columns of the table `sessions` that become `sessions/{game_id}/{column}`; and all `interactions_by_…/…`."""

INTERACTION: Final = (
    "model_name",
    "power_name",
    "interaction_type",
    "success",
    "response_time_ms",
    "game_id",
    "phase",
    "phase_numeric",
    "season_numeric",
    "input_length",
    "response_length",
    "supply_center_count",
    "unit_count",
    "error_type",
    "grpo_episode",
    "grpo_step",
    "grpo_reward",
    "cost_estimate",
)
"""Columns of the table `interactions` that become `interactions/{interaction_id}/{column}`; and `timestamp`, `tokens_…`."""

_NOT_A_NAME: Final = re.compile(r"[./*\s]+")  # a dot or slash would be a level of the name


class IdKeys:
    """Makes rows of keys with ids in them, up to so many ids.

    Args:
        sessions: how many games may have keys.
        interactions: how many interactions may.
    """

    def __init__(self, sessions: int, interactions: int) -> None:
        self._left = {SESSIONS: sessions, INTERACTIONS: interactions}

    def values(self, table: TableRows) -> dict[str, Any]:
        """Return the keys that rows of a table get, with their values."""
        if not self._left.get(table.name, 0):
            return {}
        made: dict[str, Any] = {}
        for cells in table.cells:
            if not self._left[table.name]:
                drops.warn_once(
                    f"wandb:{table.name}",
                    "no more %s get keys of their own in W&B; the table has them all",
                    table.name,
                )
                break
            row = dict(zip((name for name, _ in table.columns), cells, strict=True))
            values = _session(row) if table.name == SESSIONS else _interaction(row)
            if values:
                self._left[table.name] -= 1
                made |= values
        return made


def _session(row: dict[str, Any]) -> dict[str, Any]:
    identity = row.get("game_id")
    if not identity:
        return {}
    wanted = {name: row.get(name) for name in SESSION}
    wanted |= {name: value for name, value in row.items() if name.startswith("interactions_by_")}
    return _keys(SESSIONS, identity, wanted)


def _interaction(row: dict[str, Any]) -> dict[str, Any]:
    identity = row.get("interaction_id") or row.get("span_id")
    if not identity:
        return {}
    wanted = {"timestamp": row.get("time"), **{name: row.get(name) for name in INTERACTION}}
    wanted |= {name: value for name, value in row.items() if name.startswith("tokens_")}
    return _keys(INTERACTIONS, identity, wanted)


def _keys(space: str, identity: str, values: dict[str, Any]) -> dict[str, Any]:
    safe = _NOT_A_NAME.sub("_", str(identity))
    return {
        f"{space}/{safe}/{name}": int(value) if isinstance(value, bool) else value
        for name, value in values.items()
        if value is not None
    }
