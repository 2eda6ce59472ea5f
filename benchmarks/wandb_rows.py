"""Interactions into W&B, offline: our sink, `wandb.log` by hand, and a key a value. `python -m benchmarks.wandb_rows`.

Each contestant runs in a process of its own. An interaction has 18 numbers and words, a prompt of 2 kB and an answer of
0.8 kB (a key a value: without the texts). Told are interactions a second from the first to the end of the run, CPU time of
the program and of W&B's core, the core's largest memory, and what lies on the disk.
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
from pathlib import Path
from typing import Any

NUMBERS = 18
CONTESTANTS = ("sink", "by_hand", "keys")
BATCH = 500


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
    report_core()
    assert made.close(60)


def by_hand(count: int, directory: Path) -> None:
    import wandb

    run = wandb.init(mode="offline", dir=str(directory), settings=wandb.Settings(console="off"))
    names = [name for name, _ in COLUMNS]
    for i in range(count):
        run.log(dict(zip(names, cells(i), strict=True)))
    report_core()
    run.finish()


def keys(count: int, directory: Path) -> None:
    import wandb

    run = wandb.init(mode="offline", dir=str(directory), settings=wandb.Settings(console="off"))
    names = [name for name, _ in COLUMNS][:-2]
    for i in range(count):
        run.log({f"interactions/{i}/{name}": value for name, value in zip(names, cells(i), strict=False)})
    report_core()
    run.finish()


core: dict[str, float] = {}


def report_core() -> None:
    """Remember the largest memory of W&B's core so far."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if "wandb-core" in told.get("Name", "") and int(told["PPid"]) == os.getpid():
            core["core_rss_mb"] = max(core.get("core_rss_mb", 0), int(told["VmHWM"].split()[0]) / 1024)


def measure(name: str, count: int) -> None:
    directory = Path.cwd()
    import wandb  # not part of what is measured

    wandb.setup()
    began = time.perf_counter()
    globals()[name](count, directory)
    took = time.perf_counter() - began
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    size = sum(
        path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink()
    )
    print(
        json.dumps(
            {
                "contestant": name,
                "interactions": count,
                "per_s": round(count / took),
                "python_cpu_s": round(own.ru_utime + own.ru_stime, 2),
                "core_cpu_s": round(children.ru_utime + children.ru_stime, 2),
                **{key: round(value) for key, value in core.items()},
                "python_rss_mb": round(own.ru_maxrss / 1024),
                "disk_mb": round(size / 2**20, 1),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--only", choices=CONTESTANTS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        measure(asked.only, asked.count)
        return
    for name in [asked.only] if asked.only else CONTESTANTS:
        with tempfile.TemporaryDirectory() as directory:
            environment = {
                **{k: v for k, v in os.environ.items() if not k.startswith("WANDB_")},
                "WANDB_SILENT": "true",
                "WANDB_MODE": "offline",
                "WANDB_DATA_DIR": directory,
                "WANDB_CACHE_DIR": directory,
                "HOME": directory,
            }
            done = subprocess.run(
                [
                    sys.executable,
                    Path(__file__).resolve(),
                    "--inside",
                    "--only",
                    name,
                    "--count",
                    str(asked.count),
                ],
                cwd=directory,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
