"""Many records at once: the same spans, totals and metrics as one by one."""

from __future__ import annotations

import dataclasses
import time

import pytest

import otel_llm
from otel_llm import LLMInteraction, drops
from otel_llm import semconv as sc
from otel_llm.store import StoreReader

NOW = time.time()


def interaction(i: int, **more) -> LLMInteraction:
    phase = "S1901M" if i < 5 else "F1901M"
    return LLMInteraction(
        **{
            "interaction_id": f"i{i}",
            "timestamp": NOW - 100 + i,
            "model_name": "m",
            "power_name": ("FRANCE", "ITALY")[i % 2],
            "interaction_type": "order",
            "success": i % 5 != 0,
            "response_time_ms": 10.0 + i,
            "game_id": "g",
            "phase": phase,
            "phase_numeric": 1901,
            "season_numeric": int(i >= 5),
            "input_length": 100 + i,
            "response_length": 10 + i,
            "supply_center_count": 3,
            "unit_count": 4,
            "error_type": None if i % 5 else "invalid_moves",
            "grpo_episode": 1,
            "grpo_step": i,
            "grpo_reward": i / 7,
            "tokens": {"input": 50, "output": 5, "thinking": 2},
            "cost_estimate": 0.001,
        }
        | more
    )


def test_records_read_back_as_they_went_in_whatever_their_order(store) -> None:
    given = [interaction(i) for i in range(10)]
    assert otel_llm.log_bulk_interactions(reversed(given)) == 10
    otel_llm.log_session_end("g", timestamp=NOW)
    read = store.interactions("g")
    assert [dataclasses.replace(r, trace_id=None, span_id=None) for r in read] == given
    assert [span.name for span in store.spans("phase")] == ["phase S1901M", "phase F1901M"]
    (game,) = store.spans("game")
    assert game.start_ns / 1e9 == pytest.approx(NOW - 100 - 0.010, abs=1e-5)
    assert game.attributes[sc.TOTALS_PREFIX + "interactions"] == 10
    assert game.attributes[sc.TOTALS_PREFIX + "failed_interactions"] == 2
    assert game.attributes[sc.TOTALS_PREFIX + "cost"] == pytest.approx(0.01)
    (session,) = store.sessions()
    assert session.tokens == {"input": 500, "output": 50}


def test_what_was_read_can_be_logged_again(store) -> None:
    otel_llm.log_bulk_interactions([interaction(i) for i in range(3)])
    read = store.interactions()
    otel_llm.log_bulk_interactions([dataclasses.replace(r, game_id="copy") for r in read])
    copied = store.interactions("copy")
    assert [dataclasses.replace(r, game_id="g", trace_id=None, span_id=None) for r in copied] == [
        dataclasses.replace(r, trace_id=None, span_id=None) for r in read
    ]


def test_bulk_and_single_records_make_the_same_metrics(store) -> None:
    def figures():
        otel_llm.force_flush()
        last = {}
        for point in StoreReader(store.directory).points():
            if point.metric.startswith(("game.interaction", "gen_ai")) or point.metric == sc.METRIC_COST:
                last[point.metric, tuple(sorted(point.attributes.items()))] = point
        found = {}
        for key, point in last.items():
            values = (
                point.value
                if not isinstance(point.value, dict)
                else {k: point.value.get(k) for k in ("count", "sum")}
            )
            found[key] = values
        return found

    mappings = [
        dict(
            zip(
                [f.name for f in dataclasses.fields(LLMInteraction)],
                dataclasses.astuple(interaction(i)),
                strict=True,
            )
        )
        for i in range(4)
    ]
    otel_llm.initialize_llm_logging()
    for told in mappings:
        otel_llm.log_interaction(
            **{k: v for k, v in told.items() if v is not None and k not in {"trace_id", "span_id"}}
        )
    single = figures()
    assert {metric for metric, _ in single} >= {
        sc.METRIC_INTERACTION_DURATION,
        sc.METRIC_INTERACTION_TOKENS,
        sc.METRIC_INTERACTION_COST,
        sc.METRIC_DURATION,
        sc.METRIC_INPUT_TOKENS,
        sc.METRIC_COST,
    }
    otel_llm.shutdown()
    for path in store.directory.iterdir():
        path.unlink()
    otel_llm.initialize_llm_logging()
    assert otel_llm.log_bulk_interactions(mappings) == 4
    assert figures() == single


def test_what_is_no_record_is_left_out_and_said_once(store, caplog) -> None:
    assert (
        otel_llm.log_bulk_interactions([{"game_id": "g"}, 5, "x", None, {"game_id": "g"}, LLMInteraction])
        == 2
    )
    assert otel_llm.log_bulk_interactions({"game_id": "g"}) == 1
    assert otel_llm.log_bulk_interactions(None) == 0
    assert drops.counts()["interaction", "no_record"] == 5
    assert caplog.text.count("takes interactions and mappings") == 1
    assert len(store.interactions()) == 3


def test_an_iterable_that_fails_keeps_what_came_before(store) -> None:
    def failing():
        yield {"game_id": "g"}
        raise RuntimeError("disk gone")

    assert otel_llm.log_bulk_interactions(failing()) == 1
    assert len(store.interactions()) == 1


def test_very_many_records_are_all_kept(store) -> None:
    n = 3000
    started = time.perf_counter()
    assert (
        otel_llm.log_bulk_interactions(interaction(i, game_id=f"g{i % 7}", phase="S1901M") for i in range(n))
        == n
    )
    took = time.perf_counter() - started
    assert len(store.spans("interaction")) == n
    assert not [key for key in drops.counts() if key[1] == "queue_full"]
    assert took < 30


def test_no_histogram_has_the_time_of_a_batch_or_an_unknown_one(store) -> None:
    otel_llm.log_grpo_response(
        "g", "m", "FRANCE", "S1901M", "p", "r", True, 8000, batch_size=4, tokens={"input": 3}
    )
    otel_llm.log_order_generation("g", "m", "FRANCE", "S1901M", "p", "r", tokens={"input": 4})
    otel_llm.force_flush()
    metrics = {point.metric for point in StoreReader(store.directory).points()}
    assert sc.METRIC_INPUT_TOKENS in metrics
    assert not metrics & {sc.METRIC_DURATION, sc.METRIC_OPERATION_DURATION, sc.METRIC_INTERACTION_DURATION}
    otel_llm.log_order_generation("g", "m", "FRANCE", "S1901M", "p", "r", response_time_ms=5)
    otel_llm.force_flush()
    metrics = {point.metric for point in StoreReader(store.directory).points()}
    assert metrics >= {sc.METRIC_DURATION, sc.METRIC_INTERACTION_DURATION}
