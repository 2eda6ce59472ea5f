"""Percentiles, means and correlations of plain numbers. Standard library only; nothing here raises.

Numbers that are None, NaN or infinite count as not there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MIN_PAIRS: Final = 3
"""Two points always lie on a line: below three pairs no correlation is told."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How some numbers are spread; in their own unit.

    Attributes:
        n: how many there are.
        mean: their arithmetic mean.
        p50: the median.
        p90: what nine of ten do not exceed; see `percentile`.
        p99: what 99 of a hundred do not exceed.
        max: the largest.
    """

    n: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Distribution | None:
        """Return the distribution of some numbers; None where there are none."""
        ordered = sorted(finite(values))
        if not ordered:
            return None
        return cls(
            n=len(ordered),
            mean=sum(value / len(ordered) for value in ordered),
            p50=percentile(ordered, 0.5),
            p90=percentile(ordered, 0.9),
            p99=percentile(ordered, 0.99),
            max=ordered[-1],
        )


@dataclass(frozen=True, slots=True)
class Correlation:
    """How two measures go together.

    Attributes:
        n: pairs of which both numbers are known.
        pearson: how near to a line they lie, -1 to 1; None for fewer than three pairs, or where one measure is
            always the same.
        spearman: the same of their ranks, so of any rising or falling curve; equal numbers share a mean rank.
    """

    n: int
    pearson: float | None
    spearman: float | None

    @classmethod
    def of(cls, pairs: Iterable[tuple[float | None, float | None]]) -> Correlation:
        """Return the correlation of pairs; those with a number that is not there are left out."""
        known = [
            (float(x), float(y))
            for x, y in pairs
            if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
        ]
        xs, ys = [x for x, _ in known], [y for _, y in known]
        return cls(len(known), _pearson(xs, ys), _pearson(ranks(xs), ranks(ys)))


def finite(values: Iterable[float | None]) -> list[float]:
    """Return the numbers that are there."""
    return [value for value in values if value is not None and math.isfinite(value)]


def mean(values: Iterable[float | None]) -> float | None:
    """Return the arithmetic mean of the numbers that are there; None for none."""
    known = finite(values)
    return sum(value / len(known) for value in known) if known else None


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile by linear interpolation between the two nearest numbers.

    This is definition 7 of Hyndman and Fan (1996), the default of NumPy, R and spreadsheets: position
    `share * (n - 1)` among the numbers counted from 0.

    Args:
        ordered: finite numbers, rising; at least one.
        share: 0 to 1.
    """
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    rest = position - below
    low, high = ordered[below], ordered[above]
    # Between the two whatever rounding does, and so rising with the share.
    return min(high, max(low, low * (1 - rest) + high * rest)) if rest else low


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each number, from 1 for the smallest; equal numbers share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and values[order[end + 1]] == values[order[begin]]:
            end += 1
        for index in order[begin : end + 1]:
            found[index] = (begin + end) / 2 + 1
        begin = end + 1
    return found


def _pearson(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    if len(xs) < MIN_PAIRS or min(xs) == max(xs) or min(ys) == max(ys):
        return None
    dx, dy = _centred(xs), _centred(ys)
    across = math.sqrt(math.fsum(x * x for x in dx)) * math.sqrt(math.fsum(y * y for y in dy))
    if not across:
        return None
    found = math.fsum(x * y for x, y in zip(dx, dy, strict=True)) / across
    return max(-1.0, min(1.0, found))


def _centred(values: Sequence[float]) -> list[float]:
    """Return the distances from the mean, in units that neither overflow nor vanish."""
    largest = max(abs(value) for value in values)
    scaled = [value / largest for value in values]
    middle = math.fsum(scaled) / len(scaled)
    distances = [value - middle for value in scaled]
    widest = max(abs(distance) for distance in distances)
    return [distance / widest for distance in distances] if widest else distances
