"""Numbers out of what programs log: Python's, NumPy's, one-element tensors on the CPU; never waiting for a device.

Imports `drops` alone, and no array library: they are known by what they offer.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Final

from otel_llm import drops

_HOST: Final = frozenset({"cpu", "meta"})


def as_number(value: Any) -> int | float | None:
    """Return a number, or None where `value` is none or its number cannot be had without waiting.

    A tensor on a GPU is left alone, counted and said once: reading it would stop the program until the device has
    caught up. NaN and infinities are numbers; text is none; true and false are 1 and 0. Never raises.

    Args:
        value: anything.
    """
    kind = type(value)
    if kind is float or kind is int:
        return value  # type: ignore[no-any-return]
    try:
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int | float):  # a subclass, such as NumPy's float64: as the plain number
            return int(value) if isinstance(value, int) else float(value)
        if hasattr(value, "item") and hasattr(value, "dtype"):
            return _of_array(value)
        return float(value) if isinstance(value, Real) else None
    except Exception:
        return None


def is_on_device(value: Any) -> bool:
    """Say whether `value` is an array or tensor whose numbers are not in the host's memory. Never raises."""
    try:
        device = getattr(value, "device", None)
        if callable(device):  # of some array libraries it is a method
            device = device()
        if device is None or not hasattr(value, "dtype"):
            return False
        kind = getattr(device, "type", None) or getattr(device, "platform", None) or device
        return isinstance(kind, str) and kind.partition(":")[0] not in _HOST
    except Exception:
        return False


def as_text(value: Any) -> str:
    """Return the text of `value`; of a tensor on a device only what it is, since its numbers would be waited for."""
    if is_on_device(value):
        return f"<{type(value).__name__} on a device>"
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _of_array(value: Any) -> int | float | None:
    size = getattr(value, "size", None)  # NumPy's is a number, PyTorch's a method
    count = value.numel() if callable(getattr(value, "numel", None)) else size
    if count != 1:
        return None
    if is_on_device(value):
        drops.count("scalar", "on_device")
        drops.warn_once(
            "scalar:on_device",
            "a scalar that was logged is a tensor on a device; otel_llm does not wait for devices and leaves such "
            "scalars out (log `.item()` of it)",
        )
        return None
    number = value.item()
    if isinstance(number, bool | int):
        return int(number)
    return number if isinstance(number, float) else None
