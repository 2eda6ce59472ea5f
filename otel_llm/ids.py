"""Span and trace ids from the operating system's randomness.

OpenTelemetry's default generator draws from the global `random` module: a program that calls
`random.seed(42)` then repeats its ids on every rank and every run, and making spans shifts the program's own
random numbers. Imports only OpenTelemetry's SDK.
"""

from __future__ import annotations

import os

from opentelemetry.sdk.trace.id_generator import IdGenerator


class SystemIdGenerator(IdGenerator):
    """128-bit trace ids and 64-bit span ids from `os.urandom`; never zero, which W3C reserves."""

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all zero."""
        return int.from_bytes(os.urandom(8), "big") or self.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all zero."""
        return int.from_bytes(os.urandom(16), "big") or self.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Say that trace ids are random, as W3C Trace Context level 2 has it."""
        return True
