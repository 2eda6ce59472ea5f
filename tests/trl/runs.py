"""Runs `programs/train.py` in one of the environments, and reads what came of it.

Importing trainers takes ten seconds, so each environment has one process that has imported them, and forks.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from otel_llm.store import StoreReader
from otel_llm.store.rows import SeriesRow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TIMEOUT = 300


class MissingEnvironmentError(Exception):
    """environments.sh has not made it."""


@dataclass(frozen=True)
class Trained:
    """What came of one program.

    Attributes:
        folder: where it wrote.
        ranks: what each rank wrote down.
    """

    folder: Path
    ranks: tuple[dict[str, Any], ...]

    @property
    def first(self) -> dict[str, Any]:
        return self.ranks[0]

    @cached_property
    def reader(self) -> StoreReader:
        return StoreReader(self.folder / "store")

    @cached_property
    def spans(self) -> list[Any]:
        return sorted(self.reader.spans(), key=lambda span: span.start_ns)

    @cached_property
    def series(self) -> list[SeriesRow]:
        return list(self.reader.series())

    def named(self, name: str, **attributes: Any) -> list[Any]:
        """Spans of a name, and of attributes: `named("loss", **{sc.RANK: 0})`."""
        return [
            span
            for span in self.spans
            if span.name == name
            and all(span.attributes.get(key) == value for key, value in attributes.items())
        ]

    def parent_of(self, span: Any) -> Any:
        return next((one for one in self.spans if one.span_id == span.parent_id), None)

    def figures(self, rank: int = 0) -> list[dict[str, Any]]:
        """The trainer's log, without what a clock says."""
        timed = ("runtime", "per_second", "step_time")
        return [
            {name: value for name, value in row.items() if not any(word in name for word in timed)}
            for row in self.ranks[rank]["history"]
        ]


def environment(name: str) -> Path:
    """The folder of an environment.

    Raises:
        MissingEnvironmentError: environments.sh has not made it.
    """
    if name == "newest" and (given := os.environ.get("OTEL_LLM_TEST_TRL_VENV")):
        return Path(given)
    ran = subprocess.run(
        [HERE / "environments.sh", "--find", name], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0 or not ran.stdout:
        raise MissingEnvironmentError(name)
    return Path(ran.stdout.split(maxsplit=1)[1].strip())


def variables(place: Path) -> dict[str, str]:
    """The environment variables of a program."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTHON", "WANDB_", "CUDA_"))}
    paths = (place, ROOT, ROOT / "instrumentation", ROOT / "exporters")
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
    }


@cache
def scratch() -> Path:
    """A folder of this session, gone at its end."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    place = Path(folder.name)
    (place / "metadata").mkdir()
    _metadata(place / "metadata")
    return place


@cache
def model(name: str) -> Path:
    """The tiny model, made in an environment."""
    folder = scratch() / name / "model"
    ran = subprocess.run(
        [environment(name) / "bin" / "python", HERE / "programs" / "tiny.py", folder],
        env=variables(scratch() / "metadata"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return folder


@cache
def _server(name: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [environment(name) / "bin" / "python", HERE / "programs" / "train.py", "--serve"],
        env=variables(scratch() / "metadata"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@cache
def _train(
    name: str, ranks: int, off: bool, trainer: str, case: str, config: str, instrument: str
) -> Trained:
    number = len(list((scratch() / name).iterdir()))
    folder = scratch() / name / f"{number}-{trainer}-{case.replace(' ', '_').replace(':', '_')}"
    arguments = [
        str(model(name)), str(folder), "--trainer", trainer, "--case", case, "--ranks", str(ranks), "--config", config,
        "--instrument", instrument, *(["--off"] if off else []),
    ]  # fmt: skip
    server = _server(name)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(arguments) + "\n")
    server.stdin.flush()
    statuses = json.loads(server.stdout.readline())
    said = "\n".join((folder / f"output{rank}.txt").read_text()[-3000:] for rank in range(ranks))
    assert not any(statuses), said
    return Trained(folder, tuple(json.loads((folder / f"rank{i}.json").read_text()) for i in range(ranks)))


def train(
    name: str = "newest",
    *,
    ranks: int = 1,
    off: bool = False,
    trainer: str = "grpo",
    case: str = "plain",
    instrument: dict[str, Any] | None = None,
    **config: Any,
) -> Trained:
    """Train, or return what came of the same before.

    Raises:
        MissingEnvironmentError: there is no environment of this name.
    """
    environment(name)
    model(name)
    return _train(name, ranks, off, trainer, case, json.dumps(config), json.dumps(instrument or {}))


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
