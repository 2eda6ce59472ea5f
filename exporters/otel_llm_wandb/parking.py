"""Batches with artifacts, from when these were written until they are safe.

The journal does not hold files, so nothing of such a batch is noted before the run's own file has its artifacts: should the
program be killed in between, `replay` makes them again from the store. A row with a number, written right after them, tells.
"""

from __future__ import annotations

from otel_llm.views.model import Batch
from otel_llm_wandb import artifacts
from otel_llm_wandb.errors import BrokenError, FullError, OverError
from otel_llm_wandb.run import Run
from otel_llm_wandb.trouble import Trouble


class Parking:
    """Batches whose artifacts are on their way.

    Attributes:
        there: `(name, digest)` of the artifacts that the run has.
    """

    def __init__(self) -> None:
        self.there: set[tuple[str, str]] = set()
        self._parked: list[tuple[int, Batch]] = []

    @property
    def batches(self) -> list[Batch]:
        """The batches, in order."""
        return [batch for _, batch in self._parked]

    def write(self, batch: Batch, run: Run, trouble: Trouble) -> None:
        """Write a batch's artifacts, but those that the run has.

        Raises:
            Exception: one could not be written; see `errors`.
        """
        for artifact in batch.artifacts:
            try:
                artifacts.write_made(run, artifact, self.there)
            except (BrokenError, OverError, FullError):
                raise
            except Exception as error:
                if not trouble.is_hopeless(artifact.name, error):
                    raise

    def add(self, number: int, batch: Batch) -> None:
        """Keep a batch until the run's file has row `number`."""
        self._parked.append((number, batch))

    def leave(self, number: int) -> list[Batch]:
        """Return the batches that waited for rows up to `number`, and keep them no longer."""
        ready = [batch for parked, batch in self._parked if parked <= number]
        self._parked = [(parked, batch) for parked, batch in self._parked if parked > number]
        return ready
