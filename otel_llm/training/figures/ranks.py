"""Values of several ranks as one: exchanged by the program while it trains, or put together from rows afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.store.rows import SeriesRow
from otel_llm.training.figures import names
from otel_llm.training.figures.moments import Moments, merged
from otel_llm.training.figures.taking import Taken, numbers_of, taken

Reduce = Callable[[list[Any]], Sequence[Any]]
"""Takes a list of one item and returns those of all ranks; called on all ranks."""

_FOLD: Final = 256


class Epoch:
    """The values of an epoch's steps, on the caller's side, where they will be exchanged.

    Tensors are read many together, long after they were made, so that hardly anything is waited for.
    """

    def __init__(self) -> None:
        self._waiting: list[Mapping[str, Taken]] = []
        self._moments: dict[str, Moments] = {}

    def add(self, values: Mapping[str, Taken]) -> None:
        """Take the values of a step in."""
        self._waiting.append(values)
        if len(self._waiting) >= 2 * _FOLD:
            self._fold(_FOLD)

    def _fold(self, n: int) -> None:
        for values in self._waiting[:n]:
            for name, value in values.items():
                if value is not None:
                    self._moments.setdefault(name, Moments()).merge(Moments.of(numbers_of(value)))
        del self._waiting[:n]

    def take(self) -> dict[str, Moments]:
        """Return the moments of the epoch, and begin the next."""
        try:
            self._fold(len(self._waiting))
        except Exception:
            drops.internal_error("metrics of an epoch")
        found, self._moments, self._waiting = self._moments, {}, []
        return found


def over_ranks(reduce: Reduce | None, values: Mapping[str, Any]) -> dict[str, Moments] | None:
    """Return the moments of values over all ranks; None where the program gave no way to exchange them.

    `reduce` is called whatever happens before it: other ranks wait for this one. If it fails, what this rank has is
    returned.
    """
    if reduce is None:
        return None
    mine: dict[str, Moments] = {}
    try:
        for name, value in values.items():
            if value is not None:
                mine[name] = value if isinstance(value, Moments) else Moments.of(numbers_of(taken(value)))
    except Exception:
        drops.internal_error("metrics of a rank")
    try:
        of_all = reduce([{name: moments.state() for name, moments in mine.items()}])
        parts: dict[str, list[Moments]] = defaultdict(list)
        for one in of_all:
            for name, state in one.items():
                parts[name].append(Moments.from_state(state))
        return {name: merged(found) for name, found in parts.items()}
    except Exception:
        drops.internal_error("exchanging metrics between ranks")
        return mine


_Key = tuple[object, object, int | None, int]


def merge_ranks(rows: Iterable[SeriesRow], *, ddof: int = 0) -> list[SeriesRow]:
    """Return rows of a run with those of its ranks put together, as if one process had told them.

    Means, deviations and skewness are those of all values; counts and sums are added; what is one number a rank
    (`training_step/loss`) becomes its mean; `rollouts/returns_best_mean` is found anew. Names that are none of
    `TrainingMetrics`, and what differs by nature between ranks, stay as they are, with their ranks.

    Args:
        rows: of one run or several, in any order; of `StoreReader.series()`.
        ddof: as it was given to `TrainingMetrics`.

    Returns:
        Rows in order of step and time; those that were put together have no rank.
    """
    out: list[SeriesRow] = []
    together: dict[str, dict[_Key, list[SeriesRow]]] = defaultdict(lambda: defaultdict(list))
    seen: dict[tuple[object, ...], int] = defaultdict(int)
    for row in sorted(rows, key=lambda row: row.time_ns):
        if names.combined_by(row.name) is None or sc.RANK not in row.attributes:
            out.append(row)
            continue
        belongs = row.attributes.get(sc.RUN_ID), row.attributes.get(sc.RUN_ATTEMPT)
        one = (*belongs, row.name, row.step, row.attributes[sc.RANK])
        # The n-th value of a rank at a step belongs to the n-th of the others.
        together[row.name][(*belongs, row.step, seen[one])].append(row)
        seen[one] += 1
    for name, groups in together.items():
        for key, group in groups.items():
            if (value := _merged(name, group, key, together, ddof)) is not None:
                out.append(_without_rank(group, value))
    out.sort(key=lambda row: (row.step is None, row.step or 0, row.time_ns))
    _find_best(out)
    return out


def _merged(
    name: str,
    group: list[SeriesRow],
    key: _Key,
    together: Mapping[str, Mapping[_Key, list[SeriesRow]]],
    ddof: int,
) -> float | None:
    if len(group) == 1:
        return group[0].value
    values = [row.value for row in group]
    how = names.combined_by(name)
    if how == "moments":
        family, figure = names.FAMILY_OF[name]
        return _of_family(family, figure, values, key, together, ddof)
    if how == "sum":
        return sum(values)
    if how == "mean":
        return Moments.of(values).mean if len(values) > 1 else values[0]
    return max(values)


def _of_family(
    family: str,
    figure: str,
    values: list[float],
    key: _Key,
    together: Mapping[str, Mapping[_Key, list[SeriesRow]]],
    ddof: int,
) -> float | None:
    if figure in {names.COUNT, names.NON_FINITE, "sum"}:
        return sum(values)
    if figure in {"max", "min"}:
        return max(values) if figure == "max" else min(values)
    of_rank: dict[object, dict[str, float]] = defaultdict(dict)
    # Variance and skewness of advantages go with the mean that is told beside them.
    families = (names.ADVANTAGES, family) if family == names.DR_ADVANTAGES else (family,)
    for one in families:
        for told in (*names.FIGURES[one], names.COUNT):
            for row in together.get(names.figure_name(one, told), {}).get(key, ()):
                of_rank[row.attributes[sc.RANK]][told] = row.value
    moments = merged(Moments.from_figures(figures, ddof) for figures in of_rank.values())
    return moments.figure(figure, ddof)


def _without_rank(group: list[SeriesRow], value: float) -> SeriesRow:
    last = max(group, key=lambda row: row.time_ns)
    return replace(last, value=value, attributes={k: v for k, v in last.attributes.items() if k != sc.RANK})


def _find_best(rows: list[SeriesRow]) -> None:
    """Set best means right: the best of a mean is not the mean, nor the best, of the ranks' best ones."""
    mean_name = names.figure_name(names.RETURNS, "mean")
    best: dict[object, float] = {}
    best_by: dict[tuple[object, int | None], float] = {}
    for row in rows:
        if row.name == mean_name:
            run = row.attributes.get(sc.RUN_ID)
            best[run] = max(best.get(run, row.value), row.value)
            best_by[run, row.step] = best[run]
    for row in rows:
        if sc.RANK in row.attributes:
            continue
        run = row.attributes.get(sc.RUN_ID)
        if row.name == names.BEST_MEAN and (run, row.step) in best_by:
            row.value = best_by[run, row.step]
        elif row.name == names.FINAL_BEST_MEAN and run in best:
            row.value = best[run]
