"""A phase and a training step as Jaeger's API answers, beside the same traces in the terminal.

`OTEL_LLM_TEST_JAEGER=$(tests/components/jaeger.sh) python -m pytest -s -m jaeger tests/e2e/test_jaeger_beside_show.py`
prints both.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from processes import Jaeger, clean_environment
from received import Received, eventually

from otel_llm import semconv as sc
from otel_llm.store import StoreReader

pytestmark = pytest.mark.jaeger

PROGRAM = """
import otel_llm
otel_llm.instrument(exporters=["otlp"], service_name="beside")
with otel_llm.game("game-1", name="diplomacy"), otel_llm.phase("S1901M"):
    for power in ("FRANCE", "ITALY"):
        with otel_llm.interaction("order", power=power) as turn, otel_llm.tool("map"):
            turn.set(orders=["A PAR H"], invalid_orders=[])
with otel_llm.training_run(None, name="exp"), otel_llm.step(1) as step:
    with otel_llm.part("generation"), otel_llm.rollout("a") as one:
        pass
    one.reward("correct", 1.0).advantage(0.5)
    with otel_llm.loss([one]) as loss:
        loss.set(loss=0.5)
otel_llm.shutdown()
"""


def tree(spans: list[Received]) -> list[str]:
    """Return a trace as indented names, as the terminal has them."""
    below: dict[str, list[Received]] = {}
    for span in sorted(spans, key=lambda span: span.start_ns):
        below.setdefault(span.parent_id or "", []).append(span)
    lines: list[str] = []

    def add(parent: str, depth: int) -> None:
        for span in below.get(parent, []):
            lines.append("   " * depth + span.name)
            add(span.span_id, depth + 1)

    add("", 0)
    return lines


@pytest.mark.parametrize(
    ("root", "names"),
    [
        (
            "phase S1901M",
            ["invoke_agent FRANCE", "execute_tool map", "invoke_agent ITALY", "execute_tool map"],
        ),
        ("training_step", ["generation", "loss"]),
    ],
)
def test_both_show_the_same_tree(jaeger: Jaeger, tmp_path: Path, root: str, names: list[str]) -> None:
    store = tmp_path / "store"
    env = clean_environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp["http/protobuf"],
            "OTEL_LLM_STORE": str(store),
            "NO_COLOR": "1",
        }
    )
    subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True, timeout=120)
    (stored,) = StoreReader(store).spans(name=root)
    answer = eventually(lambda: [s for s in [jaeger.trace(stored.trace_id)] if len(s) == len(names) + 1])[0]
    shown = subprocess.run(
        [sys.executable, "-m", "otel_llm.cli", "show", stored.trace_id],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    lines = tree(answer)
    print("\nJaeger's API:", *lines, "", "otel-llm show:", shown, sep="\n")
    assert [line.strip() for line in lines] == [root, *names]
    in_terminal = [line for line in shown.splitlines() if any(name in line for name in (root, *names))]
    assert [next(name for name in (*names, root) if name in line) for line in in_terminal] == [root, *names]
    attributes = next(span for span in answer if not span.parent_id).attributes
    assert {key: attributes[key] for key in (sc.SCOPE_KIND,)} == {
        sc.SCOPE_KIND: stored.attributes[sc.SCOPE_KIND]
    }
