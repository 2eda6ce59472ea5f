"""Count, mean, spread and skewness of numbers, in one pass, and of several parts put together. Imports nothing of ours.

Central moments are kept as in Pébay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-
order statistical moments" (SAND2008-6212), relative to a value among the numbers: a large offset costs no digits, and
numbers split over batches and ranks in any way give what they give all at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

State = tuple[float, ...]
"""Moments as plain numbers, to be sent to other ranks."""

_FIELDS: Final = 9


@dataclass(slots=True)
class Moments:
    """What is known of some numbers.

    Attributes:
        count: how many finite numbers there are.
        left_out: how many items there were besides: NaN, infinities, and what is no number.
        least: the smallest; infinity where there are none.
        most: the largest; minus infinity where there are none.
        total: their sum.
        shift: one of them; the mean is `shift + offset`.
        offset: mean of the differences from `shift`.
        squares: sum of squared differences from the mean.
        cubes: sum of cubed differences from the mean.
    """

    count: int = 0
    left_out: int = 0
    least: float = math.inf
    most: float = -math.inf
    total: float = 0.0
    shift: float = 0.0
    offset: float = 0.0
    squares: float = 0.0
    cubes: float = 0.0

    @classmethod
    def of(cls, values: Iterable[object]) -> Moments:
        """Return the moments of values; what is no finite number is left out and counted. Never raises."""
        numbers: list[float] = []
        n = 0
        for n, value in enumerate(values, 1):  # noqa: B007 (counts)
            if (number := _finite(value)) is not None:
                numbers.append(number)
        made = cls(count=len(numbers), left_out=n - len(numbers))
        if numbers:
            made._fill(numbers)
        return made

    def _fill(self, numbers: Sequence[float]) -> None:
        self.least, self.most, self.total = min(numbers), max(numbers), _sum(numbers)
        self.shift = shift = numbers[0]
        away = [number - shift for number in numbers]
        self.offset = offset = _sum(away) / len(numbers)
        rest = [one - offset for one in away]
        self.squares = _sum([one * one for one in rest])
        self.cubes = _sum([one * one * one for one in rest])

    def add(self, value: object) -> None:
        """Take one more value in."""
        self.merge(Moments.of((value,)))

    def merge(self, other: Moments) -> None:
        """Take in what is known of other numbers."""
        self.left_out += other.left_out
        if not other.count:
            return
        if not self.count:
            left_out = self.left_out
            for name in self.__slots__:
                setattr(self, name, getattr(other, name))
            self.left_out = left_out
            return
        a, b = self.count, other.count
        n = a + b
        apart = (other.shift - self.shift) + (other.offset - self.offset)
        self.cubes += (
            other.cubes
            + apart * apart * apart * a * b * (a - b) / n / n
            + 3.0 * apart * (a * other.squares - b * self.squares) / n
        )
        self.squares += other.squares + apart * apart * a * b / n
        self.offset += apart * b / n
        self.count = n
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)

    @property
    def mean(self) -> float | None:
        """Their mean; None where there are none."""
        return self.shift + self.offset if self.count else None

    def variance(self, ddof: int = 0) -> float | None:
        """Return the mean squared difference from the mean; None where there are too few.

        Args:
            ddof: 0 for that of these numbers, 1 for an estimate of what they were drawn from.
        """
        return self.squares / (self.count - ddof) if self.count > ddof else None

    def std(self, ddof: int = 0) -> float | None:
        """Return the square root of the variance."""
        found = self.variance(ddof)
        return None if found is None else math.sqrt(max(0.0, found))

    @property
    def skewness(self) -> float | None:
        """Fisher and Pearson's moment coefficient, `m3 / m2**1.5`; None where nothing is spread."""
        if not self.squares > 0 or math.isinf(self.squares):
            return None
        return self.cubes / self.squares / math.sqrt(self.squares / self.count)

    def figure(self, name: str, ddof: int = 0) -> float | None:
        """Return one figure by its name: `sum`, `mean`, `std`, `variance`, `skewness`, `max`, `min`, `count`."""
        if name == "count":
            return self.count
        if not self.count:
            return None
        if name in {"std", "variance"}:
            return self.std(ddof) if name == "std" else self.variance(ddof)
        found: float | None = getattr(self, _ATTRIBUTES[name])
        return found

    def state(self) -> State:
        """Return it as plain numbers."""
        return tuple(getattr(self, name) for name in self.__slots__)

    @classmethod
    def from_state(cls, state: Sequence[float]) -> Moments:
        """Return what `state` said.

        Raises:
            ValueError: it is no state.
        """
        if len(state) != _FIELDS:
            raise ValueError(f"{state!r} is no state of moments")
        count, left_out, *rest = state
        return cls(int(count), int(left_out), *map(float, rest))

    @classmethod
    def from_figures(cls, figures: Mapping[str, float], ddof: int = 0) -> Moments:
        """Return moments that have these figures, as far as they tell: `count` and `mean`, and what else there is."""
        count = int(figures.get("count", 0))
        if count < 1 or "mean" not in figures:
            return cls()
        mean = figures["mean"]
        variance = figures.get("variance", figures.get("std", 0.0) ** 2)
        squares = variance * max(0, count - ddof)
        cubes = figures.get("skewness", 0.0) * squares * math.sqrt(squares / count)
        return cls(
            count,
            0,
            figures.get("min", math.inf),
            figures.get("max", -math.inf),
            figures.get("sum", mean * count),
            mean,
            0.0,
            squares,
            cubes,
        )


_ATTRIBUTES: Final = {"sum": "total", "mean": "mean", "skewness": "skewness", "max": "most", "min": "least"}


def merged(parts: Iterable[Moments]) -> Moments:
    """Return the moments of all numbers of several parts."""
    made = Moments()
    for part in parts:
        made.merge(part)
    return made


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _sum(numbers: Sequence[float]) -> float:
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):  # beyond what a float can say
        return sum(numbers)
