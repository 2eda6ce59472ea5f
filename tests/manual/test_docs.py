"""The page on manual logging: its code runs as it stands, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "games-manual.md"


def test_the_code_of_the_page_runs(store, capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)  # one after the other, as a reader would
    assert "FRANCE S1901M True 1250.0\n" in capsys.readouterr().out
    assert {session.game_id: session.total_interactions for session in store.sessions()} == {
        "custom_game_001": 4,
        "episode-3/game-7": 2,
        "imported": 2,
    }
    assert [read.interaction_type for read in store.interactions("custom_game_001")] == [
        "order",
        "order",
        "plan",
        "state_update",
    ]
