"""What people call: runs, steps and rollouts of a store's directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from otel_llm.analysis.training.loading import each_rollout, load_runs, load_steps
from otel_llm.analysis.training.records import RolloutRecord, RunRecord, StepRecord

if TYPE_CHECKING:
    from otel_llm.store import StoreReader


def read_runs(store_dir: str | os.PathLike[str]) -> list[RunRecord]:
    """Read the training runs of a store, also while it is being written.

    Args:
        store_dir: the store's directory; it holds the files of all ranks.

    Returns:
        One a run, whatever number of attempts and processes, in the order of their starts.
    """
    return load_runs(_reader(store_dir))


def read_steps(
    store_dir: str | os.PathLike[str], run_id: str, *, step: int | None = None
) -> list[StepRecord]:
    """Read the steps of a run, each with what every rank did in it.

    Args:
        store_dir: the store's directory.
        run_id: the run.
        step: this step alone.

    Returns:
        By attempt and number; a step that was done again after a resume is there once an attempt.
    """
    return load_steps(_reader(store_dir), run_id, step=step)


def read_rollouts(
    store_dir: str | os.PathLike[str], run_id: str, *, step: int | None = None
) -> Iterator[RolloutRecord]:
    """Read the rollouts of a run one by one, in bounded memory.

    Args:
        store_dir: the store's directory.
        run_id: the run.
        step: those of this step alone, of every attempt that made it.

    Yields:
        Process by process, in the order in which they ended.
    """
    yield from each_rollout(_reader(store_dir), run_id, step=step)


def _reader(store_dir: str | os.PathLike[str]) -> StoreReader:
    # Imported here: what only wants the records does not pay for SQLite.
    from otel_llm.store import StoreReader

    return StoreReader(store_dir)
