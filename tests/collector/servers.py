"""The configurations of `collector-config` as servers: Collectors, Jaeger, and a Prometheus that asks them."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.collector.processes import Program, address, get, get_json

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"
TOKEN = "a-token-of-the-tests"

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([-+.\dNnaAiIfFeE]+)", re.MULTILINE)


@dataclass
class Collector(Program):
    """A Collector with its addresses."""

    otlp: str = ""
    grpc: str = ""
    telemetry: str = ""
    metrics_at: str = ""
    folder: Path = Path()

    def own(self, name: str, **labels: str) -> float:
        """Sum of one of its own metrics over the series that have these labels; 0 where there is none."""
        body = (get(f"http://{self.telemetry}/metrics") or b"").decode()
        total = 0.0
        for metric, given, value in _SAMPLE.findall(body):
            if metric in {name, f"{name}_total"} and all(f'{k}="{v}"' in given for k, v in labels.items()):
                total += float(value)
        return total

    def own_names(self) -> dict[str, float]:
        body = (get(f"http://{self.telemetry}/metrics") or b"").decode()
        found: dict[str, float] = {}
        for metric, _, value in _SAMPLE.findall(body):
            found[metric] = found.get(metric, 0.0) + float(value)
        return found


def collector_binary() -> str | None:
    return os.environ.get("OTEL_LLM_TEST_COLLECTOR")


def _configs(*names: str) -> list[str]:
    return [argument for name in names for argument in ("--config", str(CONFIG / name))]


def agent(folder: Path, gateway: str, *overlays: str, **env: str) -> Collector:
    """`agent.yaml` with a short patience, not started yet."""
    folder.mkdir(parents=True, exist_ok=True)
    http, grpc, health, telemetry, prometheus = (address() for _ in range(5))
    host, port = telemetry.split(":")
    settings = {
        "OTEL_LLM_GATEWAY": gateway,
        "OTEL_LLM_TOKEN": TOKEN,
        "AGENT_OTLP_HTTP": http,
        "AGENT_OTLP_GRPC": grpc,
        "AGENT_HEALTH": health,
        "AGENT_TELEMETRY_HOST": host,
        "AGENT_TELEMETRY_PORT": port,
        "AGENT_PROMETHEUS": prometheus,
        "AGENT_QUEUE": str(folder / "queue"),
        "AGENT_RETRY_MAX": "1s",
        "AGENT_FLUSH": "200ms",
        "AGENT_LOG_LEVEL": "warn",
        "VLLM_METRICS": "[]",
    } | env
    return Collector(
        [_needed(), *_configs("agent.yaml", *overlays)],
        settings,
        f"http://{health}/",
        folder / "log.txt",
        otlp=f"http://{http}",
        grpc=f"http://{grpc}",
        telemetry=telemetry,
        metrics_at=prometheus,
        folder=folder,
    )


def gateway(
    folder: Path, jaeger: str = "127.0.0.1:1", *overlays: str, peer: str = "", **env: str
) -> Collector:
    """`gateway.yaml` with short waits, not started yet. `peer` is where it takes spans from its peers."""
    folder.mkdir(parents=True, exist_ok=True)
    http, health, telemetry, prometheus = (address() for _ in range(4))
    peer = peer or address()
    host, port = telemetry.split(":")
    settings = {
        "OTEL_LLM_TOKEN": TOKEN,
        "GATEWAY_OTLP_HTTP": http,
        "GATEWAY_PEER_GRPC": peer,
        "GATEWAY_PEERS": f"[{peer}]",
        "GATEWAY_HEALTH": health,
        "GATEWAY_TELEMETRY_HOST": host,
        "GATEWAY_TELEMETRY_PORT": port,
        "GATEWAY_PROMETHEUS": prometheus,
        "GATEWAY_QUEUE": str(folder / "queue"),
        "GATEWAY_ARCHIVE": str(folder / "archive"),
        "GATEWAY_DECISION_WAIT": "3s",
        "GATEWAY_AFTER_ROOT": "1s",
        "GATEWAY_LOG_LEVEL": "warn",
        "SPAN_METRICS_INTERVAL": "1s",
        "JAEGER_OTLP_GRPC": jaeger,
    } | env
    return Collector(
        [_needed(), *_configs("gateway.yaml", *overlays)],
        settings,
        f"http://{health}/",
        folder / "log.txt",
        otlp=f"http://{http}",
        telemetry=telemetry,
        metrics_at=prometheus,
        folder=folder,
    )


def _needed() -> str:
    binary = collector_binary()
    assert binary, (
        "OTEL_LLM_TEST_COLLECTOR is not set: OTEL_LLM_TEST_COLLECTOR=$(tests/components/collector.sh)"
    )
    return binary


@dataclass
class Jaeger(Program):
    """A Jaeger with its addresses."""

    otlp: str = ""
    query: str = ""

    def trace(self, trace_id: str) -> list[str]:
        """Ids of the spans that it has of a trace."""
        found = get_json(f"{self.query}/api/traces/{trace_id}")
        return [span["spanID"] for span in found["data"][0]["spans"]] if found else []


def jaeger(binary: str, folder: Path, *overlays: str, **env: str) -> Jaeger:
    """`jaeger.yaml`, not started yet."""
    folder.mkdir(parents=True, exist_ok=True)
    otlp, otlp_http, asked, asked_grpc, health = (address() for _ in range(5))
    settings = {
        "JAEGER_OTLP_GRPC": otlp,
        "JAEGER_OTLP_HTTP": otlp_http,
        "JAEGER_QUERY_HTTP": asked,
        "JAEGER_QUERY_GRPC": asked_grpc,
        "JAEGER_HEALTH": health,
    } | env
    return Jaeger(
        [binary, *_configs("jaeger.yaml", *overlays)],
        settings,
        f"http://{asked}/api/v3/services",
        folder / "log.txt",
        otlp=settings["JAEGER_OTLP_GRPC"],
        query=f"http://{asked}",
    )


def prometheus(binary: str, folder: Path, targets: Iterable[str], interval: str = "1s") -> Program:
    """A Prometheus that fetches from `targets`, not started yet; it is asked through `query`."""
    folder.mkdir(parents=True, exist_ok=True)
    at = address()
    config = {
        "global": {"scrape_interval": interval},
        "scrape_configs": [
            {"job_name": "otel-llm", "honor_labels": True, "static_configs": [{"targets": list(targets)}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [
        binary,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={at}",
        "--log.level=warn",
    ]
    return Program(command, {}, f"http://{at}/-/ready", folder / "log.txt")


def query(server: Program, expression: str) -> list[dict[str, Any]]:
    """What Prometheus finds now."""
    base = server.ready.removesuffix("/-/ready")
    asked = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{base}/api/v1/query?{asked}", timeout=10) as answer:
            return json.loads(answer.read())["data"]["result"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expression}\n{error.read().decode()}") from None
