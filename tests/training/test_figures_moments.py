"""Moments are those of Python's exact arithmetic, however the numbers are split, and whatever their offset."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.training.figures import Moments, merged

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: 0.0 if abs(x) < 1e-6 else x)
PARTS = st.lists(st.lists(NUMBERS, max_size=12), min_size=1, max_size=6)


def exact(values: list[float]) -> tuple[float, float, float]:
    """Mean, population variance and third central moment, computed in fractions."""
    numbers = [Fraction(value) for value in values]
    n = len(numbers)
    mean = sum(numbers) / n
    return (
        float(mean),
        float(sum((x - mean) ** 2 for x in numbers) / n),
        float(sum((x - mean) ** 3 for x in numbers) / n),
    )


def agree(found: Moments, values: list[float]) -> None:
    assert found.count == len(values)
    assert found.left_out == 0
    if not values:
        assert found.mean is None
        assert found.std() is None
        return
    mean, variance, third = exact(values)
    spread = max(values) - min(values)
    size = max(map(abs, values))
    assert found.mean == pytest.approx(mean, rel=1e-12, abs=1e-12 * size)
    assert found.variance() == pytest.approx(variance, rel=1e-9, abs=1e-12 * spread**2)
    assert found.cubes / len(values) == pytest.approx(third, rel=1e-9, abs=1e-10 * spread**3)
    assert found.total == pytest.approx(math.fsum(values), rel=1e-12, abs=1e-12 * size * len(values))
    assert (found.least, found.most) == (min(values), max(values))


@given(PARTS)
def test_numbers_split_in_any_way_give_what_they_give_at_once(parts: list[list[float]]) -> None:
    values = [value for part in parts for value in part]
    agree(Moments.of(values), values)
    agree(merged(map(Moments.of, parts)), values)
    one_by_one = Moments()
    for value in values:
        one_by_one.add(value)
    agree(one_by_one, values)


@given(PARTS, st.integers(0, 5))
def test_ranks_may_be_merged_in_any_order_and_by_way_of_plain_numbers(
    parts: list[list[float]], turn: int
) -> None:
    values = [value for part in parts for value in part]
    turned = parts[turn % len(parts) :] + parts[: turn % len(parts)]
    agree(merged(Moments.from_state(list(Moments.of(part).state())) for part in turned), values)


@pytest.mark.parametrize("offset", [1e9, 1e12, -1e15])
def test_a_huge_offset_costs_no_digits(offset: float) -> None:
    source = random.Random(0)
    values = [offset + source.randrange(64) / 8 for _ in range(5000)]
    found = merged(Moments.of(values[i : i + 7]) for i in range(0, len(values), 7))
    _, variance, third = exact(values)
    assert found.variance() == pytest.approx(variance, rel=1e-12)
    assert found.cubes / len(values) == pytest.approx(third, rel=1e-9, abs=1e-9)
    # what the textbook formula would make of it
    naive = math.fsum(x * x for x in values) / len(values) - found.mean**2
    assert abs(naive - variance) > 1e3 * abs(found.variance() - variance)


def test_figures_are_those_of_the_statistics_module() -> None:
    values = [0.5, 2.0, -1.0, 4.0, 4.0]
    found = Moments.of(values)
    assert found.figure("mean") == pytest.approx(statistics.fmean(values))
    assert found.figure("std") == pytest.approx(statistics.pstdev(values))
    assert found.figure("std", 1) == pytest.approx(statistics.stdev(values))
    assert found.figure("variance", 1) == pytest.approx(statistics.variance(values))
    _, variance, third = exact(values)
    assert found.figure("skewness") == pytest.approx(third / variance**1.5)
    assert [found.figure(name) for name in ("sum", "max", "min", "count")] == [9.5, 4.0, -1.0, 5]


def test_what_is_no_finite_number_is_left_out_and_counted() -> None:
    values = [1.0, math.nan, math.inf, -math.inf, None, "2", 3, True, 10**400]
    found = Moments.of(values)
    assert (found.count, found.left_out, found.total) == (3, 6, 5.0)
    more = Moments.of([math.nan])
    more.merge(found)
    assert (more.count, more.left_out, more.mean) == (3, 7, pytest.approx(5 / 3))


@pytest.mark.parametrize("values", [[], [math.nan], [None]])
def test_nothing_has_no_figures(values: list[object]) -> None:
    found = Moments.of(values)
    assert [found.figure(name) for name in ("sum", "mean", "std", "variance", "skewness", "max", "min")] == [
        None
    ] * 7


def test_no_spread_is_no_skewness_and_exactly_no_deviation() -> None:
    found = merged(Moments.of([0.1 + 1e9] * 3) for _ in range(100))
    assert (found.std(), found.skewness) == (0.0, None)
    assert Moments.of([7.0]).std(1) is None


def test_numbers_beyond_what_a_float_can_square_raise_nothing() -> None:
    found = Moments.of([1e308, -1e308, 1e308])
    found.merge(Moments.of([-1e308] * 4))
    assert (found.count, found.most) == (7, 1e308)
    found.std()
    assert found.skewness is None


def test_a_state_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="no state"):
        Moments.from_state((1.0, 2.0))
