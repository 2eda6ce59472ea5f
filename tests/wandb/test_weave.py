"""Weave's contract, against a receiver on loopback that rejects what Weave is known to reject."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_llm import semconv as sc
from otel_llm_wandb.weave import WeaveSpanExporter, tree
from tests.wandb.conftest import Program


@dataclass
class Weave:
    url: str = ""
    spans: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    """`(name, attributes, resource)` of what it took."""
    rejected: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def take(self, request: ExportTraceServiceRequest, headers: dict[str, str]) -> tuple[int, bytes]:
        self.headers.append({key.lower(): value for key, value in headers.items()})
        refused = 0
        for group in request.resource_spans:
            resource = values(group.resource.attributes)
            if not is_tree(resource):
                return 500, b""
            if not (resource.get("wandb.entity") and resource.get("wandb.project")):
                return 200, b""  # dropped without a word
            for scope in group.scope_spans:
                for span in scope.spans:
                    attributes = values(span.attributes)
                    if is_tree(attributes):
                        self.spans.append((span.name, attributes, resource))
                    else:
                        self.rejected.append(span.name)
                        refused += 1
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = refused
        return 200, response.SerializeToString()


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def is_tree(names: dict[str, Any]) -> bool:
    return not any(other.startswith(f"{name}.") for name in names for other in names)


@pytest.fixture
def weave() -> Iterator[Weave]:
    made = Weave()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            status, answer = made.take(ExportTraceServiceRequest.FromString(body), {**self.headers})
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}/otel/v1/traces"
    yield made
    server.shutdown()
    server.server_close()


def test_a_game_arrives_as_a_thread_of_turns(program: Program, tmp_path: Path, weave: Weave) -> None:
    done = program(
        "weave.py",
        OTEL_LLM_WEAVE_ENDPOINT=weave.url,
        WANDB_API_KEY="k" * 40,
        WANDB_ENTITY="team",
        WANDB_PROJECT="games",
        OTEL_EXPORTER_OTLP_HEADERS="x-secret=another-backends-key",
        OTEL_LLM_CONTENT="full",
    )
    assert done.returncode == 0, done.stderr
    assert weave.rejected == []
    assert len(weave.spans) == 1 + 2 + 2 * 4 + 2 * 2
    turns = [attributes for _, attributes, _ in weave.spans if attributes.get("wandb.is_turn")]
    assert len(turns) == 8
    assert {turn["gen_ai.operation.name"] for turn in turns} == {"invoke_agent"}
    assert {turn["gen_ai.agent.name"] for turn in turns} == {"FRANCE", "ITALY"}
    assert {turn["wandb.display_name"] for turn in turns} == {
        "FRANCE order", "ITALY order", "FRANCE negotiation", "ITALY negotiation",
    }  # fmt: skip
    asked = [turn for turn in turns if "order" in turn["wandb.display_name"]]
    assert len(asked) == 4
    for turn in asked:  # what its call was asked and answered: without it the threads view shows nothing
        assert f"Orders for {turn['gen_ai.agent.name']}" in turn["gen_ai.input.messages"]
        assert turn["gen_ai.output.messages"]
    in_game = [attributes for _, attributes, _ in weave.spans if "game.id" in attributes]
    assert {one["wandb.thread_id"] for one in in_game} == {"game-0"}
    assert {one["gen_ai.conversation.id"] for one in in_game} == {"game-0"}
    calls = [
        attributes for _, attributes, _ in weave.spans if attributes.get("gen_ai.operation.name") == "chat"
    ]
    assert len(calls) == 4
    for call in calls:
        assert call["gen_ai.request.model"] in {"gpt-5", "gpt-5-mini"}
        assert call["gen_ai.usage.input_tokens"] > 0
        assert call["gen_ai.usage.output_tokens"] > 0
        assert "Orders for" in call["gen_ai.input.messages"]
        assert call["gen_ai.output.messages"]
    assert {(r["wandb.entity"], r["wandb.project"]) for _, _, r in weave.spans} == {("team", "games")}
    for headers in weave.headers:
        assert headers["wandb-api-key"] == "k" * 40
        assert headers["project_id"] == "team/games"
        assert "x-secret" not in headers


def exported(exporter: Any, resource: dict[str, str], attributes: dict[str, Any]) -> None:
    provider = TracerProvider(resource=Resource(resource))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("one", attributes=attributes):
        pass
    provider.shutdown()


def test_a_turn_says_what_its_first_call_was_asked_and_its_last_one_answered(
    weave: Weave, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "some")
    monkeypatch.setenv("OTEL_LLM_WEAVE_ENDPOINT", weave.url)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(WeaveSpanExporter()))
    tracer = provider.get_tracer("test")

    def call(number: int) -> None:
        told = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": f"answer {number}"}
        with tracer.start_as_current_span(
            "chat", attributes={**told, "gen_ai.input.messages": f"ask {number}"}
        ):
            pass

    for scope in ("interaction", "rollout", "phase"):
        with tracer.start_as_current_span(scope, attributes={sc.SCOPE_KIND: scope}):
            call(1)
            with tracer.start_as_current_span("turn"):
                call(2)
                call(3)
    provider.shutdown()
    said = {
        name: (told.get("gen_ai.input.messages"), told.get("gen_ai.output.messages"))
        for name, told, _ in weave.spans
        if name != "chat"
    }
    assert said == {
        "turn": (None, None),
        "interaction": ("ask 1", "answer 3"),
        "rollout": ("ask 1", "answer 3"),
        "phase": (None, None),
    }


BOTH = {"deployment.environment": "prod", "deployment.environment.name": "prod"}


@pytest.mark.parametrize(
    ("resource", "attributes"),
    [({}, {"game": "chess", "game.phase": 3}), (BOTH, {}), (BOTH, {"a": 1, "a.b.c": 2})],
)
def test_names_that_weave_rejects_are_changed_on_the_way(
    weave: Weave, monkeypatch: pytest.MonkeyPatch, resource: dict[str, str], attributes: dict[str, Any]
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "some")
    monkeypatch.setenv("OTEL_LLM_WEAVE_ENDPOINT", weave.url)
    exported(WeaveSpanExporter(), resource, attributes)
    ((name, arrived, told),) = weave.spans
    assert name == "one"
    assert set(attributes.values()) <= set(arrived.values())
    assert set(resource.values()) <= set(told.values())


def test_the_receiver_rejects_them_from_anybody_else(
    weave: Weave, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    routed = {"wandb.entity": "some", "wandb.project": "some"}
    exported(OTLPSpanExporter(endpoint=weave.url), routed, {"game": "chess", "game.phase": 3})
    assert weave.spans == []
    assert weave.rejected == ["one"]


NAMES = st.lists(st.sampled_from(["a", "b", "value", "value_"]), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(NAMES, st.integers(), max_size=8))
def test_any_names_become_a_tree_and_no_value_is_lost(attributes: dict[str, int]) -> None:
    made = tree(attributes)
    assert is_tree(made)
    assert sorted(made.values()) == sorted(attributes.values())
