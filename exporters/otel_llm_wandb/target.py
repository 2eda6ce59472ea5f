"""Which run is meant: a new one, one that was asked for, or the one that the store's program wrote.

A store knows the runs that were written from it (by their journals). Live, a run is new unless its id is given. `replay`
completes the run that the program wrote; with an id that the store does not know, all of the store goes to that run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from otel_llm.views.model import SinkOptions
from otel_llm_wandb import journal
from otel_llm_wandb.datafile import read_all
from otel_llm_wandb.journal import BusyError, Left
from otel_llm_wandb.settings import WandbSettings

BOOK = "wandb"
"""The store's book of what its runs have; a run with another origin has a book of its own."""


@dataclass(frozen=True, slots=True)
class Target:
    """A run to be.

    Attributes:
        run_id: its id; None for a new one.
        book: the name under which the store notes what it has.
        left: what a killed writer of it left behind.
    """

    run_id: str | None
    book: str
    left: Left | None = None

    @classmethod
    def find(cls, settings: WandbSettings, options: SinkOptions) -> Target:
        """Return the run that settings and store mean.

        Raises:
            BusyError: another process writes it.
            RuntimeError: several unfinished runs could be meant.
        """
        asked = settings.run_id or os.environ.get("WANDB_RUN_ID") or None
        known = [] if options.store is None else journal.runs(options.store)
        if asked is not None:
            for left in known:
                if left.run_id == asked:
                    return cls._of(left, options.store)
            return cls(asked, BOOK if options.live else f"{BOOK}@{asked}")
        if options.live or not known:
            return cls(None, BOOK)
        unfinished = [left for left in known if not (left.is_closed and _is_whole(left))]
        if len(unfinished) > 1:
            ids = ", ".join(left.run_id for left in unfinished)
            raise RuntimeError(
                f"several W&B runs of this store are not complete: {ids}. Say which with WANDB_RUN_ID, and choose its "
                "part of the store with --since or by naming the program's file"
            )
        return cls._of((unfinished or known)[-1], options.store)

    @property
    def has_rest(self) -> bool:
        """Whether the journal has rows that the run's file lacks."""
        return self.left is not None and not _is_whole(self.left)

    def completed(self, settings: WandbSettings) -> WandbSettings:
        """Return settings with what the run was started with, where they say nothing else."""
        told = self.left.started_with if self.left is not None else {}
        new = {
            name: tuple(value) if name == "tags" else value
            for name, value in told.items()
            if not getattr(settings, name, None)
        }
        return settings.with_changes(**new) if new else settings

    @classmethod
    def _of(cls, left: Left, store: Path | None) -> Target:
        if store is not None and journal.is_busy(journal.path_of(store, left.run_id)):
            raise BusyError(f"the W&B run {left.run_id} is being written by another process")
        return cls(left.run_id, BOOK, left)


def _is_whole(left: Left) -> bool:
    scalars, tables = left.beyond(read_all(left.directories, left.run_id).last_row)
    return not scalars and not tables
