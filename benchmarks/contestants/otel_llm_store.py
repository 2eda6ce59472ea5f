"""As `otel_llm` with its local store: what that adds. It is committed to at each flush."""

import os

from benchmarks.contestants import otel_llm

VENV = "otel_llm"


def setup() -> None:
    otel_llm.setup(store=os.path.join(os.environ["BENCH_SCRATCH"], "store"), metrics=False)
