"""What the records say of a run: its spans, its rollouts, its figures, and what went wrong."""

from __future__ import annotations

import json
import math

import pytest

import otel_llm
from otel_llm import semconv as sc

LINK = sc.LINK_KIND


def children(trained, span):
    return [
        one.name for one in trained.spans if one.parent_id == span.span_id and one.trace_id == span.trace_id
    ]


def kinds(span):
    return sorted({link.attributes[LINK] for link in span.links})


# --- the shape of a run ---------------------------------------------------------------------------
def test_a_step_is_a_trace_with_all_its_parts(train):
    trained = train(case="async", save_strategy="steps", save_steps=2)
    run = next(span for span in trained.spans if span.name.startswith("training_run"))
    assert run.attributes[sc.RL_ALGORITHM] == "grpo"
    assert run.attributes[sc.RL_SYSTEM] == "trl"
    assert run.attributes["rl.train.config.num_generations"] == 4
    steps = trained.named("training_step")
    assert [step.attributes[sc.TRAIN_STEP] for step in steps] == [1, 2, 3]
    for step in steps:
        assert step.parent_id is None
        assert kinds(step) == [sc.LINK_CONSUMED, sc.LINK_RUN]
        expected = ["sampling", *["rollout"] * 8, "loss", "backward", "loss", "backward", "optimizer"]
        saved = ["checkpoint"] if step.attributes[sc.TRAIN_STEP] >= 2 else []
        assert sorted(children(trained, step)) == sorted(expected + saved)
        sampling = next(one for one in trained.named("sampling") if one.parent_id == step.span_id)
        assert children(trained, sampling) == ["generation", "logprobs", "rewards", "advantages"]
        rewards = next(one for one in trained.named("rewards") if one.parent_id == sampling.span_id)
        assert sorted(children(trained, rewards)) == ["reward digits", "reward vowels"]
        inside = [one for one in trained.spans if one.trace_id == step.trace_id]
        assert all(step.start_ns <= one.start_ns <= one.end_ns <= step.end_ns for one in inside)
        split = [v for k, v in step.attributes.items() if k.startswith(sc.TRAIN_TIME_PREFIX)]
        assert sum(split) == pytest.approx(step.duration_s, rel=0.02, abs=0.002)
    assert {span.attributes["rl.reward.kind"] for span in trained.named("reward vowels")} == {"coroutine"}


def test_every_span_says_where_it_is_from(train):
    trained = train(ranks=2, max_steps=4)
    for span in trained.spans:
        missing = {sc.RUN_ID, sc.RUN_ATTEMPT, sc.RANK, sc.LOCAL_RANK, sc.WORLD_SIZE, sc.HOST_NAME, sc.DEVICE}
        assert not missing - span.attributes.keys(), span.name
        assert sc.TRAIN_STEP in span.attributes or span.attributes[sc.SCOPE_KIND] == "training_run"
    assert len({span.attributes[sc.RUN_ID] for span in trained.spans}) == 1
    for number in range(1, 5):
        first, second = (
            trained.named("training_step", **{sc.TRAIN_STEP: number, sc.RANK: rank})[0] for rank in range(2)
        )
        assert first.parent_id is None
        assert (second.trace_id, second.parent_id) == (first.trace_id, first.span_id)
    assert {link.attributes[LINK] for span in trained.named("evaluation") for link in span.links} <= {
        sc.LINK_STEP
    }


def test_a_rollout_says_what_became_of_it(train):
    trained = train(case="plain", max_steps=4, ranks=2)
    for rank in range(2):
        learned = trained.ranks[rank]["learned"]
        for span in trained.named("rollout", **{sc.RANK: rank}):
            told = span.attributes
            number, group, index = map(int, told[sc.SAMPLE_ID].split("-"))
            assert (number, index) == (told[sc.TRAIN_STEP], told[sc.SAMPLE_INDEX])
            assert told[sc.SAMPLE_GROUP] == f"{number}-{group}"
            assert group // 2 == rank  # two groups of four each
            assert told[sc.SAMPLE_POLICY_STEP] == told[sc.TRAIN_STEP] - 1
            total = told["rl.sample.rewards.digits"] + told["rl.sample.rewards.shortness"]
            assert told[sc.SAMPLE_REWARD] == pytest.approx(total)
            assert told[sc.SAMPLE_STATUS] == "scored"
            assert 0 < told[sc.SAMPLE_OUTPUT_TOKENS] <= 12
            assert told[sc.SAMPLE_INPUT_TOKENS] > 8
            batch = [a for one in learned if one["step"] == told[sc.TRAIN_STEP] for a in one["advantages"]]
            assert told[sc.SAMPLE_ADVANTAGE] in batch
            assert {event.attributes[sc.EVALUATION_NAME] for event in span.events} == {"digits", "shortness"}


def test_texts_are_kept_of_five_rollouts_a_step_and_lengths_of_all(train):
    trained = train(max_steps=4)
    for number in range(1, 5):
        rollouts = trained.named("rollout", **{sc.TRAIN_STEP: number})
        texts = [span for span in rollouts if sc.OUTPUT_MESSAGES in span.attributes]
        assert (len(rollouts), len(texts)) == (8, 5)
        rewards = {span.span_id: span.attributes[sc.SAMPLE_REWARD] for span in rollouts}
        kept = {rewards[span.span_id] for span in texts}
        assert {max(rewards.values()), min(rewards.values())} <= kept
        assert all(sc.OUTPUT_LENGTH in span.attributes for span in rollouts)
        for span in texts:
            asked = json.loads(span.attributes[sc.INPUT_MESSAGES])
            assert asked[0]["role"] == "user"
            assert asked[0]["parts"][0]["content"].startswith("Number ")
            assert json.loads(span.attributes[sc.SAMPLE_TASK]).keys() == {"answer"}


def test_by_default_no_text_leaves_the_program(train):
    trained = train(instrument={"content": "length"})
    for span in trained.spans:
        assert (
            not {sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES, sc.SAMPLE_TASK, sc.SAMPLE_TOKEN_IDS}
            & span.attributes.keys()
        )


def test_the_enhanced_trainer_takes_the_settings_as_arguments(train):
    trained = train(trainer="enhanced", case="arguments")
    for number in range(1, 4):
        rollouts = trained.named("rollout", **{sc.TRAIN_STEP: number})
        texts = [span for span in rollouts if sc.OUTPUT_MESSAGES in span.attributes]
        assert (len(rollouts), len(texts)) == (8, 2)
        assert all(sc.SAMPLE_TOKEN_IDS in span.attributes for span in texts)
    tokens = [row for row in trained.reader.logs() if row.event_name == sc.EVENT_TRAINING_TOKENS]
    assert len(tokens) == 6
    assert all(len(set(map(len, (row.attributes[k] for k in TOKENS)))) == 1 for row in tokens)
    store = trained.folder / "store"
    [run] = otel_llm.read_runs(store)
    detailed = [one for one in otel_llm.read_rollouts(store, run.run_id) if one.token_ids]
    assert len(detailed) == 6
    for one in detailed:
        [row] = [row for row in tokens if row.span_id == one.span.span_id]
        assert one.token_ratios == row.attributes[sc.SAMPLE_TOKEN_RATIOS]
        assert len(one.token_ids) == len(one.token_logprobs) == len(one.token_ratios)


TOKENS = (sc.SAMPLE_TOKEN_IDS, sc.SAMPLE_TOKEN_LOGPROBS, sc.SAMPLE_TOKEN_RATIOS)


# --- figures --------------------------------------------------------------------------------------
def test_all_that_the_trainer_logs_is_kept_under_its_own_names_and_steps(train):
    trained = train(case="evaluates", ranks=2)
    logged = {
        (name, row["step"]): value
        for row in trained.first["history"]
        for name, value in row.items()
        if name != "step" and value is not None
    }
    kept = {(row.name, row.step): row.value for row in trained.series if row.attributes[sc.RANK] == 0}
    assert logged.keys() <= kept.keys()
    assert all(kept[key] == value for key, value in logged.items() if key[0] != "epoch")
    assert any(name.startswith("eval_rewards/") for name, _ in kept)
    ours = {row.name for row in trained.series if row.attributes[sc.RANK] == 1}
    assert {"perf/step_seconds", "perf/tokens_per_second", "perf/time/generation"} <= ours
    assert not ours & {name for name, _ in logged}, "what is gathered from all ranks is told once"


def test_an_evaluation_has_rollouts_of_its_own_and_its_time_is_not_the_steps(train):
    trained = train(case="evaluates")
    evaluations = trained.named("evaluation")
    assert evaluations
    for evaluation in evaluations:
        assert kinds(evaluation) == [sc.LINK_STEP]
        rollouts = [s for s in trained.named("rollout") if s.trace_id == evaluation.trace_id]
        assert {s.attributes[sc.SAMPLE_MODE] for s in rollouts} == {"eval"}
        assert len({s.attributes[sc.SAMPLE_ID] for s in rollouts}) == len(rollouts) == 16
        assert f"{sc.TRAIN_METRICS_PREFIX}eval_reward" in evaluation.attributes
    consumed = {link.span_id for s in trained.named("loss") for link in s.links}
    assert not consumed & {s.span_id for s in trained.named("rollout", **{sc.SAMPLE_MODE: "eval"})}


# --- what goes wrong ------------------------------------------------------------------------------
def test_a_reward_function_that_raises_fails_its_span_and_leaves_unscored_rollouts(train):
    trained = train(case="raises")
    assert trained.first["error"] == "RuntimeError: the judge is away"
    failed = [span for span in trained.spans if span.attributes.get(sc.ERROR_TYPE) == "RuntimeError"]
    assert {"reward raises", "rewards", "sampling", "training_step"} <= {span.name for span in failed}
    last = trained.named("rollout", **{sc.TRAIN_STEP: 2})
    assert [span.attributes[sc.SAMPLE_STATUS] for span in last] == ["unscored"] * 8
    assert not [span for span in trained.spans if span.end_ns is None]


def test_a_reward_function_that_returns_too_few_is_said_to(train):
    trained = train(case="too_few")
    assert trained.first["error"].startswith("ValueError")
    assert [span.attributes[sc.SAMPLE_STATUS] for span in trained.named("rollout")] == ["unscored"] * 8


@pytest.mark.parametrize("case", ["none", "nan", "only_none"])
def test_rewards_that_are_missing_are_problems_of_their_rollouts(train, case):
    trained = train(case=case)
    assert trained.first["error"] is None
    problems = [span.attributes.get(sc.SAMPLE_PROBLEMS, ()) for span in trained.named("rollout")]
    expected = len(problems) if case != "nan" else len(problems) // 2
    assert len([one for one in problems if "reward_not_finite" in one]) == expected


def test_groups_without_spread_are_said_to_have_none(train):
    for ranks in (1, 2):
        trained = train(case="constant", ranks=ranks)
        assert all("no_spread" in span.attributes[sc.SAMPLE_PROBLEMS] for span in trained.named("rollout"))


def test_a_group_on_two_ranks_is_looked_at_as_a_whole(train):
    trained = train(case="by_rank", ranks=2, per_device_train_batch_size=2, num_generations=8)
    groups = {span.attributes[sc.SAMPLE_GROUP] for span in trained.named("rollout", **{sc.TRAIN_STEP: 1})}
    assert len(groups) == 1
    assert not [
        s for s in trained.named("rollout") if "no_spread" in s.attributes.get(sc.SAMPLE_PROBLEMS, ())
    ]


def test_a_loss_that_is_not_finite_is_said_to_be(train):
    trained = train(case="not finite")
    second = trained.named("training_step", **{sc.TRAIN_STEP: 2})[0]
    losses = [s for s in trained.named("loss", **{sc.TRAIN_STEP: 2}) if sc.TRAIN_MICRO_STEP in s.attributes]
    for span in (second, *losses):
        assert math.isnan(span.attributes[sc.TRAIN_LOSS])
        assert "loss_not_finite" in span.attributes[sc.TRAIN_PROBLEMS]
    assert sc.TRAIN_PROBLEMS not in trained.named("training_step", **{sc.TRAIN_STEP: 1})[0].attributes


def test_a_checkpoint_that_fails_fails_its_span_and_the_run(train):
    trained = train(case="checkpoint fails")
    assert trained.first["error"].startswith("OSError")
    assert trained.named("checkpoint")[0].attributes[sc.ERROR_TYPE] == "OSError"
    assert not [span for span in trained.spans if span.end_ns is None]


def test_a_resumed_run_has_traces_of_its_own(train):
    trained = train(case="resumes")
    runs = [span for span in trained.spans if span.name.startswith("training_run")]
    assert [run.attributes.get("rl.train.resumed") for run in runs] == [None, True]
    steps = trained.named("training_step")
    assert [step.attributes[sc.TRAIN_STEP] for step in steps] == [1, 2, 3]
    assert len({step.trace_id for step in steps}) == 3


def test_columns_of_the_dataset_named_like_ours_stay_the_datasets(train):
    trained = train(case="columns")
    for span in trained.named("rollout"):
        assert span.attributes[sc.SAMPLE_ID] != "mine"
        if sc.SAMPLE_TASK in span.attributes:
            assert json.loads(span.attributes[sc.SAMPLE_TASK])["rl.sample.id"] == "mine"


# --- rollouts with calls of their own -------------------------------------------------------------
def test_a_tool_call_is_a_span_of_the_rollout_that_made_it(train):
    trained = train(case="tools", max_steps=1)
    assert trained.first["error"] is None
    callers = [s for s in trained.named("rollout") if s.parent_id is None]
    assert [s.attributes[sc.SAMPLE_ID] for s in callers] == ["1-0-0", "1-0-2", "1-1-0", "1-1-2"]
    for caller in callers:
        assert sorted(children(trained, caller)) == [
            f"execute_tool {name}" for name in ("add", "divide", "shout")
        ]
        assert sc.LINK_STEP in kinds(caller)
    failed = trained.named("execute_tool divide")
    assert {span.attributes[sc.ERROR_TYPE] for span in failed} == {"ZeroDivisionError"}
    consumed = {link.span_id for span in trained.named("loss") for link in span.links}
    assert {span.span_id for span in callers} <= consumed
    others = [s for s in trained.named("rollout") if s.parent_id is not None]
    assert {trained.parent_of(s).name for s in others} == {"training_step"}


def test_methods_of_an_environment_are_tools_too(train):
    trained = train(case="environment", max_steps=1)
    assert trained.first["error"] is None
    run = next(span for span in trained.spans if span.name.startswith("training_run"))
    assert run.attributes[sc.RL_ENVIRONMENT] == "Guessing"
    calls = trained.named("execute_tool guess")
    assert {trained.parent_of(span).name for span in calls} == {"rollout"}
    assert all("rl.sample.rewards.Guessing" in span.attributes for span in trained.named("rollout"))


def test_rollouts_that_rollout_func_opens_are_those_that_the_loss_learns_from(train):
    trained = train(case="rollout_func")
    assert trained.first["error"] is None
    rollouts = trained.named("rollout")
    assert len(rollouts) == 24
    for span in rollouts:
        assert span.parent_id is None
        assert children(trained, span) == ["execute_tool search"]
        assert span.attributes[sc.SAMPLE_STATUS] == "scored"
        _, group, index = map(int, span.attributes[sc.SAMPLE_ID].split("-"))
        tool = next(one for one in trained.spans if one.parent_id == span.span_id)
        assert json.loads(tool.attributes[sc.TOOL_CALL_ARGUMENTS]) == {"query": str(group * 4 + index)}
    consumed = {link.span_id for span in trained.named("loss") for link in span.links}
    assert consumed == {span.span_id for span in rollouts}
