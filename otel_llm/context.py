"""How a trace crosses boundaries: other hosts, threads and executors.

Only the OpenTelemetry context travels into threads: copying all of a program's context variables would change
the program. `loop.run_in_executor` submits to an executor and is covered by it.
"""

from __future__ import annotations

from opentelemetry import propagate
from opentelemetry.instrumentation.threading import ThreadingInstrumentor


class ThreadContext:
    """Carries the context into `Thread`, `Timer` and `ThreadPoolExecutor`, unless somebody already does."""

    def __init__(self) -> None:
        self._instrumentor = ThreadingInstrumentor()
        self._ours = False

    def install(self) -> None:
        """Patch `threading` and `concurrent.futures`, once."""
        if not self._instrumentor.is_instrumented_by_opentelemetry:
            self._instrumentor.instrument()
            self._ours = True

    def remove(self) -> None:
        """Undo `install`, if it was ours."""
        if self._ours:
            self._instrumentor.uninstrument()
            self._ours = False


def carrier() -> dict[str, str]:
    """Return the headers that continue the current trace elsewhere, by the program's own propagators."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
