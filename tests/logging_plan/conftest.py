"""Each test gets `logging` as it found it, and a directory of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import otel_llm
from otel_llm.logging import shutdown

PLAN = Path(__file__).parent / "plan.yaml"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    factory, handle = logging.getLogRecordFactory(), logging.Logger.handle
    yield
    shutdown()
    otel_llm.shutdown()
    assert (root.level, root.handlers) == before
    assert logging.getLogRecordFactory() is factory
    assert logging.Logger.handle is handle


@pytest.fixture
def plan() -> Path:
    """The plan as users print it."""
    pytest.importorskip("tensorboard", reason="the tensorboard package is not installed")
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    return PLAN
