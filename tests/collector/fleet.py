"""Real Collectors, Prometheus and Jaeger for tests and benchmarks: started, killed, asked; and spans to send them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"
TOKEN = "a-token-of-the-tests"
READY = 60.0

_HANDED_OUT: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on and that nobody here was given before."""
    while True:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        if port not in _HANDED_OUT:
            _HANDED_OUT.add(port)
            return port


def address() -> str:
    return f"127.0.0.1:{free_port()}"


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would change telemetry, and `more`."""
    ours = ("OTEL_", "JAEGER_", "AGENT_", "GATEWAY_", "KEEP_", "LOCAL_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | dict(more)


def get(url: str, timeout: float = 10) -> bytes | None:
    """What is there; None where nobody answers, or answers with an error."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
        return None


def get_json(url: str) -> Any:
    body = get(url)
    return None if body is None else json.loads(body or b"{}")


def eventually(look: Callable[[], Any], *, seconds: float = 30.0, every: float = 0.1) -> Any:
    """What `look` returns once that is true; its last answer when the time is over."""
    deadline = time.monotonic() + seconds
    while not (answer := look()) and time.monotonic() < deadline:
        time.sleep(every)
    return answer


@dataclass
class Program:
    """A server in a process group of its own, that can be killed and started again with the same addresses."""

    command: list[str]
    env: Mapping[str, str]
    ready: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    limits: Callable[[], None] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(self.env),
                start_new_session=True,
                preexec_fn=self.limits,
            )
        running = self.process
        eventually(lambda: running.poll() is not None or get(self.ready) is not None, seconds=READY)
        if running.poll() is not None or get(self.ready) is None:
            self.kill()
            raise AssertionError(f"{self.command[0]} did not start:\n{self.said()[-4000:]}")
        return self

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, seconds: float = 60) -> None:
        """End it as a service manager does: ask, then insist."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to write anything."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def rss_mib(self) -> float:
        """Memory of its own in MiB: without pages of files, such as its queue, which the kernel takes back."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"RssAnon:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def cpu_seconds(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop(20)


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


# --- spans ------------------------------------------------------------------------------------------------------------
@dataclass
class Span:
    """A span to send; ids in hex, made up where they are not given, times in nanoseconds since 1970."""

    name: str = "chat gpt-5"
    trace: str = field(default_factory=lambda: os.urandom(16).hex())
    id: str = field(default_factory=lambda: os.urandom(8).hex())
    parent: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.1
    start_ns: int = 0
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def encoded(spans: Iterable[Span], resource: Mapping[str, Any] | None = None) -> bytes:
    """The spans as one OTLP request in protobuf."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    _attributes(of_resource.resource.attributes, {"service.name": "fabricated", **(resource or {})})
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "tests"
    for span in spans:
        made = of_scope.spans.add()
        made.trace_id, made.span_id = bytes.fromhex(span.trace), bytes.fromhex(span.id)
        made.parent_span_id = bytes.fromhex(span.parent)
        made.name, made.kind = span.name, 1
        start = span.start_ns or time.time_ns()
        made.start_time_unix_nano, made.end_time_unix_nano = start, start + int(span.seconds * 1e9)
        _attributes(made.attributes, span.attributes)
        for name, attributes in span.events:
            event = made.events.add()
            event.name, event.time_unix_nano = name, start
            _attributes(event.attributes, attributes)
        if span.error is not None:
            made.status.code, made.status.message = 2, span.error
    return request.SerializeToString()


def _attributes(out: Any, attributes: Mapping[str, Any]) -> None:
    for key, value in attributes.items():
        _value(out.add(key=key).value, value)


def _value(out: Any, value: Any) -> None:
    match value:
        case bool():
            out.bool_value = value
        case int():
            out.int_value = value
        case float():
            out.double_value = value
        case str():
            out.string_value = value
        case _:
            out.array_value.SetInParent()
            for item in value:
                _value(out.array_value.values.add(), item)


def post(
    url: str, body: bytes, token: str | None = None, path: str = "/v1/traces", timeout: float = 30
) -> int:
    """Send a request; the HTTP status of the answer, 0 where there was none."""
    headers = {"content-type": "application/x-protobuf"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url + path, body, headers), timeout=timeout
        ) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
        return 0


def send(to: Collector, spans: Iterable[Span], resource: Mapping[str, Any] | None = None) -> None:
    """Send spans to an agent, as an SDK does: again while it says that it cannot take them now."""
    body = encoded(spans, resource)
    status = eventually(lambda: (s := post(to.otlp, body)) in {200, 400, 401, 413} and s, seconds=30)
    assert status == 200, status


def archived(folder: Path) -> Iterator[dict[str, Any]]:
    """Every `resourceSpans` that a gateway has written to its archive; torn last lines are not there yet."""
    for path in sorted((folder / "archive").glob("traces*.jsonl")):
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield from json.loads(line).get("resourceSpans", [])


@dataclass(frozen=True)
class Kept:
    """A span as the archive has it."""

    trace: str
    id: str
    parent: str
    name: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    raw: dict[str, Any]


def kept(*gateways: Collector) -> list[Kept]:
    """The spans that left these gateways, in the order in which they left."""
    return [
        Kept(
            span["traceId"],
            span["spanId"],
            span.get("parentSpanId", ""),
            span.get("name", ""),
            _read(span.get("attributes", [])),
            _read(of_resource.get("resource", {}).get("attributes", [])),
            span,
        )
        for one in gateways
        for of_resource in archived(one.folder)
        for of_scope in of_resource.get("scopeSpans", [])
        for span in of_scope["spans"]
    ]


def _read(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _any(pair["value"]) for pair in pairs}


def _any(value: dict[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_any(item) for item in value["arrayValue"].get("values", [])]
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)
