"""What the tests of the engine share: spans in memory, and models that always answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import context
from opentelemetry.context import Context

from otel_llm import testing

pytest.importorskip("diplomacy")


@pytest.fixture(autouse=True)
def _no_game_in_hand() -> Iterator[None]:
    """What one test's games leave current in this thread is not the next one's."""
    context.attach(Context())
    yield
    context.attach(Context())


@pytest.fixture
def captured() -> Iterator[testing.Captured]:
    with testing.capture(metrics=False) as found:
        yield found
