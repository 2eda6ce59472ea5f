"""The laptop's Collector, and what can be put on top of a gateway, each with live traffic."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm import semconv as sc
from tests.collector import fleet
from tests.collector.fleet import CONFIG, TOKEN, Program, Span

pytestmark = pytest.mark.collector

SAID = "what was said"


def test_on_a_laptop_all_of_it_goes_to_jaeger_and_is_counted(
    collector: str, jaeger_binary: str, tmp_path: Path
) -> None:
    otlp, health, metrics, telemetry = (fleet.address() for _ in range(4))
    jaeger = fleet.jaeger(jaeger_binary, tmp_path / "jaeger")
    local = Program(
        [collector, "--config", str(CONFIG / "local.yaml")],
        {
            "LOCAL_OTLP_HTTP": otlp,
            "LOCAL_OTLP_GRPC": fleet.address(),
            "LOCAL_HEALTH": health,
            "LOCAL_PROMETHEUS": metrics,
            "LOCAL_TELEMETRY_PORT": telemetry.split(":")[1],
            "JAEGER_OTLP_GRPC": jaeger.otlp,
            "SPAN_METRICS_INTERVAL": "1s",
            "VLLM_METRICS": "[]",
        },
        f"http://{health}/",
        tmp_path / "log.txt",
    )
    with jaeger, local:
        span = Span(attributes={sc.INPUT_MESSAGES: SAID, sc.REQUEST_MODEL: "gpt-5"})
        assert fleet.post(f"http://{otlp}", fleet.encoded([span])) == 200
        for path in (
            "/v1/logs",
            "/v1/metrics",
        ):  # taken, so that a program that sends all three gets no errors
            assert fleet.post(f"http://{otlp}", b"", path=path) == 200
        found = fleet.eventually(lambda: fleet.get_json(f"{jaeger.query}/api/traces/{span.trace}"))
        [got] = found["data"][0]["spans"]
        assert {tag["key"]: tag["value"] for tag in got["tags"]}[sc.INPUT_MESSAGES] == SAID

        def counted() -> bool:
            body = (fleet.get(f"http://{metrics}/metrics") or b"").decode()
            lines = [
                line for line in body.splitlines() if line.startswith("traces_span_metrics_calls_total{")
            ]
            return any('gen_ai_request_model="gpt-5"' in line and line.endswith(" 1") for line in lines)

        assert fleet.eventually(counted)


class _Weave(BaseHTTPRequestHandler):
    """Where W&B would be."""

    seen: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.seen.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def weave() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    handler = type("Handler", (_Weave,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/otel/v1/traces", handler.seen
        server.shutdown()
        thread.join()


def test_what_was_kept_goes_to_weave_too_without_what_it_would_refuse(
    collector: str, tmp_path: Path, weave: tuple[str, list[tuple[str, dict[str, str], bytes]]]
) -> None:
    url, seen = weave
    account = {"WANDB_API_KEY": "a-key", "WANDB_ENTITY": "us", "WANDB_PROJECT": "ours"}
    with fleet.gateway(
        tmp_path,
        "127.0.0.1:1",
        "options/gateway-wandb.yaml",
        KEEP_PERCENT="0",
        WANDB_OTLP_ENDPOINT=url,
        **account,
    ) as gateway:
        kept, dropped = Span(error="it failed", attributes={sc.INPUT_MESSAGES: SAID}), Span()
        resource = {"deployment.environment": "lab", "deployment.environment.name": "lab"}
        assert fleet.post(gateway.otlp, fleet.encoded([kept, dropped], resource), TOKEN) == 200
        assert fleet.eventually(lambda: seen)
    [(path, headers, body)] = seen
    assert path == "/otel/v1/traces"
    assert headers["wandb-api-key"] == "a-key"
    assert headers["project_id"] == "us/ours"
    [of_resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    [span] = of_resource.scope_spans[0].spans
    assert span.span_id.hex() == kept.id
    names = {attribute.key for attribute in of_resource.resource.attributes}
    assert "deployment.environment.name" in names
    assert "deployment.environment" not in names
    assert SAID.encode() not in body
