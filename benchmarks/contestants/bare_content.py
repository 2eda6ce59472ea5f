"""As `bare`, with the messages and tool definitions as JSON attributes: the floor that totals are compared with."""

from benchmarks.contestants import bare

VENV = "none"


def setup() -> None:
    bare.setup(content=True)
