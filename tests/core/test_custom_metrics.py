"""Metrics of the program's own, over its calls and scopes, through a real MeterProvider."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import otel_llm
from otel_llm import Record, custom_metrics, drops, hooks, testing
from otel_llm.store import StoreReader
from tests.core.test_hooks import client
from tests.core.test_instruments import points
from tests.http.payloads import URL, request


@pytest.fixture
def reader() -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    return reader


@pytest.fixture
def define() -> Iterator[Callable[..., None]]:
    removes: list[Callable[[], None]] = []
    yield lambda *args, **more: removes.append(otel_llm.define_metric(*args, **more))
    for remove in removes:
        remove()
    assert not hooks.active


def play(*, powers: tuple[str, ...] = ("FRANCE",), **more: Any) -> None:
    with testing.capture() as captured:
        for power in powers:
            with otel_llm.interaction("order", power=power, **more):
                pass
        captured.spans()


def test_an_attribute_becomes_a_counter_with_labels(
    reader: InMemoryMetricReader, define: Callable[..., None]
) -> None:
    define(
        "my.orders",
        of="interaction",
        value="game.orders.valid_count",
        kind="counter",
        unit="{order}",
        description="Valid orders.",
        labels=("game.power.name", "nobody.has.this"),
    )
    play(powers=("FRANCE", "FRANCE", "ITALY"), valid_orders=3)
    found = {
        dict(p.attributes)["game.power.name"]: (p.value, dict(p.attributes))
        for p in points(reader)["my.orders"]
    }
    assert found == {
        "FRANCE": (6, {"game.power.name": "FRANCE"}),
        "ITALY": (3, {"game.power.name": "ITALY"}),
    }


def test_a_function_becomes_a_histogram_with_buckets_of_ones_own(
    reader: InMemoryMetricReader, define: Callable[..., None]
) -> None:
    def tokens_a_second(record: Record) -> float | None:
        tokens = record.attributes.get("gen_ai.usage.output_tokens")
        return tokens / record.duration_s if isinstance(tokens, int) and record.duration_s else None

    define("my.speed", of="call", value=tokens_a_second, buckets=(1, 10, 100))
    with testing.capture() as captured:
        client().post(URL, json=request())
        client(429).post(URL, json=request())
        captured.spans()
    (point,) = points(reader)["my.speed"]
    assert point.count == 1  # the failed call has no tokens
    assert point.sum > 0
    assert point.explicit_bounds == (1, 10, 100)


def test_without_a_value_spans_are_counted_or_timed_and_a_gauge_keeps_the_last(
    reader: InMemoryMetricReader, define: Callable[..., None]
) -> None:
    define("my.count", of=("interaction", "tool"), kind="counter")
    define("my.time", of="interaction")
    define("my.last", value="game.training.reward", kind="gauge")
    with testing.capture() as captured:
        for reward in (0.25, 0.75):
            with otel_llm.interaction("order", reward=reward), otel_llm.tool("t"):
                pass
        captured.spans()
        found = points(reader)
    assert found["my.count"][0].value == 4
    assert found["my.time"][0].count == 2
    assert found["my.last"][0].value == 0.75


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, 2),
        (2.5, 2.5),
        (True, 1),
        (False, 0),
        (None, None),
        ("7", None),
        (math.nan, None),
        (math.inf, None),
        ([1], None),
    ],
)
def test_only_finite_numbers_are_recorded(
    reader: InMemoryMetricReader, define: Callable[..., None], value: Any, expected: float | None
) -> None:
    define("my.value", value=lambda _record: value, kind="gauge")
    play()
    found = points(reader).get("my.value")
    assert (found[0].value if found else None) == expected
    assert drops.counts() == {}


def test_a_counter_takes_nothing_negative_and_a_function_that_fails_is_counted_and_said_once(
    reader: InMemoryMetricReader, define: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    define("my.negative", value=lambda _record: -1, kind="counter")
    define("my.broken", value=lambda record: record.attributes["nobody has this"])
    play(powers=("FRANCE", "ITALY"))
    assert drops.counts() == {("metric", "negative"): 2, ("metric", "failed"): 2}
    assert caplog.text.count("my.broken") == 1
    assert "my.broken" not in points(reader)


def test_the_number_of_label_sets_is_bounded(
    reader: InMemoryMetricReader, define: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_metrics, "MAX_LABELS", 10)
    define("my.many", kind="counter", labels=("game.power.name",))
    play(powers=tuple(f"P{n}" for n in range(25)))
    found = points(reader)["my.many"]
    assert len(found) == 11
    assert sum(point.value for point in found) == 25  # the total is right all the same
    (rest,) = [point for point in found if dict(point.attributes) == {"otel.metric.overflow": True}]
    assert rest.value == 15
    assert drops.counts() == {("metric_label", "cardinality"): 15}


def test_labels_may_be_of_any_kind_and_are_short(
    reader: InMemoryMetricReader, define: Callable[..., None]
) -> None:
    keys = ("a.text", "a.flag", "a.float", "a.list")
    define("my.labels", kind="counter", labels=keys)
    play(attributes={"a.text": "x" * 1000, "a.flag": True, "a.float": 0.5, "a.list": ["p", "q"]})
    (point,) = points(reader)["my.labels"]
    assert dict(point.attributes) == {"a.text": "x" * 128, "a.flag": True, "a.float": "0.5", "a.list": "p,q"}


def test_a_metric_may_be_defined_while_instrumented_again_and_be_taken_away(
    reader: InMemoryMetricReader, define: Callable[..., None]
) -> None:
    with testing.capture() as captured:
        define("my.again", value=lambda _record: 1, kind="counter")
        define("my.again", value=lambda _record: 10, kind="counter")
        remove = otel_llm.define_metric("my.gone", kind="counter")
        remove()
        with otel_llm.interaction("order"):
            pass
        captured.spans()
        found = points(reader)
    assert found["my.again"][0].value == 10
    assert "my.gone" not in found


def test_metrics_move_to_a_provider_that_the_program_sets_later(define: Callable[..., None]) -> None:
    define("my.moving", kind="counter")
    otel_llm.instrument(store=None)
    with otel_llm.interaction("order"):
        pass
    otel_llm.force_flush()
    reader = InMemoryMetricReader()
    from opentelemetry.metrics import _internal as metrics_internal
    from opentelemetry.util._once import Once

    metrics_internal._METER_PROVIDER_SET_ONCE = Once()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    with otel_llm.interaction("order"):
        pass
    otel_llm.force_flush()
    assert points(reader)["my.moving"][0].value == 1


def test_without_a_provider_of_the_programs_own_they_are_in_the_local_store(
    define: Callable[..., None],
) -> None:
    define("my.stored", kind="counter", labels=("game.power.name",))
    otel_llm.instrument(store="runs")
    with otel_llm.interaction("order", power="FRANCE"):
        pass
    otel_llm.shutdown()
    stored = list(StoreReader(Path("runs")).points("my.stored"))
    assert stored[-1].value == 1
    assert stored[-1].attributes["game.power.name"] == "FRANCE"


@pytest.mark.parametrize("name", ["", "1x", "a b", "ä", "x" * 300, "gen_ai.client.inference.duration"])
def test_a_name_that_is_no_metrics_or_is_ours_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a metric's name"):
        otel_llm.define_metric(name)


def test_other_mistakes_are_refused_too() -> None:
    with pytest.raises(ValueError, match="histogram, counter or gauge"):
        otel_llm.define_metric("x", kind="summary")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no kind turns"):
        otel_llm.define_metric("x", of="turns")
    with pytest.raises(TypeError, match="an attribute or a function"):
        otel_llm.define_metric("x", value=3)  # type: ignore[arg-type]
