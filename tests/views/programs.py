"""Programs that make telemetry of every kind, and the command that sends it."""

from __future__ import annotations

import math
import time

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger
from typer.testing import CliRunner

import otel_llm
from otel_llm import runtime
from otel_llm import semconv as sc
from otel_llm.store import SeriesRow

ANSWER = '{"orders": ["A PAR H"]},\n"quoted", =1+1'


def play(games=2, phases=2, *, prefix="g", pause_s=0.0):
    """Play games: two powers, an order each a phase, the last of which fails; prompts and answers are told."""
    tracer = trace.get_tracer("test")
    for number in range(games):
        players = {"FRANCE": "gpt-5", "ENGLAND": "claude-sonnet-4.5"}
        with otel_llm.game(
            f"{prefix}{number}", name="diplomacy", players=players, training=True, episode=7
        ) as game:
            for turn in range(phases):
                with otel_llm.phase(f"S{1901 + turn}M"):
                    for power, model in players.items():
                        _order(tracer, power, model, failed=power == "ENGLAND" and turn == phases - 1)
                        time.sleep(pause_s)
            game.set(status="completed", outcome="solo", winners=["FRANCE"])


def _order(tracer, power, model, *, failed):
    with otel_llm.interaction("order", power=power, centers=3, units=2, step=4, reward=0.5) as turn:
        turn.content(prompt=f"You are {power}.", response=ANSWER)
        with tracer.start_as_current_span(f"chat {model}") as call:
            call.set_attributes(
                {
                    sc.OPERATION_NAME: sc.CHAT,
                    sc.PROVIDER_NAME: "openai",
                    sc.REQUEST_MODEL: model,
                    sc.USAGE_INPUT_TOKENS: 120,
                    sc.USAGE_OUTPUT_TOKENS: 30,
                    sc.COST_TOTAL: 0.0021,
                    sc.INPUT_LENGTH: 400,
                    sc.OUTPUT_LENGTH: 90,
                    sc.INPUT_MESSAGES: '[{"role":"user","parts":[{"type":"text","content":"Orders?"}]}]',
                    sc.OUTPUT_MESSAGES: '[{"role":"assistant","parts":[{"type":"reasoning","content":"Hm."},'
                    '{"type":"text","content":"A PAR H"}]}]',
                }
            )
        turn.set(orders=["A PAR H", "F BRE H"], invalid_orders=["F BRE H"])
        turn.set(success="Failure: Invalid LLM Moves (1)" if failed else True)


SERIES = [
    ("training/loss", 1, 0.1 + 0.2),
    ("training/loss", 3, math.nan),
    ("training/loss", 2, math.inf),
    ("training/tokens", 1, 2**60 + 1),
    ("system/gpu_memory_allocated_gb", None, 12.5),
]


def train():
    """Record a step series, metrics and a log."""
    rows = [
        SeriesRow(name, step, value, 1_790_000_000_000_000_000 + n, {sc.RUN_ID: "r1"})
        for n, (name, step, value) in enumerate(SERIES)
    ]
    runtime.current().rows.series(rows)
    meter = metrics.get_meter("test")
    meter.create_counter("rollouts.total").add(5, {"game.power.name": "FRANCE"})
    meter.create_gauge("gpu.memory").set(2.5)
    histogram = meter.create_histogram("reward", explicit_bucket_boundaries_advisory=[0, 1, 2])
    for value in (0.25, 0.5, 0.75, 5.0):
        histogram.record(value)
    from opentelemetry._logs import LogRecord, SeverityNumber

    logger = get_logger("test")
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body="low memory",
        )
    )
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            event_name=sc.EVENT_MODEL_OUTPUT,
            attributes={
                sc.MODEL_OUTPUT_QUESTION: "2+2?",
                sc.MODEL_OUTPUT_TRUE_ANSWER: "4",
                sc.MODEL_OUTPUT_REASONING: "two and two",
                sc.MODEL_OUTPUT_ANSWER: "4",
            },
        )
    )


def roll_out(number=0, *, text=True):
    """Sample a rollout with a tool and two rewards."""
    with otel_llm.step(3):
        with otel_llm.rollout(f"s{number}", group="q1", question="What is the capital of France?") as rollout:
            if text:
                rollout.content(
                    prompt=[{"role": "user", "content": "What is the capital of France?"}],
                    response=[
                        {
                            "role": "assistant",
                            "parts": [
                                {"type": "text", "content": "I'll search."},
                                {
                                    "type": "tool_call",
                                    "id": "1",
                                    "name": "retrieve",
                                    "arguments": {"query": "France"},
                                },
                            ],
                        },
                        {
                            "role": "tool",
                            "parts": [
                                {"type": "tool_call_response", "id": "1", "response": "Paris is the capital."}
                            ],
                        },
                        {
                            "role": "assistant",
                            "content": "<think>ok</think><cite>1</cite><answer>Paris</answer>",
                        },
                    ],
                )
            with otel_llm.reward("correctness", score=1.0):
                pass
            with otel_llm.reward("format", score=0.5):
                pass


def replay(*arguments):
    """Run `otel-llm replay` in this process; returns its result."""
    from otel_llm.cli.app import app

    return CliRunner().invoke(app, ["replay", *map(str, arguments)])
