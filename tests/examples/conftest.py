"""The examples as a user runs them: their folders on the path, their engines in place."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

SELFPLAY = Path(__file__).parents[2] / "examples" / "diplomacy_selfplay"
sys.path.insert(0, str(SELFPLAY))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the engine leaves a file open when it is imported
    try:
        import diplomacy  # noqa: F401
    except ImportError:
        collect_ignore_glob = ["test_selfplay*.py"]


def pytest_report_header() -> str | None:
    if "diplomacy" not in sys.modules:
        return "diplomacy is not installed: the tests of examples/diplomacy_selfplay are left out"
    return None


@pytest.fixture
def selfplay() -> Path:
    """The folder that a user names: `python examples/diplomacy_selfplay`."""
    return SELFPLAY
