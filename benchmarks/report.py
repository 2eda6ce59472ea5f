"""Markdown tables from raw results: python -m benchmarks.report raw/*.json

The kind of each file is in it. With `--brief` the one table for the project's README: give it the results of the
null sink, of the OTLP sink and of the capture check.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.facts import CHECKED, FACTS, missing, recorded
from benchmarks.workloads import WORKLOADS

FLOOR: Final = "bare_content"
FIGURES: Final = {
    "cpu_us": "Added CPU of the whole process (all threads, flush included), µs a call",
    "cpu_before_flush_us": "Added CPU of the whole process until the last call returned, µs a call",
    "cpu_caller_us": "Added CPU of the calling thread, µs a call",
    "wall_us": "Added wall time of the median call, µs",
}
Result = dict[str, Any]


def added(result: Result, name: str, workload: str, figure: str) -> list[float]:
    """For each round, the contestant's figure less the median of its baseline's runs in that round."""
    base: dict[int, list[float]] = {}
    for run in result["results"][baseline(result, name)][workload]:
        if figure in run:
            base.setdefault(run["round"], []).append(run[figure])
    return [
        run[figure] - statistics.median(base[run["round"]])
        for run in result["results"][name].get(workload, [])
        if figure in run and run["round"] in base
    ]


def baseline(result: Result, name: str) -> str:
    """The contestant that `name` is compared with."""
    return str(result["contestants"][name].get("BASELINE", "none"))


def absolute(result: Result, name: str, workload: str, figure: str) -> float:
    """The median of a figure as it was measured."""
    values = [run[figure] for run in result["results"][name].get(workload, []) if figure in run]
    return statistics.median(values) if values else float("nan")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """About 95 % of where the median may be, from order statistics."""
    ordered = sorted(values)
    margin = max(0, int(len(ordered) / 2 - 0.98 * len(ordered) ** 0.5))
    return ordered[margin], ordered[-1 - margin]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def entrants(result: Result, workload: str) -> list[str]:
    """The contestants that ran and are no baselines, the cheapest first."""
    ran = [
        name
        for name, told in result["contestants"].items()
        if not name.startswith("none") and "error" not in told and added(result, name, workload, "cpu_us")
    ]
    return sorted(ran, key=lambda name: statistics.median(added(result, name, workload, "cpu_us")))


def overhead(result: Result) -> Iterable[str]:
    """Every figure of an overhead run."""
    workloads = list(result["results"]["none"])
    names = entrants(result, workloads[0])
    yield f"## Overhead, {result['sink']} exporter, {result['rounds']} rounds"
    for figure, title in FIGURES.items():
        yield f"### {title}"
        base = ", ".join(f"{w} {absolute(result, 'none', w, figure):.0f}" for w in workloads)
        yield f"Without tracing: {base}."
        floor = {}
        if FLOOR in names:
            floor = {w: statistics.median(added(result, FLOOR, w, figure)) for w in workloads}
        rows = []
        for name in names:
            cells = []
            for workload in workloads:
                values = added(result, name, workload, figure)
                if not values:
                    cells.append("-")
                    continue
                median = statistics.median(values)
                low, high = interval(values)
                ratio = f" {median / floor[workload]:.1f}x" if floor.get(workload, 0) > 5 else ""
                cells.append(f"{median:+.0f} [{low:.0f}..{high:.0f}]{ratio}")
            rows.append([name, *cells])
        yield table(["contestant", *workloads], rows)
        yield f"In brackets about 95 % of the median, then the ratio to `{FLOOR}`."
    yield "### Records a call, memory"
    rows = []
    for name, told in result["contestants"].items():
        spans = [f"{absolute(result, name, workload, 'spans'):.2f}" for workload in workloads]
        memory = [f"{told.get(key, float('nan')):.0f}" for key in ("resident_mb", "peak_mb")]
        rows.append([name, str(told.get("openai", told.get("error"))), *spans, *memory])
    yield table(["contestant", "openai", *workloads, "MB at the end", "MB at most"], rows)
    if result["sink"] == "otlp":
        yield f"The sink got {result['sink_stats']}."


def captured(result: Result) -> Iterable[str]:
    """What each contestant recorded."""
    for workload in CHECKED:
        yield f"## Recorded of {workload}"
        rows = []
        for name, of in result["results"].items():
            if not name.startswith("none") and workload in of:
                found = recorded(of[workload])
                rows.append([name, *("yes" if fact in found else "**no**" for fact in FACTS)])
        yield table(["contestant", *FACTS], rows)


def startup(result: Result) -> Iterable[str]:
    """Import and setup."""
    yield f"## Import and setup after `import openai`, fresh process, median of {result['rounds']}"
    rows = []
    for name, runs in result["results"].items():
        ran = [run for run in runs if "error" not in run]
        if ran:
            median = {
                key: statistics.median(run[key] for run in ran) for key in ran[0] if key.startswith("setup")
            }
            cells = (
                1e3 * median["setup_wall_s"],
                1e3 * median["setup_cpu_s"],
                ran[0]["modules"],
                median["setup_mb"],
            )
            rows.append([name, *(f"{cell:.0f}" for cell in cells)])
    rows.sort(key=lambda row: float(row[2]))
    yield table(["contestant", "wall ms", "CPU ms", "modules", "MB"], rows)


def brief(results: Sequence[Result]) -> Iterable[str]:
    """One row a contestant: the small chat in full, the process for the rest, OTLP, and the facts it recorded."""
    timed = {result["sink"]: result for result in results if result["kind"] == "overhead"}
    null = timed["null"]
    capture: Result = next((result for result in results if result["kind"] == "capture"), {"results": {}})

    def cell(result: Result | None, name: str, workload: str, figure: str) -> str:
        values = (
            [] if result is None or name not in result["results"] else added(result, name, workload, figure)
        )
        return f"{statistics.median(values):+.0f}" if values else "-"

    rows = []
    for name in entrants(null, "chat_small"):
        cells = []
        for workload in WORKLOADS:
            caller, process = (cell(null, name, workload, figure) for figure in ("cpu_caller_us", "cpu_us"))
            cells.append(f"{caller} / {process}")
        of = capture["results"].get(name, {})
        facts = 2 * len(FACTS) - 1 - sum(len(missing(of[w], w)) for w in CHECKED) if of else None
        otlp = cell(timed.get("otlp"), name, "chat_small", "cpu_us")
        rows.append([name, *cells, otlp, "-" if facts is None else f"{facts}/{2 * len(FACTS) - 1}"])
    header = ["added µs a call: caller / process", *WORKLOADS, "chat_small over OTLP", "facts recorded"]
    yield table(header, rows)
    base = ", ".join(f"{w} {absolute(null, 'none', w, 'cpu_us'):.0f}" for w in WORKLOADS)
    yield f"Without tracing a call takes, in µs of CPU: {base}."


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", nargs="+", type=pathlib.Path)
    parser.add_argument("--brief", action="store_true", help="only the table for the project's README")
    options = parser.parse_args(arguments)
    results = [json.loads(path.read_text()) for path in options.raw]
    if options.brief:
        paragraphs = list(brief(results))
    else:
        kinds = {"overhead": overhead, "capture": captured, "startup": startup}
        paragraphs = [line for result in results for line in kinds[result["kind"]](result)]
    print("\n\n".join(paragraphs))


if __name__ == "__main__":
    main()
