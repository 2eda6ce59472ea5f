"""A game, TRL's GRPO on two ranks and a loop of one's own, all at once through agent and gateway into Jaeger."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_llm import semconv as sc
from tests.collector import fleet, stories
from tests.collector.fleet import ROOT, Collector, Jaeger

_MISSING = [name for name in ("torch", "trl", "diplomacy") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.trl,
    pytest.mark.skipif(bool(_MISSING), reason=f"this story needs {', '.join(_MISSING)}"),
]

STEPS = 24
PERCENT = 30
EXTREME = 1.1  # the right answer in the right form earns 1.2
SAID = "Say the digit"
PROGRAMS = {
    "trl": [
        *("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "{port}"),
        str(ROOT / "examples/grpo/trl_grpo.py"),
        *("--no-wandb", "--steps", str(STEPS)),
    ],
    # Its rollouts are traces of their own.
    "loop": [str(ROOT / "examples/grpo/base.py"), "--no-wandb", "--steps", "5"],
    "game": [
        str(ROOT / "examples/diplomacy_selfplay"),
        *("--max_year", "1902", "--game_id", "beside", "--faults", "all"),
    ],
}


@dataclass
class Story:
    """Where it went, and what the programs' own stores have."""

    gateway: Collector
    jaeger: Jaeger
    stored: stories.Traces

    def steps(self) -> dict[int, str]:
        """The trace of each step of TRL's."""
        return {
            span.attributes[sc.TRAIN_STEP]: trace_id
            for trace_id, spans in self.stored.items()
            for span in spans
            if span.name == "training_step" and span.resource["service.name"] == "grpo-trl_grpo"
        }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    for variable in ("COLLECTOR", "JAEGER"):
        if not os.environ.get(f"OTEL_LLM_TEST_{variable}"):
            pytest.skip(f"OTEL_LLM_TEST_{variable} is not set: $(tests/components/{variable.lower()}.sh)")
    folder = tmp_path_factory.mktemp("through")
    jaeger = fleet.jaeger(os.environ["OTEL_LLM_TEST_JAEGER"], folder / "jaeger")
    gateway = fleet.gateway(
        folder / "gateway",
        jaeger.otlp,
        KEEP_PERCENT=str(PERCENT),
        KEEP_REWARD_FROM=str(EXTREME),
        GATEWAY_DECISION_WAIT="60s",
        GATEWAY_AFTER_ROOT="6s",
    )
    agent = fleet.agent(folder / "agent", gateway.otlp)
    with jaeger, gateway, agent:
        run(folder, agent.otlp)
        stored = stories.traces(folder / name / "store" for name in PROGRAMS)
        stories.decided(gateway, stored)
        yield Story(gateway, jaeger, stored)


def run(folder: Path, otlp: str) -> None:
    """Run all at once, to their ends."""
    running = {}
    with contextlib.ExitStack() as files:
        for name, command in PROGRAMS.items():
            (folder / name).mkdir()
            store = folder / name / "store"
            running[name] = subprocess.Popen(
                [
                    sys.executable,
                    *(part.format(port=fleet.free_port()) for part in command),
                    *(() if name == "game" else ("--content", "full", "--store", str(store))),
                ],
                cwd=folder / name,
                env=fleet.environment(
                    {
                        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
                        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                        "OTEL_TRACES_EXPORTER": "otlp",
                        "OTEL_BSP_SCHEDULE_DELAY": "200",
                        "OTEL_LLM_CONTENT": "full",
                        "OTEL_LLM_STORE": str(store),
                        "ACCELERATE_USE_CPU": "true",
                        "OMP_NUM_THREADS": "1",
                        "HF_HUB_OFFLINE": "1",
                    }
                ),
                stdin=subprocess.DEVNULL,
                stdout=files.enter_context((folder / name / "out.txt").open("wb")),
                stderr=files.enter_context((folder / name / "err.txt").open("wb")),
            )
        codes = {name: process.wait(400) for name, process in running.items()}
    for name, code in codes.items():
        assert code == 0, f"{name}: {(folder / name / 'err.txt').read_text()[-3000:]}"


def test_every_trace_that_was_kept_is_whole_in_the_archive_and_in_jaeger(story: Story) -> None:
    services = {one.resource["service.name"] for one in fleet.kept(story.gateway)}
    assert services == {"grpo-trl_grpo", "grpo-base", "diplomacy-selfplay"}
    stories.check_whole(story.gateway, story.jaeger, story.stored)


def test_every_trace_that_matters_was_kept_and_of_the_others_a_share(story: Story) -> None:
    important = stories.check_share(story.gateway, story.stored, PERCENT, reward=EXTREME)
    assert any(trace_id in important for trace_id in story.steps().values())


def test_a_step_that_was_kept_has_both_ranks_their_rollouts_and_what_the_loss_learned_from(
    story: Story,
) -> None:
    steps, kept = story.steps(), fleet.kept(story.gateway)
    assert sorted(steps) == [*range(1, STEPS + 1)]
    looked_at = 0
    for trace_id in steps.values():
        spans = [one for one in kept if one.trace == trace_id]
        if not spans:
            continue
        looked_at += 1
        ranks = sorted(one.attributes[sc.RANK] for one in spans if one.name == "training_step")
        assert ranks == [0, 1]
        rollouts = {one.id for one in spans if one.name == "rollout"}
        learned = {link["spanId"] for one in spans if one.name == "loss" for link in one.raw.get("links", [])}
        assert rollouts
        assert learned == rollouts
    assert looked_at > STEPS * PERCENT / 100 / 2


def test_no_prompt_and_no_secret_left_and_every_count_is_what_the_stores_have(story: Story) -> None:
    stories.check_private(story.gateway, SAID, story.stored)
    assert stories.check_counts(story.gateway, story.stored) > 1000
