"""What scopes cost: `python -m benchmarks.scopes [--rounds N]`.

A scope beside a hand-written span of OpenTelemetry's SDK with the same attributes, and a game of 200 interactions
(7 powers, 9 phases) with `instrument()` and without it. Rounds are interleaved; medians and minima are printed.
Both kinds of spans go through the SDK's BatchSpanProcessor to an exporter that lets them go; the local store is
measured apart.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from statistics import median

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel_llm
from otel_llm import runtime
from otel_llm import semconv as sc

POWERS = ("AUSTRIA", "ENGLAND", "FRANCE", "GERMANY", "ITALY", "RUSSIA", "TURKEY")
PHASES = ("S1901M", "F1901M", "W1901A", "S1902M", "F1902M", "W1902A", "S1903M", "F1903M", "W1903A")
INTERACTIONS = 200
ORDERS = ["A PAR - BUR", "A MAR S A PAR - BUR", "F BRE - MAO"]
BLOCK = 200


class Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 (the interface)
        return SpanExportResult.SUCCESS


_provider = TracerProvider(shutdown_on_exit=False)
_provider.add_span_processor(BatchSpanProcessor(Nowhere()))
_tracer = _provider.get_tracer("bare")
_ATTRIBUTES = {
    sc.SCOPE_KIND: "interaction",
    sc.GAME_ID: "game",
    sc.GAME_NAME: "diplomacy",
    sc.PHASE_NAME: "S1901M",
    sc.PHASE_TYPE: "movement",
    sc.PHASE_YEAR: 1901,
    sc.PHASE_SEASON: 0,
    sc.INTERACTION_TYPE: "order",
    sc.POWER_NAME: "FRANCE",
    sc.OPERATION_NAME: sc.INVOKE_AGENT,
    sc.AGENT_NAME: "FRANCE",
}


def bare() -> None:
    for _ in range(BLOCK):
        with _tracer.start_as_current_span("invoke_agent FRANCE", attributes=_ATTRIBUTES) as span:
            span.set_attribute(sc.POWER_CENTERS, 3)
            span.set_attribute(sc.ORDERS_SUBMITTED, ORDERS)


def ours() -> None:
    for _ in range(BLOCK):
        with otel_llm.interaction("order", power="FRANCE") as scope:
            scope.set(centers=3, orders=ORDERS)


def game() -> None:
    with otel_llm.game("game", name="diplomacy", players=POWERS):
        done = 0
        for number, name in enumerate(PHASES):
            with otel_llm.phase(name):
                until = INTERACTIONS * (number + 1) // len(PHASES)
                while done < until:
                    with otel_llm.interaction("order", power=POWERS[done % 7]) as scope:
                        scope.set(centers=3, orders=ORDERS)
                    done += 1


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of CPU on the calling thread, and in the whole process until everything is finished."""
    gc.collect()
    thread, process = time.thread_time(), time.process_time()
    work()
    on_thread = time.thread_time() - thread
    if (active := runtime.current()) is not None:
        active.finisher.drain()
        if active.store is not None:
            active.store.flush(10)
        active.seat.provider.force_flush()  # type: ignore[union-attr]
    _provider.force_flush()
    return on_thread, time.process_time() - process


def overhead(rounds: int) -> None:
    otel_llm.instrument(store=None)
    work: dict[str, Callable[[], None]] = {"hand-written span": bare, "otel_llm.interaction": ours}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    _export_nowhere()
    with otel_llm.game("game", name="diplomacy"), otel_llm.phase("S1901M"):
        for _ in range(rounds):
            for name, do in work.items():
                took[name].append(timed(do))
    print(
        f"| per span, µs of CPU ({rounds} rounds of {BLOCK}) | caller, median | minimum | process, median |"
    )
    print("| --- | ---: | ---: | ---: |")
    for name, found in took.items():
        callers, processes = zip(*found, strict=True)
        cells = (median(callers), min(callers), median(processes))
        print(f"| {name} | " + " | ".join(f"{value / BLOCK * 1e6:.1f}" for value in cells) + " |")
    otel_llm.shutdown()


def _export_nowhere() -> None:
    active = runtime.current()
    assert active is not None
    active.seat.provider.add_span_processor(BatchSpanProcessor(Nowhere()))  # type: ignore[union-attr]


def games(rounds: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {
        "without instrument()": [],
        "spans": [],
        "spans and store": [],
    }
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(rounds):
            found["without instrument()"].append(timed(game))
            for name, store in (("spans", None), ("spans and store", directory)):
                otel_llm.instrument(store=store)
                _export_nowhere()
                timed(game)  # instruments and files are made once a process, not once a game
                found[name].append(timed(game))
                otel_llm.shutdown()
    print(
        f"\n| a game of {INTERACTIONS} interactions, ms of CPU ({rounds} rounds) | caller, median | process, median |"
    )
    print("| --- | ---: | ---: |")
    for name, took in found.items():
        callers, processes = zip(*took, strict=True)
        print(f"| {name} | {median(callers) * 1e3:.1f} | {median(processes) * 1e3:.1f} |")


def memory() -> None:
    otel_llm.instrument(store=None, metrics=False)
    for _ in range(5):
        game()
    otel_llm.force_flush()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        game()
    otel_llm.force_flush()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    otel_llm.shutdown()
    print(
        f"\nLeft in memory by 50 finished games of {INTERACTIONS} interactions: {(after - before) / 1024:.0f} KiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    overhead(rounds)
    games(rounds // 2)
    memory()


if __name__ == "__main__":
    main()
