"""Starting, watching and ending real programs, for the fixtures and tests beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from received import Received, Sink, eventually, spans_of

ROOT = Path(__file__).parents[2]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all of them different."""
    held = []
    for _ in range(count):
        held.append(socket.socket())
        held[-1].bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def fetch(url: str) -> Any:
    """The JSON that is there, None where nobody answers (yet) or there is no such thing."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would change telemetry, and `more`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "JAEGER_"))}
    return kept | dict(more)


@contextmanager
def running(
    command: list[str], log: Path, env: Mapping[str, str], ready: str, seconds: float
) -> Iterator[int]:
    """A server in a process group of its own, from when `ready` answers until the end of the block.

    Fails the test with the end of its log if it does not get ready in time.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, start_new_session=True
        )
    try:
        eventually(lambda: process.poll() is not None or fetch(ready) is not None, seconds=seconds)
        if process.poll() is not None or fetch(ready) is None:
            state = "ended" if process.poll() is not None else f"was not ready after {seconds:.0f} s"
            pytest.fail(f"{command[0]} {state}:\n{log.read_text(errors='replace')[-4000:]}")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        try:  # whatever it started and left behind is in its group
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


@dataclass(frozen=True)
class Jaeger:
    """A real Jaeger with `collector-config/jaeger.yaml`, asked through version 3 of its query API."""

    otlp: Mapping[str, str]
    query: str

    def services(self) -> list[str]:
        return fetch(f"{self.query}/api/v3/services").get("services", [])

    def trace(self, trace_id: str) -> list[Received]:
        found = fetch(f"{self.query}/api/v3/traces/{trace_id}")
        return list(spans_of(found["result"]["resourceSpans"])) if found else []

    def find(
        self, service: str, *, operation: str = "", attributes: Mapping[str, str] = MappingProxyType({})
    ) -> set[str]:
        """Ids of the traces in which one span has this name and these attributes."""
        tags = json.dumps(dict(attributes))
        # Version 3 searches by attributes only in newer releases, and those after 2.20 have no older search.
        asked = urllib.parse.urlencode(
            {"service": service, "operation": operation, "tags": tags, "limit": 100}
        )
        if (found := fetch(f"{self.query}/api/traces?{asked}")) is not None:
            return {trace["traceID"] for trace in found["data"]}
        period = {"start_time_min": "2020-01-01T00:00:00Z", "start_time_max": "2100-01-01T00:00:00Z"}
        query = {
            "service_name": service,
            "operation_name": operation,
            "attributes": tags,
            "search_depth": 100,
            **period,
        }
        asked = urllib.parse.urlencode({f"query.{key}": value for key, value in query.items()})
        found = fetch(f"{self.query}/api/v3/traces?{asked}")
        return {span.trace_id for span in spans_of(found["result"]["resourceSpans"])} if found else set()


@contextmanager
def serving_jaeger(binary: str, log: Path) -> Iterator[Jaeger]:
    """A Jaeger on ports of its own until the end of the block."""
    http, grpc, query, query_grpc, health = (f"127.0.0.1:{port}" for port in free_ports(5))
    env = clean_environment(
        {
            "JAEGER_OTLP_HTTP": http,
            "JAEGER_OTLP_GRPC": grpc,
            "JAEGER_OTLP_GRPC_MIB": "4",  # what receivers take that nobody told otherwise
            "JAEGER_QUERY_HTTP": query,
            "JAEGER_QUERY_GRPC": query_grpc,
            "JAEGER_HEALTH": health,
        }
    )
    command = [binary, "--config", str(ROOT / "collector-config/jaeger.yaml")]
    with running(command, log, env, f"http://{query}/api/v3/services", seconds=60):
        yield Jaeger({"http/protobuf": f"http://{http}", "grpc": f"http://{grpc}"}, f"http://{query}")


def vllm_command() -> Path | None:
    """The `vllm` command of the environment that is named, or else of the one that the tests run in."""
    folder = os.environ.get("OTEL_LLM_TEST_VLLM")
    found = Path(folder) / "bin/vllm" if folder else shutil.which("vllm")
    return None if found is None else Path(found)


@contextmanager
def serving_vllm(
    vllm: Path, model: Path, sink: Sink, options: str, env: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """The address of a vLLM that serves a model as `tiny` on the CPU and sends its spans to the sink."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    env = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "2",
        "OTEL_SERVICE_NAME": "vllm",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_BSP_SCHEDULE_DELAY": "200",  # ms
        **env,
    }
    said = (
        f"--host 127.0.0.1 --port {port} --otlp-traces-endpoint {sink.endpoint}/v1/traces --served-model-name tiny "
        f"--enforce-eager --dtype float32 {options}"
    )
    command = [str(vllm), "serve", str(model), *said.split()]
    # Ready in 40 s on two idle cores, in minutes where others use them too.
    log = model.with_name(f"{model.name}-log.txt")
    with running(command, log, clean_environment(env), f"{url}/v1/models", seconds=300):
        yield url


# `otel-llm run`, from a source tree on the path as well as installed.
OTEL_LLM_RUN = ("-m", "otel_llm.cli", "run")

RunProgram = Callable[..., dict[str, Any]]
