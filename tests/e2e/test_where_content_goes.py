"""Content on spans, in events, and in the local store: three places, set apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

import otel_llm
from otel_llm import testing
from otel_llm.store import StoreReader
from tests.http.payloads import ANSWER, URL, request

PROMPT = '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]'


def call_a_model() -> None:
    client = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER)))
    client.post(URL, json=request())


def seen_and_stored(tmp_path: Path, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of the exported span, and those of the stored one."""
    store = tmp_path / "store"
    with testing.capture(store=store, metrics=False, **settings) as captured:
        call_a_model()
        (span,) = captured.spans()
        assert otel_llm.force_flush(10)
    (stored,) = StoreReader(store).spans()
    return dict(span.attributes or {}), dict(stored.attributes)


def test_the_store_alone_keeps_content_when_it_is_asked_to(tmp_path: Path) -> None:
    exported, stored = seen_and_stored(tmp_path, store_content="full")
    assert "gen_ai.input.messages" not in exported
    assert "gen_ai.output.messages" not in exported
    assert exported["otel_llm.input.length"] == 2
    assert stored["gen_ai.input.messages"] == PROMPT
    assert "Hello there" in stored["gen_ai.output.messages"]
    assert {key: stored[key] for key in exported} == exported


def test_without_a_word_about_it_nobody_keeps_content(tmp_path: Path) -> None:
    exported, stored = seen_and_stored(tmp_path)
    assert stored == exported
    assert "Hi" not in str(stored)


@pytest.mark.parametrize(("mode", "on_span"), [("EVENT_ONLY", False), ("SPAN_AND_EVENT", True)])
def test_opentelemetrys_variable_makes_one_event_a_call_in_the_calls_own_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, on_span: bool
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", mode)
    exported, _ = seen_and_stored(tmp_path)
    assert ("gen_ai.input.messages" in exported) == on_span
    reader = StoreReader(tmp_path / "store")
    (event,) = reader.logs()
    (span,) = reader.spans()
    assert event.event_name == "gen_ai.client.inference.operation.details"
    assert (event.trace_id, event.span_id) == (span.trace_id, span.span_id)
    assert event.attributes["gen_ai.input.messages"] == PROMPT
    assert event.attributes["gen_ai.request.model"] == "gpt-4.1-mini"
