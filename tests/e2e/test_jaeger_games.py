"""A whole game in a real Jaeger: one readable trace a phase, every call under its power's interaction."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from processes import ROOT, Jaeger, clean_environment
from received import Received, eventually

from otel_llm import semconv as sc
from otel_llm.store import StoredSpan, StoreReader

pytest.importorskip("diplomacy")
pytestmark = pytest.mark.jaeger

GAME = "runs/jaeger 7"
SERVICE = "diplomacy-selfplay"


@pytest.fixture(scope="module")
def stored(jaeger: Jaeger, tmp_path_factory: pytest.TempPathFactory) -> list[StoredSpan]:
    """What the local store has of a game of two years that was exported while it was played."""
    folder = tmp_path_factory.mktemp("game")
    env = clean_environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp["http/protobuf"],
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_LLM_STORE": str(folder / "store"),
        }
    )
    command = [
        sys.executable,
        str(ROOT / "examples/diplomacy_selfplay"),
        "--max_year",
        "1902",
        "--game_id",
        GAME,
    ]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    spans = [
        span for span in StoreReader(folder / "store").spans() if span.attributes.get(sc.GAME_ID) == GAME
    ]
    assert spans
    return spans


def of_jaeger(jaeger: Jaeger, stored: list[StoredSpan]) -> dict[str, list[Received]]:
    """The game's traces as Jaeger has them, found by the game's id alone."""
    wanted = {span.trace_id for span in stored}
    eventually(lambda: jaeger.find(SERVICE, attributes={sc.GAME_ID: GAME}) >= wanted)
    found = jaeger.find(SERVICE, attributes={sc.GAME_ID: GAME})
    assert found == wanted
    return {trace_id: jaeger.trace(trace_id) for trace_id in found}


def test_each_phase_is_one_trace_with_every_call_below_its_powers_interaction(
    jaeger: Jaeger, stored: list[StoredSpan]
) -> None:
    traces = of_jaeger(jaeger, stored)
    phases = {}
    for spans in traces.values():
        (root,) = (span for span in spans if not span.parent_id)
        by_id = {span.span_id: span for span in spans}
        if root.attributes[sc.SCOPE_KIND] == "phase":
            phases[root.attributes[sc.PHASE_NAME]] = root
            for span in spans:
                assert span.attributes[sc.PHASE_NAME] == root.attributes[sc.PHASE_NAME]
        for call in (span for span in spans if sc.PROVIDER_NAME in span.attributes):
            interaction = by_id[call.parent_id]
            assert interaction.name == f"invoke_agent {interaction.attributes[sc.POWER_NAME]}"
            for key in (sc.POWER_NAME, sc.INTERACTION_TYPE):
                assert call.attributes[key] == interaction.attributes[key]
    assert len(phases) == len(traces) - 1  # and the game itself
    assert {"S1901M", "F1901M", "S1902M", "F1902M"} <= set(phases)


def test_jaeger_counts_what_the_store_counts(jaeger: Jaeger, stored: list[StoredSpan]) -> None:
    def counted(spans: list[tuple[str, dict[str, object]]]) -> Counter[tuple[object, ...]]:
        return Counter(
            (name, a.get(sc.PHASE_NAME), a.get(sc.POWER_NAME), a.get(sc.INTERACTION_TYPE))
            for name, a in spans
        )

    received = [(s.name, s.attributes) for spans in of_jaeger(jaeger, stored).values() for s in spans]
    assert counted(received) == counted([(s.name, s.attributes) for s in stored])


def test_a_phase_leads_to_its_game_and_to_the_phase_before(jaeger: Jaeger, stored: list[StoredSpan]) -> None:
    roots = [s for spans in of_jaeger(jaeger, stored).values() for s in spans if not s.parent_id]
    (game,) = (root for root in roots if root.attributes[sc.SCOPE_KIND] == "game")
    phases = sorted(
        (root for root in roots if root.attributes[sc.SCOPE_KIND] == "phase"), key=lambda s: s.start_ns
    )
    before = None
    for phase in phases:
        links = {link.attributes[sc.LINK_KIND]: link.trace_id for link in phase.links}
        expected = {sc.LINK_GAME: game.trace_id}
        if before is not None:
            expected[sc.LINK_PREVIOUS_PHASE] = before.trace_id
        assert links == expected
        before = phase
