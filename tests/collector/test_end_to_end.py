"""A game and a run on two ranks through agent and gateway into Jaeger, Prometheus and the archive."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.store import StoredSpan
from tests.collector import fleet, stories
from tests.collector.fleet import CONFIG, ROOT, Collector, Jaeger, Program

pytest.importorskip("diplomacy")
pytestmark = pytest.mark.collector

PROGRAMS = Path(__file__).parent / "programs"
STEPS = 60
SAID = "words-that-only-this-run-says"
PERCENT = 30


@dataclass
class Story:
    """What ran, what the programs' own stores have of it, and what it went through."""

    agent: Collector
    gateway: Collector
    jaeger: Jaeger
    prometheus: Program
    stored: dict[str, list[StoredSpan]] = field(default_factory=dict)
    made: dict[str, list[int]] = field(default_factory=dict)


class _VLLM(BaseHTTPRequestHandler):
    """The page on which vLLM tells its own metrics."""

    def do_GET(self) -> None:
        body = (
            b"# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
            b"# TYPE vllm:num_requests_running gauge\n"
            b'vllm:num_requests_running{engine="0",model_name="tiny"} 3.0\n'
        )
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def vllm() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _VLLM) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def story(
    collector: str, prometheus: str, jaeger_binary: str, vllm: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    otlp = fleet.address()
    gateway = fleet.gateway(
        folder / "gateway",
        otlp,
        KEEP_PERCENT=str(PERCENT),
        GATEWAY_DECISION_WAIT="60s",
        GATEWAY_AFTER_ROOT="6s",
    )
    agent = fleet.agent(folder / "agent", gateway.otlp, VLLM_METRICS=f"[{vllm}]", VLLM_SCRAPE_INTERVAL="1s")
    server = fleet.prometheus(prometheus, folder / "prometheus", [agent.metrics_at, gateway.metrics_at])
    jaeger = fleet.jaeger(
        jaeger_binary,
        folder / "jaeger",
        "jaeger-monitor.yaml",
        JAEGER_OTLP_GRPC=otlp,
        JAEGER_UI_CONFIG=str(CONFIG / "jaeger-ui.json"),
        PROMETHEUS_URL=server.ready.removesuffix("/-/ready"),
    )
    with server, jaeger, gateway, agent:
        told = Story(agent, gateway, jaeger, server)
        play(told, folder)
        yield told


def play(story: Story, folder: Path) -> None:
    """Run the programs at once, wait until every decision has been taken."""
    env = fleet.environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": story.agent.otlp,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_LLM_CONTENT": "full",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(ROOT), str(ROOT / "instrumentation"), *sys.path])
            ),
        }
    )
    runs: dict[str, tuple[list[str], dict[str, str]]] = {
        "game": (
            [
                str(ROOT / "examples/diplomacy_selfplay"),
                "--max_year",
                "1903",
                "--game_id",
                "e2e",
                "--faults",
                "all",
            ],
            {},
        ),
        "calls": ([str(PROGRAMS / "calls.py"), "12"], {}),
        **{
            f"rank{rank}": (
                [str(PROGRAMS / "train.py"), str(STEPS), SAID],
                {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OTEL_LLM_RUN_ID": "e2e-run"},
            )
            for rank in range(2)
        },
    }
    with contextlib.ExitStack() as files:
        running = {}
        for name, (command, more) in runs.items():
            (folder / name).mkdir()
            running[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder / name,
                env={**env, **more, "OTEL_LLM_STORE": str(folder / name / "store")},
                stdin=subprocess.DEVNULL,
                stdout=files.enter_context((folder / name / "out.txt").open("wb")),
                stderr=files.enter_context((folder / name / "err.txt").open("wb")),
            )
        codes = {name: process.wait(300) for name, process in running.items()}
    for name, code in codes.items():
        assert code == 0, f"{name}: {(folder / name / 'err.txt').read_text()[-3000:]}"
    story.made = json.loads((folder / "rank0/out.txt").read_text().splitlines()[-1])
    story.stored = stories.traces(folder / name / "store" for name in runs)
    stories.decided(story.gateway, story.stored)
    time.sleep(3)  # for Jaeger's own batches, and Prometheus' next look


def test_every_trace_that_was_kept_is_whole_in_the_archive_and_in_jaeger(story: Story) -> None:
    assert len(stories.kept_traces(story.gateway)) > 10
    stories.check_whole(story.gateway, story.jaeger, story.stored)


def test_every_trace_that_matters_was_kept_and_of_the_others_a_share(story: Story) -> None:
    important = stories.check_share(story.gateway, story.stored, PERCENT)
    kept = stories.kept_traces(story.gateway)
    steps = {step_of(story, number) for number in range(1, STEPS + 1)}
    assert len(steps) == STEPS
    for number in story.made["failed"]:
        assert step_of(story, number) in kept
    for number in story.made["extreme"]:  # on each rank one rollout, which is a trace
        extreme = {
            span.trace_id
            for trace_id in important
            for span in story.stored[trace_id]
            if span.attributes.get(sc.TRAIN_STEP) == number
            and span.attributes.get(sc.SCOPE_KIND) == "rollout"
        }
        assert len(extreme) == 2


def step_of(story: Story, number: int) -> str:
    """The one trace in which both ranks took this step."""
    [trace_id] = {
        span.trace_id
        for spans in story.stored.values()
        for span in spans
        if span.attributes.get(sc.SCOPE_KIND) == "step" and span.attributes[sc.TRAIN_STEP] == number
    }
    return trace_id


def test_a_step_is_one_trace_over_both_ranks(story: Story) -> None:
    trace_id = step_of(story, story.made["failed"][0])
    left = [one for one in fleet.kept(story.gateway) if one.trace == trace_id]
    assert [one.attributes[sc.RANK] for one in left if one.name == "training_step"] in ([0, 1], [1, 0])
    parts = sorted((one.name, one.attributes[sc.RANK]) for one in left if one.name != "training_step")
    assert parts == sorted(
        (part, rank) for part in ("generation", "reward", "loss", "optimizer") for rank in (0, 1)
    )


def test_no_prompt_and_no_secret_left_and_every_count_is_what_the_store_has(story: Story) -> None:
    stories.check_private(story.gateway, SAID, story.stored)
    assert stories.check_counts(story.gateway, story.stored) > 100


def test_spans_say_on_which_node_they_were_made(story: Story) -> None:
    assert all("host.name" in one.resource and "os.type" in one.resource for one in fleet.kept(story.gateway))


# --- metrics ----------------------------------------------------------------------------------------------------------
def _panels() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ask_panels", CONFIG / "ask_panels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


panels = _panels()


@pytest.mark.parametrize("asked", list(panels.queries()), ids=lambda asked: f"{asked.board}: {asked.panel}")
def test_every_panel_finds_something(story: Story, asked: Any) -> None:
    assert panels.ask(story.prometheus.ready.removesuffix("/-/ready"), asked.expression), asked.expression


def test_the_script_that_asks_for_all_panels_prints_what_they_find(story: Story) -> None:
    command = [sys.executable, str(CONFIG / "ask_panels.py"), story.prometheus.ready.removesuffix("/-/ready")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    if folder := os.environ.get("OTEL_LLM_TEST_OUTPUT"):  # to look at
        (Path(folder) / "panels.txt").write_text(done.stdout)


def test_counts_from_spans_are_those_of_all_spans_not_of_the_kept_ones(story: Story) -> None:
    wanted = sum(
        span.attributes.get(sc.SCOPE_KIND) == "rollout" for spans in story.stored.values() for span in spans
    )
    kind = sc.SCOPE_KIND.replace(".", "_")
    expression = f'sum(traces_span_metrics_calls_total{{{kind}="rollout"}})'
    found = fleet.eventually(
        lambda: [one for one in fleet.query(story.prometheus, expression) if float(one["value"][1]) == wanted]
    )
    assert found, fleet.query(story.prometheus, expression)


def test_vllms_own_metrics_are_beside_ours(story: Story) -> None:
    [found] = fleet.query(story.prometheus, "{__name__=~'vllm.num_requests_running'}")
    assert found["value"][1] == "3"


@pytest.mark.parametrize("metric", ["calls", "latencies", "errors"])
def test_jaegers_monitor_tab_has_what_it_asks_for(story: Story, metric: str) -> None:
    service = "calls" if metric != "errors" else "diplomacy-selfplay"
    asks = (
        f"{story.jaeger.query}/api/metrics/{metric}?service={service}&spanKind=client&spanKind=internal"
        f"&lookback=600000&step=5000&ratePer=600000&quantile=0.95&endTs={int(time.time() * 1000)}"
    )
    found = fleet.get_json(asks)
    assert found["metrics"], found
    assert found["metrics"][0]["metricPoints"]


def test_the_collectors_dropped_nothing_and_said_nothing_bad(story: Story) -> None:
    for one in (story.agent, story.gateway):
        for name, value in one.own_names().items():
            if "failed" in name or "refused" in name or "dropped" in name:
                assert value == 0, name
