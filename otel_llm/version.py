"""The version of the distribution, in one place for code; `pyproject.toml` is checked against it by a test."""

from typing import Final

VERSION: Final = "0.1.0"
