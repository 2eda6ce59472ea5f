"""Curves that a program already logs elsewhere, taken up as OpenTelemetry metrics and as series of the store.

    otel_llm.instrument(bridges=["wandb", "tensorboard"])

`wandb.log({...})`, `run.log` and `SummaryWriter.add_scalar` go on as they are. Nothing is imported: a library is
patched when the program imports it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from otel_llm.bridges._seams import Seam
from otel_llm.bridges._taking import ignoring
from otel_llm.bridges._tensorboard import MODULES, TensorBoardBridge
from otel_llm.bridges._wandb import RUNS, WandbBridge

__all__ = ["ignoring", "install", "remove", "report"]

# One seam a module and process: an import hook cannot be taken back, so it is not registered twice.
_SEAMS: Final[dict[str, tuple[Seam, ...]]] = {
    "wandb": tuple(WandbBridge(*run) for run in RUNS),
    "tensorboard": tuple(TensorBoardBridge(module) for module in MODULES),
}


def install(names: Iterable[str]) -> None:
    """Patch the libraries of the bridges that are named: `wandb`, `tensorboard`."""
    for name in names:
        for seam in _SEAMS.get(name, ()):
            seam.install()


def remove() -> None:
    """Undo every patch."""
    for seams in _SEAMS.values():
        for seam in seams:
            seam.remove()


def _after_fork_in_child() -> None:
    for seams in _SEAMS.values():
        for seam in seams:
            seam.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def report() -> dict[str, str]:
    """Return per module what became of it: `patched`, `not imported`, `not patched` or `failed: …`."""
    return {seam.module: seam.report for seams in _SEAMS.values() for seam in seams}
