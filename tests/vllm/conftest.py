from __future__ import annotations

import types
from collections.abc import Iterator

import pytest

from otel_llm import testing
from otel_llm.testing import Captured
from otel_llm_vllm import settings
from tests.vllm import fakes


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """vLLM's classes, small ones; the module of its TracerProvider."""
    return fakes.install(monkeypatch)


@pytest.fixture
def captured(vllm: types.ModuleType) -> Iterator[Captured]:
    with testing.capture(content="full", instrumentations=("otel_llm_vllm",)) as found:
        yield found


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "current", settings.VLLMSettings())
    monkeypatch.setattr("otel_llm_vllm._arguments", {})
