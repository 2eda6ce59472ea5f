"""Rollouts that plug-ins hand over together, and what losses learned from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm import semconv as sc
from otel_llm import testing
from otel_llm.store import StoreReader
from otel_llm.testing import Captured
from otel_llm.training.batches import RolloutBatch
from otel_llm.training.scopes import StepScope

SECRET = "sk-" + "proj-" + "Ab12" * 8


@pytest.fixture
def captured() -> Iterator[Captured]:
    with testing.capture(metrics=False, content="full") as found:
        yield found


def batch_of(size: int, step: StepScope) -> RolloutBatch:
    return RolloutBatch(size, parent=step.span, inherited=step.inherited, start_ns=1_000, end_ns=2_000)


def rollouts(captured: Captured) -> list[Any]:
    found = [span for span in captured.spans() if span.name == "rollout"]
    return sorted(found, key=lambda span: span.attributes[sc.SAMPLE_ID])


def test_a_batch_becomes_spans_of_its_step(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        batch = batch_of(2, step)
        batch.column(sc.SAMPLE_ID, ["a", "b"])
        batch.column(sc.SAMPLE_GROUP, ["g", "g"])
        batch.column(sc.SAMPLE_OUTPUT_TOKENS, [3, 0])
        batch.column(sc.SAMPLE_POLICY_STEP, 0)
        batch.rewards("correct", [1.0, 0.0], weight=2.0)
        batch.rewards("short", [0.5, None])
        batch.advantages([0.7, -0.7])
        batch.texts([[{"role": "user", "content": "2+2"}], "3+3"], ["4", ""], most=1)
        batch.submit()
    first, second = rollouts(captured)
    assert {k: v for k, v in first.attributes.items() if k.startswith("rl.sample.")} == {
        sc.SAMPLE_ID: "a",
        sc.SAMPLE_GROUP: "g",
        sc.SAMPLE_OUTPUT_TOKENS: 3,
        sc.SAMPLE_POLICY_STEP: 0,
        sc.SAMPLE_REWARDS_PREFIX + "correct": 1.0,
        sc.SAMPLE_WEIGHTS_PREFIX + "correct": 2.0,
        sc.SAMPLE_REWARDS_PREFIX + "short": 0.5,
        sc.SAMPLE_REWARD: 2.5,
        sc.SAMPLE_ADVANTAGE: 0.7,
        sc.SAMPLE_STATUS: "scored",
    }
    assert second.attributes[sc.SAMPLE_PROBLEMS] == ("reward_missing", "empty")
    assert first.attributes[sc.RUN_ID] == "exp"
    assert first.attributes[sc.OUTPUT_MESSAGES]
    assert sc.OUTPUT_MESSAGES not in second.attributes  # beyond the number of samples with content
    assert first.parent.span_id == step.span.get_span_context().span_id
    assert (first.start_time, first.end_time) == (1_000, 2_000)
    assert [event.attributes for event in first.events] == [
        {sc.EVALUATION_NAME: "correct", sc.EVALUATION_SCORE: 1.0},
        {sc.EVALUATION_NAME: "short", sc.EVALUATION_SCORE: 0.5},
    ]


def test_a_group_whose_rewards_do_not_differ_is_a_problem_of_each(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        batch = batch_of(4, step)
        batch.column(sc.SAMPLE_ID, list("abcd"))
        batch.column(sc.SAMPLE_GROUP, ["g", "g", "h", "h"])
        batch.rewards("correct", [1.0, 1.0, 0.0, 1.0])
        batch.submit()
    problems = [span.attributes.get(sc.SAMPLE_PROBLEMS) for span in rollouts(captured)]
    assert problems == [("no_spread",), ("no_spread",), None, None]


def test_a_loss_links_exactly_what_it_learned_from_and_the_step_all_of_it(captured: Captured) -> None:
    with otel_llm.training_run("exp"):
        with otel_llm.step(1) as step:
            batch = batch_of(6, step)
            batch.column(sc.SAMPLE_ID, list("abcdef"))
            batch.submit()
            for micro, indices in enumerate(([5, 0], [2, 2, 99, -1])):
                with otel_llm.loss(batch, indices=indices, micro_step=micro):
                    pass
        with otel_llm.step(2), otel_llm.loss(batch):  # learned from once more, a step later
            pass
    ids = {span.context.span_id: span.attributes[sc.SAMPLE_ID] for span in rollouts(captured)}

    def linked(span: Any) -> set[str]:
        return {
            ids[link.context.span_id] for link in span.links if link.attributes[sc.LINK_KIND] == "consumed"
        }

    losses = [span for span in captured.spans() if span.name == "loss"]
    steps = [span for span in captured.spans() if span.name == "training_step"]
    assert [linked(span) for span in losses] == [{"f", "a"}, {"c"}, set("abcdef")]
    assert [linked(span) for span in steps] == [{"a", "c", "f"}, set("abcdef")]
    assert [span.attributes[sc.TRAIN_CONSUMED] for span in losses] == [2, 1, 6]


def test_one_that_is_opened_early_has_what_happens_within_it_below_it(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        batch = batch_of(2, step)
        with batch.open(1, {sc.SAMPLE_ID: "b"}).use(), otel_llm.tool("search"):
            pass
        batch.column(sc.SAMPLE_ID, ["a", "b"])
        batch.rewards("x", [1.0, 2.0])
        batch.submit()
        with otel_llm.loss(batch, indices=[1]):
            pass
    first, second = rollouts(captured)
    tool = next(span for span in captured.spans() if span.name == "execute_tool search")
    loss = next(span for span in captured.spans() if span.name == "loss")
    assert tool.parent.span_id == second.context.span_id
    assert tool.attributes[sc.SAMPLE_ID] == "b"
    assert second.attributes[sc.SAMPLE_REWARDS_PREFIX + "x"] == 2.0
    assert second.attributes[sc.SAMPLE_STATUS] == "scored"
    assert second.parent.span_id == first.parent.span_id
    assert [link.context.span_id for link in loss.links] == [second.context.span_id]


def test_rollouts_of_the_programs_own_are_told_what_the_batch_knows(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        with otel_llm.rollout("mine") as mine:
            mine.set(turns=2)
        batch = batch_of(1, step)
        batch.adopt(0, mine)
        batch.column(sc.SAMPLE_ID, ["mine"])
        batch.rewards("x", [3.0])
        batch.advantages([1.5])
        batch.submit()
        ended = mine.end_ns
    (span,) = rollouts(captured)
    assert span.attributes[sc.SAMPLE_TURNS] == 2
    assert span.attributes[sc.SAMPLE_ADVANTAGE] == 1.5
    assert span.attributes[sc.SAMPLE_STATUS] == "scored"
    assert span.end_time == ended


def test_columns_of_the_wrong_length_and_texts_that_fail_cost_themselves_only(captured: Captured) -> None:
    def texts() -> list[str]:
        raise ValueError("no text")

    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        batch = batch_of(2, step)
        batch.column(sc.SAMPLE_ID, ["a", "b", "c"])
        batch.column(sc.SAMPLE_INDEX, [1])
        batch.rewards("x", [1.0])
        batch.rewards("y", object())
        batch.texts(texts, texts)
        batch.submit()
    first, second = rollouts(captured)
    assert first.attributes[sc.SAMPLE_REWARDS_PREFIX + "x"] == 1.0
    assert second.attributes[sc.SAMPLE_PROBLEMS] == ("reward_missing",)


def test_content_is_private_unless_asked_for() -> None:
    with testing.capture(metrics=False) as captured:
        with otel_llm.training_run("exp"), otel_llm.step(1) as step:
            batch = batch_of(1, step)
            batch.column(sc.SAMPLE_ID, ["a"])
            batch.texts(["secret plan"], ["secret answer"])
            batch.submit()
        (span,) = rollouts(captured)
    assert "secret" not in str(dict(span.attributes))
    assert span.attributes[sc.OUTPUT_LENGTH] == 13


def test_each_rollout_has_its_own_prompt_also_where_groups_share_one(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        batch = batch_of(5, step)
        batch.column(sc.SAMPLE_ID, list("abcde"))
        batch.texts(["one", "one", "two", None, "one"], ["1", "2", None, "4", "5"])
        batch.submit()
    said = [
        [
            json.loads(span.attributes[key])[0]["parts"][0]["content"] if key in span.attributes else None
            for key in (sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES)
        ]
        for span in rollouts(captured)
    ]
    assert said == [["one", "1"], ["one", "2"], ["two", None], [None, "4"], ["one", "5"]]


def test_secrets_are_taken_out_of_names_columns_and_texts_and_long_values_are_cut() -> None:
    with testing.capture(metrics=False, content="full", max_content_length=1000) as captured:
        with otel_llm.training_run("exp"), otel_llm.step(1) as step:
            batch = batch_of(2, step)
            batch.column(sc.SAMPLE_ID, ["a", f"b-{SECRET}"])
            batch.column("mine.long", ["x" * 2000, None])
            batch.column("mine.list", [["fine"], [SECRET]])
            batch.rewards(f"judge {SECRET}", [1.0, 0.0])
            batch.texts([f"my key is {SECRET}"] * 2, ["fine", SECRET])
            batch.submit()
        first, second = rollouts(captured)
        everything = (
            f"{dict(first.attributes)} {dict(second.attributes)} {[e.attributes for e in first.events]}"
        )
    assert SECRET not in everything
    assert first.attributes[sc.SAMPLE_ID] == "a"
    assert second.attributes[sc.SAMPLE_ID].startswith("b-")
    assert first.attributes["mine.long"] == "x" * 1000 + "...[truncated, original 2000 chars]"
    assert "mine.long" not in second.attributes
    assert first.attributes["mine.list"] == ("fine",)


@pytest.mark.parametrize("parent", [True, False])
def test_attributes_that_nobody_wants_are_left_out(parent: bool) -> None:
    with testing.capture(
        metrics=False, content="full", drop_attributes=("host.*", "rl.sample.id")
    ) as captured:
        with otel_llm.training_run("exp"), otel_llm.step(1) as step:
            batch = batch_of(1, step)
            if not parent:
                batch = RolloutBatch(1, parent=None, inherited=step.inherited, start_ns=1, end_ns=2)
            batch.column(sc.SAMPLE_ID, ["a"])
            batch.column(sc.SAMPLE_GROUP, ["g"])
            batch.texts(["asked"], ["said"])
            batch.submit()
        [span] = [span for span in captured.spans() if span.name == "rollout"]
    assert span.attributes[sc.SAMPLE_GROUP] == "g"
    assert sc.OUTPUT_MESSAGES in span.attributes
    assert sc.SAMPLE_ID not in span.attributes
    assert not [key for key in span.attributes if key.startswith("host.")]


def test_what_only_the_store_keeps_is_kept_without_secrets(tmp_path: Path) -> None:
    otel_llm.instrument(store=tmp_path, content="none", store_content="full", metrics=False)
    try:
        with otel_llm.training_run("exp"), otel_llm.step(1) as step:
            batch = batch_of(2, step)
            batch.texts(["asked", "asked"], ["said", SECRET])
            batch.kept_only("mine.ids", [[1, 2], [3]])
            batch.submit()
        otel_llm.force_flush()
        found = [span.attributes for span in StoreReader(tmp_path).spans(name="rollout")]
    finally:
        otel_llm.shutdown()
    assert [one["mine.ids"] for one in found] == [(1, 2), (3,)]
    assert all("asked" in one[sc.INPUT_MESSAGES] for one in found)
    assert SECRET not in str(found)
