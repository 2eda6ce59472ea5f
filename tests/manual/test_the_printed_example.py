"""The manual example as its users know it, and every field of what is read back compared with what went in."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import pytest

import otel_llm
from otel_llm import LLMInteraction
from otel_llm.interactions import GIVEN, MEASURED, PAYLOAD, SOURCE


def test_the_example_runs_as_printed_and_every_field_reads_back(store) -> None:
    before = time.time()
    from otel_llm import log_order_generation

    log_order_generation(
        game_id="custom_game_001",
        model_name="gpt-4o",
        power_name="FRANCE",
        phase="S1901M",
        prompt="Your strategic prompt...",
        response='{"orders": ["A PAR H", "F BRE H"]}',
        orders=["A PAR H", "F BRE H"],
        success=True,
        response_time_ms=1250.0,
        supply_centers=3,
        units=2,
    )
    after = time.time()

    (read,) = store.interactions()
    (span,) = store.spans("interaction")
    assert before <= read.timestamp <= after
    assert read == LLMInteraction(
        interaction_id=span.span_id,
        timestamp=read.timestamp,
        model_name="gpt-4o",
        power_name="FRANCE",
        interaction_type="order",
        success=True,
        response_time_ms=1250.0,
        game_id="custom_game_001",
        phase="S1901M",
        phase_numeric=1901,
        season_numeric=0,
        input_length=len("Your strategic prompt..."),
        response_length=len('{"orders": ["A PAR H", "F BRE H"]}'),
        supply_center_count=3,
        unit_count=2,
        error_type=None,
        grpo_episode=None,
        grpo_step=None,
        grpo_reward=None,
        tokens={},
        cost_estimate=None,
        trace_id=span.trace_id,
        span_id=span.span_id,
    )


def test_every_interaction_field_that_can_be_given_reads_back_as_it_was_given(store) -> None:
    now = time.time()
    otel_llm.log_session_start("g", is_grpo_training=True, grpo_episode=7)
    own_id = otel_llm.log_grpo_response(
        "g",
        "qwen2.5-7b",
        "TURKEY",
        "F1902R",
        "prompt",
        "an answer",
        "Failure: Invalid LLM Moves (2): A CON - BUL, F ANK - BLA",
        "2500.125",
        episode=7,
        step=12,
        reward=-0.25,
        interaction_id="mine-1",
        timestamp=now,
        supply_center_count=4,
        unit_count="5",
        token_usage={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "reasoning": 5,
            "cached": 7,
            "total": 120,
        },
        cost_estimate="0.0125",
        error_type="invalid_moves",
    )
    assert own_id == "mine-1"
    (read,) = store.interactions("g")
    assert read == LLMInteraction(
        interaction_id="mine-1",
        timestamp=now,
        model_name="qwen2.5-7b",
        power_name="TURKEY",
        interaction_type="training",
        success=False,
        response_time_ms=2500.125,
        game_id="g",
        phase="F1902R",
        phase_numeric=1902,
        season_numeric=1,
        input_length=6,
        response_length=9,
        supply_center_count=4,
        unit_count=5,
        error_type="invalid_moves",
        grpo_episode=7,
        grpo_step=12,
        grpo_reward=-0.25,
        tokens={"input": 100, "output": 20, "reasoning": 5, "cached": 7, "total": 120},
        cost_estimate=0.0125,
        trace_id=read.trace_id,
        span_id=read.span_id,
    )
    (span,) = store.spans("interaction")
    assert (
        span.attributes["game.interaction.outcome"]
        == "Failure: Invalid LLM Moves (2): A CON - BUL, F ANK - BLA"
    )
    assert span.attributes["game.orders.invalid"] == ("A CON - BUL", "F ANK - BLA")


def test_every_session_field_reads_back(store) -> None:
    began = time.time() - 100
    otel_llm.log_session_start(
        "g", is_grpo_training=True, grpo_episode=3, timestamp=began, name="diplomacy", max_year=1905
    )
    log = {"game_id": "g", "phase": "S1901M", "success": True, "response_time_ms": 10}
    for power, model in (("FRANCE", "a"), ("ITALY", "b")):
        otel_llm.log_order_generation(
            **log,
            power_name=power,
            model_name=model,
            prompt="p",
            response="r",
            tokens={"input": 10, "output": 3},
        )
    otel_llm.log_negotiation(
        "g",
        "a",
        "FRANCE",
        "S1901M",
        "p",
        "r",
        [{"recipient": "ITALY", "content": "hi"}],
        "Failure: too long",
        5,
        cost=0.5,
    )
    otel_llm.log_session_end(
        "g", timestamp=began + 90, status="completed", outcome="draw", winners=["FRANCE", "ITALY"]
    )
    (read,) = store.sessions()
    assert read == otel_llm.LLMSession(
        game_id="g",
        start_time=pytest.approx(began),
        end_time=pytest.approx(time.time(), abs=60),  # never before the last thing that happened in it
        duration_seconds=pytest.approx(read.end_time - read.start_time),
        total_interactions=3,
        interactions_by_type={"order": 2, "negotiation": 1},
        interactions_by_power={"FRANCE": 2, "ITALY": 1},
        interactions_by_model={"a": 2, "b": 1},
        is_grpo_training=True,
        grpo_episode=3,
        failed_interactions=1,
        success_rate=pytest.approx(2 / 3),
        tokens={"input": 20, "output": 6},
        cost=0.5,
        status="completed",
    )
    (game,) = store.spans("game")
    assert game.name == "invoke_workflow diplomacy"
    assert {k: v for k, v in game.attributes.items() if "totals" not in k} == {
        "otel_llm.scope": "game",
        "gen_ai.operation.name": "invoke_workflow",
        "game.id": "g",
        "game.name": "diplomacy",
        "game.training.enabled": True,
        "game.training.episode": 3,
        "game.status": "completed",
        "game.outcome": "draw",
        "game.winners": ("FRANCE", "ITALY"),
        "otel_llm.custom.max_year": 1905,
    }
    totals = {k.removeprefix("game.totals."): v for k, v in game.attributes.items() if "totals" in k}
    assert totals == {
        "calls": 3,
        "input_tokens": 20,
        "output_tokens": 6,
        "cost": 0.5,
        "interactions": 3,
        "failed_interactions": 1,
        "phases": 1,
        "success_rate": pytest.approx(2 / 3),
        "calls_by_model.a": 2,
        "calls_by_model.b": 1,
        "interactions_by_type.order": 2,
        "interactions_by_type.negotiation": 1,
        "interactions_by_power.FRANCE": 2,
        "interactions_by_power.ITALY": 1,
    }


def test_each_field_names_where_it_comes_from() -> None:
    for field in dataclasses.fields(LLMInteraction):
        assert set(field.metadata[SOURCE]) <= {GIVEN, MEASURED, PAYLOAD}, field.name
        assert field.metadata[SOURCE], field.name


def test_the_interaction_has_exactly_the_fields_its_users_know() -> None:
    assert [field.name for field in dataclasses.fields(LLMInteraction)] == [
        "interaction_id", "timestamp", "model_name", "power_name", "interaction_type", "success",
        "response_time_ms", "game_id", "phase", "phase_numeric", "season_numeric", "input_length",
        "response_length", "supply_center_count", "unit_count", "error_type", "grpo_episode", "grpo_step",
        "grpo_reward", "tokens", "cost_estimate", "trace_id", "span_id",
    ]  # fmt: skip


PROGRAM = """
from otel_llm import log_order_generation

log_order_generation(
    game_id="custom_game_001",
    model_name="gpt-4o",
    power_name="FRANCE",
    phase="S1901M",
    prompt="Your strategic prompt...",
    response='{"orders": ["A PAR H", "F BRE H"]}',
    orders=["A PAR H", "F BRE H"],
    success=True,
    response_time_ms=1250.0,
    supply_centers=3,
    units=2
)
"""


def test_a_program_that_is_no_more_than_the_example_leaves_its_record_and_closes_its_game(
    store, tmp_path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (read,) = otel_llm.read_interactions(tmp_path / ".otel_llm")
    (session,) = otel_llm.read_sessions(tmp_path / ".otel_llm")
    assert (read.power_name, read.response_time_ms, read.supply_center_count) == ("FRANCE", 1250.0, 3)
    assert (session.total_interactions, session.status) == (1, "unfinished")
    assert session.end_time == read.timestamp
