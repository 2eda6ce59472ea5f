"""Scalars and histograms as rows of W&B's history: those of one step side by side, the step itself in the same row.

Imports nothing of W&B. A row without its step field would get the step that was logged last (W&B inserts it); so there is
none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.views.model import Histogram, Scalar

TIME: Final = "otel_llm/time"
"""What metric points are drawn over: seconds since the epoch."""

_UNNAMED: Final = "unnamed"

MAX_BUCKETS: Final = 512
"""W&B refuses histograms of more."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram until it becomes one of W&B's, on its way to the file."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]


class Rower:
    """Groups points into rows and remembers which names W&B was told the step of.

    Args:
        prefix: put before every name that does not begin with it.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._globs: dict[str, str] = {}
        self._defined: dict[str, str] = {}

    def rows(self, points: Iterable[Scalar | Histogram]) -> list[dict[str, Any]]:
        """Return the rows of points, in the order in which their steps came first.

        Two values of one name at one step (two ranks, a value that was corrected) go to two rows: none is lost.
        """
        made: list[dict[str, Any]] = []
        at: dict[tuple[str | None, float | None], dict[str, Any]] = {}
        for point in points:
            name = self._named(point.name)
            over, step = self._step(point)
            row = at.get((over, step))
            if row is None or name in row:
                row = at[over, step] = {}
                made.append(row)
                if over is not None:
                    row[over] = step
                    if name == over:  # a curve that is its own step
                        continue
            row[name] = _value(point)
        return made

    def definitions(self, points: Iterable[Scalar | Histogram]) -> list[tuple[str, str]]:
        """Return the `(name or glob, step)` pairs that W&B has to be told before these points; each once.

        A namespace is told once, as `training/*`. Names that the glob would miss (W&B's do not reach across dots)
        or that are drawn over another step are told one by one.
        """
        new: list[tuple[str, str]] = []
        for point in points:
            name = self._named(point.name)
            over, _ = self._step(point)
            if over is None or name == over or self._defined.get(name) == over:
                continue
            space, slash, _ = name.partition("/")
            if slash and "." not in name and self._globs.setdefault(space, over) == over:
                key = f"{space}/*"
            else:
                key = name
            if self._defined.get(key) != over:
                self._defined[key] = over
                new.append((key, over))
        return new

    def told(self) -> list[tuple[str, str]]:
        """Return everything that W&B was told, for a run that is started again."""
        return list(self._defined.items())

    def _named(self, name: str) -> str:
        name = name or _UNNAMED  # W&B refuses the empty one, and with it what was told beside it
        return name if not self._prefix or name.startswith(self._prefix) else self._prefix + name

    def _step(self, point: Scalar | Histogram) -> tuple[str | None, float | None]:
        if point.step is not None:
            return self._named(point.step_field or "global_step"), point.step
        return TIME, point.time_ns / 1e9


def is_from(point: Scalar | Histogram, run: str) -> bool:
    """Say whether a point was taken up from this very W&B run, which has it already."""
    told = point.attributes
    return told.get(sc.SERIES_SOURCE) == "wandb" and told.get(sc.SERIES_RUN) == run


def _value(point: Scalar | Histogram) -> Any:
    if isinstance(point, Scalar):
        return point.value
    counts, edges = point.counts, point.edges
    while len(counts) > MAX_BUCKETS:  # neighbours together, as often as it takes
        last = (edges[-1],) if len(counts) % 2 else ()
        counts = tuple(sum(counts[i : i + 2]) for i in range(0, len(counts), 2))
        edges = (*edges[::2], *last)
    return Distribution(tuple(counts), tuple(edges))
