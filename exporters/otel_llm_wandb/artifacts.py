"""Files for W&B: finished games, what the program hands over (checkpoints), and at a run's end its trajectories.

    otel_llm_wandb.log_checkpoint("out/checkpoint-500", step=500)

Handing over costs the program nothing but a line in a list; the files are copied and written on the sink's thread.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from otel_llm import drops
from otel_llm.views.model import Artifact
from otel_llm_wandb.run import Run

CHECKPOINT: Final = "checkpoint"
TRAJECTORIES: Final = "trajectories"
_MAX_WAITING: Final = 1000
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Handed:
    """Files that the program handed over."""

    path: Path
    name: str
    type: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


_handed: deque[Handed] = deque()
_lock = threading.Lock()


def log_artifact(
    path: str | Path,
    *,
    name: str | None = None,
    type: str = "file",  # noqa: A002 (what W&B calls it)
    metadata: Mapping[str, Any] | None = None,
    aliases: Iterable[str] = (),
) -> None:
    """Have a file or a directory written to the run as an artifact. Returns at once; never raises.

    The files must stay where they are until the next `otel_llm.force_flush()`. They go to W&B alone: the store does not
    keep them, and `replay` cannot send them again.

    Args:
        path: the file or directory.
        name: the artifact's name; default: the path's.
        type: what kind of thing it is.
        metadata: plain data about it.
        aliases: names of this version: `best`.
    """
    path = Path(path)
    with _lock:
        if len(_handed) >= _MAX_WAITING:
            drops.count("artifact", "wandb_queue_full")
            return
        _handed.append(
            Handed(path, _NOT_A_NAME.sub("_", name or path.name), type, dict(metadata or {}), tuple(aliases))
        )


def log_checkpoint(
    path: str | Path,
    *,
    step: int | None = None,
    name: str = "checkpoint",
    metadata: Mapping[str, Any] | None = None,
    aliases: Iterable[str] = (),
) -> None:
    """Have a checkpoint written to the run: a version of the artifact `name` of the type `checkpoint`.

    Args:
        path: the file or directory.
        step: the training step; it becomes metadata and the alias `step-{step}`.
        name: the artifact's name.
        metadata: plain data about it.
        aliases: more names of this version.
    """
    told = dict(metadata or {})
    if step is not None:
        told["step"] = step
        aliases = (*aliases, f"step-{step}")
    log_artifact(path, name=name, type=CHECKPOINT, metadata=told, aliases=aliases)


def waiting() -> bool:
    """Say whether the program handed something over that is not written."""
    return bool(_handed)


def taken() -> Iterator[Handed]:
    """Yield what the program handed over, and take it away."""
    while True:
        with _lock:
            if not _handed:
                return
            one = _handed.popleft()
        yield one


def put_back(one: Handed) -> None:
    """Let something be taken again later."""
    with _lock:
        _handed.appendleft(one)


def write_handed(run: Run) -> None:
    """Write everything that the program handed over.

    Raises:
        BrokenError, OverError, FullError: as `Run.log_artifact`; what was not written waits.
    """
    for one in taken():
        with run.staging():
            made = run.new_artifact(one.name, one.type, one.metadata)
            try:
                if one.path.is_dir():
                    made.add_dir(str(one.path))
                else:
                    made.add_file(str(one.path))
            except (OSError, ValueError) as error:
                drops.count("artifact", "wandb_unreadable")
                drops.warn_once(
                    f"wandb:artifact:{one.name}", "the artifact %s cannot be read: %s", one.name, error
                )
                continue
        try:
            run.log_artifact(made, list(one.aliases))
        except Exception:
            put_back(one)
            raise


def write_made(run: Run, artifact: Artifact, there: set[tuple[str, str]]) -> None:
    """Write an artifact of a batch, unless the run's file has the very same.

    Args:
        run: where to.
        artifact: what; its files are made here.
        there: names and digests of what is in the run; the new one is added.
    """
    write_files(run, artifact.name, artifact.type, artifact.metadata, artifact.files(), there)


def write_files(
    run: Run,
    name: str,
    kind: str,
    metadata: Mapping[str, Any],
    files: Mapping[str, bytes],
    there: set[tuple[str, str]],
) -> None:
    """Write files as an artifact; see `write_made`."""
    with run.staging():
        made = run.new_artifact(name, kind, metadata)
        for file, content in files.items():
            with made.new_file(file, mode="wb") as stream:
                stream.write(content)
    identity = name, str(made.digest)
    if identity in there:
        return
    run.log_artifact(made)
    there.add(identity)


def trajectory_files(tables: Mapping[str, tuple[list[str], list[list[Any]]]]) -> dict[str, bytes]:
    """Return rows of tables as `{table}.jsonl.gz`, an object a line."""
    made = {}
    for name, (columns, rows) in tables.items():
        lines = (json.dumps(dict(zip(columns, row, strict=False)), ensure_ascii=False) for row in rows)
        text = "".join(f"{line}\n" for line in lines)
        # Without a time in it the same rows make the same file.
        made[f"{name}.jsonl.gz"] = gzip.compress(text.encode("utf-8", "replace"), mtime=0)
    return made
