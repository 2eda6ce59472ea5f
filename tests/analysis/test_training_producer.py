"""A loop of one's own on two ranks, told by the library itself, is read back as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import otel_llm
from otel_llm import hooks
from otel_llm import semconv as sc
from otel_llm.analysis.training import Consumption, making
from otel_llm.store import StoredSpan

PROGRAM = Path(__file__).parent / "programs" / "rank.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    where = tmp_path_factory.mktemp("own")
    ranks = [
        subprocess.Popen(
            [sys.executable, PROGRAM, where / "store"],
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            cwd=where,
            stderr=subprocess.PIPE,
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, said = rank.communicate(timeout=120)
        assert rank.returncode == 0, said
    return where / "store"


def test_both_ranks_are_one_run_and_their_steps_one_trace_each(store):
    (run,) = otel_llm.read_runs(store)
    assert (run.run_id, run.name, run.algorithm, run.model, run.steps, run.world_size, run.state) == (
        "own-loop", "sums", "grpo", "tiny", 3, 2, "ended",
    )  # fmt: skip
    steps = otel_llm.read_steps(store, "own-loop")
    assert [(s.number, [rank.rank for rank in s.ranks], len(s.trace_ids)) for s in steps] == [
        (1, [0, 1], 1), (2, [0, 1], 1), (3, [0, 1], 1)
    ]  # fmt: skip
    for step in steps:
        assert {"generation", "loss", "optimizer"} <= set(step.ranks[0].times)
        assert step.scalar("kl") == pytest.approx(0.01 * step.number)
        assert [rank.scalars["lonely"] for rank in step.ranks] == [0.0, 1.0]


def test_rollouts_have_their_rewards_and_lead_to_the_loss_that_learned_from_them(store):
    consumption = Consumption(otel_llm.read_steps(store, "own-loop"))
    found = list(otel_llm.read_rollouts(store, "own-loop"))
    consumption.resolve_groups(found)
    assert len(found) == 18
    for one in found:
        assert one.group == f"{one.step}-{one.rank}"
        assert one.reward == one.rewards["right"]
        assert ("user", {1: "1+1", 2: "1+2", 3: "2+2"}[one.step]) in one.conversation
        consumers = consumption.of(one)
        assert len(consumers) == (1 if one.index < 2 else 0)
        for consumer in consumers:
            assert (consumer.kind, consumer.step, consumer.rank) == ("loss", one.step, one.rank)
            assert consumer.loss == pytest.approx(0.1 * one.step)


def test_what_scores_one_rollout_is_no_part_of_the_step_and_scoring_them_all_is(store):
    for step in otel_llm.read_steps(store, "own-loop"):
        for rank in step.ranks:
            assert [part.name for part in rank.parts] == ["generation", "rewards", "loss", "optimizer"]
    assert all(one.rewards["form"] == 1.0 for one in otel_llm.read_rollouts(store, "own-loop"))


@pytest.mark.parametrize("part", sorted(hooks.PARTS))
def test_every_part_that_a_loop_can_name_is_read_back(part):
    span = StoredSpan(
        trace_id="1" * 32, span_id="1" * 16, parent_id=None, name=part, kind="internal", start_ns=0, end_ns=1,
        status="unset", attributes={sc.SCOPE_KIND: part},
    )  # fmt: skip
    assert making.is_part(span)
