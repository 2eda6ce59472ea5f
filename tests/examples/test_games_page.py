"""docs/games.md does what it says: its code runs, its commands run, its fields are all there are."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import openai
import pytest
import stored

import otel_llm
from otel_llm import fields
from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/games.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_code_runs_and_records_what_it_says(tmp_path: Path) -> None:
    otel_llm.instrument(store=tmp_path / "store")  # a second call, the page's, changes nothing
    with LoopbackServer() as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
        names = {"client": client}
        for block in blocks("python"):
            exec(compile(block, "docs/games.md", "exec"), names)
    assert otel_llm.shutdown()
    store = stored.Store(tmp_path / "store")
    seven, eight = store.scopes("game")
    assert (seven.name, eight.name) == ("invoke_workflow diplomacy", "invoke_workflow game")
    assert seven.attributes[sc.GAME_WINNERS] == ("FRANCE",)
    order, negotiation, plan = store.scopes("interaction")
    assert order.status == "error"
    assert order.attributes[sc.ORDERS_INVALID] == ("A MAR - LON",)
    assert negotiation.events[0].attributes[sc.MESSAGE_RECIPIENTS] == ("FRANCE",)
    assert plan.attributes[sc.INTERACTION_TYPE] == "plan"
    assert [store.parent(call) for call in store.calls] == [order, plan]


def test_its_commands_run(tmp_path: Path) -> None:
    (commands,) = (block for block in blocks("") if "diplomacy_selfplay" in block)
    environment = {**os.environ, "OTEL_LLM_STORE": str(tmp_path / "store")}
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        start = {"python": [], "otel-llm": ["-m", "otel_llm.cli"]}[program]
        if "diplomacy_selfplay" in line:
            pytest.importorskip("diplomacy")
            arguments = [str(ROOT / arguments[0]), *arguments[1:]]
        done = subprocess.run(
            [sys.executable, *start, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (line, done.returncode, done.stderr) == (line, 0, "")
        assert "evening" in done.stdout or "S1901M" in done.stdout or "report" in done.stdout


def test_it_lists_every_field() -> None:
    table = PAGE.partition("## Fields")[2]
    listed = set(re.findall(r"`(\w+)`", table))
    assert fields.FIELDS.keys() - listed == set()
