"""Metrics of calls, through a real MeterProvider."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_llm import drops, testing
from otel_llm import semconv as sc
from tests.http.payloads import ANSWER, URL, events, request


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if scope.scope.name == "otel_llm"
    }


def client(*statuses: int) -> httpx2.Client:
    left = list(statuses)

    def answer(asked: httpx2.Request) -> httpx2.Response:
        status = left.pop(0) if left else 200
        if b'"stream"' in asked.content:
            return httpx2.Response(200, content=iter(events()), headers={"content-type": "text/event-stream"})
        return httpx2.Response(status, json=ANSWER if status == 200 else {"error": {"message": "no"}})

    return httpx2.Client(transport=httpx2.MockTransport(answer))


@pytest.fixture
def reader() -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    return reader


LABELS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1-mini",
    "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
    "server.address": "api.openai.com",
}


def test_a_call_is_measured_by_todays_conventions(reader: InMemoryMetricReader) -> None:
    with testing.capture() as captured:
        client().post(URL, json=request())
        client(429).post(URL, json=request(user="b"))
        with client().stream("POST", URL, json=request(stream=True)) as response:
            list(response.iter_bytes())
        captured.spans()
        found = points(reader)
    durations = {
        point.attributes.get("error.type"): point for point in found["gen_ai.client.inference.duration"]
    }
    assert dict(durations[None].attributes) == LABELS
    assert durations[None].count == 2
    assert durations["rate_limit"].count == 1
    assert durations[None].explicit_bounds == sc.DURATION_BUCKETS
    (inputs,) = found["gen_ai.client.inference.operation.input_tokens"]
    assert (inputs.count, inputs.sum, dict(inputs.attributes)) == (2, 18, LABELS)
    assert inputs.explicit_bounds == sc.TOKEN_BUCKETS
    (used,) = found["gen_ai.client.inference.usage.output_tokens"]
    assert (used.value, dict(used.attributes)) == (6, LABELS)
    (first,) = found["gen_ai.client.inference.time_to_first_chunk"]
    assert first.count == 1
    (cost,) = found["otel_llm.client.cost"]
    assert cost.value == pytest.approx(2 * (9 * 0.4 + 3 * 1.6) / 1e6)
    assert "gen_ai.client.token.usage" not in found


def test_the_older_names_are_there_when_asked_for(reader: InMemoryMetricReader) -> None:
    with testing.capture(semconv="1.41") as captured:
        client().post(URL, json=request())
        captured.spans()
        found = points(reader)
    assert {
        point.attributes["gen_ai.token.type"]: point.sum for point in found["gen_ai.client.token.usage"]
    } == {
        "input": 9,
        "output": 3,
    }
    assert "gen_ai.client.operation.duration" in found
    assert not [
        name for name in found if name.startswith("gen_ai.client.inference.") and ".usage." not in name
    ]


def test_calls_that_were_not_sampled_are_measured_all_the_same(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with testing.capture() as captured:
        client().post(URL, json=request())
        assert captured.spans() == ()
        found = points(reader)
    assert found["gen_ai.client.inference.duration"][0].count == 1


def test_labels_are_bounded_and_what_was_dropped_is_a_metric(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_llm.instruments._MAX_LABELS", 3)
    with testing.capture() as captured:
        for n in range(10):
            client().post(URL, json={**request(), "model": f"model-{n}"})
        captured.spans()
        found = points(reader)
    durations = found["gen_ai.client.inference.duration"]
    assert sum(point.count for point in durations) == 10
    assert len(durations) == 4
    dropped = {
        (p.attributes["otel_llm.drop.what"], p.attributes["otel_llm.drop.reason"]): p.value
        for p in found["otel_llm.dropped"]
    }
    assert dropped["metric_label", "cardinality"] == 7
    assert drops.counts()["metric_label", "cardinality"] == 7
