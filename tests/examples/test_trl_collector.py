"""TRL's GRPO on two ranks, through agent and gateway: whole traces of both ranks, no prompt, tokens untouched."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from tests.collector import fleet

_MISSING = [name for name in ("torch", "trl") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.trl,
    pytest.mark.skipif(bool(_MISSING), reason=f"this story needs {', '.join(_MISSING)}"),
]

PROGRAM = Path(__file__).parents[2] / "examples" / "grpo" / "trl_grpo.py"
STEPS = 6


def test_every_step_of_two_ranks_leaves_the_gateway_whole_and_without_prompts(tmp_path: Path) -> None:
    if fleet.collector_binary() is None:
        pytest.skip(
            "OTEL_LLM_TEST_COLLECTOR is not set: OTEL_LLM_TEST_COLLECTOR=$(tests/components/collector.sh)"
        )
    gateway = fleet.gateway(
        tmp_path / "gateway", KEEP_PERCENT="100", GATEWAY_DECISION_WAIT="20s", GATEWAY_AFTER_ROOT="4s"
    )
    agent = fleet.agent(tmp_path / "agent", gateway.otlp)
    store = tmp_path / "store"
    with gateway, agent:
        done = subprocess.run(
            [
                sys.executable,
                *(
                    "-m",
                    "torch.distributed.run",
                    "--nproc_per_node",
                    "2",
                    "--master_port",
                    str(fleet.free_port()),
                ),
                str(PROGRAM),
                *("--no-wandb", "--steps", str(STEPS), "--content", "full", "--store", str(store)),
            ],
            cwd=tmp_path,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
                "OTEL_EXPORTER_OTLP_ENDPOINT": agent.otlp,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "ACCELERATE_USE_CPU": "true",
                "OMP_NUM_THREADS": "1",
                "HF_HUB_OFFLINE": "1",
            },
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        stored = defaultdict(dict)
        for span in StoreReader(store).spans():
            stored[span.trace_id][span.span_id] = span
        fleet.eventually(lambda: {one.trace for one in fleet.kept(gateway)} >= set(stored), seconds=90)
        found = defaultdict(dict)
        for one in fleet.kept(gateway):
            found[one.trace][one.id] = one
    assert {trace: set(spans) for trace, spans in found.items()} == {
        trace: set(spans) for trace, spans in stored.items()
    }
    steps = [spans for spans in found.values() if any(one.name == "training_step" for one in spans.values())]
    assert len(steps) == STEPS
    for spans in steps:
        ranks = sorted(one.attributes[sc.RANK] for one in spans.values() if one.name == "training_step")
        assert ranks == [0, 1]
    rollouts = [one for spans in found.values() for one in spans.values() if one.name == "rollout"]
    assert rollouts
    for one in rollouts:
        kept, truth = one.attributes, stored[one.trace][one.id].attributes
        assert sc.INPUT_MESSAGES not in kept
        assert sc.OUTPUT_MESSAGES not in kept
        for key in (sc.SAMPLE_INPUT_TOKENS, sc.SAMPLE_OUTPUT_TOKENS, sc.SAMPLE_REWARD, sc.SAMPLE_ADVANTAGE):
            assert kept[key] == truth[key]
    assert any(sc.INPUT_MESSAGES in span.attributes for spans in stored.values() for span in spans.values())
