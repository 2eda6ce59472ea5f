"""A child that was forked inside of a game, a process that is killed in the middle of one, and games over processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.store import StoreReader


def run(code: str, store: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "OTEL_LLM_STORE": str(store), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def stored(store: Path) -> list[Any]:
    return list(StoreReader(store).spans())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_call_that_is_open_at_a_fork_is_the_parents(tmp_path: Path) -> None:
    program = run(
        """
        import os, gc, httpx, otel_llm
        from otel_llm.loopback import LoopbackServer
        otel_llm.instrument()
        with LoopbackServer() as server, httpx.Client() as client:
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
            request = client.build_request("POST", f"{server.url}/v1/chat/completions", json=body)
            response = client.send(request, stream=True)
            child = os.fork()
            if child == 0:
                del response  # its copy ends nothing
                gc.collect()
                otel_llm.shutdown()
                os._exit(0)
            os.waitpid(child, 0)
            response.read()
        otel_llm.force_flush()
        os._exit(0)
        """,
        tmp_path,
    )
    assert program.wait(60) == 0
    program.communicate()
    (span,) = stored(tmp_path)
    assert span.status == "unset"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_plays_below_the_game_and_does_not_end_it_twice(tmp_path: Path) -> None:
    program = run(
        """
        import os, otel_llm
        otel_llm.instrument()
        with otel_llm.game("g"), otel_llm.phase("S1901M"):
            child = os.fork()
            with otel_llm.interaction("plan", power="CHILD" if child == 0 else "PARENT"):
                pass
            if child:
                os.waitpid(child, 0)
        otel_llm.force_flush()
        os._exit(0)
        """,
        tmp_path,
    )
    assert program.wait(60) == 0
    program.communicate()
    spans = stored(tmp_path)
    assert sorted(span.name for span in spans) == [
        "invoke_agent CHILD",
        "invoke_agent PARENT",
        "invoke_workflow game",
        "phase S1901M",
    ]
    assert len({span.span_id for span in spans}) == 4
    by_name = {span.name: span for span in spans}
    for name in ("invoke_agent CHILD", "invoke_agent PARENT"):
        assert by_name[name].parent_id == by_name["phase S1901M"].span_id
        assert by_name[name].attributes[sc.GAME_ID] == "g"
    assert all(span.end_ns is not None for span in spans)


def test_a_game_that_is_killed_is_in_the_store_as_far_as_it_went(tmp_path: Path) -> None:
    program = run(
        """
        import otel_llm, time
        otel_llm.instrument()
        with otel_llm.game("g", players={"ITALY": "gpt-5"}), otel_llm.phase("S1901M"):
            with otel_llm.interaction("plan", power="ITALY"):
                pass
            with otel_llm.interaction("order", power="ITALY"):
                time.sleep(1)
                print("now", flush=True)
                time.sleep(60)
        """,
        tmp_path,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "now\n"
    program.kill()
    program.communicate()
    spans = {(span.name, span.attributes.get(sc.INTERACTION_TYPE)): span for span in stored(tmp_path)}
    assert spans["invoke_agent ITALY", "plan"].end_ns is not None
    for name, kind in (
        ("invoke_agent ITALY", "order"),
        ("phase S1901M", None),
        ("invoke_workflow game", None),
    ):
        assert spans[name, kind].end_ns is None
        assert spans[name, kind].attributes[sc.GAME_ID] == "g"
    assert spans["invoke_workflow game", None].attributes[sc.GAME_PLAYERS] == ("ITALY",)


def test_games_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    programs = [
        run(
            """
            import os, otel_llm
            otel_llm.instrument()
            me = os.environ["ME"]
            with otel_llm.game(f"game-{me}"):
                for phase in ("S1901M", "F1901M"):
                    with otel_llm.phase(phase):
                        for power in ("FRANCE", "ITALY"):
                            with otel_llm.interaction("order", power=power):
                                pass
            with otel_llm.game("shared"), otel_llm.phase(f"round-{me}"):
                pass
            """,
            tmp_path,
            ME=str(number),
        )
        for number in range(4)
    ]
    for program in programs:
        assert program.wait(60) == 0
        program.communicate()
    spans = stored(tmp_path)
    for number in range(4):
        mine = [span for span in spans if span.attributes[sc.GAME_ID] == f"game-{number}"]
        assert len(mine) == 7
        (game,) = (span for span in mine if span.attributes[sc.SCOPE_KIND] == "game")
        assert game.attributes[sc.TOTALS_PREFIX + "interactions"] == 4
    assert len([span for span in spans if span.attributes[sc.GAME_ID] == "shared"]) == 8
