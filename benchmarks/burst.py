"""A burst: 20,000 calls answered at the same moment, and how many arrive: python -m benchmarks.burst

Once traced by otel_llm (full content, its own provider, OTLP/HTTP to a loopback sink), once by a hand-written
span a call on OpenTelemetry's SDK with its default queue, for comparison. The sink counts what it got.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.run import ROOT, environments, save, sink_server

CALLS: Final = 20_000
TRACERS: Final = ("otel_llm", "sdk_default_queue")
_URL: Final = "https://api.openai.com/v1/chat/completions"


async def _burst(calls: int, span: Callable[[str], Any]) -> float:
    """Make `calls` requests that are all under way when the first is answered; seconds from there to the last."""
    import httpx2

    from benchmarks import payloads

    gate, all_waiting, waiting = asyncio.Event(), asyncio.Event(), 0
    body = json.dumps(
        {"model": payloads.MODEL, "messages": payloads.SMALL_MESSAGES, "tools": payloads.TOOLS},
    ).encode()

    async def answer(_: Any) -> Any:
        nonlocal waiting
        waiting += 1
        if waiting == calls:
            all_waiting.set()
        await gate.wait()
        return httpx2.Response(200, content=payloads.ANSWER, headers={"content-type": "application/json"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:

        async def call() -> None:
            finish = span(body.decode())
            response = await client.post(_URL, content=body, headers={"content-type": "application/json"})
            finish(response.text)

        tasks = [asyncio.ensure_future(call()) for _ in range(calls)]
        await all_waiting.wait()
        start = time.perf_counter()
        gate.set()
        await asyncio.gather(*tasks)
        return time.perf_counter() - start


def _otel_llm(store: str) -> tuple[Callable[[str], Any], Callable[[], bool], Callable[[], Any]]:
    import otel_llm

    otel_llm.instrument(content="full", store=store, exporters=["otlp"])
    return (
        lambda _: lambda _: None,
        lambda: otel_llm.force_flush(300),
        lambda: otel_llm.status()["dropped"],
    )


def _sdk(_: str) -> tuple[Callable[[str], Any], Callable[[], bool], Callable[[], Any]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("burst")

    def span(request: str) -> Callable[[str], None]:
        started = tracer.start_span("chat", attributes={"gen_ai.input.messages": request})

        def finish(answer: str) -> None:
            started.set_attribute("gen_ai.output.messages", answer)
            started.end()

        return finish

    return span, lambda: provider.force_flush(300_000), dict


def _child(tracer: str, calls: int, store: str) -> None:
    span, flush, dropped = {"otel_llm": _otel_llm, "sdk_default_queue": _sdk}[tracer](store)
    seconds = asyncio.run(_burst(calls, span))
    start = time.perf_counter()
    flushed = flush()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {
        "burst_s": seconds,
        "flush_s": time.perf_counter() - start,
        "flushed": flushed,
        "peak_mb": peak,
        "said_dropped": dropped(),
    }
    print(json.dumps(told), flush=True)
    os._exit(0)


def measure(tracer: str, calls: int) -> dict[str, Any]:
    """Run a burst in a process of its own and ask the sink what came."""
    python = environments() / "otel_llm" / "bin" / "python"
    with tempfile.TemporaryDirectory() as store, sink_server() as url:
        done = subprocess.run(
            [python, "-m", "benchmarks.burst", "--child", tracer, "--calls", str(calls), "--store", store],
            cwd=ROOT,
            env={
                **os.environ,
                "OTEL_EXPORTER_OTLP_ENDPOINT": url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            text=True,
            stdout=subprocess.PIPE,
            check=True,
        )
        with urllib.request.urlopen(url + "/stats") as stats:
            arrived = json.load(stats)["spans"]
    told = json.loads(done.stdout.splitlines()[-1])
    return {"tracer": tracer, "calls": calls, "arrived": arrived, "lost": calls - arrived, **told}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--child", choices=TRACERS, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _child(options.child, options.calls, options.store)
    results = [measure(tracer, options.calls) for tracer in TRACERS]
    for result in results:
        print(json.dumps(result))
    if options.out:
        save(options.out, {"kind": "burst", "results": results})
    if results[0]["lost"]:
        sys.exit("otel_llm lost calls")


if __name__ == "__main__":
    main()
