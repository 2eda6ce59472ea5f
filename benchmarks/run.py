"""The interleaved runner: a resident process for each contestant, and all take turns at the same work.

    python -m benchmarks.run overhead --out raw/null.json        # --rounds 20 --sink otlp --only a,b --workloads x,y
    python -m benchmarks.run capture --out raw/capture.json      # one call each, and what it left behind
    python -m benchmarks.run startup --out raw/startup.json      # import and setup, in fresh processes

It needs the environments that `environments.sh` makes, and itself only the standard library.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, Final

from benchmarks.workloads import WORKLOADS

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent
CONTESTANTS: Final = ROOT / "benchmarks" / "contestants"


def environments() -> pathlib.Path:
    """The folder of the contestants' virtual environments."""
    if given := os.environ.get("OTEL_LLM_BENCH_VENVS"):
        return pathlib.Path(given)
    caches = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("OTEL_LLM_CACHE") or caches / "otel-llm") / "bench"


def constants(name: str) -> dict[str, Any]:
    """The module-level constants of a contestant, read without importing it: that needs its environment.

    `VENV` is its environment, `BASELINE` the contestant it is compared with (default `none`), `SLOW` names the
    workloads of which a tenth of the calls will do.
    """
    found = {}
    for node in ast.parse((CONTESTANTS / f"{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def contestants() -> list[str]:
    """Every contestant, baselines first."""
    names = sorted(path.stem for path in CONTESTANTS.glob("*.py") if path.stem != "__init__")
    return sorted(names, key=lambda name: not is_baseline(name))


def is_baseline(name: str) -> bool:
    return name.startswith("none")


class Worker:
    """A contestant's process."""

    def __init__(self, name: str, sink: str, url: str, logs: pathlib.Path) -> None:
        self.name = name
        self.constants = constants(name)
        self.log = logs / f"{name}.log"
        self.ready: dict[str, Any] = {}
        python = environments() / self.constants["VENV"] / "bin" / "python"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "OPENAI_"))},
            "BENCH_SINK": sink,
            "BENCH_URL": url,
            "BENCH_SCRATCH": str(logs),
            "PYTHONHASHSEED": "0",
        }
        if not python.exists():
            self.ready = {"error": f"no environment {python.parent.parent}: run benchmarks/environments.sh"}
            return
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.worker", name],
                cwd=ROOT,
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.ready = self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": "died: " + self.log.read_text()[-300:]}

    def ask(self, **command: Any) -> dict[str, Any]:
        if "error" in self.ready:
            return {"error": self.ready["error"]}
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            return {"error": str(error)}
        return self._answer()

    def close(self) -> None:
        if not hasattr(self, "_process"):
            return
        with contextlib.suppress(OSError):
            self._process.communicate('{"do": "quit"}\n', timeout=10)
        self._process.kill()


@contextlib.contextmanager
def sink_server() -> Iterator[str]:
    """The loopback server in a process of its own, so that its work is nobody's; gives its address."""
    with subprocess.Popen(
        [environments() / "none" / "bin" / "python", "-m", "benchmarks.stub"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    ) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


def _say(*what: object) -> None:
    print(*what, file=sys.stderr, flush=True)


def _turns(names: Sequence[str], round_number: int) -> list[str]:
    """Who runs when in a round: a different one starts each time, the baselines run three times, spread out."""
    bases = [name for name in names if is_baseline(name)]
    rest = [name for name in names if not is_baseline(name)]
    if not rest:
        return bases
    first = round_number % len(rest)
    turns, third = [], max(1, -(-len(rest) // 3))
    for index, name in enumerate(rest[first:] + rest[:first]):
        if index % third == 0:
            turns += bases
        turns.append(name)
    return turns


def overhead(
    names: Sequence[str],
    workloads: Sequence[str],
    sink: str,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Measure `names` at `workloads` in turns.

    A first, shorter round warms up and is not kept; no round begins after `seconds`.
    """
    out: dict[str, Any] = {
        "kind": "overhead",
        "sink": sink,
        "rounds": rounds,
        "contestants": {},
        "results": {},
    }
    with tempfile.TemporaryDirectory() as scratch, sink_server() as url:
        workers = {name: Worker(name, sink, url, pathlib.Path(scratch)) for name in names}
        try:
            for name, worker in workers.items():
                out["contestants"][name] = {**worker.constants, **worker.ready}
                out["results"][name] = {workload: [] for workload in workloads}
                if "error" in worker.ready:
                    _say("!!", name, worker.ready["error"])
            names = [name for name in names if "error" not in workers[name].ready]
            started = time.monotonic()
            for number in range(-1, rounds):
                if time.monotonic() - started > seconds:
                    out["rounds"] = number
                    break
                for workload in workloads:
                    for name in _turns(names, number):
                        slow = workload in workers[name].constants.get("SLOW", ())
                        calls = max(
                            2, WORKLOADS[workload].calls // (10 if slow else 1) // (1 if number >= 0 else 4)
                        )
                        answer = workers[name].ask(do="measure", workload=workload, calls=calls)
                        if "error" in answer:
                            _say("!!", name, workload, answer["error"])
                        elif (
                            sink == "null"
                            and workload != "not_llm"
                            and not is_baseline(name)
                            and answer["spans"] < 1
                        ):
                            _say("!!", name, workload, "records", answer["spans"], "spans a call")
                        if number >= 0:
                            out["results"][name][workload].append({"round": number, **answer})
                _say(f"round {number + 1} of {rounds}, {time.monotonic() - started:.0f} s")
            for name in names:
                out["contestants"][name] |= workers[name].ask(do="memory")
            with urllib.request.urlopen(url + "/stats") as stats:
                out["sink_stats"] = json.load(stats)
        finally:
            for worker in workers.values():
                worker.close()
    return out


def capture(names: Sequence[str], workloads: Sequence[str]) -> dict[str, Any]:
    """What each contestant records of one call."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            worker = Worker(name, "memory", "http://127.0.0.1:9", pathlib.Path(scratch))
            results[name] = {workload: worker.ask(do="capture", workload=workload) for workload in workloads}
            worker.close()
            _say(
                name,
                {w: a.get("error") or len(a["spans"]) + len(a["records"]) for w, a in results[name].items()},
            )
    return {"kind": "capture", "results": results}


def startup(names: Sequence[str], rounds: int) -> dict[str, Any]:
    """What each contestant's import and setup take after `import openai`, in fresh processes."""
    results: dict[str, Any] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(rounds):
            for name in names:
                worker = Worker(name, "null", "http://127.0.0.1:9", pathlib.Path(scratch))
                results[name].append(worker.ready)
                worker.close()
    return {"kind": "startup", "rounds": rounds, "results": results}


def save(path: pathlib.Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"when": time.strftime("%F %T"), **result}))
    _say("wrote", path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["overhead", "capture", "startup"])
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--sink", default="null", choices=["null", "otlp"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no round after this time")
    parser.add_argument("--only", help="contestants, comma separated; baselines are added")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    options = parser.parse_args(arguments)
    names = contestants()
    if options.only:
        wanted = options.only.split(",")
        wanted += [constants(name).get("BASELINE", "none") for name in wanted]
        names = [name for name in names if name in wanted]
    workloads = options.workloads.split(",")
    match options.kind:
        case "overhead":
            result = overhead(names, workloads, options.sink, options.rounds, options.seconds)
        case "capture":
            result = capture(names, workloads)
        case _:
            result = startup(names, options.rounds)
    save(options.out, result)


if __name__ == "__main__":
    main()
