"""What a sink gets, and what a sink is. Plain data: no OpenTelemetry, no backend.

A sink is an entry point of the group `otel_llm_sink`: a function `(SinkOptions) -> Sink`. Its name is what
`otel-llm replay --to NAME` and `instrument(exporters=[NAME])` call it.

    class Printing(Sink):
        name = book = "printing"

        def write(self, batch: Batch) -> bool:
            for rows in batch.tables:
                print(rows.table, rows.names, rows.cells)
            batch.settle()
            return True
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

Cell = str | int | float | bool | None
"""A value of a table: of its column's one type, or None. Integers have 64 bits; lists and mappings are JSON text."""

Type = Literal["text", "int", "float", "bool"]

ROWS: Final = "rows"
SCALARS: Final = "scalars"
HISTOGRAMS: Final = "histograms"
ARTIFACTS: Final = "artifacts"
CONFIG: Final = "config"
EVERYTHING: Final = frozenset({ROWS, SCALARS, HISTOGRAMS, ARTIFACTS, CONFIG})

SPANS: Final = "spans"
POINTS: Final = "points"
SERIES: Final = "series"
LOGS: Final = "logs"
KINDS: Final = (SPANS, POINTS, SERIES, LOGS)
"""What batches are made from."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        name: its heading.
        type: `text`, `int`, `float` or `bool`; the same for the life of the table.
        source: key of an attribute, or a function from an `Item` to the value. What is not of the column's type, and
            cannot be read as such, becomes None and is counted; so is a function that raises.
    """

    name: str
    type: Type
    source: str | Callable[[Any], Any]


@dataclass(slots=True)
class Rows:
    """Rows of one table.

    Attributes:
        table: its name.
        columns: `(heading, type)` of each column. The first are always `trace_id`, `span_id` (text; None for what has
            no span) and `time` (seconds since the epoch). From batch to batch columns may be added at the end (a
            reward component that was not there before); none is taken away, moved or given another type.
        cells: one tuple a row, one cell a column.
    """

    table: str
    columns: tuple[tuple[str, Type], ...]
    cells: list[tuple[Cell, ...]] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """The headings."""
        return tuple(name for name, _ in self.columns)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One point of a curve.

    Attributes:
        name: such as `training/loss`; for a metric its name with `/` for `.`, followed by its labels
            (`game/interaction/duration/power=FRANCE/mean`).
        value: any number, NaN and infinities included.
        step_field: the step that the curve is drawn over, such as `training/global_step`; None for a metric point,
            which has a time only.
        step: the step; None for none.
        time_ns: when it was recorded, in nanoseconds since the epoch.
        attributes: what it belongs to: run, rank, labels.
    """

    name: str
    value: float
    step_field: str | None
    step: int | None
    time_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Histogram:
    """One distribution.

    Attributes:
        name: as of a scalar.
        counts: how many in each bucket.
        edges: bounds of the buckets, one more than there are counts, finite and growing: the outermost are the least
            and the largest value, where those are known.
        count: sum of the counts.
        sum: sum of the values; None where it is not known.
        step_field: as of a scalar.
        step: as of a scalar.
        time_ns: as of a scalar.
        attributes: as of a scalar.
    """

    name: str
    counts: tuple[int, ...]
    edges: tuple[float, ...]
    count: int
    sum: float | None
    step_field: str | None
    step: int | None
    time_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Artifact:
    """Files that belong together: a finished game.

    Attributes:
        name: such as `game-7`; letters, digits, `_`, `-` and `.` only.
        type: `game` …
        metadata: plain data about it.
        files: makes them, by name. Called by the sink on its own thread, at most once; it may take a while.
    """

    name: str
    type: str
    metadata: Mapping[str, Any]
    files: Callable[[], Mapping[str, bytes]]


@dataclass(slots=True)
class Receipt:
    """What a sink keeps of a batch until it is safe.

    Attributes:
        is_settled: whether `settle` was called.
    """

    is_settled: bool = False

    def settle(self) -> None:
        """Say that nothing of the batch can be lost any more. The store then notes it as delivered."""
        self.is_settled = True


@dataclass(slots=True)
class Batch:
    """What a sink gets at once, in the order in which it happened.

    Attributes:
        tables: rows, one entry a table that has any.
        scalars: points of curves.
        histograms: distributions.
        artifacts: empty unless the sink wants them.
        config: facts about the run that were not said before: the resource's attributes. Nearly always empty.
        keys: what it was made from: per kind (`KINDS`) an integer of 64 bits a span or row. A sink that resumes
            somebody else's work may keep those of the last batch and give them back as `Sink.settled`.
        receipt: what to keep, instead of the batch, in order to settle it later.
    """

    tables: list[Rows] = field(default_factory=list)
    scalars: list[Scalar] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    config: dict[str, Cell] = field(default_factory=dict)
    keys: dict[str, list[int]] = field(default_factory=dict)
    receipt: Receipt = field(default_factory=Receipt)

    def settle(self) -> None:
        """Say that nothing of this batch can be lost any more. The store then notes it as delivered.

        A sink calls it in `write`, or `receipt.settle()` later: when the file is closed, when the backend has
        answered. What was never settled is sent again by `replay`.
        """
        self.receipt.settle()

    def __bool__(self) -> bool:
        return bool(self.tables or self.scalars or self.histograms or self.artifacts or self.config)


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What the function of a sink's entry point gets.

    Attributes:
        live: whether it is fed inside the program; else `replay` feeds it from a store.
        output: `--output`: where to write; None: as the sink's own settings say.
        endpoint: `--endpoint`, for backends that have one.
        store: the store's directory; None for none.
        close_timeout_s: how long `Sink.close` is going to be given, in seconds.
    """

    live: bool = False
    output: Path | None = None
    endpoint: str | None = None
    store: Path | None = None
    close_timeout_s: float = 10.0


class Sink(ABC):
    """Takes batches to a backend. All methods are called on one thread, one after the other.

    Attributes:
        name: the sink's name, for messages and counts.
        book: the name under which the store notes what the backend has: the sink's name and, where it can have
            several destinations, which one (`csv@/data/run-1`). Valid after the constructor.
        wants: what it writes; the rest is not made for it.
        linger_s: live, the first thing waits so long for company, in seconds.
        batch_size: spans and rows of a batch, at most.
        max_text: characters of a text cell; a longer text is cut and says so.
        is_off: whether it writes nothing, because nobody wants it to: what it takes is neither settled nor lost.
    """

    name: str
    book: str
    wants: frozenset[str] = EVERYTHING
    linger_s: float = 0.5
    batch_size: int = 2000
    max_text: int = 100_000
    is_off: bool = False

    @abstractmethod
    def write(self, batch: Batch) -> bool:
        """Take a batch. May block, and may raise: live this is a thread of its own.

        Returns:
            Whether it was taken. One that was not is given again later, unchanged: nothing of it may have stayed.
        """

    def settled(self) -> Mapping[str, frozenset[int]]:
        """Return the keys (see `Batch.keys`) that the backend has, though the store may not know it.

        A writer that was killed between its last write and the note in the store leaves such. Asked once, before
        the first `write`.
        """
        return {}

    def problem(self) -> str | None:
        """Say in one line why the last batch was not taken, or not settled, as far as it is known."""
        return None

    def due_s(self) -> float | None:
        """Return in how many seconds `flush` wants to be called though nobody asks; None for never."""
        return None

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002 (for those that have something to flush)
        """Settle what was taken, as far as it goes within the time.

        Returns:
            Whether everything that was taken is settled.
        """
        return True

    def close(self, timeout_s: float) -> bool:
        """Settle everything, as far as it goes within the time, and let go. Nothing is called afterwards.

        Returns:
            Whether everything that was taken is settled.
        """
        return self.flush(timeout_s)

    def forget(self) -> None:  # noqa: B027 (most have nothing that a child could hurt)
        """Called in a forked child: let go of what is the parent's without touching it. Must not block or write."""


SinkFactory = Callable[[SinkOptions], Sink]
