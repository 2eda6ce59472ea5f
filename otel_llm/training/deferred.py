"""Values of a training program, kept as they are now and read later, on the worker; no device is waited for.

Tensors are known by what they offer: the core imports no array library. A tensor is cloned where it is, which on a
GPU only queues a copy; the worker waits for that copy alone, on a stream of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_llm import drops
from otel_llm.numeric import is_on_device

_MAX_ITEMS: Final = 1 << 20
"""Numbers that are read of one value; longer ones are cut, and counted."""

_FLOAT_BITS: Final = 1023

_streams: dict[str, Any] = {}


class Deferred:
    """A value as it was when it was told.

    Args:
        value: a number, text, sequence, NumPy array, or tensor on any device. Arrays and tensors are copied without
            waiting; sequences are copied shallowly.

    Attributes:
        nbytes: about how many bytes it keeps alive.
    """

    __slots__ = ("_event", "_value", "nbytes")

    def __init__(self, value: Any) -> None:
        self._event: Any = None
        self.nbytes = 64
        try:
            self._value = self._taken(value)
        except Exception:
            drops.internal_error("keeping a value")
            self._value = None

    def _taken(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if hasattr(value, "detach") and hasattr(value, "clone"):
            if getattr(value, "is_meta", False) or getattr(value, "is_sparse", False) or _is_sharded(value):
                drops.count("value", "no_plain_tensor")
                return None
            kept = value.detach().clone()
            self.nbytes += int(kept.numel()) * int(kept.element_size())
            if is_on_device(value):
                self._event = _recorded(value)
            return kept
        if hasattr(value, "tolist") and hasattr(value, "copy"):
            self.nbytes += int(getattr(value, "nbytes", 8))
            return value.copy()
        if isinstance(value, Mapping):
            self.nbytes += 64 * len(value)
            return dict(value)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            self.nbytes += 16 * len(value)
            if any(map(is_lazy, value[:1])):  # a list of tensors: each as it is now
                kept_items = [Deferred(item) for item in value[:_MAX_ITEMS]]
                self.nbytes += sum(item.nbytes for item in kept_items)
                return kept_items
            return list(value)
        return value

    def value(self) -> Any:
        """Return it in Python's own types: a number, text, or lists of these. On the worker; never raises."""
        try:
            return _plain(self._value, self._event)
        except Exception:
            drops.internal_error("reading a value")
            return None

    def numbers(self, size: int | None = None) -> list[Any]:
        """Return it as a flat list, None where an item is no number or truth value; a single number `size` times.

        Args:
            size: how many there have to be; shorter ones are filled with None, longer ones cut. None: as many as
                there are.
        """
        found = self.value()
        items = found if isinstance(found, list) else [found] * (1 if size is None else size)
        numbers = [_number(item) for item in items]
        if size is not None:
            numbers = [*numbers[:size], *[None] * (size - len(numbers))]
        return numbers


_PLAIN: Final = frozenset({int, float, bool, str, bytes, type(None)})


def deferred(value: Any) -> Deferred:
    """Return `value` as it is now, to be read later. See `Deferred`. Never raises."""
    return value if isinstance(value, Deferred) else Deferred(value)


def is_lazy(value: Any) -> bool:
    """Say whether reading `value` may cost something: arrays and tensors."""
    return type(value) not in _PLAIN and hasattr(value, "dtype")


def _is_sharded(tensor: Any) -> bool:
    """Say whether a tensor is spread over ranks: reading it would be a collective."""
    return hasattr(tensor, "full_tensor") and hasattr(tensor, "device_mesh")


def _recorded(tensor: Any) -> Any:
    """Return an event that happens when everything queued so far for the tensor's device is done."""
    torch = sys.modules.get("torch")
    module = getattr(torch, str(tensor.device.type), None)
    event = getattr(module, "Event", None)
    if event is None:
        return None
    made = event(blocking=True) if tensor.device.type == "cuda" else event()  # waits without turning a core
    made.record()
    return made


def _plain(value: Any, event: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if hasattr(value, "detach"):
        return _of_tensor(value, event)
    if hasattr(value, "tolist"):
        return _bounded(value.reshape(-1)).tolist() if getattr(value, "ndim", 0) > 1 else value.tolist()
    if isinstance(value, list):
        return [_plain(item, None) if type(item) not in _PLAIN else item for item in value[:_MAX_ITEMS]]
    if isinstance(value, Deferred):
        return value.value()
    return value


def _of_tensor(value: Any, event: Any) -> Any:
    if event is not None:
        event.synchronize()  # lets go of the interpreter while it waits
        stream = _stream(value)
        if stream is not None:
            torch = sys.modules["torch"]
            with torch.cuda.stream(stream):
                value = value.to("cpu")
    return _bounded(value).tolist()


def _bounded(value: Any) -> Any:
    count = value.numel() if hasattr(value, "numel") else value.size
    if count <= _MAX_ITEMS:
        return value
    drops.count("value", "too_long")
    return value.reshape(-1)[:_MAX_ITEMS]


def _stream(tensor: Any) -> Any:
    """Return the stream for reading from a GPU, apart from those that the program computes on; None for none."""
    if tensor.device.type != "cuda":
        return None
    name = str(tensor.device)
    if name not in _streams:
        _streams[name] = sys.modules["torch"].cuda.Stream(device=tensor.device)
    return _streams[name]


def _number(item: Any) -> Any:
    if isinstance(item, int):
        return item if item.bit_length() <= _FLOAT_BITS else None  # else no float can hold it
    return item if isinstance(item, float) else None
