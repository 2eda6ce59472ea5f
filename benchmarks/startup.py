"""What `import otel_llm` and `instrument()` take: python -m benchmarks.startup [--out raw/imports.json]

In fresh processes, medians. OpenTelemetry's own modules are imported first, all those that end up loaded anyhow:
a program that traces has paid for them, and they are not ours to speed up. The figures with them are given too.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.run import ROOT, environments, save

SDKS: Final = (
    "openai",
    "anthropic",
    "google.genai",
    "httpx",
    "httpx2",
    "aiohttp",
    "torch",
    "wandb",
    "numpy",
    "pydantic",
)
LIMITS_MS: Final = {"import": 60, "instrument": 200}

_CHILD: Final = """
import contextlib, importlib, json, sys, time
arguments = json.loads(sys.argv[1])
for name in arguments["first"]:
    with contextlib.suppress(ImportError):  # a part of a circle, which another one imports
        importlib.import_module(name)
before = set(sys.modules)
start = time.perf_counter(), time.process_time()
import otel_llm
imported = time.perf_counter(), time.process_time()
otel_llm.instrument(store=arguments["store"])
done = time.perf_counter(), time.process_time()
new = [name for name in sys.modules if name not in before]
print(json.dumps({
    "import": imported[0] - start[0], "import_cpu": imported[1] - start[1],
    "instrument": done[0] - imported[0], "instrument_cpu": done[1] - imported[1],
    "modules": len(new), "opentelemetry": [name for name in new if name.split(".")[0] == "opentelemetry"],
    "sdks": [name for name in arguments["sdks"] if name in sys.modules],
}))
"""


def _run(python: pathlib.Path, first: Sequence[str], store: str) -> dict[str, Any]:
    arguments = json.dumps({"first": first, "sdks": SDKS, "store": store})
    done = subprocess.run(
        [python, "-c", _CHILD, arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def measure(python: pathlib.Path, rounds: int) -> dict[str, Any]:
    """Medians in seconds, `beyond` OpenTelemetry's own import and `whole` with it."""
    with tempfile.TemporaryDirectory() as scratch:
        store = str(pathlib.Path(scratch) / "store")
        opentelemetry = _run(python, (), store)["opentelemetry"]
        runs: dict[str, list[dict[str, Any]]] = {"beyond": [], "whole": []}
        for _ in range(rounds):
            runs["beyond"].append(_run(python, opentelemetry, store))
            runs["whole"].append(_run(python, (), store))
    figures = ("import", "import_cpu", "instrument", "instrument_cpu")
    result: dict[str, Any] = {"kind": "imports", "rounds": rounds, "sdks": runs["whole"][0]["sdks"]}
    for kind, of in runs.items():
        result[kind] = {figure: statistics.median(run[figure] for run in of) for figure in figures}
        result[kind]["modules"] = of[0]["modules"]
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--python", type=pathlib.Path, default=environments() / "otel_llm" / "bin" / "python")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args(arguments)
    result = measure(options.python, options.rounds)
    for kind in ("beyond", "whole"):
        times = ", ".join(f"{key} {1e3 * result[kind][key]:.0f} ms" for key in ("import", "instrument"))
        print(f"{kind:6} {times}, {result[kind]['modules']} modules")
    print("SDKs that were imported:", ", ".join(result["sdks"]) or "none")
    if options.out:
        save(options.out, result)


if __name__ == "__main__":
    main()
