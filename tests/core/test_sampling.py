"""How much exporters get, and which units: whose weights add up to the truth."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from otel_llm import Settings, SettingsError
from otel_llm.sampling.strata import Sampler, Unit, spread
from otel_llm.sampling.targets import Sampling, Target


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the setting ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "otlp", "other"),
    [
        ("0.1", Target(share=0.1), Target(share=0.1)),
        (0.1, Target(share=0.1), Target(share=0.1)),
        ("otlp=50/s", Target(per_second=50), None),
        ("otlp = 600/m ; early=8;decay=100, console=off", Target(per_second=10, early=8, decay=100), None),
        ("20%,otlp=3600/h", Target(per_second=1), Target(share=0.2)),
        ("0.5;early=1", Target(share=0.5, early=1), Target(share=0.5, early=1)),
        ({"otlp": 0.2, "wandb": "10/s"}, Target(share=0.2), None),
        ("0.1,otlp=all", None, Target(share=0.1)),
    ],
)
def test_the_setting_says_how_much_each_exporter_gets(given: Any, otlp: Any, other: Any) -> None:
    found = Settings.resolve({"sampling": given}, {}).sampling
    assert found is not None
    assert (found.of("otlp"), found.of("other")) == (otlp, other)
    if isinstance(given, str):
        assert Settings.resolve({}, {"OTEL_LLM_SAMPLING": given}).sampling == found
    assert Sampling.parse(str(found)) == found


@pytest.mark.parametrize("given", [None, "off", "none", "1", "100%", "otlp=off", {}, {"otlp": None}])
def test_no_sampling_is_no_sampling_however_it_is_said(given: Any) -> None:
    assert Settings.resolve({"sampling": given}, {}).sampling is None


@pytest.mark.parametrize(
    "given",
    [
        "0",
        "-1",
        "2",
        "50/d",
        "many",
        "nan",
        "0.1;late=3",
        "0.1;early=0.5",
        True,
        [0.1],
        {"otlp": "x"},
        "=0.1",
        "inf/s",
    ],
)
def test_what_is_no_amount_gives_one_clear_error(given: Any) -> None:
    with pytest.raises(SettingsError, match=r"sampling is .*share .* or a rate"):
        Settings.resolve({"sampling": given}, {})


def test_the_local_store_is_not_sampled() -> None:
    with pytest.raises(SettingsError, match="store keeps everything"):
        Settings.resolve({"sampling": "store=0.1"}, {})


# --- the decision ---------------------------------------------------------------------------------
def stream(n: int, per_second: float, clock: Clock, seed: int = 7) -> Iterator[tuple[Unit, int]]:
    """Units as a training run has them (types, latencies and token counts that are skewed), and their tokens."""
    rng = random.Random(seed)
    for _ in range(n):
        clock.now += rng.expovariate(per_second)
        kind = rng.choices("abcdef", [60, 20, 10, 5, 4, 1])[0]
        duration = int(rng.lognormvariate(0, 1) * 1e9)
        unit = Unit(kind, rng.getrandbits(64), duration, failed=rng.random() < 0.01)
        yield unit, int(rng.lognormvariate(6, 1) * (1 + ord(kind) - ord("a")))


@pytest.mark.parametrize("target", ["10/s", "0.1", "0.03"])
def test_weighted_totals_of_20_000_units_are_the_true_totals_and_the_rate_is_near_the_target(
    target: str,
) -> None:
    clock = Clock()
    sampler = Sampler(Target.parse(target) or Target(), clock)
    tokens = units = 0
    estimated_tokens = estimated_units = variance_tokens = variance_units = kept = failed = 0.0
    for unit, size in stream(20_000, 100, clock):
        verdict = sampler.judge(unit)
        tokens += size
        units += 1
        failed += unit.failed
        if verdict.keep:
            kept += 1
            w = verdict.weight
            assert (w == 1.0) if verdict.reason != "share" else (w >= 1.0)
            estimated_tokens += w * size
            estimated_units += w
            variance_tokens += w * (w - 1) * size**2  # of a Horvitz-Thompson estimate, estimated
            variance_units += w * (w - 1)
            failed -= verdict.reason == "error"
    assert failed == 0  # each of them was kept
    assert abs(estimated_tokens - tokens) < 4 * math.sqrt(variance_tokens)
    assert abs(estimated_units - units) < 4 * math.sqrt(variance_units)
    assert abs(estimated_tokens / tokens - 1) < 0.2  # and that bound says something
    wanted = {"10/s": 0.1, "0.1": 0.1, "0.03": 0.03}[target]
    assert kept / units == pytest.approx(wanted, rel=0.25)
    assert sampler.kept == kept
    assert sampler.kept + sampler.dropped == units


def test_the_kept_rate_follows_a_volume_that_rises_tenfold() -> None:
    clock, kept = Clock(), []
    sampler = Sampler(Target(per_second=5), clock)
    for per_second in (20, 200):
        start = clock.now
        verdicts = [sampler.judge(unit) for unit, _ in stream(int(120 * per_second), per_second, clock)]
        kept.append(sum(v.keep for v in verdicts[len(verdicts) // 2 :]) / ((clock.now - start) / 2))
    # Errors alone are 2 a second in the end; they come first, and never push out all of the rest.
    assert kept[0] == pytest.approx(5, rel=0.3)
    assert kept[1] == pytest.approx(5, rel=0.5)


def test_small_strata_are_kept_whole_and_large_ones_pay_for_it() -> None:
    clock = Clock()
    sampler = Sampler(Target(share=0.2), clock)
    seen, kept = Counter[str](), Counter[str]()
    for unit, _ in stream(10_000, 50, clock):
        seen[str(unit.stratum)] += 1
        kept[str(unit.stratum)] += sampler.judge(unit).keep
    assert kept["f"] > 0.9 * seen["f"]
    assert kept["a"] < 0.2 * seen["a"]


def warm(sampler: Sampler, clock: Clock, n: int = 1000) -> None:
    rng = random.Random(1)
    for _ in range(n):
        clock.now += 0.01
        sampler.judge(Unit("order", rng.getrandbits(64), int(rng.uniform(0.8, 1.2) * 1e9)))


def test_what_is_slow_for_its_kind_is_kept() -> None:
    clock = Clock()
    sampler = Sampler(Target(share=0.01), clock)
    warm(sampler, clock)
    for n in range(20):
        assert sampler.judge(Unit("order", n, 10 * 10**9)) == (True, 1.0, "slow")
    assert sampler.judge(Unit("order", 2**64 - 1, 10**9)).reason == "share"


def test_what_was_not_seen_for_long_is_rare_again() -> None:
    clock = Clock()
    sampler = Sampler(Target(share=0.01), clock)
    assert {sampler.judge(Unit("plan", n, 10**9)).reason for n in range(10)} == {"rare"}
    assert sampler.judge(Unit("plan", 10, 10**9)).reason == "share"
    clock.now += 3600
    assert sampler.judge(Unit("plan", 11, 10**9)).reason == "rare"


def test_what_failed_or_was_asked_for_is_kept_whatever_the_target() -> None:
    clock = Clock()
    sampler = Sampler(Target(share=0.001), clock)
    warm(sampler, clock)
    assert sampler.judge(Unit("order", 1, 10**9, failed=True)) == (True, 1.0, "error")
    assert sampler.judge(Unit("order", 1, 10**9, forced=True)) == (True, 1.0, "forced")


def test_more_is_kept_early_in_training() -> None:
    kept = []
    for episode in (0, 32, 10_000):
        clock = Clock()
        sampler = Sampler(Target(share=0.05, early=4, decay=32), clock)
        rng = random.Random(3)
        verdicts = []
        for _ in range(4000):
            clock.now += 0.01
            verdicts.append(sampler.judge(Unit("order", rng.getrandbits(64), 10**9, progress=episode)))
        kept.append(sum(v.keep for v in verdicts[1000:]) / 3000)
        assert sum(v.weight for v in verdicts) == pytest.approx(4000, rel=0.2)
    assert kept[0] == pytest.approx(0.2, rel=0.25)
    assert kept[1] == pytest.approx(0.125, rel=0.25)
    assert kept[2] == pytest.approx(0.05, rel=0.3)


def test_decisions_depend_on_ids_alone_and_draw_no_random_numbers() -> None:
    def run() -> list[bool]:
        clock = Clock()
        sampler = Sampler(Target(share=0.1), clock)
        return [sampler.judge(unit).keep for unit, _ in stream(2000, 100, clock)]

    before = random.getstate()
    assert run() == run()
    assert random.getstate() == before


def test_ids_are_spread_evenly_even_if_they_are_consecutive() -> None:
    buckets = Counter(int(spread(n) * 10) for n in range(10_000))
    assert set(buckets) == set(range(10))
    assert all(800 < n < 1200 for n in buckets.values())
    assert spread(1 << 100) != spread(1 << 101)


def test_strata_are_bounded_and_forgotten() -> None:
    clock = Clock()
    sampler = Sampler(Target(share=0.1), clock)
    for n in range(5000):
        sampler.judge(Unit(f"name-{n}", n, 10**9))
    assert sampler.strata <= 512
    clock.now += 100_000
    sampler.judge(Unit("a", 1, 10**9))
    sampler.judge(Unit("a", 2, 10**9))
    assert sampler.strata <= 2
