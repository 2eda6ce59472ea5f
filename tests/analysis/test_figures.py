"""Percentiles, means and correlations."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.analysis.figures import Correlation, Distribution, mean, percentile, ranks

numbers = st.floats(-1e6, 1e6, allow_nan=False)
anything = st.one_of(st.none(), st.floats(), st.integers(-(10**6), 10**6))


def test_a_distribution_worked_out_by_hand():
    found = Distribution.of([4.0, 1.0, 3.0, 2.0])
    assert found == Distribution(
        n=4, mean=2.5, p50=2.5, p90=pytest.approx(3.7), p99=pytest.approx(3.97), max=4.0
    )


def test_one_number_is_its_own_distribution():
    assert Distribution.of([7.0]) == Distribution(1, 7.0, 7.0, 7.0, 7.0, 7.0)


def test_numbers_that_are_not_there_do_not_count():
    assert Distribution.of([None, math.nan, math.inf, 2.0]) == Distribution(1, 2.0, 2.0, 2.0, 2.0, 2.0)
    assert Distribution.of([None, math.nan]) is None
    assert mean([None, 1.0, 2.0]) == 1.5
    assert mean([]) is None


@given(st.lists(numbers, min_size=2, max_size=60))
def test_percentiles_are_those_of_pythons_inclusive_method(values):
    ordered = sorted(values)
    cuts = statistics.quantiles(ordered, n=100, method="inclusive")
    for share, expected in ((0.5, cuts[49]), (0.9, cuts[89]), (0.99, cuts[98])):
        assert percentile(ordered, share) == pytest.approx(expected, abs=1e-6)


@given(st.lists(anything, max_size=40))
def test_percentiles_rise_and_stay_within_the_numbers(values):
    found = Distribution.of(values)
    if found is not None:
        assert found.p50 <= found.p90 <= found.p99 <= found.max


def test_equal_numbers_share_their_mean_rank():
    assert ranks([10.0, 20.0, 10.0, 30.0, 10.0]) == [2.0, 4.0, 2.0, 5.0, 2.0]
    assert ranks([]) == []


def test_a_correlation_worked_out_by_hand():
    # x - 2.5 = -1.5 -0.5 0.5 1.5; y - 3 = -2 -1 1 2; sums of products 7, of squares 5 and 10.
    found = Correlation.of([(1, 1), (2, 2), (3, 4), (4, 5)])
    assert found.n == 4
    assert found.pearson == pytest.approx(7 / math.sqrt(50))
    assert found.spearman == pytest.approx(1.0)


def test_a_curve_that_only_rises_has_spearman_one_and_pearson_less():
    found = Correlation.of([(x, x**5) for x in range(1, 9)])
    assert found.spearman == pytest.approx(1.0)
    assert 0.7 < found.pearson < 0.95


def test_opposites_correlate_negatively():
    assert Correlation.of([(x, -x) for x in range(5)]) == Correlation(
        5, pytest.approx(-1.0), pytest.approx(-1.0)
    )


@pytest.mark.parametrize(
    "pairs", [[], [(1, 1)], [(1, 1), (2, 2)], [(0.1, 1), (0.1, 2), (0.1, 3)], [(1, 5)] * 9]
)
def test_too_few_pairs_or_a_constant_tell_nothing(pairs):
    assert Correlation.of(pairs) == Correlation(len(pairs), None, None)


def test_pairs_with_a_number_that_is_not_there_are_left_out():
    pairs = [(1, 1), (2, None), (None, 3), (math.nan, 4), (5, math.inf), (2, 2), (3, 3)]
    assert Correlation.of(pairs) == Correlation(3, pytest.approx(1.0), pytest.approx(1.0))


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_very_large_and_very_small_numbers_correlate_alike(scale):
    found = Correlation.of([(x * scale, y * scale) for x, y in ((1, 1), (2, 2), (3, 4), (4, 5))])
    assert found.pearson == pytest.approx(7 / math.sqrt(50))


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=40))
def test_pearson_is_pythons(pairs):
    found = Correlation.of(pairs).pearson
    xs, ys = zip(*pairs, strict=True)
    spread = min(max(xs) - min(xs), max(ys) - min(ys))
    if spread > 1e-3:  # below, the reference loses its digits
        assert found == pytest.approx(statistics.correlation(xs, ys), abs=1e-5)


@given(st.lists(st.tuples(anything, anything), max_size=40))
def test_no_input_is_an_error_and_no_correlation_beyond_one(pairs):
    found = Correlation.of(pairs)
    for value in (found.pearson, found.spearman):
        assert value is None or -1 <= value <= 1
