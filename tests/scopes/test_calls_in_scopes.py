"""Model calls below scopes: totals, metrics, failures that the program swallows, and what crosses to servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_llm
from otel_llm import semconv as sc
from otel_llm import testing
from otel_llm.loopback import LoopbackServer, plans
from otel_llm.store import StoreReader
from tests.core.test_instruments import points

T = sc.TOTALS_PREFIX


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as running:
        yield running


def ask(server: LoopbackServer, model: str = "gpt-5") -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "Orders?"}]}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body).status_code


def play(server: LoopbackServer) -> None:
    with otel_llm.game("g", name="diplomacy"), otel_llm.phase("S1901M"):
        with otel_llm.interaction("order", power="FRANCE") as order:
            ask(server)
            ask(server, "gpt-5-mini")
            order.set(orders=["A PAR H", "A X"], invalid_orders=["A X"])
        with otel_llm.interaction("plan", power="ITALY"):
            ask(server)
        ask(server)


def test_calls_are_added_up_at_every_level(server: LoopbackServer) -> None:
    with testing.capture() as captured:
        play(server)
        spans = {span.name: dict(span.attributes) for span in captured.spans()}
        calls = captured.calls()
    tokens = [call.attributes[sc.USAGE_INPUT_TOKENS] for call in calls]
    game = spans["invoke_workflow diplomacy"]
    assert game[T + "calls"] == spans["phase S1901M"][T + "calls"] == 4
    assert game[T + "input_tokens"] == sum(tokens)
    assert game[T + "calls_by_model.gpt-5"] == 3
    assert game[T + "calls_by_model.gpt-5-mini"] == 1
    assert game[T + "interactions"] == 2
    assert (spans["invoke_agent FRANCE"][T + "calls"], spans["invoke_agent ITALY"][T + "calls"]) == (2, 1)
    assert [c.attributes.get(sc.INTERACTION_TYPE) for c in calls] == ["order", "order", "plan", None]
    assert {c.attributes[sc.PHASE_NAME] for c in calls} == {"S1901M"}


def test_a_call_that_failed_silently_fails_its_interaction(server: LoopbackServer) -> None:
    server.script(plans.rate_limited(0), plans.rate_limited(0), plans.rate_limited(0), plans.answer("Ok."))
    with testing.capture() as captured:
        with otel_llm.game("g"), otel_llm.phase("S1901M"):
            with otel_llm.interaction("order_diary", power="FRANCE"):
                assert [ask(server), ask(server)] == [429, 429]  # and nobody looks at it
            with otel_llm.interaction("order", power="ITALY"):
                assert [ask(server), ask(server)] == [429, 200]
            with otel_llm.interaction("order", power="TURKEY", success=True):
                server.script(plans.server_error())
                ask(server)
        shape = {span["name"]: span for span in captured.shape()}
        said = {span.name: span.status.description for span in captured.spans()}
    assert shape["invoke_agent FRANCE"]["status"] == "ERROR"
    assert shape["invoke_agent FRANCE"]["attributes"][sc.ERROR_TYPE] == "rate_limit"
    assert said["invoke_agent FRANCE"] == "the last of 2 calls failed: rate_limit"
    assert shape["invoke_agent ITALY"]["status"] == "UNSET"
    assert shape["invoke_agent ITALY"]["attributes"][T + "failed_calls"] == 1
    assert shape["invoke_agent TURKEY"]["attributes"][sc.INTERACTION_SUCCESS] is True
    assert shape["invoke_workflow game"]["attributes"][T + "failed_interactions"] == 1


def test_games_are_measured_by_type_power_and_model_and_never_by_id(server: LoopbackServer) -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    with testing.capture() as captured:
        play(server)
        with otel_llm.game("open"), otel_llm.interaction("order", power="ITALY", success=False):
            captured.spans()
            assert points(reader)[sc.METRIC_GAMES_ACTIVE][0].value == 1
        captured.spans()
        found = points(reader)
    interactions: dict[Any, Any] = {
        (p.attributes[sc.INTERACTION_TYPE], p.attributes[sc.POWER_NAME], p.attributes.get(sc.ERROR_TYPE)): p
        for p in found[sc.METRIC_INTERACTION_DURATION]
    }
    assert {key: point.count for key, point in interactions.items()} == {
        ("order", "FRANCE", None): 1,
        ("plan", "ITALY", None): 1,
        ("order", "ITALY", "failure"): 1,
    }
    orders = {
        (p.attributes[sc.POWER_NAME], p.attributes[sc.ORDER_VALID]): p.value for p in found[sc.METRIC_ORDERS]
    }
    assert orders == {("FRANCE", True): 1, ("FRANCE", False): 1}
    tokens = [p for p in found[sc.METRIC_INTERACTION_TOKENS] if p.attributes[sc.POWER_NAME] == "ITALY"]
    assert {p.attributes[sc.REQUEST_MODEL] for p in tokens} == {"gpt-5"}
    assert {p.attributes[sc.PHASE_TYPE] for p in found[sc.METRIC_PHASE_DURATION]} == {"movement"}
    assert sum(p.count for p in found[sc.METRIC_GAME_DURATION]) == 2
    assert found[sc.METRIC_GAMES_ACTIVE][0].value == 0
    for metric in found.values():
        assert not any(sc.GAME_ID in point.attributes for point in metric)


def test_a_server_nearby_is_told_of_the_game_and_a_public_one_is_not(server: LoopbackServer) -> None:
    with testing.capture():
        with otel_llm.game("run/7 ü"), otel_llm.phase("S1901M"), otel_llm.interaction("plan", power="ITALY"):
            ask(server)
            body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}
            with httpx.Client(proxy=server.url) as client:
                client.post("http://api.openai.com/v1/chat/completions", json=body)
    near, public = (request.headers for request in server.requests)
    carried = dict(pair.split("=") for pair in near["baggage"].split(","))
    assert carried[sc.PHASE_NAME] == "S1901M"
    assert carried[sc.POWER_NAME] == "ITALY"
    assert carried[sc.GAME_ID].startswith("run%2F7")
    assert "baggage" not in public
    assert "traceparent" not in public


def test_the_store_keeps_texts_that_exporters_do_not_get(server: LoopbackServer, tmp_path: Any) -> None:
    exporter = InMemorySpanExporter()
    otel_llm.instrument(store=tmp_path, content="length", store_content="full", metrics=False)
    runtime = otel_llm.runtime.current()
    runtime.seat.provider.add_span_processor(SimpleSpanProcessor(exporter))
    with otel_llm.game("g"), otel_llm.interaction("negotiation", power="ITALY", goals="Take Trieste") as said:
        said.message("Trust me.", recipients="FRANCE")
        said.content(prompt="Write to France.", response="Trust me.")
    otel_llm.shutdown()
    stored = next(s for s in StoreReader(tmp_path).spans(name="invoke_agent ITALY"))
    assert stored.attributes[sc.INTERACTION_GOALS] == "Take Trieste"
    assert stored.attributes[sc.MESSAGE_CONTENT] == ("Trust me.",)
    assert "Write to France." in stored.attributes[sc.INPUT_MESSAGES]
    exported = repr(
        [(dict(s.attributes), [dict(e.attributes) for e in s.events]) for s in exporter.get_finished_spans()]
    )
    for secret in ("Trieste", "Trust me", "Write to"):
        assert secret not in exported
