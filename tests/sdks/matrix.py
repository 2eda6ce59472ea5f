"""Runs a program of the matrix in its environment, with otel_llm and without, and pairs its spans with its calls."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NO_CALLS = frozenset({"openai.models", "anthropic.count_tokens", "gemini.count_tokens"})
"""Protocols of the loopback server that are no model calls."""


class MissingEnvironmentError(Exception):
    """environments.sh has not made it."""


@dataclass(frozen=True)
class Row:
    """A row of the matrix.

    Attributes:
        environment: a name in requirements/.
        program: a name in programs/.
        variables: of the environment, more of them.
    """

    environment: str
    program: str
    variables: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return "-".join((self.program, self.environment, *(value for _, value in self.variables)))


@dataclass(frozen=True)
class Call:
    """One exchange that the server saw, and the span that stands for it."""

    scenario: str
    expect: Mapping[str, Any]
    request: Mapping[str, Any]
    sent: Mapping[str, Any]
    span: Mapping[str, Any]

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.span["attributes"]

    def __str__(self) -> str:
        return f"{self.scenario} #{self.request['number']}"


@dataclass(frozen=True)
class Scenario:
    """One scenario of a program that was run both ways."""

    name: str
    expect: Mapping[str, Any]
    output: Any
    plain_output: Any
    span_id: str
    requests: list[dict[str, Any]]
    spans: list[dict[str, Any]]
    """All spans of its trace but its own, oldest first."""

    @property
    def exchanges(self) -> list[dict[str, Any]]:
        """What the server saw of model calls."""
        return [r for r in self.requests if r["protocol"] is not None and r["protocol"] not in NO_CALLS]

    def calls(self) -> list[Call]:
        """Exchanges with their spans: by the answer's id where it has one of its own, else in order of time."""
        left = list(self.spans)
        pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for request in sorted(self.exchanges, key=lambda r: r["sent"]["id"] is None):
            same = [s for s in left if s["attributes"].get("gen_ai.response.id") == request["sent"]["id"]]
            span = (same or left or [{"attributes": {}, "status": {}}])[0]
            if span in left:
                left.remove(span)
            pairs.append((request, span))
        pairs.sort(key=lambda pair: pair[0]["number"])
        return [Call(self.name, self.expect, request, request["sent"], span) for request, span in pairs]


def environment(name: str) -> Path | None:
    """The folder of an environment, None where environments.sh has not made it."""
    ran = subprocess.run(
        [HERE / "environments.sh", "--find", name], capture_output=True, text=True, check=False
    )
    return Path(ran.stdout.split(maxsplit=1)[1].strip()) if ran.returncode == 0 and ran.stdout else None


@functools.cache
def run(row: Row) -> list[Scenario]:
    """Both runs of a row, put together.

    Raises:
        MissingEnvironmentError: its environment is not there.
        AssertionError: the program did not run to its end.
    """
    folder = environment(row.environment)
    if folder is None:
        raise MissingEnvironmentError(row.environment)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        _metadata(place)
        plain = _run(folder, row, place, instrument=False)
        seen = _run(folder, row, place, instrument=True)
    return [
        Scenario(
            name=one["name"],
            expect=one["expect"],
            output=one["output"],
            plain_output=other["output"],
            span_id=one["span_id"],
            requests=one["requests"],
            spans=sorted(
                (
                    span
                    for span in seen["spans"]
                    if span["context"]["trace_id"] == f"0x{one['trace_id']}"
                    and span["context"]["span_id"] != f"0x{one['span_id']}"
                ),
                key=lambda span: span["start_time"],
            ),
        )
        for one, other in zip(seen["scenarios"], plain["scenarios"], strict=True)
    ]


def _run(folder: Path, row: Row, place: Path, *, instrument: bool) -> dict[str, Any]:
    result = place / f"{instrument}.json"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTHON"))}
    paths = (place, ROOT, ROOT / "instrumentation", ROOT / "exporters")
    variables = {
        **kept,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "OTEL_LLM_TEST_INSTRUMENT": str(int(instrument)),
        **dict(row.variables),
    }
    ran = subprocess.run(
        [folder / "bin" / "python", HERE / "programs" / f"{row.program}.py", result],
        env=variables,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    told: dict[str, Any] = json.loads(result.read_text())
    assert not told["dropped"], (
        told["dropped"],
        ran.stderr[-4000:],
    )  # nothing was lost, nothing failed inside
    return told


def _metadata(place: Path) -> None:
    """Makes the checkout look installed: entry points are found by the metadata of a distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = place / f"otel_llm-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head)
    groups = project.get("entry-points", {})
    (info / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in groups.items()
        )
    )
