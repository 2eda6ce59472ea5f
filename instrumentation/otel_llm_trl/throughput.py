"""What trainers do not measure themselves: tokens a second, model FLOPs utilisation, memory, time split of a step.

Everything is read without waiting for a device: shapes and counts that the host knows, and torch's own statistics.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_llm import drops
from otel_llm_trl import semconv as sc

if TYPE_CHECKING:
    from otel_llm_trl.sessions import Session

PEAK_FLOPS: Final = (
    ("h200", 989e12), ("h100 pcie", 756e12), ("h100", 989e12), ("gh200", 989e12), ("b200", 2250e12),
    ("a100", 312e12), ("a800", 312e12), ("a40", 149.7e12), ("a10g", 70e12), ("a10", 125e12), ("l40s", 362e12),
    ("l40", 181e12), ("l4", 121e12), ("rtx 4090", 165.2e12), ("rtx 3090", 71e12), ("v100", 125e12), ("t4", 65e12),
    ("mi300x", 1307e12), ("mi250", 362e12),
)  # fmt: skip
"""Dense 16-bit FLOP/s of devices by a part of their names, from their data sheets; the first that fits counts."""

_GIB: Final = 1 << 30


def tokens_of(inputs: Any) -> int:
    """Return how many tokens a batch has, padding included: shapes are known without waiting."""
    if not isinstance(inputs, Mapping):
        return 0
    names = (
        "input_ids",
        "prompt_ids",
        "completion_ids",
        "prompt_input_ids",
        "chosen_input_ids",
        "rejected_input_ids",
    )
    return sum(_count(inputs.get(name)) for name in names)


def _count(tensor: Any) -> int:
    shape = getattr(tensor, "shape", None)
    if not shape:
        return 0
    total = 1
    for length in shape:
        total *= int(length)
    return total


def of_step(session: Session, seconds: float, times: Mapping[str, int] | None) -> dict[str, float]:
    """Return figures of a step that has ended, by the names of their series.

    Args:
        session: of the trainer.
        seconds: how long the step took.
        times: nanoseconds by part.
    """
    found: dict[str, float] = {sc.SERIES_STEP_SECONDS: seconds}
    split = times or {}
    for name, ns in split.items():
        found[sc.SERIES_TIME_PREFIX + name] = ns / 1e9
    if seconds > 0 and session.tokens:
        found[sc.SERIES_TOKENS_PER_SECOND] = session.tokens / seconds
        if (mfu := _mfu(session, seconds)) is not None:
            found[sc.SERIES_MFU] = mfu
    generating = split.get("generation", 0) / 1e9
    if generating > 0 and session.generated:
        found[sc.SERIES_GENERATED_PER_SECOND] = session.generated / generating
    if session.staleness:
        found[sc.SERIES_STALENESS_MEAN] = sum(session.staleness) / len(session.staleness)
        found[sc.SERIES_STALENESS_MAX] = max(session.staleness)
    found.update(memory())
    return found


def _mfu(session: Session, seconds: float) -> float | None:
    """Return 6 · parameters · tokens of this rank's batches / time / the device's peak; None where a part is unknown.

    The estimate of Kaplan et al., 2020 (arXiv:2001.08361): forward and backward of a dense model, without attention.
    """
    peak = peak_of(device_name())
    if peak is None:
        return None
    if session.parameters is None:
        session.parameters = parameters_of(session.trainer())
    return 6.0 * session.parameters * session.tokens / seconds / peak if session.parameters else None


def parameters_of(trainer: Any) -> int:
    """Return how many parameters the model has, wherever they lie; 0 where nobody knows."""
    try:
        model = trainer.model
        # Under ZeRO-3 a parameter is empty here, and knows how large it is elsewhere.
        return sum(int(getattr(one, "ds_numel", 0) or one.numel()) for one in model.parameters())
    except Exception:
        drops.internal_error("counting parameters")
        return 0


def device_name() -> str | None:
    """Return the name of the GPU in use; None where there is none, or torch has not used it."""
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return None
        return str(torch.cuda.get_device_name())
    except Exception:
        return None


def peak_of(name: str | None) -> float | None:
    """Return the dense 16-bit FLOP/s of a device; None where it is not known."""
    lowered = (name or "").lower()
    return next((peak for part, peak in PEAK_FLOPS if lowered and part in lowered), None)


def memory() -> dict[str, float]:
    """Return the memory and utilisation of the GPU in use; nothing without one."""
    torch = sys.modules.get("torch")
    found: dict[str, float] = {}
    try:
        if torch is None or not torch.cuda.is_initialized():
            return found
        statistics = torch.cuda.memory_stats()  # the allocator's own counters: nothing is waited for
        for name, key in (
            (sc.SERIES_GPU_ALLOCATED, "allocated_bytes.all.current"),
            (sc.SERIES_GPU_RESERVED, "reserved_bytes.all.current"),
            (sc.SERIES_GPU_PEAK, "allocated_bytes.all.peak"),
        ):
            if key in statistics:
                found[name] = statistics[key] / _GIB
        found.update(_by_nvml(torch))
    except Exception:
        drops.internal_error("asking for the memory of a device")
    return found


_nvml: Any = None


def _by_nvml(torch: Any) -> dict[str, float]:
    global _nvml
    if _nvml is False:
        return {}
    try:
        if _nvml is None:
            import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]

            pynvml.nvmlInit()
            _nvml = pynvml
        uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        handle = _nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode())
        return {
            sc.SERIES_GPU_UTILIZATION: float(_nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            sc.SERIES_GPU_USED: _nvml.nvmlDeviceGetMemoryInfo(handle).used / _GIB,
        }
    except Exception:
        _nvml = False  # not installed, or no such device: asked once
        return {}
