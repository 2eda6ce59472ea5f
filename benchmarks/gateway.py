"""What one gateway of `collector-config/` takes on 2 cores, and what an outage costs: nothing.

    export OTEL_LLM_TEST_COLLECTOR=$(tests/components/collector.sh)    # or the path of any otelcol-contrib
    python -m benchmarks.gateway                   # everything, about five minutes
    python -m benchmarks.gateway rate --seconds 20
    python -m benchmarks.gateway overload --memory 512
    python -m benchmarks.gateway outage --seconds 20 --rate 500

`rate`: spans like those of model calls (25 attributes, 2 kB of them content, 8 spans a trace) as fast as the gateway takes
them, until the last has been decided and handed on; with tail sampling, without it, and with the content left in. A
sink of its own takes what leaves. The gateway's own CPU time is given, since load and sink share the machine with it: 2
cores divided by that is what it does on 2 cores of its own.

`overload`: twice that rate for as long, with a limit on memory: the most memory, what was refused, and that
all of it arrived because the senders came again.

`outage`: an agent, a steady rate, and a gateway that is away for 600 s, divided by `--scale`, with a queue that is as
much smaller. In the middle of it the agent is killed and started again. Every span is looked for at the end.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from otel_llm import semconv as sc
from tests.collector import fleet
from tests.collector.fleet import TOKEN, Collector, Program, Span

TRACES, SPANS = 64, 8  # of one request
CONTENT = ("The northern fleet holds the channel while the armies of the east wait for spring. " * 30)[:1000]
DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled"
WITHOUT_SAMPLING = "yaml:service::pipelines::traces/decide::processors: [memory_limiter]"
WITH_CONTENT = "yaml:service::pipelines::traces/in::processors: [memory_limiter, redaction/secrets]"


# --- load -------------------------------------------------------------------------------------------------------------
def request_body() -> tuple[bytearray, list[tuple[int, int]]]:
    """A request, and where its ids begin: those of traces and those of spans."""
    attributes: dict[str, Any] = {
        sc.OPERATION_NAME: sc.CHAT,
        sc.PROVIDER_NAME: "openai",
        sc.REQUEST_MODEL: "gpt-5",
        sc.RESPONSE_MODEL: "gpt-5-2025-08-07",
        sc.RESPONSE_ID: "chatcmpl-0123456789",
        sc.RESPONSE_FINISH_REASONS: ["stop"],
        sc.REQUEST_TEMPERATURE: 0.7,
        sc.REQUEST_MAX_TOKENS: 512,
        sc.USAGE_INPUT_TOKENS: 1234,
        sc.USAGE_OUTPUT_TOKENS: 56,
        sc.USAGE_CACHE_READ: 1024,
        sc.COST_TOTAL: 0.003,
        sc.SERVER_ADDRESS: "api.example.com",
        sc.SERVER_PORT: 443,
        sc.HTTP_STATUS_CODE: 200,
        sc.REQUEST_ID: "req_0123456789abcdef",
        sc.INPUT_LENGTH: 1000,
        sc.OUTPUT_LENGTH: 1000,
        sc.GAME_ID: "a-game-of-the-benchmark",
        sc.PHASE_NAME: "S1901M",
        sc.POWER_NAME: "FRANCE",
        sc.INTERACTION_TYPE: "order",
        sc.SCOPE_KIND: "interaction",
        sc.INPUT_MESSAGES: '[{"role":"user","parts":[{"type":"text","content":"' + CONTENT + '"}]}]',
        sc.OUTPUT_MESSAGES: '[{"role":"assistant","parts":[{"type":"text","content":"' + CONTENT + '"}]}]',
    }
    spans = []
    for _ in range(TRACES):
        root = Span("invoke_agent FRANCE", attributes=attributes, seconds=2)
        spans += [root]
        spans += [
            Span("chat gpt-5", root.trace, parent=root.id, attributes=attributes) for _ in range(SPANS - 1)
        ]
    body = bytearray(fleet.encoded(spans))
    places = []
    # A span begins with its ids: field 1 of 16 bytes, field 2 of 8; its parent is field 4.
    for match in re.finditer(rb"\x0a\x10.{16}\x12\x08.{8}(?:\x22\x08.{8})?", bytes(body), re.DOTALL):
        at = match.start()
        places += [(at + 2, 0), (at + 20, 1)] + ([(at + 30, 1)] if match.end() - at > 28 else [])
    return body, places


def bodies(sender: int) -> Iterator[bytes]:
    """Requests whose ids no other has; each sender has its own."""
    body, places = request_body()
    number = 0
    while True:
        number += 1
        stamp = sender.to_bytes(2, "big") + number.to_bytes(4, "big")
        for at, _ in places:
            body[at : at + 6] = stamp
        yield bytes(body)


def _send(url: str, sender: int, seconds: float, rate: float, out: Any) -> None:
    """Send for so long, so many spans a second at most (0: as many as are taken); again what was refused."""
    found = urlsplit(url)
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {TOKEN}"}
    connection = http.client.HTTPConnection(found.hostname or "", found.port, timeout=60)
    sent = refused = 0
    began = time.monotonic()
    for body in bodies(sender):
        if time.monotonic() - began >= seconds:
            break
        if rate and (ahead := sent / rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
        while True:
            try:
                connection.request("POST", "/v1/traces", body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
            except (http.client.HTTPException, OSError):
                connection.close()
            refused += 1
            time.sleep(0.1)
        sent += TRACES * SPANS
    out.put((sent, refused))


def load(url: str, seconds: float, senders: int, rate: float = 0) -> tuple[int, int]:
    """Spans that were taken, and requests that were refused and sent again."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    running = [
        context.Process(target=_send, args=(url, n + 1, seconds, rate / senders, out)) for n in range(senders)
    ]
    for process in running:
        process.start()
    results = [out.get() for _ in running]
    for process in running:
        process.join()
    return sum(sent for sent, _ in results), sum(refused for _, refused in results)


# --- programs ---------------------------------------------------------------------------------------------------------
def sink(folder: Path) -> tuple[Program, str]:
    """A Collector that takes everything over gRPC and lets it go."""
    at, health = fleet.address(), fleet.address()
    config = f"""
extensions: {{health_check: {{endpoint: "{health}"}}}}
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "{at}", max_recv_msg_size_mib: 64}}}}}}}}
exporters: {{nop: }}
service:
  extensions: [health_check]
  pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
"""
    (folder / "sink.yaml").write_text(config)
    command = [os.environ["OTEL_LLM_TEST_COLLECTOR"], "--config", str(folder / "sink.yaml")]
    return Program(command, {}, f"http://{health}/", folder / "sink.txt"), at


def gateway(folder: Path, to: str, *more: str, **env: str) -> Collector:
    """A gateway on 2 cores that keeps one trace in ten."""
    made = fleet.gateway(folder, to, KEEP_PERCENT="10", GOMAXPROCS="2", GATEWAY_DECISION_WAIT="10s", **env)
    made.command += [argument for config in more for argument in ("--config", config)]
    return made


class Watched(threading.Thread):
    """The largest resident size of a program while it is watched, in MiB."""

    def __init__(self, program: Program) -> None:
        super().__init__(daemon=True)
        self.program = program
        self.most = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            self.most = max(self.most, self.program.rss_mib())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def through(one: Collector) -> float:
    """Spans that have come as far as the second half."""
    return one.own("otelcol_receiver_accepted_spans", receiver="otlp/peers")


def finished(one: Collector, spans: int) -> bool:
    """Whether everything that was taken has been decided, if it is, and nothing waits."""
    waiting = one.own("otelcol_exporter_queue_size")
    undecided = one.own("otelcol_processor_tail_sampling_sampling_traces_on_memory")
    decided = one.own(DECIDED)
    return through(one) >= spans and waiting == 0 and (undecided == 0 or decided >= spans / SPANS)


# --- what is measured -------------------------------------------------------------------------------------------------
def rate(options: argparse.Namespace) -> float:
    """Measure what it takes with sampling, without, and with the content left in; the first is returned."""
    print(
        "\n| gateway | spans a second, all on this machine | CPU a span | on 2 cores of its own | largest |"
    )
    print("| --- | --- | --- | --- | --- |")
    found = [
        _rate(options, name, *more)
        for name, more in (
            ("tail sampling, 10 % kept", ()),
            ("no sampling, all kept", (WITHOUT_SAMPLING,)),
            ("tail sampling, content left in and searched for secrets", (WITH_CONTENT,)),
        )
    ]
    return found[0]


def _rate(options: argparse.Namespace, name: str, *more: str) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        taker, at = sink(folder)
        limits = {"GATEWAY_MEMORY_MIB": "4096", "GATEWAY_SPIKE_MIB": "512"}
        with taker, gateway(folder / "gateway", at, *more, **limits) as one:
            warm, _ = load(one.otlp, 2, 1)
            fleet.eventually(lambda: through(one) >= warm, seconds=60)
            cpu, began = one.cpu_seconds(), time.monotonic()
            with Watched(one) as watched:
                sent, _ = load(one.otlp, options.seconds, options.senders)
                fleet.eventually(lambda: through(one) >= warm + sent, seconds=300)
                took = time.monotonic() - began
                fleet.eventually(lambda: finished(one, warm + sent), seconds=120, every=0.5)
            each = (one.cpu_seconds() - cpu) / sent
    columns = f"{sent / took:,.0f}", f"{each * 1e6:.0f} us", f"{2 / each:,.0f}", f"{watched.most:,.0f} MiB"
    print(f"| {name} | {' | '.join(columns)} |", flush=True)
    return sent / took


def overload(options: argparse.Namespace, at_most: float) -> None:
    """Twice the rate that it takes, with a limit on its memory."""
    with tempfile.TemporaryDirectory() as scratch:
        taker, at = sink(Path(scratch))
        memory = options.memory
        with (
            taker,
            gateway(
                Path(scratch) / "gateway",
                at,
                GATEWAY_MEMORY_MIB=str(memory),
                GATEWAY_SPIKE_MIB=str(memory // 4),
            ) as one,
        ):
            with Watched(one) as watched:
                sent, refused = load(one.otlp, options.seconds, options.senders * 2, 2 * at_most)
                fleet.eventually(lambda: finished(one, sent), seconds=300, every=0.5)
            arrived = through(one)
    print(
        f"\nTwice that ({2 * at_most:,.0f} a second offered) with a limit of {memory} MiB: {sent:,} spans taken,"
        f" {arrived:,.0f} decided, {refused:,} requests refused and sent again; at most {watched.most:,.0f} MiB of memory."
    )
    assert arrived >= sent, "spans were lost"


def outage(options: argparse.Namespace) -> None:
    """A gateway that is away, and an agent that is killed meanwhile."""
    away, queue = 600 / options.scale, int((4 << 30) / options.scale)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        one = fleet.gateway(folder / "gateway", KEEP_PERCENT="100", GATEWAY_DECISION_WAIT="10s")
        agent = fleet.agent(folder / "agent", one.otlp, AGENT_QUEUE_BYTES=str(queue), GOMAXPROCS="1").start()
        wanted: set[str] = set()
        retried = 0

        def steady(seconds: float) -> None:
            nonlocal retried
            began, sent = time.monotonic(), 0
            while time.monotonic() - began < seconds:
                spans = [
                    Span(attributes={sc.INPUT_MESSAGES: CONTENT, sc.OUTPUT_MESSAGES: CONTENT})
                    for _ in range(options.rate // 10)
                ]
                body = fleet.encoded(spans)
                while fleet.post(agent.otlp, body) != 200:  # as an SDK does while its agent is away
                    retried += 1
                    time.sleep(0.1)
                wanted.update(span.id for span in spans)
                sent += len(spans)
                time.sleep(max(0.0, sent / options.rate - (time.monotonic() - began)))

        try:
            one.start()
            steady(away / 4)
            one.kill() if options.kill_gateway else one.stop()
            steady(away / 2)
            agent.kill()
            agent.start()
            steady(away / 2)
            waited = agent.own("otelcol_exporter_queue_size")
            one.start()
            back = time.monotonic()
            steady(away / 4)
            fleet.eventually(lambda: agent.own("otelcol_exporter_queue_size") == 0, seconds=120)
            drained = time.monotonic() - back
            found: list[str] = []

            def all_there() -> bool:
                nonlocal found
                found = [kept.id for kept in fleet.kept(one)]
                return wanted <= set(found)

            fleet.eventually(all_there, seconds=60, every=1)
            failed = agent.own("otelcol_exporter_send_failed_spans") + agent.own(
                "otelcol_exporter_enqueue_failed_spans"
            )
        finally:
            agent.stop(10)
            one.stop(10)
    print(
        f"\nGateway away for {away:.0f} s (600 s / {options.scale}) at {options.rate} spans a second of 2 kB, agent killed"
        f" and started in the middle, queue {queue / 2**20:.0f} MiB (4 GiB / {options.scale}): {len(wanted):,} spans sent,"
        f" {waited / 2**20:.0f} MiB waited and were sent within {drained:.1f} s beside the traffic that went on; {len(wanted - set(found))} lost,"
        f" {len(found) - len(set(found))} twice, {failed:.0f} counted as failed."
    )
    assert wanted <= set(found), "spans were lost"


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["all", "rate", "overload", "outage"], default="all")
    parser.add_argument("--seconds", type=float, default=15, help="of load")
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--memory", type=int, default=512, help="overload: MiB, the gateway's limit")
    parser.add_argument(
        "--offered", type=float, default=0, help="overload: spans a second that count as once"
    )
    parser.add_argument("--rate", type=int, default=500, help="outage: spans a second")
    parser.add_argument("--scale", type=float, default=30, help="outage: by what 600 s and 4 GiB are divided")
    parser.add_argument("--kill-gateway", action="store_true", help="outage: do not let it end in order")
    options = parser.parse_args()
    if not os.environ.get("OTEL_LLM_TEST_COLLECTOR"):
        parser.error(
            "OTEL_LLM_TEST_COLLECTOR is not set: OTEL_LLM_TEST_COLLECTOR=$(tests/components/collector.sh)"
        )
    print(
        f"load {', '.join(f'{one:.1f}' for one in os.getloadavg())} on {os.cpu_count()} cores before it began"
    )
    once = options.offered
    if options.what in {"all", "rate"}:
        once = rate(options)
    if options.what in {"all", "overload"}:
        overload(options, once or 5000)
    if options.what in {"all", "outage"}:
        outage(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
