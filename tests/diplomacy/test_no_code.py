"""An unedited program that uses the engine and an SDK: its game, phase and call spans nest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoreReader

PROGRAM = Path(__file__).parent / "programs" / "unedited.py"
BIN = Path(sys.executable).parent
POWERS = ("FRANCE", "GERMANY", "ITALY")


@pytest.mark.parametrize(
    "command",
    [[BIN / "otel-llm", "run"], [BIN / "opentelemetry-instrument", sys.executable]],
    ids=["otel-llm run", "opentelemetry-instrument"],
)
def test_games_phases_and_calls_of_an_unedited_program_nest(
    tmp_path: Path, command: list[str | Path]
) -> None:
    pytest.importorskip("openai")
    with LoopbackServer() as server:
        done = subprocess.run(
            [*command, PROGRAM, server.url],
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        asked = Counter(str(request.sent.model) for request in server.requests)
    assert (done.returncode, done.stdout.splitlines()[-1:], done.stderr) == (0, ["COMPLETED S1902M"], "")
    spans = {span.span_id: span for span in StoreReader(tmp_path / ".otel_llm").spans()}
    games = {span.attributes[sc.GAME_ID]: span for span in spans.values() if span.name.startswith("invoke")}
    phases = [span for span in spans.values() if span.name.startswith("phase ")]
    calls = [span for span in spans.values() if sc.PROVIDER_NAME in span.attributes]
    assert len(games) + len(phases) + len(calls) == len(spans)
    assert all(span.end_ns is not None for span in spans.values())

    assert {game_id: game.attributes[sc.GAME_STATUS] for game_id, game in games.items()} == {
        "drawn": "completed",
        "left": "unfinished",
    }
    assert {game_id: game.attributes[sc.TOTALS_PREFIX + "calls"] for game_id, game in games.items()} == {
        "drawn": 6,
        "left": 6,
    }
    assert asked == Counter(
        f"{game}-{phase}-{power}"
        for game in ("drawn", "left")
        for phase in ("S1901M", "F1901M")
        for power in POWERS
    )
    for call in calls:
        game_id, phase_name, _ = str(call.attributes[sc.REQUEST_MODEL]).split("-")
        phase = spans[str(call.parent_id)]
        assert (phase.name, phase.attributes[sc.GAME_ID]) == (f"phase {phase_name}", game_id)
        assert (call.trace_id, call.attributes[sc.GAME_ID]) == (phase.trace_id, game_id)
        assert phase.start_ns <= call.start_ns <= call.end_ns <= phase.end_ns
    for phase in phases:
        game = games[str(phase.attributes[sc.GAME_ID])]
        assert phase.parent_id is None
        assert (game.trace_id, game.span_id) in {(link[0], link[1]) for link in phase.links}
        assert game.start_ns <= phase.start_ns <= phase.end_ns <= game.end_ns
        if phase.name in {"phase S1901M", "phase F1901M"}:
            invalid = {f"{power}: A PAR - LON" for power in POWERS}
            assert set(phase.attributes[sc.ORDERS_INVALID]) == invalid
