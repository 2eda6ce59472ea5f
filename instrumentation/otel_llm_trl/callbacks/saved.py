"""What a callback keeps beside checkpoints, so that a resumed training goes on counting."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from otel_llm import drops

KEEP: Final = 5
"""So many of the newest are kept."""

_NAME: Final = re.compile(r"logging-state-(\d+)\.json")


def save(directory: Path, step: int, state: Mapping[str, Any]) -> None:
    """Write the state at a step; whole or not at all."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"logging-state-{step}.json"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"step": step, **state}), encoding="utf-8")
        temporary.replace(path)
        for _, old in _all(directory)[:-KEEP]:
            old.unlink(missing_ok=True)
    except OSError as error:
        drops.count("checkpoint", "not_written")
        drops.warn_once(
            "callback-state", "what the callback counted cannot be kept in %s: %r", directory, error
        )


def load(directory: Path, step: int) -> dict[str, Any] | None:
    """Return the newest state up to a step; None without one that can be read. Those of later steps are no longer true."""
    for at, path in reversed(_all(directory)):
        if at <= step:
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(found, dict):
                return found
    return None


def _all(directory: Path) -> list[tuple[int, Path]]:
    try:
        names = [(match, path) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    except OSError:
        return []
    return sorted((int(match[1]), path) for match, path in names)
