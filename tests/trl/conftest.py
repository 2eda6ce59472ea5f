"""Training takes minutes: it is a stage of its own, and runs where it is asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trl import runs

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(
        reason="a stage of its own: tests/trl/environments.sh && python -m pytest -m trl tests/trl"
    )
    for item in items:
        if item.path.is_relative_to(HERE) and "train" in getattr(item, "fixturenames", ()):
            item.add_marker("trl")
            if "trl" not in (config.getoption("-m") or ""):
                item.add_marker(skip)


@pytest.fixture
def train() -> Callable[..., runs.Trained]:
    """Train in an environment; one that is not there skips the test, and says so."""

    def run(name: str = "newest", **more: Any) -> runs.Trained:
        try:
            return runs.train(name, **more)
        except runs.MissingEnvironmentError:
            pytest.skip(f"no environment {name!r}: run tests/trl/environments.sh {name}")

    return run
