"""Asks a Prometheus what every panel of the dashboards asks, and prints what it answers.

    python collector-config/ask_panels.py http://127.0.0.1:9090 [--over 5m]

Needs nothing but Python. Exits with 1 if a panel finds nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARDS = Path(__file__).parent / "dashboards"


class Asked(NamedTuple):
    """One query of a panel."""

    board: str
    panel: str
    expression: str


def queries(over: str = "5m") -> Iterator[Asked]:
    """Return every query, with Grafana's variables replaced.

    Args:
        over: the range that rates are computed over.
    """
    variables = {"$__rate_interval": over, "$__range": over, "$service": ".*"}
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for variable, value in variables.items():
                    expression = expression.replace(variable, value)
                yield Asked(path.stem, panel["title"], expression)


def ask(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """Return the series that are found now, without those that are no number."""
    url = f"{prometheus.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (whoever calls it names the server)
        found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
    return [series for series in found if not math.isnan(float(series["value"][1]))]


def main() -> int:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("prometheus", nargs="?", default="http://127.0.0.1:9090")
    parser.add_argument("--over", default="5m", help="the range of rates")
    options = parser.parse_args()
    empty = 0
    for asked in queries(options.over):
        found = ask(options.prometheus, asked.expression)
        empty += not found
        print(f"\n{asked.board}: {asked.panel}\n  {asked.expression}")
        for series in found[:5]:
            labels = ", ".join(
                f"{key}={value}" for key, value in series["metric"].items() if key != "__name__"
            )
            print(f"  {float(series['value'][1]):12.6g}  {labels}")
        print(f"  ... {len(found) - 5} more" if len(found) > 5 else "" if found else "  NOTHING")  # noqa: PLR2004
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
