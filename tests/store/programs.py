"""Programs that tests run in processes of their own: `python -m tests.store.programs NAME DIRECTORY`."""

from __future__ import annotations

import os
import sys
import time

from otel_llm.store import StoreWriter

from .conftest import provider_of


def steady(directory: str) -> None:
    """End spans for ever, of several sizes; say on stdout which ended when, unbuffered."""
    writer = StoreWriter(directory)
    tracer = provider_of(writer).get_tracer("t")
    with tracer.start_as_current_span("held open"):
        number = 0
        while True:
            with tracer.start_as_current_span(
                "s", attributes={"n": number, "a": "x" * (number % 7 * 500)}
            ) as span:
                pass
            context = span.get_span_context()
            # A pipe survives the kill: what was written is there.
            os.write(1, b"%016x %d\n" % (context.span_id, time.monotonic_ns()))
            number += 1
            time.sleep((0.0, 0.0, 0.0005, 0.003, 0.02)[number % 5])


def main() -> None:
    """Run the program that is named."""
    {"steady": steady}[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
