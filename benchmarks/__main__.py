"""Everything, in less than fifteen minutes on two quiet cores: python -m benchmarks

Makes the environments that are missing, runs the capture check, the overhead with both sinks, start-up and the
burst, and prints the tables. Raw results go to benchmarks/raw/ (`--out`).
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Final

from benchmarks import burst, report, run, startup

_RAW: Final = run.ROOT / "benchmarks" / "raw"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=_RAW)
    parser.add_argument("--rounds", type=int, default=16, help="rounds with the null sink; half with OTLP")
    options = parser.parse_args(arguments)
    subprocess.run([run.ROOT / "benchmarks" / "environments.sh"], check=True)
    raw = {
        name: options.out / f"{name}.json"
        for name in ("capture", "null", "otlp", "startup", "imports", "burst")
    }
    run.main(["capture", "--out", str(raw["capture"]), "--workloads", "chat_small,stream_200,embed,not_llm"])
    null = ["overhead", "--out", str(raw["null"]), "--rounds", str(options.rounds), "--seconds", "420"]
    run.main(null)
    otlp = [
        "overhead",
        "--out",
        str(raw["otlp"]),
        "--rounds",
        str(max(4, options.rounds // 2)),
        "--seconds",
        "210",
    ]
    run.main([*otlp, "--sink", "otlp"])
    run.main(["startup", "--out", str(raw["startup"]), "--rounds", "2"])
    startup.main(["--out", str(raw["imports"])])
    burst.main(["--out", str(raw["burst"])])
    report.main(["--brief", *map(str, (raw["null"], raw["otlp"], raw["capture"]))])
    print()
    report.main([str(raw[name]) for name in ("null", "otlp", "capture", "startup")])


if __name__ == "__main__":
    main()
