"""As `otel_llm` with its default content policy: lengths and counts, no content."""

from benchmarks.contestants import otel_llm

VENV = "otel_llm"


def setup() -> None:
    otel_llm.setup(content="length")
