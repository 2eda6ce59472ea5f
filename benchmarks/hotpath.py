"""Where a contestant's time goes: ENVIRONMENT/bin/python -m benchmarks.hotpath CONTESTANT WORKLOAD [CALLS]

Two profiles, of what the calls take on their own thread, and of what the flush after them takes. Figures under a
profiler are inflated, small functions most: read them for the order, and measure with `run`.
"""

from __future__ import annotations

import cProfile
import importlib
import os
import pstats
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

_PACKAGE: Final = re.compile(r"site-packages/(?:opentelemetry/(sdk|instrumentation/[^/]+|[^/]+)|([^/]+))")
_NOT_OURS: Final = frozenset(
    {
        "openai",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "anyio",
        "pydantic",
        "benchmarks",
        "python",
        "jiter",
    },
)


def _package(file: str) -> str:
    if found := _PACKAGE.search(file):
        return f"opentelemetry.{found[1]}" if found[1] else found[2]
    for ours in ("benchmarks", "otel_llm_http", "otel_llm"):
        if f"/{ours}/" in file:
            return ours
    return "python"


def _lines(profile: cProfile.Profile, calls: int) -> Iterator[str]:
    packages: Counter[str] = Counter()
    functions = []
    for (file, line, name), (_, times, own, total, _) in pstats.Stats(profile).stats.items():
        package = _package(file)
        packages[package] += own
        if package not in _NOT_OURS:
            short = "/".join(file.split("site-packages/")[-1].split("/")[-3:])
            functions.append((total, own, times, f"{short}:{line} {name}"))
    yield "  own time by package, us a call"
    for package, own in packages.most_common(9):
        yield f"    {own / calls * 1e6:9.1f}  {package}"
    yield "  tracing's functions: total and own us, times a call"
    for total, own, times, where in sorted(functions, reverse=True)[:40]:
        yield f"    {total / calls * 1e6:9.1f} {own / calls * 1e6:9.1f} {times / calls:7.1f}  {where}"


def main(name: str, workload: str, calls: int) -> None:
    from benchmarks import sinks
    from benchmarks.worker import make_clients
    from benchmarks.workloads import WORKLOADS

    contestant: Any = importlib.import_module(f"benchmarks.contestants.{name}")
    contestant.setup()
    if hasattr(contestant, "defer"):
        contestant.defer()
    clients = make_clients(contestant)
    run = WORKLOADS[workload].run
    run(clients, 10)
    sinks.flush()
    on_caller, later = cProfile.Profile(), cProfile.Profile()
    on_caller.runcall(run, clients, calls)
    later.runcall(sinks.flush)
    for title, profile in (("On the calling thread", on_caller), ("In the flush after it", later)):
        print(f"{title}: {name}, {workload}", *_lines(profile, calls), sep="\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 300)
