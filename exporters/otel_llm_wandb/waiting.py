"""Rows of all tables until they go to W&B, and what is logged beside them. Imports nothing of W&B."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from otel_llm_wandb import aggregates
from otel_llm_wandb.keys import IdKeys
from otel_llm_wandb.outbox import TableRows
from otel_llm_wandb.settings import WandbSettings
from otel_llm_wandb.tables import Queue, interval_s
from otel_llm_wandb.trees import Trees


class Waiting:
    """Says which rows are to be written now.

    Args:
        settings: what was set.
        store: the store's directory, for trace trees; None for none.

    Attributes:
        totals: running figures by table (see `aggregates`).
    """

    def __init__(self, settings: WandbSettings, store: Path | None) -> None:
        self.totals: dict[str, dict[str, float]] = {}
        self._settings = settings
        self._queues: dict[str, Queue] = {}
        self._id_keys = IdKeys(settings.session_keys, settings.interaction_keys)
        self._trees = Trees(settings.trace_trees, settings.trace_tree_spans, store)
        self._born = time.monotonic()

    @property
    def rows(self) -> list[TableRows]:
        """The rows that wait, by table; of every table that ever had any."""
        return [queue.rows for queue in self._queues.values()]

    @property
    def has_waiting(self) -> bool:
        """Whether any rows wait."""
        return any(queue.since is not None for queue in self._queues.values())

    def add(self, rows: TableRows, batch: int | None) -> None:
        """Take rows of one table; `batch` waits for them."""
        queue = self._queues.setdefault(rows.name, Queue(rows.name))
        queue.add(rows.columns, rows.cells, batch)

    def clear(self) -> None:
        """Forget everything."""
        self._queues.clear()

    def due_at(self) -> float | None:
        """Return when (`time.monotonic()`) rows have waited long enough; None if none wait."""
        interval = interval_s(self._settings, time.monotonic() - self._born)
        times = [queue.since + interval for queue in self._queues.values() if queue.since is not None]
        return min(times, default=None)

    def due(self, *, everything: bool) -> Iterator[tuple[TableRows, tuple[int, ...], dict[str, Any]]]:
        """Yield rows to write, the batches that are complete with them, and the values to log beside.

        Args:
            everything: also rows that could wait.
        """
        age = time.monotonic() - self._born
        for name, queue in self._queues.items():
            while queue.since is not None and (everything or queue.is_due(self._settings, age)):
                rows, batches = queue.take()
                beside: dict[str, Any] = aggregates.of_flush(rows, self.totals.setdefault(name, {}))
                yield rows, batches, {**beside, **self._id_keys.values(rows), **self._trees.of(rows)}
