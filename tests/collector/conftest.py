"""Real Collectors and what they feed."""

from __future__ import annotations

import os

import pytest


def needed(variable: str, script: str) -> str:
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} is not set: {variable}=$(tests/components/{script}.sh)")
    return path


@pytest.fixture(scope="session")
def collector() -> str:
    """The Collector's binary."""
    return needed("OTEL_LLM_TEST_COLLECTOR", "collector")


@pytest.fixture(scope="session")
def prometheus() -> str:
    """Prometheus' binary."""
    return needed("OTEL_LLM_TEST_PROMETHEUS", "prometheus")


@pytest.fixture(scope="session")
def jaeger_binary() -> str:
    return needed("OTEL_LLM_TEST_JAEGER", "jaeger")
