"""What was handed to W&B and is not yet known to be in the run's file: numbered rows, and the batches they belong to.

W&B takes a row without saying whether it ever reached the disk: its core buffers 32 KiB and seconds, and loses both when
it is killed. Every row of ours therefore carries a number (`ROW`), in ascending order, and the file itself tells how far
it has come (`datafile`). Imports nothing of W&B.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

ROW: Final = "otel_llm/row"
"""The number of a row of ours in a run: hidden in W&B's charts; the last in the summary says how far the run has come."""


@dataclass(slots=True)
class Entry:
    """One row of history.

    Attributes:
        number: see `ROW`.
        row: its values by name, without the number.
        table: the table whose rows it brings; None for a row of scalars.
        batches: what has to be in the file before these are settled; by their numbers.
    """

    number: int
    row: dict[str, Any]
    table: TableRows | None = None
    batches: tuple[int, ...] = ()


@dataclass(slots=True)
class TableRows:
    """Rows that go to W&B as one version of a table."""

    name: str
    columns: tuple[tuple[str, str], ...]
    cells: list[tuple[Any, ...]] = field(default_factory=list)


class Outbox:
    """Entries in order, and how many of them each batch still waits for."""

    def __init__(self) -> None:
        self.next_number = 1
        self.acknowledged = 0
        self._entries: deque[Entry] = deque()
        self._waiting: dict[int, int] = {}
        self._settle: dict[int, Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def open_batches(self) -> int:
        """How many batches are not settled."""
        return len(self._waiting)

    def open(self, batch: int, settle: Callable[[], None]) -> None:
        """Begin a batch: it is settled once everything it waits for is in the file."""
        self._waiting[batch] = 1
        self._settle[batch] = settle

    def hold(self, batch: int) -> None:
        """Let a batch wait for one thing more."""
        self._waiting[batch] += 1

    def release(self, batch: int) -> None:
        """Let a batch wait for one thing less; settle it if that was the last."""
        left = self._waiting.get(batch)
        if left is None:
            return
        if left > 1:
            self._waiting[batch] = left - 1
            return
        del self._waiting[batch]
        self._settle.pop(batch)()

    def add(self, row: dict[str, Any], batches: Iterable[int], table: TableRows | None = None) -> Entry:
        """Number a row, which these batches wait for (they were told so by `hold`)."""
        entry = Entry(self.next_number, row, table, tuple(batches))
        self.next_number += 1
        self._entries.append(entry)
        return entry

    def acknowledge(self, number: int) -> int:
        """Settle what is in the file: everything up to `number`. Returns how many rows these were."""
        done = 0
        self.acknowledged = max(self.acknowledged, number)
        while self._entries and self._entries[0].number <= number:
            for batch in self._entries.popleft().batches:
                self.release(batch)
            done += 1
        return done

    def unacknowledged(self) -> list[Entry]:
        """Return what is not known to be in the file, in order."""
        return list(self._entries)

    def abandon(self) -> int:
        """Forget everything without settling it. Returns how many rows were not known to be in the file."""
        lost = len(self._entries)
        self._entries.clear()
        self._waiting.clear()
        self._settle.clear()
        return lost
