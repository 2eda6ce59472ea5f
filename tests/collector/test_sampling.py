"""Which traces the gateway keeps: all that matter and a share of the rest, whole; and what comes late."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from otel_llm import semconv as sc
from tests.collector import fleet
from tests.collector.fleet import Collector, Span

pytestmark = pytest.mark.collector

SHARE = 0.2
ORDINARY = 2000

MATTERS: dict[str, dict[str, Any]] = {
    "asked for": {"attributes": {sc.FORCE_SAMPLE: True}},
    "error": {"error": "it failed"},
    "game": {"attributes": {sc.SCOPE_KIND: "game"}},
    "run": {"attributes": {sc.SCOPE_KIND: "training_run"}},
    "slow": {"seconds": 301.0},
    "slow call": {"seconds": 61.0, "attributes": {sc.PROVIDER_NAME: "openai"}},
    "expensive": {"attributes": {sc.COST_TOTAL: 0.5}},
    "high reward": {"attributes": {sc.SAMPLE_REWARD: 2.0}},
    "low reward": {"attributes": {sc.SAMPLE_REWARD: -2.5}},
    "whole number as reward": {"attributes": {sc.SAMPLE_REWARD: 3}},
    "high advantage": {"attributes": {sc.SAMPLE_ADVANTAGE: 2.1}},
    "low advantage": {"attributes": {sc.SAMPLE_ADVANTAGE: -2.1}},
    "loss not finite": {"attributes": {sc.TRAIN_PROBLEMS: ["loss_not_finite"]}},
    "reward missing": {"attributes": {sc.SAMPLE_PROBLEMS: ["reward_missing"]}},
    "invalid orders": {"attributes": {sc.ORDERS_INVALID_COUNT: 1}},
}
DOES_NOT: dict[str, dict[str, Any]] = {
    "ordinary call": {"seconds": 59.0, "attributes": {sc.PROVIDER_NAME: "openai", sc.COST_TOTAL: 0.49}},
    "ordinary rollout": {"attributes": {sc.SAMPLE_REWARD: 1.9, sc.SAMPLE_ADVANTAGE: -1.9}},
    "valid orders": {"attributes": {sc.ORDERS_INVALID_COUNT: 0, sc.ORDERS_VALID_COUNT: 9}},
    "long, but no call": {"seconds": 299.0},
}


def trace_of(special: dict[str, Any]) -> list[Span]:
    """A root and three children, the last of which is what is special."""
    root = Span("training_step", seconds=0.5)
    below = [Span("rollout", trace=root.trace, parent=root.id, seconds=0.1) for _ in range(2)]
    return [root, *below, Span("rollout", trace=root.trace, parent=root.id, **special)]


@pytest.fixture(scope="module")
def nothing_of_the_rest(collector: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with fleet.gateway(tmp_path_factory.mktemp("gateway"), KEEP_PERCENT="0") as gateway:
        yield gateway


def give(gateway: Collector, spans: list[Span]) -> None:
    assert fleet.post(gateway.otlp, fleet.encoded(spans), fleet.TOKEN) == 200


def decided(gateway: Collector) -> float:
    return gateway.own("otelcol_processor_tail_sampling_global_count_traces_sampled")


def test_a_trace_is_kept_whole_for_what_one_of_its_spans_is_and_no_other_is(
    nothing_of_the_rest: Collector,
) -> None:
    gateway = nothing_of_the_rest
    before = decided(gateway)
    wanted = {why: trace_of(special) for why, special in MATTERS.items()}
    others = {why: trace_of(special) for why, special in DOES_NOT.items()}
    for spans in (*wanted.values(), *others.values()):
        for span in spans:  # each by itself, as processes send them
            give(gateway, [span])
    fleet.eventually(lambda: decided(gateway) - before >= len(wanted) + len(others))
    fleet.eventually(lambda: len(fleet.kept(gateway)) >= 4 * len(wanted))
    left = fleet.kept(gateway)
    for why, spans in wanted.items():
        got = sorted(one.id for one in left if one.trace == spans[0].trace)
        assert got == sorted(span.id for span in spans), why
    traces = {one.trace for one in left}
    assert not [why for why, spans in others.items() if spans[0].trace in traces]


def test_of_the_rest_the_share_is_kept_that_was_asked_for(collector: str, tmp_path: Any) -> None:
    with fleet.gateway(tmp_path, KEEP_PERCENT=str(SHARE * 100)) as gateway:
        for _ in range(ORDINARY // 100):
            give(gateway, [span for _ in range(100) for span in trace_of({})[:2]])
        fleet.eventually(lambda: decided(gateway) >= ORDINARY)
        sampled = gateway.own("otelcol_processor_tail_sampling_global_count_traces_sampled", sampled="true")
        fleet.eventually(lambda: len(fleet.kept(gateway)) >= 2 * sampled)
        spans = fleet.kept(gateway)
    kept = {span.trace for span in spans}
    assert len(spans) == 2 * len(kept)  # whole
    # 99.9 % of all runs lie within 3.29 standard deviations of a binomial share.
    assert abs(len(kept) / ORDINARY - SHARE) < 3.29 * math.sqrt(SHARE * (1 - SHARE) / ORDINARY)


def test_the_metrics_count_every_span_whatever_is_kept(collector: str, tmp_path: Any) -> None:
    with fleet.gateway(tmp_path, KEEP_PERCENT="0") as gateway:
        give(gateway, [Span(f"chat {i % 3}", attributes={sc.REQUEST_MODEL: f"m{i % 3}"}) for i in range(90)])

        def counted() -> list[str]:
            body = (fleet.get(f"http://{gateway.metrics_at}/metrics") or b"").decode()
            return [line for line in body.splitlines() if line.startswith("traces_span_metrics_calls_total{")]

        fleet.eventually(lambda: sum(int(line.split()[-1]) for line in counted()) == 90)
        lines = counted()
        assert sorted(line.split()[-1] for line in lines) == ["30", "30", "30"]
        assert all('gen_ai_request_model="m' in line for line in lines)


# --- late -------------------------------------------------------------------------------------------------------------
def test_what_comes_after_the_decision_shares_it(nothing_of_the_rest: Collector) -> None:
    gateway = nothing_of_the_rest
    good, bad = trace_of({}), trace_of({"error": "it failed"})
    before = decided(gateway)
    for spans in (good, bad):
        give(gateway, spans)
    fleet.eventually(lambda: decided(gateway) >= before + 2)
    # An error that comes too late does not bring back what was let go; what was kept gets the rest.
    late_good = Span("late", trace=good[0].trace, parent=good[0].id, error="too late")
    late_bad = Span("late", trace=bad[0].trace, parent=bad[0].id)
    give(gateway, [late_good, late_bad])
    fleet.eventually(lambda: [one for one in fleet.kept(gateway) if one.id == late_bad.id])
    left = fleet.kept(gateway)
    assert {one.id for one in left if one.trace == bad[0].trace} == {span.id for span in bad} | {late_bad.id}
    assert not [one for one in left if one.trace == good[0].trace]


def test_a_trace_without_its_root_is_decided_when_the_wait_is_over(nothing_of_the_rest: Collector) -> None:
    gateway = nothing_of_the_rest  # it waits for 3 s, and for 1 s when the root is there
    spans = trace_of({"error": "it failed"})
    began = time.monotonic()
    give(gateway, spans[1:])
    fleet.eventually(lambda: [one for one in fleet.kept(gateway) if one.trace == spans[0].trace])
    assert 2.5 < time.monotonic() - began < 15
    give(gateway, spans[:1])  # the root, when the trace is long decided
    fleet.eventually(lambda: len([one for one in fleet.kept(gateway) if one.trace == spans[0].trace]) == 4)
    assert {one.id for one in fleet.kept(gateway) if one.trace == spans[0].trace} == {s.id for s in spans}


def test_an_error_that_comes_within_the_wait_counts_although_the_root_came_first(
    nothing_of_the_rest: Collector,
) -> None:
    gateway = nothing_of_the_rest
    spans = trace_of({"error": "it failed"})
    give(gateway, spans[:1])
    time.sleep(0.3)
    give(gateway, spans[1:])
    fleet.eventually(lambda: len([one for one in fleet.kept(gateway) if one.trace == spans[0].trace]) == 4)
    assert {one.id for one in fleet.kept(gateway) if one.trace == spans[0].trace} == {s.id for s in spans}


def test_clocks_that_disagree_neither_lose_nor_split_a_trace(nothing_of_the_rest: Collector) -> None:
    gateway = nothing_of_the_rest
    spans = trace_of({"error": "it failed"})
    now = time.time_ns()
    for span, hours in zip(spans, (0, -5, 5, 24 * 365), strict=True):
        span.start_ns = now + int(hours * 3600e9)
        give(gateway, [span])
    fleet.eventually(lambda: len([one for one in fleet.kept(gateway) if one.trace == spans[0].trace]) == 4)
    left = {
        one.id: int(one.raw["startTimeUnixNano"])
        for one in fleet.kept(gateway)
        if one.trace == spans[0].trace
    }
    assert left == {span.id: span.start_ns for span in spans}  # as they were told: nobody corrects them
    # By itself a wrong clock makes a trace look slow, which keeps it.
    skewed = [Span("a"), Span("b")]
    skewed[1].trace, skewed[1].start_ns = skewed[0].trace, now + int(3600e9)
    give(gateway, skewed)
    assert fleet.eventually(lambda: [one for one in fleet.kept(gateway) if one.trace == skewed[0].trace])


def test_an_endless_trace_is_let_go_and_counted(collector: str, tmp_path: Any) -> None:
    with fleet.gateway(tmp_path, KEEP_PERCENT="100", GATEWAY_TRACE_BYTES="200000") as gateway:
        endless = os.urandom(16).hex()
        for _ in range(10):
            give(gateway, [Span(trace=endless, attributes={sc.ERROR_MESSAGE: "x" * 3000}) for _ in range(20)])
        ordinary = Span("ordinary")
        give(gateway, [ordinary])
        fleet.eventually(lambda: fleet.kept(gateway))
        assert {one.trace for one in fleet.kept(gateway)} == {ordinary.trace}
        assert (
            fleet.eventually(lambda: gateway.own("otelcol_processor_tail_sampling_traces_dropped_too_large"))
            == 1
        )
