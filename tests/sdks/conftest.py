"""The matrix is a stage of its own: it runs where it is asked for by name."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "sdks" in (config.getoption("-m") or ""):
        return
    skip = pytest.mark.skip(
        reason="a stage of its own: tests/sdks/environments.sh && python -m pytest -m sdks"
    )
    for item in items:
        if "sdks" in item.keywords and item.get_closest_marker("sdks"):
            item.add_marker(skip)
