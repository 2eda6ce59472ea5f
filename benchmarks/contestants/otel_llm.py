"""otel_llm on the same terms as the peers: full content, no store, no MeterProvider, our provider joined."""

from __future__ import annotations

from typing import Any

from benchmarks import sinks

VENV = "otel_llm"


def setup(**settings: Any) -> None:
    sinks.tracer_provider()
    import otel_llm

    otel_llm.instrument(**{"content": "full", "store": None, **settings})
    # Its force_flush would flush the provider too; here it comes first, and the processor's own after it.
    sinks.on_flush(otel_llm.force_flush, first=True)


def defer() -> None:
    """Leave all that can be deferred to the flush, for `benchmarks.hotpath`."""
    from otel_llm import runtime

    runtime.current().finisher._linger_s = 1e6
