"""How a training program was launched, and what memory its GPU has: by what `accelerate` and torch offer, unimported."""

from __future__ import annotations

from typing import Any

from otel_llm import drops
from otel_llm.training.figures import names
from otel_llm.training.figures.belonging import place
from otel_llm.training.figures.totals import Row


class Launch:
    """The processes of a training program.

    Args:
        accelerator: an `accelerate.Accelerator`, or None.
    """

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator

    @property
    def device(self) -> str | None:
        """The device that the accelerator uses; None without one."""
        found = getattr(self._accelerator, "device", None)
        return None if found is None else str(found)

    def rows(self, step: int | None) -> list[Row]:
        """Return `ddp/*`, as far as there are several processes or an accelerator that counts them."""
        here = place()
        if self._accelerator is None and here.world_size <= 1:
            return []
        told = (
            (names.DDP_PROCESSES, "num_processes", here.world_size),
            (names.DDP_INDEX, "process_index", here.rank),
            (names.DDP_LOCAL_INDEX, "local_process_index", here.local_rank),
        )
        return [(name, self._number(field, known), step) for name, field, known in told]

    def _number(self, field: str, known: int) -> int:
        found = getattr(self._accelerator, field, None)
        return found if isinstance(found, int) else known

    def synced(self, given: bool | None, step: int | None) -> list[Row]:
        """Return `accelerate/sync_gradients` and `ddp/sync_gradients`; nothing where nobody says.

        Args:
            given: what the program says.
            step: what the rows are drawn over.
        """
        of_accelerator = getattr(self._accelerator, "sync_gradients", None)
        synced = of_accelerator if given is None else given
        if not isinstance(synced, bool):
            return []
        rows: list[Row] = [(names.DDP_SYNC, int(synced), step)]
        if self._accelerator is not None:
            rows.append((names.ACCELERATE_SYNC, int(synced), step))
        return rows


def gpu_rows(step: int | None) -> list[Row]:
    """Return `system/gpu_memory_*` in GB of 2**30 bytes; nothing without a GPU. Waits for no device."""
    try:
        from otel_llm.logging._figures import gpu_memory

        found = gpu_memory()
        return [
            (name, found[key], step)
            for name, key in (
                (names.GPU_ALLOCATED, "gpu_memory_allocated_gb"),
                (names.GPU_RESERVED, "gpu_memory_reserved_gb"),
            )
            if key in found
        ]
    except Exception:
        drops.internal_error("asking for GPU memory")
        return []
