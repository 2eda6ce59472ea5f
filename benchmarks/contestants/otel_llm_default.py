"""`otel_llm.instrument()` as it is: lengths and counts, the local store, metrics into the store."""

import os

from benchmarks.contestants import otel_llm

VENV = "otel_llm"


def setup() -> None:
    otel_llm.setup(content="length", store=os.path.join(os.environ["BENCH_SCRATCH"], "default_store"))
