"""Games, phases and interactions through the public face: whole spans, nesting, and what must never happen."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import baggage, trace

import otel_llm
from otel_llm import semconv as sc
from otel_llm import testing
from otel_llm.testing import Captured


@pytest.fixture
def captured() -> Iterator[Captured]:
    with testing.capture(metrics=False) as found:
        yield found


def attributes(captured: Captured, name: str) -> dict[str, Any]:
    return next(span["attributes"] for span in captured.shape() if span["name"] == name)


def by_name(captured: Captured) -> dict[str, Any]:
    return {span.name: span for span in captured.spans()}


# --- shapes ---------------------------------------------------------------------------------------
_GAME = {sc.GAME_ID: "g/1", sc.GAME_NAME: "diplomacy"}
_SPRING = {
    **_GAME,
    sc.PHASE_NAME: "S1901M",
    sc.PHASE_YEAR: 1901,
    sc.PHASE_SEASON: 0,
    sc.PHASE_TYPE: "movement",
}


def test_a_game_as_whole_spans(captured: Captured) -> None:
    with otel_llm.game("g/1", name="diplomacy", players={"FRANCE": "gpt-5", "ITALY": "m"}) as game:
        with (
            otel_llm.phase("S1901M", centers={"FRANCE": 3}),
            otel_llm.interaction("order", power="FRANCE", units=3) as order,
        ):
            order.set(orders=["A PAR H", "F X"], invalid_orders=["F X"], mine=1)
        with otel_llm.phase("FALL 1901 MOVEMENT"):
            pass
        game.set(winners="FRANCE", outcome="solo")
    order_totals = {sc.TOTALS_PREFIX + "valid_orders": 1, sc.TOTALS_PREFIX + "invalid_orders": 1}
    totals = {
        sc.TOTALS_PREFIX + "interactions": 1,
        sc.TOTALS_PREFIX + "success_rate": 1.0,
        sc.TOTALS_PREFIX + "interactions_by_type.order": 1,
        sc.TOTALS_PREFIX + "interactions_by_power.FRANCE": 1,
        **order_totals,
    }
    common = {"kind": "INTERNAL", "status": "UNSET", "events": []}
    assert captured.shape() == [
        {
            "name": "invoke_workflow diplomacy",
            "parent": None,
            "links": [],
            "attributes": {
                **_GAME,
                sc.SCOPE_KIND: "game",
                sc.OPERATION_NAME: "invoke_workflow",
                sc.GAME_PLAYERS: ("FRANCE", "ITALY"),
                sc.GAME_MODELS: ("gpt-5", "m"),
                sc.GAME_OUTCOME: "solo",
                sc.GAME_WINNERS: ("FRANCE",),
                sc.TOTALS_PREFIX + "phases": 2,
                **totals,
            },
            **common,
        },
        {
            "name": "phase S1901M",
            "parent": None,
            "links": ["invoke_workflow diplomacy"],
            "attributes": {
                **_SPRING,
                sc.SCOPE_KIND: "phase",
                sc.PHASE_CENTERS_PREFIX + "FRANCE": 3,
                **totals,
            },
            **common,
        },
        {
            "name": "invoke_agent FRANCE",
            "parent": "phase S1901M",
            "links": [],
            "attributes": {
                **_SPRING,
                sc.SCOPE_KIND: "interaction",
                sc.OPERATION_NAME: "invoke_agent",
                sc.AGENT_NAME: "FRANCE",
                sc.POWER_NAME: "FRANCE",
                sc.POWER_UNITS: 3,
                sc.INTERACTION_TYPE: "order",
                sc.INTERACTION_SUCCESS: True,
                sc.ORDERS_SUBMITTED: ("A PAR H", "F X"),
                sc.ORDERS_INVALID: ("F X",),
                sc.ORDERS_INVALID_COUNT: 1,
                sc.ORDERS_VALID_COUNT: 1,
                "otel_llm.custom.mine": 1,
            },
            **common,
        },
        {
            "name": "phase FALL 1901 MOVEMENT",
            "parent": None,
            "links": ["invoke_workflow diplomacy", "phase S1901M"],
            "attributes": {
                **_GAME,
                sc.SCOPE_KIND: "phase",
                sc.PHASE_NAME: "FALL 1901 MOVEMENT",
                sc.PHASE_YEAR: 1901,
                sc.PHASE_SEASON: 1,
                sc.PHASE_TYPE: "movement",
            },
            **common,
        },
    ]


def test_each_phase_is_a_trace_unless_one_trace_a_game_is_wanted() -> None:
    for setting, traces in (("phase", 3), ("game", 1)):
        with testing.capture(game_traces=setting) as captured:
            with otel_llm.game("g"):
                for name in ("S1901M", "F1901M"):
                    with otel_llm.phase(name), otel_llm.interaction("order", power="ITALY"):
                        pass
            spans = captured.spans()
        assert len(spans) == 5
        assert len({span.context.trace_id for span in spans}) == traces


def test_a_game_that_begins_inside_of_something_links_to_it(captured: Captured) -> None:
    with trace.get_tracer("mine").start_as_current_span("request"), otel_llm.game("g", name="chess"):
        pass
    game = by_name(captured)["invoke_workflow chess"]
    assert game.parent is None
    assert [link.attributes[sc.LINK_KIND] for link in game.links] == [sc.LINK_STARTED_IN]


def test_other_peoples_spans_say_which_game_they_are_of(captured: Captured) -> None:
    tracer = trace.get_tracer("mine")
    with otel_llm.game("g"), otel_llm.phase("S1901M"), otel_llm.interaction("plan", power="ITALY"):
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
            pass
    with tracer.start_as_current_span("after"):
        pass
    for name in ("outer", "inner"):
        found = attributes(captured, name)
        assert found[sc.GAME_ID] == "g"
        assert found[sc.PHASE_NAME] == "S1901M"
        assert found[sc.POWER_NAME] == "ITALY"
        assert found[sc.INTERACTION_TYPE] == "plan"
    assert attributes(captured, "after") == {}


def test_what_another_process_handed_down_is_on_the_spans_here(captured: Captured) -> None:
    context = baggage.set_baggage(sc.GAME_ID, "far/1")
    context = baggage.set_baggage(sc.PHASE_YEAR, "1901", context)
    context = baggage.set_baggage(sc.PHASE_SEASON, "soon", context)
    context = baggage.set_baggage("customer", "somebody", context)
    with trace.get_tracer("mine").start_as_current_span("request", context):
        pass
    assert attributes(captured, "request") == {sc.GAME_ID: "far/1", sc.PHASE_YEAR: 1901}


def test_steps_rollouts_turns_tools_and_rewards_nest(captured: Captured) -> None:
    with otel_llm.training_run("run-1"), otel_llm.step(3), otel_llm.rollout("r7", group="g2"):
        with otel_llm.turn(0), otel_llm.tool("search", call_id="c1", arguments={"q": 1}) as tool:
            tool.set(result="found")
        with otel_llm.reward("format", score="0.5"), otel_llm.game("g"):
            pass
    shape = {span["name"]: span for span in captured.shape()}
    assert {name: span["parent"] for name, span in shape.items()} == {
        "training_run": None,
        "training_step": None,
        "rollout": None,
        "turn": "rollout",
        "execute_tool search": "turn",
        "reward format": "rollout",
        "invoke_workflow game": None,
    }
    tool_told = shape["execute_tool search"]["attributes"]
    assert tool_told.pop(sc.HOST_NAME)
    assert tool_told == {
        sc.RANK: 0,
        sc.LOCAL_RANK: 0,
        sc.WORLD_SIZE: 1,
        sc.RUN_ATTEMPT: 0,
        sc.RUN_ID: "run-1",
        sc.TRAIN_STEP: 3,
        sc.SAMPLE_ID: "r7",
        sc.SAMPLE_GROUP: "g2",
        sc.SAMPLE_TURN: 0,
        sc.SCOPE_KIND: "tool",
        sc.OPERATION_NAME: "execute_tool",
        sc.TOOL_NAME: "search",
        sc.TOOL_CALL_ID: "c1",
        sc.TOOL_CALL_ARGUMENTS: '{"q":1}',
        sc.TOOL_CALL_RESULT: "found",
    }
    assert shape["reward format"]["attributes"][sc.EVALUATION_SCORE] == 0.5
    game = shape["invoke_workflow game"]["attributes"]
    assert (game[sc.TRAIN_STEP], game[sc.SAMPLE_ID]) == (3, "r7")


# --- crossing tasks, threads, executors -----------------------------------------------------------
def parents(captured: Captured) -> dict[str, str | None]:
    return {span["name"]: span["parent"] for span in captured.shape()}


async def test_tasks_are_below_the_scope_that_made_them(captured: Captured) -> None:
    async def act(power: str) -> None:
        async with otel_llm.interaction("order", power=power):
            await asyncio.sleep(0.001)
            with trace.get_tracer("mine").start_as_current_span(f"inside {power}"):
                await asyncio.sleep(0.001)

    async with otel_llm.game("g"), otel_llm.phase("S1901M"):
        await asyncio.gather(*(act(power) for power in ("FRANCE", "ITALY", "TURKEY")))
    for power in ("FRANCE", "ITALY", "TURKEY"):
        assert parents(captured)[f"inside {power}"] == f"invoke_agent {power}"
        assert parents(captured)[f"invoke_agent {power}"] == "phase S1901M"
        assert attributes(captured, f"inside {power}")[sc.POWER_NAME] == power


async def test_threads_and_executors_are_below_the_scope_that_started_them(captured: Captured) -> None:
    def work(name: str) -> None:
        with otel_llm.interaction("plan", power=name):
            pass

    loop = asyncio.get_running_loop()
    with otel_llm.game("g"), otel_llm.phase("S1901M"), ThreadPoolExecutor(1) as pool:
        await loop.run_in_executor(None, work, "in an executor")
        pool.submit(work, "in a pool").result()
        thread = threading.Thread(target=work, args=("in a thread",))
        thread.start()
        thread.join()
    for name in ("in an executor", "in a pool", "in a thread"):
        assert parents(captured)[f"invoke_agent {name}"] == "phase S1901M"


async def test_fifty_games_at_once_do_not_mix(captured: Captured) -> None:
    async def play(number: int) -> None:
        async with otel_llm.game(f"game-{number}"):
            for name in ("S1901M", "F1901M"):
                with otel_llm.phase(name):
                    await asyncio.gather(*(act(number, power) for power in range(number % 5 + 1)))

    async def act(number: int, power: int) -> None:
        with otel_llm.interaction("order", power=f"{number}-{power}"):
            await asyncio.sleep(0.0001 * (number % 7))

    await asyncio.gather(*(play(number) for number in range(50)))
    spans = captured.spans()
    games = {s.attributes[sc.GAME_ID]: s for s in spans if s.attributes[sc.SCOPE_KIND] == "game"}
    assert len(games) == 50
    for number in range(50):
        game = games[f"game-{number}"].attributes
        expected = 2 * (number % 5 + 1)
        assert game[sc.TOTALS_PREFIX + "interactions"] == expected
        assert game[sc.TOTALS_PREFIX + "phases"] == 2
        below = [s for s in spans if s.attributes[sc.GAME_ID] == f"game-{number}"]
        assert len(below) == 1 + 2 + expected
        powers = {s.attributes.get(sc.POWER_NAME) for s in below} - {None}
        assert powers == {f"{number}-{power}" for power in range(number % 5 + 1)}


# --- failures -------------------------------------------------------------------------------------
async def test_an_exception_is_recorded_also_where_the_program_swallows_it(captured: Captured) -> None:
    async def diary() -> None:
        with otel_llm.interaction("order_diary", power="ITALY"):
            raise KeyError("missing sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ")

    with otel_llm.game("g"), otel_llm.phase("S1901M"):
        results = await asyncio.gather(diary(), return_exceptions=True)
    assert isinstance(results[0], KeyError)
    span = by_name(captured)["invoke_agent ITALY"]
    assert span.status.status_code.name == "ERROR"
    assert span.attributes[sc.ERROR_TYPE] == "KeyError"
    assert span.attributes[sc.INTERACTION_SUCCESS] is False
    (event,) = span.events
    assert event.attributes[sc.EXCEPTION_TYPE] == "KeyError"
    assert "in test_an_exception" in event.attributes[sc.EXCEPTION_STACKTRACE]
    assert "sk-proj-" not in str(event.attributes) + str(span.status.description)
    for name in ("phase S1901M", "invoke_workflow game"):
        assert by_name(captured)[name].attributes[sc.TOTALS_PREFIX + "failed_interactions"] == 1


def test_a_loop_of_attempts_is_numbered_and_linked(captured: Captured) -> None:
    with otel_llm.game("g"), otel_llm.phase("S1901M"):
        for attempt in range(5):
            try:
                with otel_llm.interaction("order", power="ITALY"):
                    raise TypeError("unexpected keyword argument")
            except TypeError:
                continue
        with otel_llm.interaction("order", power="FRANCE"):
            pass
        with otel_llm.interaction("order", power="ITALY"):
            pass
        with otel_llm.interaction("order", power="ITALY"):
            pass
    spans = [s for s in captured.spans() if s.name == "invoke_agent ITALY"]
    assert [s.attributes.get(sc.INTERACTION_ATTEMPT) for s in spans] == [None, 2, 3, 4, 5, 6, None]
    for before, after in itertools.pairwise(spans[:6]):
        (link,) = after.links
        assert link.context.span_id == before.context.span_id
        assert link.attributes[sc.LINK_KIND] == sc.LINK_RETRY_OF
    assert attributes(captured, "invoke_agent FRANCE").get(sc.INTERACTION_ATTEMPT) is None


def test_attempts_inside_of_one_interaction_are_told(captured: Captured) -> None:
    with otel_llm.interaction("order", power="ITALY", model="gpt-5") as order:
        order.retry(TimeoutError("slow")).retry("no JSON")
    (span,) = captured.shape()
    assert span["status"] == "UNSET"
    assert span["attributes"][sc.INTERACTION_ATTEMPT] == 3
    assert span["attributes"][sc.REQUEST_MODEL] == "gpt-5"
    assert span["events"] == ["exception", "exception"]


async def test_what_is_cancelled_says_so_in_one_word(captured: Captured) -> None:
    async def act() -> None:
        async with otel_llm.interaction("order", power="ITALY"):
            await asyncio.sleep(60)

    task = asyncio.create_task(act())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (span,) = captured.shape()
    assert span["attributes"][sc.ERROR_TYPE] == "cancelled"


def test_a_failure_that_the_program_handles_is_told(captured: Captured) -> None:
    with otel_llm.interaction("order", power="ITALY") as order:
        order.fail(ValueError("no JSON"))
    with otel_llm.interaction("plan", power="ITALY", success="Failure: Invalid LLM Moves (2): A X, A Y"):
        pass
    first, second = captured.shape()
    assert (first["status"], first["attributes"][sc.ERROR_TYPE]) == ("ERROR", "ValueError")
    assert (second["status"], second["attributes"][sc.ERROR_TYPE]) == ("ERROR", "invalid_llm_moves")


# --- what is kept of texts ------------------------------------------------------------------------
@pytest.mark.parametrize("policy", ["none", "length", "preview", "full"])
def test_texts_are_kept_as_the_policy_says(policy: str) -> None:
    secret = "My key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ. " + "Hold Paris. " * 30
    with testing.capture(content=policy) as captured:
        with otel_llm.interaction("negotiation", power="ITALY", goals=secret, parsed={"a": "b"}) as said:
            said.content(prompt=[{"role": "user", "content": secret}], response="Yes.")
            said.message(secret, recipients=["FRANCE"])
            said.message("To all")
        (span,) = captured.spans()
    found = dict(span.attributes)
    events = [dict(event.attributes) for event in span.events]
    assert "sk-proj-" not in repr(found) + repr(events)
    assert [e[sc.MESSAGE_PRIVATE] for e in events] == [True, False]
    assert [e[sc.MESSAGE_RECIPIENTS] for e in events] == [("FRANCE",), ()]
    assert (sc.INTERACTION_GOALS in found) == (policy in {"preview", "full"})
    assert (sc.INPUT_MESSAGES in found) == (policy in {"preview", "full"})
    assert (sc.INPUT_LENGTH in found) == (policy != "none")
    if policy == "length":
        assert found[sc.INPUT_LENGTH] == len(secret)
        assert found[sc.INTERACTION_GOALS + sc.LENGTH_SUFFIX] == len(secret)
        assert [e[sc.MESSAGE_LENGTH] for e in events] == [len(secret), 6]
    if policy == "full":
        assert events[1][sc.MESSAGE_CONTENT] == "To all"
    if policy == "preview":
        assert len(found[sc.INTERACTION_GOALS]) < 300 < len(secret)


def test_any_attribute_can_be_switched_off() -> None:
    with testing.capture(drop_attributes=["game.orders.*", sc.GAME_NAME, "otel_llm.custom.*"]) as captured:
        with otel_llm.game("g", name="diplomacy"), otel_llm.interaction("order", power="ITALY") as order:
            order.set(orders=["A ROM H"], mine=1, units=3)
        found = attributes(captured, "invoke_agent ITALY")
    assert found[sc.POWER_UNITS] == 3
    assert not [key for key in found if key.startswith(("game.orders", "otel_llm.custom", sc.GAME_NAME))]


# --- bad input ------------------------------------------------------------------------------------
_KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"


@pytest.mark.parametrize(
    "game_id", ["runs/2024/7", "quote\"s'", "ünïcödé 🎲", "with\nlines\x1b[31m", "x" * 5000, 7, 1.5, ("a", 1)]
)
def test_any_id_is_an_id(captured: Captured, game_id: object) -> None:
    with otel_llm.game(game_id) as game, otel_llm.phase("S1901M"):
        pass
    ids = {span.attributes[sc.GAME_ID] for span in captured.spans()}
    assert ids == {game.id}
    assert str(game_id)[:200] in game.id
    assert len(game.id) < 300


def test_a_name_that_cannot_be_read_is_a_name(captured: Captured) -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    with (
        otel_llm.game(Rude(), name=Rude()),
        otel_llm.phase(Rude()),
        otel_llm.interaction(Rude(), power=Rude()),
    ):  # type: ignore[arg-type]
        pass
    assert "invoke_agent <Rude>" in by_name(captured)


def test_a_key_in_an_id_is_scrubbed_and_two_games_stay_two(captured: Captured) -> None:
    for number in (1, 2):
        with otel_llm.game(f"https://user:{_KEY}{number}@host/{_KEY}{number}"):
            pass
    ids = [span.attributes[sc.GAME_ID] for span in captured.spans()]
    assert len(set(ids)) == 2
    assert _KEY not in "".join(ids)


def test_no_id_makes_one(captured: Captured) -> None:
    with otel_llm.game(), otel_llm.game():
        pass
    assert len({span.attributes[sc.GAME_ID] for span in captured.spans()}) == 2


def test_strange_use_is_recorded_and_said_once(captured: Captured, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "otel_llm"):
        for _ in range(2):
            with otel_llm.interaction("order", power="ITALY"):
                pass
            with otel_llm.game("same", players=["FRANCE"]), otel_llm.game("same"):
                pass
            with otel_llm.game("g", players=["FRANCE"]):
                with otel_llm.phase("F1902M"), otel_llm.interaction("order", power="ATLANTIS"):
                    pass
                with otel_llm.phase("S1901M"), otel_llm.interaction("order", power="FRANCE", units=-3):
                    pass
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)) == 5
    found = captured.shape()
    late = [s for s in found if s["name"] == "phase S1901M"]
    assert [s["attributes"][sc.PHASE_OUT_OF_ORDER] for s in late] == [True, True]
    unknown = [s for s in found if s["name"] == "invoke_agent ATLANTIS"]
    assert [s["attributes"][sc.POWER_UNKNOWN] for s in unknown] == [True, True]
    invalid = [s for s in found if s["name"] == "invoke_agent FRANCE"]
    assert [s["attributes"][sc.INVALID_FIELDS] for s in invalid] == [("units",), ("units",)]


def test_a_phase_left_open_ends_with_its_game(captured: Captured) -> None:
    with pytest.raises(RuntimeError), otel_llm.game("g"):
        otel_llm.phase("S1901M").start()
        raise RuntimeError
    assert attributes(captured, "phase S1901M")[sc.LEFT_OPEN] is True
    assert attributes(captured, "invoke_workflow game")[sc.ERROR_TYPE] == "RuntimeError"


def test_a_scope_that_is_forgotten_ends(captured: Captured) -> None:
    otel_llm.interaction("order", power="ITALY").start()
    gc.collect()
    assert attributes(captured, "invoke_agent ITALY")[sc.LEFT_OPEN] is True


def test_ending_or_telling_twice_changes_nothing(captured: Captured) -> None:
    scope = otel_llm.interaction("order", power="ITALY")
    with scope, scope:
        scope.set(units=1)
    scope.set(units=2)
    scope.end()
    with scope:
        pass
    (span,) = captured.shape()
    assert span["attributes"][sc.POWER_UNITS] == 1


def test_back_dated_spans_begin_and_end_when_they_are_told(captured: Captured) -> None:
    start = 1_700_000_000_000_000_000
    scope = otel_llm.interaction("order", power="ITALY").start(at_ns=start)
    scope.end(at_ns=start + 1_250_000_000)
    (span,) = captured.spans()
    assert (span.start_time, span.end_time) == (start, start + 1_250_000_000)
    backwards = otel_llm.interaction("order", power="FRANCE").start(at_ns=start)
    backwards.end(at_ns=start - 5)
    assert by_name(captured)["invoke_agent FRANCE"].end_time == start


# --- the host -------------------------------------------------------------------------------------
def test_without_instrument_scopes_do_nothing() -> None:
    with otel_llm.game("g") as game, otel_llm.phase("S1901M"), otel_llm.interaction("order") as order:
        order.set(units=3).message("hi").content(prompt="x")
        assert trace.get_current_span() is trace.INVALID_SPAN
        assert otel_llm.current_scope() is None
    assert game.ended
    assert game.id == "g"


def test_the_programs_exception_passes_unchanged(captured: Captured) -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError) as caught, otel_llm.game("g"), otel_llm.phase("S1901M"):
        raise error
    assert caught.value is error


def test_a_broken_part_of_ours_never_reaches_the_program(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("broken on purpose")

    for target in (
        "otel_llm.attributes.Describer.identity",
        "otel_llm.fields.plain",
        "otel_llm.telling.failure_of",
        "otel_llm.closing._described",
        "otel_llm.closing._outcome",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, broken)
            with pytest.raises(KeyError), otel_llm.game("g") as game, otel_llm.phase("S1901M"):
                game.set(mine=1).fail("x")
                raise KeyError
            otel_llm.force_flush()
    with otel_llm.interaction("order", power="ITALY"):
        pass
    assert "invoke_agent ITALY" in by_name(captured)


def test_finished_games_leave_nothing_in_memory(captured: Captured) -> None:
    gone = []
    for number in range(20):
        with otel_llm.game(f"g{number}") as game, otel_llm.phase("S1901M") as phase:
            with otel_llm.interaction("order", power="ITALY") as order:
                pass
        gone += [weakref.ref(scope) for scope in (game, phase, order)]
    del game, phase, order
    otel_llm.force_flush()
    gc.collect()
    assert [ref() for ref in gone if ref() is not None] == []


# --- decorators -----------------------------------------------------------------------------------
def test_functions_and_generators_run_in_scopes_of_their_own(captured: Captured) -> None:
    @otel_llm.interaction("plan", power="ITALY")
    def plan(x: int) -> int:
        """Plan."""
        assert otel_llm.current_scope() is not None
        return x + 1

    @otel_llm.interaction("stream", power="ITALY")
    def stream() -> Iterator[int]:
        assert otel_llm.current_scope() is not None
        got = yield 1
        yield got
        return "end"  # type: ignore[return-value]

    assert plan(1) == 2
    assert plan.__doc__ == "Plan."
    generator = stream()
    assert next(generator) == 1
    assert otel_llm.current_scope() is None
    assert generator.send(5) == 5  # type: ignore[attr-defined]
    with pytest.raises(StopIteration) as stopped:
        next(generator)
    assert stopped.value.value == "end"
    assert plan(2) == 3
    assert [span["attributes"][sc.INTERACTION_TYPE] for span in captured.shape()] == [
        "plan",
        "stream",
        "plan",
    ]
    assert all(span["status"] == "UNSET" for span in captured.shape())


async def test_coroutines_and_asynchronous_generators_run_in_scopes_of_their_own(captured: Captured) -> None:
    @otel_llm.interaction("plan", power="ITALY")
    async def plan() -> str:
        await asyncio.sleep(0)
        assert otel_llm.current_scope() is not None
        return "done"

    @otel_llm.interaction("stream", power="ITALY")
    async def stream() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            assert otel_llm.current_scope() is not None
            yield number

    assert await plan() == "done"
    seen = []
    async for number in stream():
        assert otel_llm.current_scope() is None
        seen.append(number)
    assert seen == [0, 1, 2]
    broken = stream()
    async for _ in broken:
        break
    await broken.aclose()  # type: ignore[attr-defined]
    shapes = captured.shape()
    assert [s["attributes"][sc.INTERACTION_TYPE] for s in shapes] == ["plan", "stream", "stream"]
    assert all(s["status"] == "UNSET" for s in shapes)


def test_an_exception_thrown_into_a_generator_is_its_own(captured: Captured) -> None:
    @otel_llm.interaction("stream", power="ITALY")
    def stream() -> Iterator[int]:
        try:
            yield 1
        except LookupError:
            yield 2
        raise ValueError("mine")

    generator = stream()
    next(generator)
    assert generator.throw(LookupError()) == 2  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="mine"):
        next(generator)
    (span,) = captured.shape()
    assert span["attributes"][sc.ERROR_TYPE] == "ValueError"


async def test_a_scope_that_ends_in_another_task_says_nothing_in_the_log(
    captured: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    scope = otel_llm.game("g")
    await asyncio.create_task(_enter(scope))
    scope.__exit__(None, None, None)
    assert len(captured.spans()) == 1
    assert caplog.records == []


async def _enter(scope: otel_llm.Scope) -> None:
    scope.__enter__()


def test_as_many_messages_as_a_lively_phase_has_are_kept_and_the_rest_is_counted(captured: Captured) -> None:
    with otel_llm.game("g"), otel_llm.phase("S1901M") as phase:
        for number in range(1005):
            phase.message(f"message {number}", sender="ITALY")
    events = by_name(captured)["phase S1901M"].events
    assert len(events) == 1000
    assert otel_llm.status()["dropped"] == {"message: too_many": 5}


def test_what_is_given_under_the_name_of_a_secret_is_one_whatever_it_looks_like(captured: Captured) -> None:
    with otel_llm.tool(
        "login", password="hunter", attributes={"http.request.header.authorization": "me"}
    ) as tool:
        tool.set({"url.full": "https://host/?code=abc"})
        tool.event("said", {"api_key": "short", "note": "open"})
    (span,) = captured.spans()
    assert span.attributes["otel_llm.custom.password"] == "[redacted]"
    assert span.attributes["http.request.header.authorization"] == "[redacted]"
    assert span.attributes["url.full"] == "https://host/?code=[redacted]"
    assert dict(span.events[0].attributes) == {"api_key": "[redacted]", "note": "open"}


def test_no_text_is_one_that_exporters_cannot_encode(captured: Captured) -> None:
    with otel_llm.game("\udcff", name="\udcff"), otel_llm.interaction("\udcff", power="\udcff") as turn:
        turn.set(one="\udcff", many=["\udcff", "é"])
        turn.event("\udcff", {"of": "\udcff"})
        turn.message("\udcff", recipients="\udcff")
        turn.fail(OSError("no file '\udcff'"))
    for span in captured.spans():
        told = (
            span.name,
            span.status.description,
            dict(span.attributes),
            [(e.name, dict(e.attributes)) for e in span.events],
        )
        assert "\\udcff" not in repr(told)
        assert "\udcff" not in repr(told)
