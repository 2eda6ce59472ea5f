"""Where in a training job this process is: rank, local rank, world size, host, device.

Read from what launchers set (torchrun, accelerate, DeepSpeed, MPI, Slurm) and from `torch.distributed`, where the
program has started it. Imports the core alone.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue

_RANK: Final = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_LOCAL_RANK: Final = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
_WORLD_SIZE: Final = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")


class Place(NamedTuple):
    """Where this process is.

    Attributes:
        rank: among all processes of the job, from 0.
        local_rank: among those on this host.
        world_size: how many processes the job has.
        host: this host's name.
        device: `cuda:0`, `mps`, `cpu`; None where nobody knows yet.
    """

    rank: int
    local_rank: int
    world_size: int
    host: str
    device: str | None

    def attributes(self) -> dict[str, AttributeValue]:
        """Return what spans say of it."""
        found: dict[str, AttributeValue] = {
            sc.RANK: self.rank,
            sc.LOCAL_RANK: self.local_rank,
            sc.WORLD_SIZE: self.world_size,
            sc.HOST_NAME: self.host,
        }
        if self.device is not None:
            found[sc.DEVICE] = self.device
        return found


def find_place(device: object = None, environ: Mapping[str, str] | None = None) -> Place:
    """Return where this process is. Never raises.

    Args:
        device: what it computes on, where the caller knows; default: what torch uses, if it was used already.
        environ: default: the process's own.
    """
    environ = os.environ if environ is None else environ
    rank, world = _first(environ, _RANK), _first(environ, _WORLD_SIZE)
    if rank is None or world is None:  # a launcher sets both; one alone is somebody's own variable
        rank, world = _from_torch()
    local = _first(environ, _LOCAL_RANK)
    return Place(
        rank,
        local if local is not None and local < world else rank,
        world,
        socket.gethostname(),
        str(device) if device is not None else _device(),
    )


def process_group() -> Any:
    """Return the module `torch.distributed` where the program has imported and started it, else None."""
    found = sys.modules.get("torch.distributed")
    try:
        if found is not None and found.is_available() and found.is_initialized():
            return found
    except Exception:
        drops.internal_error("looking for a process group")
    return None


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        text = environ.get(name, "").strip()
        if text.isdigit():
            return int(text)
    return None


def _from_torch() -> tuple[int, int]:
    group = process_group()
    if group is None:
        return 0, 1
    try:
        return int(group.get_rank()), int(group.get_world_size())
    except Exception:
        drops.internal_error("asking for the rank")
        return 0, 1


def _device() -> str | None:
    torch: Any = sys.modules.get("torch")
    try:
        if torch is None:
            return None
        if torch.cuda.is_initialized():  # asking for the device of one that is not would start it
            return f"cuda:{torch.cuda.current_device()}"
    except Exception:
        drops.internal_error("asking for the device")
    return None
