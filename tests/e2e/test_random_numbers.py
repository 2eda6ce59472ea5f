"""A program's random numbers are its own, also while spans are exported."""

from __future__ import annotations

import random

import pytest

import otel_llm
from tests.e2e.otlp import collector


def test_exporting_draws_nothing_from_the_global_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
        random.seed(7)
        before = random.getstate()
        otel_llm.instrument(store=None)
        with otel_llm.training_run("exp"), otel_llm.step(1), otel_llm.rollout("a") as one:
            one.reward("x", 1.0)
        otel_llm.log_metrics({"loss": 0.5}, step=1)
        otel_llm.force_flush()
        otel_llm.shutdown()
        assert random.getstate() == before
        assert len(receiver.span_ids) == 3
