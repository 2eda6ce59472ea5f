"""Functions that ask a model, as interactions."""

from __future__ import annotations

import asyncio
import enum
import inspect
import logging

import httpx
import pytest

import otel_llm
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer, plans


class Power(enum.Enum):
    FRANCE = "FRANCE"


class Client:
    """As clients of such programs are: a model's name, and one method."""

    model_name = "gpt-4o"

    def __init__(self, url: str | None = None, failures: int = 0) -> None:
        self.url = url
        self.failures = failures
        self.asked: list[str] = []

    async def generate_response(self, prompt: str) -> str:
        self.asked.append(prompt)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the line sk-proj-Zw8kQ2nT5vR7xY1mB4cD6fG9hJ0kL3pS is dead")
        if self.url is None:
            return "an answer"
        async with httpx.AsyncClient() as http:
            answer = await http.post(
                f"{self.url}/v1/chat/completions",
                json={"model": self.model_name, "messages": [{"role": "user", "content": prompt}]},
            )
            return answer.json()["choices"][0]["message"]["content"]


class BlockingClient:
    model_name = "local"

    def generate_response(self, prompt: str) -> str:
        return prompt.upper()


async def test_run_llm_and_log_is_an_interaction_around_what_the_client_does(store) -> None:
    otel_llm.instrument()
    with LoopbackServer() as server:
        server.script(plans.answer("A PAR H"))
        answer = await otel_llm.run_llm_and_log(
            Client(server.url),
            "Orders?",
            "log.csv",
            "FRANCE",
            "S1901M",
            "order",
            game_id="g",
            goals=["x"],
            mood="grim",
        )
    assert answer == "A PAR H"
    (turn,), (call,) = store.spans("interaction"), store.spans("chat")
    otel_llm.log_session_end("g")
    (phase,) = store.spans("phase")
    assert (turn.parent_id, call.parent_id) == (phase.span_id, turn.span_id)
    assert call.kind == "client"
    (read,) = store.interactions("g")
    assert (read.game_id, read.phase, read.power_name, read.interaction_type) == (
        "g",
        "S1901M",
        "FRANCE",
        "order",
    )
    assert (read.model_name, read.input_length, read.response_length, read.success) == ("gpt-4o", 7, 7, True)
    assert read.response_time_ms == pytest.approx(turn.duration_s * 1000)
    assert turn.attributes["otel_llm.custom.mood"] == "grim"
    assert sc.REPORTED not in turn.attributes


async def test_a_client_that_is_no_coroutine_is_called(store) -> None:
    otel_llm.instrument()
    assert (
        await otel_llm.run_llm_and_log(BlockingClient(), "hold", None, "ITALY", "S1901M", "order", "g")
        == "HOLD"
    )
    (read,) = store.interactions()
    assert (read.model_name, read.input_length, read.response_length) == ("local", 4, 4)


async def test_a_failing_client_gives_an_empty_answer_and_is_no_silent_failure(store, caplog) -> None:
    otel_llm.instrument()
    assert (
        await otel_llm.run_llm_and_log(Client(failures=1), "x", None, "FRANCE", "S1901M", "order", "g") == ""
    )
    (span,) = store.spans("interaction")
    assert (span.status, span.attributes[sc.ERROR_TYPE]) == ("error", "ConnectionError")
    assert [event.name for event in span.events] == ["exception"]
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == (
        "the model call of FRANCE (order, phase S1901M) failed with ConnectionError: the line [redacted] is dead"
    )
    with pytest.raises(ConnectionError):
        await otel_llm.run_llm_and_log(Client(failures=1), "x", game_id="g", raise_errors=True)


async def test_cancellation_is_not_swallowed(store) -> None:
    class Slow:
        async def generate_response(self, prompt):
            await asyncio.sleep(60)

    otel_llm.instrument()
    task = asyncio.create_task(otel_llm.run_llm_and_log(Slow(), "x", None, "FRANCE", "S1901M", "order", "g"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (span,) = store.spans("interaction")
    assert span.status == "error"


async def test_without_instrument_it_only_asks() -> None:
    client = Client()
    assert await otel_llm.run_llm_and_log(client, "x") == "an answer"
    assert await otel_llm.run_llm_and_log(Client(failures=1), "x") == ""
    assert client.asked == ["x"]


async def test_repeated_attempts_are_numbered_and_linked(store) -> None:
    otel_llm.instrument()
    client = Client(failures=2)

    @otel_llm.logged_interaction("order")
    async def get_orders(client, prompt, power_name, phase, game_id):
        return await client.generate_response(prompt)

    for _ in range(3):
        try:
            await get_orders(client, "p", "FRANCE", "S1901M", game_id="g")
        except ConnectionError:
            continue
    spans = store.spans("interaction")
    assert [span.attributes.get(sc.INTERACTION_ATTEMPT) for span in spans] == [None, 2, 3]
    assert [span.attributes[sc.INTERACTION_SUCCESS] for span in spans] == [False, False, True]
    assert [[link.span_id for link in span.links] for span in spans] == [
        [],
        [spans[0].span_id],
        [spans[1].span_id],
    ]


class Agent:
    power_name = "TURKEY"
    model_name = "of-the-agent"

    @otel_llm.logged_interaction
    def plan(self, prompt, phase="F1901M", *, game_id=None, **context):
        return f"{prompt}!"

    @otel_llm.logged_interaction(
        "diary", fields=("relationships", "extra"), arguments={"prompt": "entry", "phase": "when"}
    )
    def diary(self, entry, when, relationships, /, **context):
        return {"text": entry}


def test_arguments_are_read_by_name_attributes_and_defaults_too(store) -> None:
    otel_llm.instrument()
    assert Agent().plan("hold", game_id="g") == "hold!"
    assert Agent().diary("dear", "S1902M", {"ITALY": "Enemy"}, game_id="g", extra=1) == {"text": "dear"}
    plan, diary = store.interactions("g")
    assert (plan.interaction_type, plan.power_name, plan.phase, plan.model_name) == (
        "plan",
        "TURKEY",
        "F1901M",
        "of-the-agent",
    )
    assert (plan.input_length, plan.response_length) == (4, 5)
    assert (diary.interaction_type, diary.phase, diary.input_length, diary.response_length) == (
        "diary",
        "S1902M",
        4,
        None,
    )
    span = store.spans("interaction")[1]
    assert span.attributes[sc.INTERACTION_RELATIONSHIPS] == '{"ITALY":"Enemy"}'
    assert span.attributes["otel_llm.custom.extra"] == 1


def test_the_type_may_come_from_the_arguments_and_names_from_enums(store) -> None:
    otel_llm.instrument()

    @otel_llm.logged_interaction(supply_centers=3)
    def run(prompt, power_name, response_type, phase, client, game_id):
        return "r"

    run("p", Power.FRANCE, "negotiation_diary", object(), {"model_name": "m1"}, 12)
    (read,) = store.interactions()
    assert (read.interaction_type, read.power_name, read.phase) == ("negotiation_diary", "FRANCE", None)
    assert (read.model_name, read.game_id, read.supply_center_count) == ("m1", "12", 3)


def test_what_a_function_returned_can_become_fields(store) -> None:
    otel_llm.instrument()

    def fields_of(orders):
        return {
            "orders": orders,
            "success": "Failure: Invalid LLM Moves (1): B",
            "messages": ["hello"],
            "response": "raw",
            "invalid_orders": ["B"],
        }

    @otel_llm.logged_interaction("order", result=fields_of)
    def get_orders(prompt, power_name):
        return ["A", "B"]

    with otel_llm.game("g"), otel_llm.phase("S1901M"):
        assert get_orders("p", "FRANCE") == ["A", "B"]
    (span,) = store.spans("interaction")
    assert span.attributes[sc.ORDERS_SUBMITTED] == ("A", "B")
    assert (span.attributes[sc.ORDERS_VALID_COUNT], span.attributes[sc.ORDERS_INVALID_COUNT]) == (1, 1)
    assert [event.name for event in span.events] == ["game.message.sent"]
    (read,) = store.interactions("g")
    assert (read.success, read.response_length, read.phase) == (False, 3, "S1901M")


def test_what_goes_wrong_in_reading_never_reaches_the_program(store, caplog) -> None:
    otel_llm.instrument()

    class Nasty:
        @property
        def model_name(self):
            raise RuntimeError("not ready")

    @otel_llm.logged_interaction("order", result=lambda answer: 1 / 0)
    def ask(client, prompt):
        return "r"

    assert ask(Nasty(), "p") == "r"
    assert len(store.interactions()) == 1
    assert drops.counts()["internal_error", "reading a function's result"] == 1
    with pytest.raises(TypeError, match="prompt"):
        ask(Nasty())


async def test_every_kind_of_function_keeps_its_kind(store) -> None:
    otel_llm.instrument()

    @otel_llm.logged_interaction("a")
    def plain(power):
        """Docs."""
        return 1

    @otel_llm.logged_interaction("b")
    async def coroutine(power):
        await asyncio.sleep(0)
        return 2

    @otel_llm.logged_interaction("c")
    def generator(power):
        yield 3
        return 4

    @otel_llm.logged_interaction("d")
    async def stream(power):
        yield 5

    @otel_llm.logged_interaction("e")
    def returning(power):
        return coroutine(power)

    assert plain("P") == 1
    assert await coroutine("P") == 2
    assert list(generator("P")) == [3]
    assert [item async for item in stream("P")] == [5]
    assert await returning("P") == 2
    assert inspect.iscoroutinefunction(coroutine)
    assert (plain.__name__, plain.__doc__) == ("plain", "Docs.")
    found = [(read.interaction_type, read.power_name) for read in store.interactions()]
    assert sorted(found) == [("a", "P"), ("b", "P"), ("b", "P"), ("c", "P"), ("d", "P"), ("e", "P")]
    spans = {span.attributes[sc.INTERACTION_TYPE]: span for span in store.spans("interaction")}
    assert spans["b"].parent_id == spans["e"].span_id  # the later of the two


async def test_seven_powers_at_once_are_not_mixed_with_calls_on_the_wire(store) -> None:
    otel_llm.instrument()

    @otel_llm.logged_interaction("order")
    async def get_orders(client, prompt, power_name, phase, game_id):
        return await client.generate_response(prompt)

    with LoopbackServer() as server:
        client = Client(server.url)
        for phase in ("S1901M", "F1901M"):
            await asyncio.gather(
                *(
                    get_orders(client, f"I am {p}", p, phase, g)
                    for g in ("g1", "g2")
                    for p in ("FRANCE", "ITALY", "RUSSIA")
                )
            )
        assert len(server.requests) == 12
    for game_id in ("g1", "g2"):
        otel_llm.log_session_end(game_id)
    assert {s.game_id: s.total_interactions for s in store.sessions()} == {"g1": 6, "g2": 6}
    turns = {span.span_id: span for span in store.spans("interaction")}
    parents = [call.parent_id for call in store.spans("chat")]
    assert sorted(parents) == sorted(turns)  # one call each
    for call in store.spans("chat"):
        for key in (sc.GAME_ID, sc.PHASE_NAME, sc.POWER_NAME):
            assert call.attributes[key] == turns[call.parent_id].attributes[key]
    assert len(store.spans("phase")) == 4


async def test_a_game_that_nobody_ends_lasts_until_the_end_where_it_is_recorded_live(store) -> None:
    otel_llm.instrument()
    await otel_llm.run_llm_and_log(Client(), "x", None, "FRANCE", "S1901M", "order", "g")
    otel_llm.shutdown()
    (game,), (turn,) = store.spans("game"), store.spans("interaction")
    assert game.end_ns >= turn.end_ns
