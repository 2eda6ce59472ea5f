"""Curves and distributions out of step series and metric points."""

from __future__ import annotations

import itertools
import math

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from otel_llm import semconv as sc
from otel_llm.store.metrics import point_rows
from otel_llm.store.rows import PointRow, SeriesRow
from otel_llm.views import curves
from otel_llm.views.model import Histogram, Scalar


def points(record, **options):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False, **options)
    record(provider.get_meter("test"))
    rows = list(point_rows(reader.get_metrics_data()))
    provider.shutdown()
    return [made for row in rows for made in curves.of_point(row)]


def test_a_series_keeps_its_exact_value_step_and_time():
    for value in (0.1 + 0.2, 2**60 + 1, -0.0, math.inf):
        found = curves.of_series(SeriesRow("training/loss", 7, value, 123, {sc.RUN_ID: "r"}))
        assert found == Scalar("training/loss", value, "training/global_step", 7, 123, {sc.RUN_ID: "r"})
        assert repr(found.value) == repr(value)
    assert math.isnan(curves.of_series(SeriesRow("loss", None, math.nan, 1)).value)


def test_the_step_is_named_after_the_space():
    assert [curves.step_field(name) for name in ("loss", "training/loss", "inference/e2e/speed")] == [
        "global_step",
        "training/global_step",
        "inference/global_step",
    ]


def test_ranks_are_curves_of_their_own_and_rank_0_is_the_run():
    names = [curves.of_series(SeriesRow("training/loss", 1, 1.0, 1, {"rank": rank})).name for rank in (0, 3)]
    assert names == ["training/loss", "training/loss/rank=3"]


def test_labels_tell_curves_apart_and_hold_no_further_levels():
    def record(meter):
        counter = meter.create_counter("game.interaction.tokens")
        counter.add(3, {"game.power.name": "FRANCE", "gen_ai.request.model": "gpt-4.1"})
        counter.add(5, {"game.power.name": "FRANCE", "gen_ai.request.model": "a/b"})

    assert [(s.name, s.value) for s in points(record)] == [
        ("game/interaction/tokens/power=FRANCE/model=gpt-4_1", 3),
        ("game/interaction/tokens/power=FRANCE/model=a_b", 5),
    ]


def test_a_gauge_that_repeats_a_series_is_no_second_curve_and_a_distribution_of_its_values_is_one():
    told = {sc.SERIES_SOURCE: "wandb", sc.SERIES_RUN: "r1"}

    def record(meter):
        meter.create_gauge("training/loss").set(1.0, told)
        meter.create_gauge("temperature").set(2.0)
        meter.create_histogram("reward/format").record(0.5, told)

    names = [made.name for made in points(record)]
    assert names[0] == "temperature"
    assert all(name.startswith("reward/format/") for name in names[1:])


def test_a_histogram_is_a_distribution_and_two_curves():
    def record(meter):
        histogram = meter.create_histogram("reward", explicit_bucket_boundaries_advisory=[1, 2, 4])
        for value in (0.25, 1.5, 1.75, 5.0):
            histogram.record(value)

    distribution, count, mean = points(record)
    assert isinstance(distribution, Histogram)
    assert (distribution.counts, distribution.edges) == ((1, 2, 0, 1), (0.25, 1, 2, 4, 5.0))
    assert (count.name, count.value, mean.name, mean.value) == ("reward/count", 4, "reward/mean", 8.5 / 4)


def test_empty_buckets_at_the_ends_are_left_out():
    def record(meter):
        meter.create_histogram("t", explicit_bucket_boundaries_advisory=[1, 2, 4, 8]).record(3.0)

    assert (points(record)[0].counts, points(record)[0].edges) == ((1,), (3.0, 4))


def test_an_exponential_histogram_has_growing_edges_around_all_values():
    def record(meter):
        histogram = meter.create_histogram("t")
        for value in (0.0, 0.0, 0.3, 1.0, 100.0):
            histogram.record(value)

    view = View(instrument_name="t", aggregation=ExponentialBucketHistogramAggregation())
    distribution = points(record, views=[view])[0]
    edges = distribution.edges
    assert sum(distribution.counts) == 5
    assert len(edges) == len(distribution.counts) + 1
    assert all(low < high for low, high in itertools.pairwise(edges))
    assert all(math.isfinite(edge) for edge in edges)
    assert edges[0] <= 0.0
    assert edges[-1] >= 100.0


def test_an_exponential_histogram_of_negative_values_is_in_order():
    value = {
        "count": 6,
        "sum": -1.0,
        "min": -7.0,
        "max": 3.0,
        "scale": 0,
        "zero_count": 1,
        "negative": {"offset": 1, "bucket_counts": (1, 2)},  # (-4, -2], (-8, -4]
        "positive": {"offset": 0, "bucket_counts": (0, 2)},  # (2, 4]
    }
    (distribution, *_) = curves.of_point(PointRow("t", "exponential_histogram", value))
    assert distribution.counts == (2, 1, 1, 0, 2)
    assert distribution.edges == (-7.0, -4.0, -2.0, 1.0, 2.0, 3.0)
