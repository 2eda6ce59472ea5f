"""Interactions into W&B: our sink, `wandb.log` by hand, a key a value, and Weave's client. `python -m benchmarks.wandb_rows`.

Each contestant runs in a process of its own; W&B is offline, Weave's client talks to a loopback server that answers at
once. An interaction has 18 numbers and words, a prompt of 2 kB and an answer of 0.8 kB (a key a value: without the texts).
Told are interactions a second from the first to the end of the run, CPU time of the program and of W&B's core, their
largest memory, and what lies on the disk. W&B and what it imports for its first table are loaded beforehand; starting and
ending the run is part of the time, so that a short run shows less a second than a long one.

Weave's client needs the environment `weave` of `benchmarks/environments.sh`; without it that contestant is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = 18
CONTESTANTS = ("sink", "by_hand", "keys", "weave")
BATCH = 500
LONG_RUNS = (20_000, 100_000)
"""So many interactions more go through our sink, to see whether the cost stays linear."""


def cells(i: int) -> tuple[Any, ...]:
    words = f"interaction {i} "
    numbers = tuple(float(i * (k + 1) % 997) for k in range(NUMBERS - 3))
    return (
        f"{i:032x}", f"{i:016x}", 1.7e9 + i, f"game-{i % 50}", "FRANCE", bool(i % 3), *numbers,
        (words * 200)[:2000], (words * 80)[:800],
    )  # fmt: skip


COLUMNS = (
    ("trace_id", "text"), ("span_id", "text"), ("time", "float"), ("game_id", "text"), ("power_name", "text"),
    ("success", "bool"), *((f"n{k}", "float") for k in range(NUMBERS - 3)), ("prompt", "text"), ("answer", "text"),
)  # fmt: skip
NAMES = tuple(name for name, _ in COLUMNS)


# --- contestants ----------------------------------------------------------------------------------
def sink(count: int, directory: Path) -> None:
    from otel_llm.views.model import Batch, Rows, SinkOptions
    from otel_llm_wandb.settings import WandbSettings
    from otel_llm_wandb.sink import WandbSink

    settings = WandbSettings.resolve(
        {"join": False, "mode": "offline", "dir": str(directory), "whole_tables": False}
    )
    made = WandbSink(settings, SinkOptions(store=directory / "store", close_timeout_s=60))
    made.settled()
    for first in range(0, count, BATCH):
        rows = Rows("interactions", COLUMNS, [cells(i) for i in range(first, min(count, first + BATCH))])
        while not made.write(
            Batch(tables=[rows], keys={"spans": list(range(first, first + len(rows.cells)))})
        ):
            made.flush(1)
    if not made.close(60):
        raise SystemExit("not everything is in the run's file")


def by_hand(count: int, directory: Path) -> None:
    import wandb

    run = wandb.init(mode="offline", dir=str(directory), settings=wandb.Settings(console="off"))
    for i in range(count):
        run.log(dict(zip(NAMES, cells(i), strict=True)))
    run.finish()


def keys(count: int, directory: Path) -> None:
    import wandb

    run = wandb.init(mode="offline", dir=str(directory), settings=wandb.Settings(console="off"))
    for i in range(count):
        run.log(
            {f"interactions/{i}/{name}": value for name, value in zip(NAMES[:-2], cells(i), strict=False)}
        )
    run.finish()


def weave(count: int, _directory: Path) -> None:
    from weave.trace.context.weave_client_context import require_weave_client

    client = require_weave_client()
    for i in range(count):
        told = dict(zip(NAMES, cells(i), strict=True))
        answer = told.pop("answer")
        client.finish_call(client.create_call("interaction", told), answer)
    client.flush()


# --- measuring ------------------------------------------------------------------------------------
def of_core() -> dict[str, float]:
    """Return the largest memory and the CPU time of W&B's core, which outlives the runs."""
    tick = os.sysconf("SC_CLK_TCK")
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if "wandb-core" not in told.get("Name", "") or int(told["PPid"]) != os.getpid():
                continue
            fields = (status.parent / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        return {
            "core_cpu_s": round((int(fields[11]) + int(fields[12])) / tick, 2),
            "core_rss_mb": round(int(told["VmHWM"].split()[0]) / 1024),
        }
    return {}


def prepare(name: str) -> None:
    """Load what is not part of what is measured."""
    if name == "weave":
        from benchmarks.contestants import weave as contestant

        contestant.setup()
        return
    import wandb

    wandb.setup()
    wandb.Table(columns=["a"], data=[[1]])  # imports pandas, where that is installed


def measure(name: str, count: int) -> None:
    """Run one contestant in this process and print what it took."""
    prepare(name)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    globals()[name](count, Path.cwd())
    took = time.perf_counter() - began
    own = resource.getrusage(resource.RUSAGE_SELF)
    files = [path for path in Path.cwd().rglob("*") if path.is_file() and not path.is_symlink()]
    told = {
        "contestant": name,
        "interactions": count,
        "per_s": round(count / took),
        "cpu_s": round(own.ru_utime + own.ru_stime - before.ru_utime - before.ru_stime, 2),
        "rss_mb": round(own.ru_maxrss / 1024),
        **of_core(),
        "disk_mb": round(sum(path.stat().st_size for path in files) / 2**20, 1),
    }
    print(json.dumps(told))


@contextmanager
def stub() -> Iterator[str]:
    """Run the loopback server of the other benchmarks; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


def python_of(name: str) -> Path:
    """Return the interpreter of a contestant."""
    if name != "weave":
        return Path(sys.executable)
    from benchmarks.run import environments

    return Path(environments()) / "weave" / "bin" / "python"


def run(name: str, count: int, url: str) -> dict[str, Any] | None:
    """Run one contestant in a process and a directory of its own; None where it cannot run here."""
    python = python_of(name)
    if not python.exists():
        print(f"{name}: no environment; benchmarks/environments.sh {name} makes it", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as directory:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "OTEL_", "BENCH_"))}
        environment = {
            **clean,
            "PYTHONPATH": str(ROOT),
            "WANDB_SILENT": "true",
            "WANDB_MODE": "offline",
            "WANDB_DATA_DIR": directory,
            "WANDB_CACHE_DIR": directory,
            "HOME": directory,
            "BENCH_SINK": "otlp",
            "BENCH_URL": url,
        }
        done = subprocess.run(
            [python, "-m", "benchmarks.wandb_rows", "--inside", "--only", name, "--count", str(count)],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
            check=True,
        )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--only", choices=CONTESTANTS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        measure(asked.only, asked.count)
        return
    wanted = [(name, asked.count) for name in ([asked.only] if asked.only else CONTESTANTS)]
    if not asked.only:
        wanted += [("sink", count) for count in LONG_RUNS]
    headings = (
        "contestant",
        "interactions",
        "per_s",
        "cpu_s",
        "core_cpu_s",
        "rss_mb",
        "core_rss_mb",
        "disk_mb",
    )
    print(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    with stub() as url:
        for name, count in wanted:
            told = run(name, count, url)
            if told is not None:
                print(f"| {' | '.join(str(told.get(one, '')) for one in headings)} |", flush=True)
    print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
