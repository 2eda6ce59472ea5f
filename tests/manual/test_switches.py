"""On and off, variables of the environment, what is kept of content, and no secret anywhere."""

from __future__ import annotations

import json
import logging
import threading

import pytest

import otel_llm
from otel_llm import drops, recording, runtime
from otel_llm import semconv as sc
from otel_llm.manual import DEFAULT_PROJECT, process_logger

KEY = "sk-proj-Zw8kQ2nT5vR7xY1mB4cD6fG9hJ0kL3pS"


def log_one(**more):
    return otel_llm.log_order_generation(
        **{
            "game_id": "g",
            "model_name": "m",
            "power_name": "FRANCE",
            "phase": "S1901M",
            "prompt": "a prompt",
            "response": "an answer",
            "orders": ["A PAR H"],
            "success": True,
            "response_time_ms": 5,
        }
        | more
    )


def test_disabled_nothing_is_instrumented_and_nothing_recorded(store) -> None:
    logger = otel_llm.initialize_llm_logging(enabled=False)
    assert not logger.enabled
    assert log_one() is None
    assert logger.log_order_generation("g") is None
    assert otel_llm.log_session_start("g") is None
    assert otel_llm.log_bulk_interactions([{"game_id": "g"}]) == 0
    assert otel_llm.log_session_end("g") is None
    assert runtime.current() is None
    assert recording.active is None
    assert not store.directory.exists()
    assert drops.counts() == {}


async def test_disabled_the_decorator_and_the_wrapper_only_call(store) -> None:
    otel_llm.initialize_llm_logging(enabled=False)
    otel_llm.instrument()  # the program's own choice stays

    class Client:
        async def generate_response(self, prompt):
            return prompt.upper()

    @otel_llm.logged_interaction
    def ask(prompt, power_name):
        return prompt

    assert ask("x", "FRANCE") == "x"
    assert await otel_llm.run_llm_and_log(Client(), "x", None, "FRANCE", "S1901M", "order", "g") == "X"
    assert store.spans() == []


def test_it_can_be_switched_on_again(store) -> None:
    otel_llm.initialize_llm_logging(enabled=False)
    log_one()
    otel_llm.initialize_llm_logging()
    log_one()
    assert len(store.interactions()) == 1


def test_the_methods_of_the_logger_are_the_functions(store) -> None:
    logger = otel_llm.initialize_llm_logging()
    logger.log_session_start("g")
    logger.log_order_generation("g", "m", "FRANCE", "S1901M")
    otel_llm.log_order_generation("g", "m", "FRANCE", "S1901M")
    logger.log_session_end("g")
    assert len(store.spans("game")) == 1
    assert len(store.interactions("g")) == 2


def test_settings_of_the_environment_hold_for_what_the_first_record_sets_up(store, monkeypatch) -> None:
    monkeypatch.setenv("OTEL_LLM_CONTENT", "full")
    log_one()
    assert runtime.current().settings.content == "full"
    (call,) = store.spans("chat")
    assert "a prompt" in call.attributes[sc.INPUT_MESSAGES]


def test_a_bad_setting_is_said_and_not_raised(monkeypatch, caplog) -> None:
    monkeypatch.setenv("OTEL_LLM_CONTENT", "everything")
    assert log_one() is None
    assert log_one() is None
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "otel_llm is off: OTEL_LLM_CONTENT is 'everything'; it accepts none, length, preview or full",
        "otel_llm is off: interactions that are logged are not recorded",
    ]
    assert drops.counts() == {("interaction", "not_instrumented"): 2}


def test_after_shutdown_records_are_counted_as_dropped_and_nothing_is_set_up_again(store, caplog) -> None:
    log_one()
    otel_llm.shutdown()
    assert log_one() is None
    assert runtime.current() is None
    assert drops.counts()["interaction", "not_instrumented"] == 1
    assert "not recorded" in caplog.text
    otel_llm.initialize_llm_logging()
    assert log_one() is not None


@pytest.mark.parametrize("enabled", ["false", 0, "off?", None])
def test_enabled_may_be_given_as_other_values(enabled) -> None:
    logger = otel_llm.initialize_llm_logging(enabled=enabled)
    assert logger.enabled is (enabled in {"off?", None})


def test_project_and_entity_are_arguments_then_variables_then_the_default(monkeypatch) -> None:
    logger = otel_llm.initialize_llm_logging()
    assert (
        (logger.project_name, logger.entity)
        == (DEFAULT_PROJECT, None)
        == ("diplomacy-llm-interactions", None)
    )
    monkeypatch.setenv("WANDB_PROJECT", "from-env")
    monkeypatch.setenv("WANDB_ENTITY", "team-env")
    otel_llm.initialize_llm_logging()
    assert (logger.project_name, logger.entity) == ("from-env", "team-env")
    otel_llm.initialize_llm_logging(project_name="mine", entity="us")
    assert (logger.project_name, logger.entity) == ("mine", "us")
    assert logger is process_logger


def test_the_variables_hold_without_initialising(store, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "from-env")
    monkeypatch.setenv("WANDB_ENTITY", "team-env")
    log_one()
    otel_llm.log_session_end("g")
    (game,) = store.spans("game")
    assert (game.attributes[sc.PROJECT_NAME], game.attributes[sc.PROJECT_ENTITY]) == ("from-env", "team-env")


def test_the_api_key_of_the_environment_is_stored_nowhere(store, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setenv("WANDB_PROJECT", "p")
    log_one()
    otel_llm.log_session_end("g")
    assert "0123456789abcdef0123456789abcdef01234567" not in store.everything()


@pytest.mark.parametrize("policy", ["none", "length", "preview", "full"])
def test_content_is_kept_as_the_policy_says(store, policy) -> None:
    otel_llm.instrument(content=policy, preview_length=4)
    otel_llm.log_negotiation(
        "g",
        "m",
        "FRANCE",
        "S1901M",
        "a long prompt",
        "an answer",
        [{"recipient": "ITALY", "content": "Attack!"}],
        True,
        5,
    )
    otel_llm.log_planning("g", "m", "FRANCE", "S1901M", "a long prompt", "an answer", "take Munich", True, 5)
    negotiation, plan = store.spans("interaction")
    call = store.spans("chat")[0]
    kept = {
        "input": negotiation.attributes.get(sc.INPUT_LENGTH),
        "output": call.attributes.get(sc.OUTPUT_LENGTH),
        "message length": negotiation.events[0].attributes.get(sc.MESSAGE_LENGTH),
        "message": negotiation.events[0].attributes.get(sc.MESSAGE_CONTENT),
        "plan length": plan.attributes.get(sc.INTERACTION_PARSED + sc.LENGTH_SUFFIX),
        "plan": plan.attributes.get(sc.INTERACTION_PARSED),
        "prompt": sc.INPUT_MESSAGES in call.attributes,
    }
    lengths = {
        "input": 13,
        "output": 9,
        "message length": 7,
        "plan length": 11,
        "message": None,
        "plan": None,
    }
    assert (
        kept
        == {
            "none": dict.fromkeys(lengths) | {"prompt": False},
            "length": lengths | {"prompt": False},
            "preview": lengths
            | {
                "plan length": None,
                "message": "Atta...[truncated, original 7 chars]",
                "plan": "take...[truncated, original 11 chars]",
                "prompt": True,
            },
            "full": lengths
            | {"plan length": None, "message": "Attack!", "plan": "take Munich", "prompt": True},
        }[policy]
    )
    if policy == "full":
        (message,) = json.loads(call.attributes[sc.INPUT_MESSAGES])
        assert message == {"role": "user", "parts": [{"type": "text", "content": "a long prompt"}]}
    whole = store.everything()
    for text in ("a long prompt", "an answer", "Attack!", "take Munich"):
        assert (text in whole) is (policy == "full"), text


def test_secrets_are_scrubbed_wherever_they_come(store, caplog) -> None:
    otel_llm.instrument(content="full")
    caplog.set_level(logging.DEBUG, logger="otel_llm")
    config = {"note": KEY, f"x {KEY}": 1, "players": {f"P {KEY}": f"model-{KEY}"}, "name": f"game {KEY}"}
    otel_llm.log_session_start(f"game-{KEY}", **config)
    for _ in range(2):
        otel_llm.log_order_generation(
            f"game-{KEY}",
            f"openrouter/{KEY}/gpt-4o",
            f"POWER {KEY}",
            f"phase {KEY}",
            f"My key is {KEY}",
            f"Yours is {KEY}",
            [f"A {KEY} H"],
            f"Failure: Invalid LLM Moves (1): {KEY}",
            5,
            error=ValueError(f"bad key {KEY}"),
            goals=[KEY],
            error_type=f"e {KEY}",
            interaction_type=f"t {KEY}",
            interaction_id=f"id {KEY}",
            provider=f"p {KEY}",
            tokens={KEY: 3},
            **{f"field {KEY}": KEY},
        )
    otel_llm.log_negotiation(
        f"game-{KEY}", power_name="A", messages=[{"sender": KEY, "recipient": KEY, "content": KEY}]
    )
    otel_llm.log_interaction("order", None, f"m {KEY}", f"P {KEY}", f"phase {KEY}")
    otel_llm.log_session_end(f"game-{KEY}", outcome=KEY, status=KEY, winners=[KEY])
    assert len(store.interactions()) == 4
    assert KEY not in store.everything()
    assert KEY not in caplog.text


def test_two_games_that_differ_by_a_secret_alone_stay_two(store) -> None:
    for key in (KEY, KEY[::-1].replace("jorp-ks", "").join(["sk-proj-", ""])):
        otel_llm.log_order_generation(f"game-{key}", power_name="FRANCE")
    assert len({read.game_id for read in store.interactions()}) == 2


def test_a_field_that_nobody_wants_is_left_out(store) -> None:
    otel_llm.instrument(drop_attributes=["game.orders.*", "otel_llm.input.length", "game.power.centers"])
    log_one(supply_centers=3)
    (turn,) = store.spans("interaction")
    (call,) = store.spans("chat")
    (read,) = store.interactions()
    assert sc.ORDERS_SUBMITTED not in turn.attributes
    assert sc.INPUT_LENGTH not in {**turn.attributes, **call.attributes}
    assert (read.supply_center_count, read.input_length, read.response_length) == (None, None, 9)


def test_with_the_sdk_disabled_records_are_counted_as_dropped(monkeypatch, caplog) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert [log_one(), log_one()] == [None, None]
    assert drops.counts() == {("interaction", "not_instrumented"): 2}
    assert [record.getMessage() for record in caplog.records] == [
        "otel_llm is off: interactions that are logged are not recorded"
    ]


def test_threads_that_log_first_all_wait_for_the_set_up(store) -> None:
    start = threading.Barrier(6)
    ids: list[str | None] = []

    def first() -> None:
        start.wait()
        ids.append(log_one())

    threads = [threading.Thread(target=first) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == len(store.interactions()) == 6
    assert None not in ids
