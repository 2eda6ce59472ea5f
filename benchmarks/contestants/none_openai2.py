"""The baseline on openai 2, for openlit, which does not accept openai 3."""

VENV = "openlit"


def setup() -> None:
    pass
