"""No tracing: the baseline."""

VENV = "none"


def setup() -> None:
    pass
