"""How long a training run's report takes: `python -m benchmarks.training_report [--steps 1000] [--rounds 3]`.

Two ranks with four groups of eight samples each a step, so 64 rollouts, in two store files, with what was said. Read:
`read_runs`, `read_steps` and `read_rollouts` over all of it. Written: from opening the store to the file in its place,
in seconds and in seconds of the process's CPU, with the most memory that it ever held. Opened: in a headless Chromium
(`OTEL_LLM_TEST_CHROMIUM`), from the navigation to the mark that the page sets when what is in sight is painted and it
answers; then how long it takes to pick a step, to sort all rollouts, and to search all that was said.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import otel_llm
from otel_llm.report.training import write_run
from otel_llm.store import StoreReader
from tests.report.chromium import Browser
from tests.report.training import Run

_PICK = """(async () => {
    const began = performance.now();
    otelLlmReport.pick(Math.floor(otelLlmReport.data.steps.rows / 3));
    const number = String(otelLlmReport.data.steps.number[Math.floor(otelLlmReport.data.steps.rows / 3)]);
    while (document.documentElement.dataset.step !== number) await new Promise((done) => setTimeout(done, 2));
    return performance.now() - began;
})()"""
_SORT = """(() => {
    const began = performance.now();
    otelLlmReport.explore({ step: '', sort: 'surprise' });
    return performance.now() - began;
})()"""
_SEARCH = """(async () => {
    const said = document.querySelector('#rollouts output'), began = performance.now();
    otelLlmReport.explore({ step: '', text: 'no such text at all' });
    while (!/^0 of/.test(said.textContent) || said.textContent.includes('searching')) await new Promise((done) => setTimeout(done, 5));
    return performance.now() - began;
})()"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", nargs=2, type=Path, metavar=("STORE", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        _write(*options.write)
        return
    binary = os.environ.get("OTEL_LLM_TEST_CHROMIUM")
    if not binary:
        sys.exit("OTEL_LLM_TEST_CHROMIUM names no browser; tests/components/chromium.sh finds one")
    with tempfile.TemporaryDirectory() as scratch:
        store, page = Path(scratch) / "store", Path(scratch) / "run.html"
        run = Run(steps=options.steps, groups=4, size=8, words=12).train()
        run.write(store)
        run_id = run.id
        del run
        size = sum(path.stat().st_size for path in store.iterdir())
        print(f"{options.steps} steps, {options.steps * 64} rollouts; a store of {size / 1e6:.1f} MB")
        for name, read in _reading(store, run_id):
            _say(f"{name}", [_timed(read) for _ in range(options.rounds)])
        rows = [_write_apart(store, page) for _ in range(options.rounds)]
        _say("report written", [row[0] for row in rows])
        _say("  of it the process's CPU", [row[1] for row in rows])
        print(f"  {page.stat().st_size / 1e6:.1f} MB, {max(row[2] for row in rows):.0f} MB of memory at most")
        opening, after = [], []
        with Browser(binary) as browser:
            for _ in range(options.rounds):
                shown = browser.open(page)
                interactive = shown.wait("document.documentElement.dataset.interactive", timeout_s=120)
                opening.append(float(interactive) / 1000)
                after.append([shown.evaluate(code, 120) for code in (_PICK, _SORT, _SEARCH)])
                shown.close()
        _say("opened", opening)
        for name, column in zip(
            ("step picked", "rollouts sorted", "all text searched"), zip(*after, strict=True), strict=True
        ):
            _say(name, [float(one) / 1000 for one in column])


def _reading(store: Path, run_id: str) -> list[tuple[str, Callable[[], Any]]]:
    return [
        ("runs read", lambda: otel_llm.read_runs(store)),
        ("steps read", lambda: otel_llm.read_steps(store, run_id)),
        ("one step read", lambda: otel_llm.read_steps(store, run_id, step=3)),
        ("rollouts read", lambda: sum(1 for _ in otel_llm.read_rollouts(store, run_id))),
    ]


def _timed(what: Callable[[], Any]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _say(name: str, seconds: list[float]) -> None:
    print(f"{name} in {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


def _write_apart(store: Path, page: Path) -> tuple[float, float, float]:
    """Write the report in a process of its own; return its seconds, its CPU seconds, and its megabytes at most."""
    command = [sys.executable, "-m", "benchmarks.training_report", "--write", str(store), str(page)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1]), float(said[2])


def _write(store: Path, page: Path) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    reader = StoreReader(store)
    write_run(reader, otel_llm.read_runs(store)[0].run_id, page)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(time.perf_counter() - began, time.process_time() - cpu, peak)


if __name__ == "__main__":
    main()
