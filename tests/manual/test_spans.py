"""What is logged by hand becomes the same spans as what is seen."""

from __future__ import annotations

import logging
import time

import pytest

import otel_llm
from otel_llm import drops, testing
from otel_llm import semconv as sc

ORDER = {
    "game_id": "g",
    "model_name": "gpt-4o",
    "power_name": "FRANCE",
    "phase": "S1901M",
    "prompt": "What now?",
    "response": "A PAR H",
    "orders": ["A PAR H"],
    "success": True,
    "response_time_ms": 1250.0,
}


def test_an_order_is_an_interaction_with_a_call_in_a_phase_of_a_game() -> None:
    with testing.capture() as captured:
        otel_llm.log_order_generation(**ORDER, supply_centers=3, units=["A PAR"])
        otel_llm.log_session_end("g")
        shape = captured.shape()
    handed = {"game.id": "g"}
    phase = handed | {
        "game.phase.name": "S1901M",
        "game.phase.year": 1901,
        "game.phase.season": 0,
        "game.phase.type": "movement",
    }
    turn = phase | {"game.power.name": "FRANCE", "game.interaction.type": "order"}
    totals = {"game.totals.calls": 1, "game.totals.calls_by_model.gpt-4o": 1}
    above = totals | {
        "game.totals.interactions": 1,
        "game.totals.success_rate": 1.0,
        "game.totals.interactions_by_type.order": 1,
        "game.totals.interactions_by_power.FRANCE": 1,
    }
    common = {"kind": "INTERNAL", "status": "UNSET", "events": []}
    expected = [
        common
        | {
            "name": "invoke_workflow game",
            "parent": None,
            "links": [],
            "attributes": handed
            | above
            | {
                "otel_llm.scope": "game",
                "gen_ai.operation.name": "invoke_workflow",
                "game.totals.phases": 1,
            },
        },
        common
        | {
            "name": "phase S1901M",
            "parent": None,
            "links": ["invoke_workflow game"],
            "attributes": phase | above | {"otel_llm.scope": "phase"},
        },
        common
        | {
            "name": "invoke_agent FRANCE",
            "parent": "phase S1901M",
            "links": [],
            "attributes": turn
            | totals
            | {
                "otel_llm.scope": "interaction",
                "otel_llm.reported": True,
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": "FRANCE",
                "gen_ai.request.model": "gpt-4o",
                "game.interaction.success": True,
                "game.interaction.response_time": 1.25,
                "game.orders.submitted": ("A PAR H",),
                "game.power.centers": 3,
                "game.power.units": 1,
                "otel_llm.input.length": 9,
                "otel_llm.output.length": 7,
            },
        },
        common
        | {
            "name": "chat gpt-4o",
            "parent": "invoke_agent FRANCE",
            "links": [],
            "attributes": turn
            | {
                "otel_llm.reported": True,
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o",
                "otel_llm.input.length": 9,
                "otel_llm.input.message_count": 1,
                "otel_llm.output.length": 7,
            },
        },
    ]
    # All four began at the same moment: their order is that of their names here.
    assert sorted(shape, key=lambda s: s["name"]) == sorted(expected, key=lambda s: s["name"])


def test_spans_are_dated_back_by_the_response_time(store) -> None:
    now = time.time()
    otel_llm.log_order_generation(**ORDER, timestamp=now)
    (turn,), (call,) = store.spans("interaction"), store.spans("chat")
    for span in (turn, call):
        assert span.end_ns / 1e9 == pytest.approx(now, abs=1e-6)
        assert span.duration_s == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("function", "kind", "extra"),
    [
        (otel_llm.log_order_generation, "order", {}),
        (otel_llm.log_negotiation, "negotiation", {}),
        (otel_llm.log_planning, "plan", {}),
        (otel_llm.log_diary, "diary", {}),
        (otel_llm.log_diary, "order_diary", {"diary_type": "order_diary"}),
        (otel_llm.log_initialization, "initialization", {}),
        (otel_llm.log_state_update, "state_update", {}),
        (otel_llm.log_consolidation, "diary_consolidation", {}),
        (otel_llm.log_grpo_response, "training", {}),
        (otel_llm.log_grpo_training_response, "training", {}),
        (otel_llm.log_interaction, "interaction", {}),
        (otel_llm.log_interaction, "bluff", {"interaction_type": "bluff"}),
    ],
)
def test_each_function_logs_its_type(store, function, kind, extra) -> None:
    common = {name: ORDER[name] for name in ORDER if name != "orders"}
    assert function(**common, **extra) is not None
    (read,) = store.interactions()
    assert read.interaction_type == kind
    assert (read.game_id, read.power_name, read.phase, read.model_name) == ("g", "FRANCE", "S1901M", "gpt-4o")
    assert (read.success, read.response_time_ms, read.input_length, read.response_length) == (
        True,
        1250,
        9,
        7,
    )


def test_messages_are_events_with_sender_and_recipients(store) -> None:
    class FromTheEngine:
        sender, recipient, message = "FRANCE", "GERMANY", "Burgundy?"

    otel_llm.log_negotiation(
        "g",
        "m",
        "FRANCE",
        "S1901M",
        messages=[
            {"message_type": "private", "recipient": "ITALY", "content": "Peace."},
            {"message_type": "global", "recipient": "GLOBAL", "content": "Hello, all"},
            {"sender": "ITALY", "recipients": ["FRANCE", "TURKEY"], "message": "Fine"},
            FromTheEngine(),
            "to everybody",
            None,
        ],
    )
    (span,) = store.spans("interaction")
    found = [
        tuple(
            event.attributes.get(f"game.message.{key}")
            for key in ("sender", "recipients", "private", "length")
        )
        for event in span.events
    ]
    assert found == [
        ("FRANCE", ("ITALY",), True, 6),
        ("FRANCE", (), False, 10),
        ("ITALY", ("FRANCE", "TURKEY"), True, 4),
        ("FRANCE", ("GERMANY",), True, 9),
        ("FRANCE", (), False, 12),
    ]
    assert not any("game.message.content" in event.attributes for event in span.events)


def test_messages_by_recipient_are_understood_too(store) -> None:
    otel_llm.log_negotiation("g", power_name="FRANCE", messages={"ITALY": "Peace.", "ALL": "Hi"})
    (span,) = store.spans("interaction")
    assert [e.attributes["game.message.recipients"] for e in span.events] == [("ITALY",), ()]


def test_phases_follow_one_another_dated_back(store) -> None:
    now = time.time() - 1000
    for i, phase in enumerate(("S1901M", "S1901R", "F1901M")):
        otel_llm.log_order_generation(**ORDER | {"phase": phase}, timestamp=now + i * 10)
    otel_llm.log_session_end("g", timestamp=now + 25)
    phases = store.spans("phase")
    assert [span.name for span in phases] == ["phase S1901M", "phase S1901R", "phase F1901M"]
    starts = [span.start_ns / 1e9 - now for span in phases]
    ends = [span.end_ns / 1e9 - now for span in phases]
    assert starts == pytest.approx([-1.25, 8.75, 18.75], abs=1e-5)
    assert ends == pytest.approx([8.75, 18.75, 25], abs=1e-5)
    (game,) = store.spans("game")
    assert game.start_ns == phases[0].start_ns
    assert game.end_ns / 1e9 == pytest.approx(now + 25)
    assert [[link.attributes["otel_llm.link"] for link in span.links] for span in phases] == [
        ["game"],
        ["game", "previous_phase"],
        ["game", "previous_phase"],
    ]


def test_a_record_that_comes_late_belongs_to_its_phase_and_does_not_end_the_one_being_played(store) -> None:
    for phase in ("S1901M", "F1901M", "S1901M", "F1901M", "S1901M"):
        otel_llm.log_state_update("g", "m", "ITALY", phase, "p", "r", True, 1)
    otel_llm.log_session_end("g")
    assert sorted(span.name for span in store.spans("phase")) == ["phase F1901M", "phase S1901M"]
    names = {span.span_id: span.name for span in store.spans("phase")}
    assert [names[span.parent_id] for span in store.spans("interaction")].count("phase S1901M") == 3


def test_an_earlier_phase_that_was_never_seen_is_recorded_out_of_order(store, caplog) -> None:
    for phase in ("F1901M", "S1901M", "F1901M"):
        otel_llm.log_state_update("g", "m", "ITALY", phase)
    otel_llm.log_session_end("g")
    phases = {span.name: span for span in store.spans("phase")}
    assert phases.keys() == {"phase F1901M", "phase S1901M"}
    assert phases["phase S1901M"].attributes[sc.PHASE_OUT_OF_ORDER] is True


def test_a_phase_of_a_training_loop_may_come_again(store) -> None:
    for phase in ("rollout", "update", "rollout"):
        otel_llm.log_interaction("x", "g", "m", None, phase)
        time.sleep(0.002)
    otel_llm.log_session_end("g")
    assert [span.name for span in store.spans("phase")] == ["phase rollout", "phase update", "phase rollout"]


def test_an_interaction_of_no_phase_belongs_to_the_game(store) -> None:
    otel_llm.log_initialization("g", "m", "FRANCE")
    (turn,) = store.spans("interaction")
    otel_llm.log_session_end("g")
    (game,) = store.spans("game")
    assert turn.parent_id == game.span_id
    assert store.spans("phase") == []


def test_an_interaction_outside_any_game_is_recorded_with_its_phase(store, caplog) -> None:
    otel_llm.log_planning(None, "m", "FRANCE", "W1903A", "p", "r", "hold", True, 10)
    otel_llm.log_planning(None, "m", "FRANCE", "W1903A", "p", "r", "hold", True, 10)
    reads = store.interactions()
    assert [(r.game_id, r.phase, r.phase_numeric, r.season_numeric) for r in reads] == [
        (None, "W1903A", 1903, 2)
    ] * 2
    assert store.sessions() == []
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        "an interaction is outside any game; it is recorded all the same"
    ]


def test_a_failure_and_its_repetition_are_linked(store) -> None:
    otel_llm.log_order_generation(**ORDER | {"success": "Failure: no JSON"})
    otel_llm.log_order_generation(**ORDER)
    first, second = store.spans("interaction")
    assert (first.status, first.attributes[sc.ERROR_TYPE]) == ("error", "no_json")
    assert second.attributes[sc.INTERACTION_ATTEMPT] == 2
    assert [(link.span_id, link.attributes[sc.LINK_KIND]) for link in second.links] == [
        (first.span_id, "retry_of")
    ]


def test_an_exception_that_the_program_caught_is_on_the_interaction_and_its_call(store) -> None:
    otel_llm.log_order_generation(**ORDER | {"success": False}, error=TimeoutError("took too long"))
    (turn,), (call,) = store.spans("interaction"), store.spans("chat")
    assert (turn.status, turn.attributes[sc.ERROR_TYPE]) == ("error", "TimeoutError")
    assert [event.name for event in turn.events] == ["exception"]
    assert (call.status, call.attributes[sc.ERROR_TYPE]) == ("error", "timeout")
    (read,) = store.interactions()
    assert (read.success, read.error_type, read.input_length) == (False, "TimeoutError", 9)


def test_a_batchs_time_is_nobodys_latency(store) -> None:
    for _ in range(4):
        otel_llm.log_grpo_response(
            "g", "m", "FRANCE", "S1901M", "p", "r", True, 8000.0, 1, 2, 0.5, batch_size=4
        )
    for span in (*store.spans("interaction"), *store.spans("chat")):
        assert span.attributes["otel_llm.untimed"] is True
        assert span.duration_s == pytest.approx(8)  # when it was generated
    for span in store.spans("interaction"):
        assert span.attributes["game.training.batch.size"] == 4
        assert span.attributes["game.training.batch.duration"] == 8.0
        assert sc.INTERACTION_DURATION not in span.attributes
    assert [read.response_time_ms for read in store.interactions()] == [None] * 4


def test_an_answers_own_time_in_a_batch_is_its_latency(store) -> None:
    otel_llm.log_grpo_response(
        "g", "m", "FRANCE", "S1901M", "p", "r", True, 900, batch_size=4, batch_time_ms=8000
    )
    (read,) = store.interactions()
    assert read.response_time_ms == 900
    assert store.spans("interaction")[0].attributes["game.training.batch.duration"] == 8.0


def test_a_batch_of_one_is_none(store) -> None:
    otel_llm.log_grpo_response("g", "m", "FRANCE", "S1901M", "p", "r", True, 900, batch_size=1)
    (read,) = store.interactions()
    assert read.response_time_ms == 900


def test_a_training_record_makes_its_game_a_training_game(store) -> None:
    otel_llm.log_initialization("g", "m", "FRANCE")
    otel_llm.log_grpo_response("g", "m", "FRANCE", "grpo_e3_s12", "p", "r", True, 900, episode=3, step=12)
    otel_llm.log_session_end("g")
    (read,) = store.sessions()
    assert (read.is_grpo_training, read.grpo_episode) == (True, 3)


def test_what_only_the_program_knows_becomes_attributes(store) -> None:
    otel_llm.log_order_generation(
        **ORDER,
        active_powers=["FRANCE", "ITALY"],
        relationships={"ITALY": "Friendly"},
        goals=["take Munich"],
        model_parameters={"temperature": 0.5},
        mood="grim",
        invalid_orders=["A PAR - LON"],
    )
    (span,) = store.spans("interaction")
    a = span.attributes
    assert a[sc.INTERACTION_ACTIVE_POWERS] == ("FRANCE", "ITALY")
    assert a[sc.INTERACTION_RELATIONSHIPS] == '{"ITALY":"Friendly"}'
    assert a[sc.INTERACTION_MODEL_PARAMETERS] == '{"temperature":0.5}'
    assert a[sc.CUSTOM_PREFIX + "mood"] == "grim"
    assert a[sc.ORDERS_INVALID] == ("A PAR - LON",)
    assert sc.INTERACTION_GOALS not in a  # what models wrote is content


def test_a_known_model_is_priced_where_its_provider_is_told(store) -> None:
    otel_llm.log_order_generation(**ORDER, provider="openai", tokens={"input": 1000, "output": 100})
    (read,) = store.interactions()
    assert read.cost_estimate == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)


def test_the_debug_logger_says_what_is_recorded_and_no_content(store, caplog) -> None:
    caplog.set_level(logging.DEBUG, logger="otel_llm")
    otel_llm.log_session_start("g-sk-proj-Zw8kQ2nT5vR7xY1mB4cD6fG9hJ0kL3pS")
    otel_llm.log_order_generation(**ORDER | {"success": "Failure: secret plan", "prompt": "attack at dawn"})
    otel_llm.log_session_end("g")
    otel_llm.log_session_end("g-sk-proj-Zw8kQ2nT5vR7xY1mB4cD6fG9hJ0kL3pS")
    said = [record.getMessage() for record in caplog.records if record.name == "otel_llm"]
    assert [line for line in said if line.startswith(("session", "recorded"))] == [
        said[0],
        "session started: game g",
        "recorded order of FRANCE in phase S1901M, game g: failed",
        "session ended: game g",
        said[0].replace("started", "ended"),
    ]
    assert "Zw8kQ2nT5" not in caplog.text
    assert "dawn" not in caplog.text
    assert "secret plan" not in caplog.text
    assert drops.logger is logging.getLogger("otel_llm")


def test_a_moment_a_little_ahead_is_now_and_one_far_ahead_is_none(store) -> None:
    otel_llm.log_order_generation(**ORDER, timestamp=time.time() + 60)  # another machine's clock
    otel_llm.log_order_generation(**ORDER, timestamp=time.time() + 10 * 86_400)
    near, far = store.spans("interaction")
    after = time.time()
    assert near.end_ns / 1e9 <= after
    assert far.end_ns / 1e9 <= after
    assert near.duration_s == far.duration_s == pytest.approx(1.25)
    assert sc.INVALID_FIELDS not in near.attributes
    assert far.attributes[sc.INVALID_FIELDS] == ("timestamp",)


def test_when_the_queue_is_full_the_texts_go_and_the_figures_stay(store) -> None:
    otel_llm.instrument(content="full", max_queue_bytes=6000)
    otel_llm.log_order_generation(**ORDER | {"prompt": "x" * 10_000}, tokens={"input": 12})
    (call,) = store.spans("chat")
    assert sc.INPUT_MESSAGES not in call.attributes
    assert call.attributes[sc.BODY_TRUNCATED] is True
    (read,) = store.interactions()
    assert (read.input_length, read.tokens, read.response_time_ms) == (10_000, {"input": 12}, 1250)
    assert drops.counts()["body", "queue_full"] == 1
