"""Span and trace ids from the operating system's randomness.

OpenTelemetry's default generator draws from the global `random` module: a program that calls
`random.seed(42)` then repeats its ids on every rank and every run, and making spans shifts the program's own
random numbers. Imports only OpenTelemetry's SDK.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.sdk.trace.id_generator import IdGenerator


class SystemIdGenerator(IdGenerator):
    """128-bit trace ids and 64-bit span ids from `os.urandom`; never zero, which W3C reserves."""

    def __init__(self) -> None:
        self._chosen = _Chosen()

    @contextmanager
    def choosing(self, trace_id: int, span_id: int) -> Iterator[None]:
        """Give the next root span that this thread starts in the block these ids."""
        chosen = self._chosen
        chosen.trace_id, chosen.span_id = trace_id, span_id
        try:
            yield
        finally:
            chosen.trace_id = chosen.span_id = 0

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all zero; or what was chosen."""
        if chosen := self._chosen.span_id:
            self._chosen.span_id = 0
            return chosen
        return _random64()

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all zero; or what was chosen."""
        if chosen := self._chosen.trace_id:
            self._chosen.trace_id = 0
            return chosen
        return _random64() << 64 | _random64()

    def is_trace_id_random(self) -> bool:
        """Say that trace ids are random, as W3C Trace Context level 2 has it."""
        return True


_AT_ONCE: Final = 64
_stock: deque[int] = deque()


def _random64() -> int:
    """Return 64 random bits, not all zero.

    They are fetched by the dozen: each system call lets go of the interpreter, and may wait long to get it back.
    """
    try:
        return _stock.pop() or _random64()
    except IndexError:
        _stock.extend(struct.unpack(f"{_AT_ONCE}Q", os.urandom(8 * _AT_ONCE)))
        return _random64()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stock.clear)  # else parent and child would make the same ids


class _Chosen(threading.local):
    trace_id = 0
    span_id = 0
