"""Runs, steps and rollouts read back from the files of two ranks."""

import math

import pytest

import otel_llm
from otel_llm import semconv as sc
from otel_llm.analysis.training import name_for
from otel_llm.store.rows import SeriesRow
from tests.report.training import COMPONENTS, Run, S, write


@pytest.fixture(scope="module")
def run():
    """A run of two ranks with one resume; nobody changes it."""
    return Run(steps=9, attempts=2, resumed_at=5).train()


@pytest.fixture(scope="module")
def store(run, tmp_path_factory):
    return run.write(tmp_path_factory.mktemp("store"))


def test_a_run_is_one_whatever_number_of_files_and_attempts(store):
    (found,) = otel_llm.read_runs(store)
    assert (found.run_id, found.name, found.algorithm, found.system, found.model) == (
        "sums-7", "sums", "grpo", "trl", "tiny-qwen",
    )  # fmt: skip
    assert [(a.number, a.state, a.first_step, a.last_step, a.steps, a.ranks) for a in found.attempts] == [
        (0, "ended", 1, 7, 7, (0, 1)),
        (1, "ended", 6, 9, 4, (0, 1)),
    ]
    assert (found.steps, found.last_step, found.world_size, found.state) == (9, 9, 2, "ended")
    assert found.config == {"learning_rate": 1e-5, "num_generations": 4, "beta": 0.04}


def test_the_last_reward_is_the_trainers_own(store, run):
    last = [s for s in run.spans[0] if s.name == "training_step"][-1]
    assert otel_llm.read_runs(store)[0].last_reward == last.attributes[sc.TRAIN_METRICS_PREFIX + "reward"]


def test_without_the_trainers_reward_it_is_the_mean_of_the_last_steps_rollouts(tmp_path):
    made = Run(steps=3, series=False).train()
    for span in made.all_spans():
        span.attributes.pop(sc.TRAIN_METRICS_PREFIX + "reward", None)
    (found,) = otel_llm.read_runs(made.write(tmp_path))
    rewards = [
        s.attributes[sc.SAMPLE_REWARD]
        for s in made.all_spans()
        if s.name == "rollout" and s.attributes[sc.TRAIN_STEP] == 3
    ]
    assert found.last_reward == pytest.approx(sum(rewards) / len(rewards))


def test_a_step_has_both_ranks_in_one_trace_and_was_done_once_an_attempt(store):
    steps = otel_llm.read_steps(store, "sums-7")
    assert [(s.attempt, s.number) for s in steps] == [(0, n) for n in range(1, 8)] + [
        (1, n) for n in range(6, 10)
    ]
    for step in steps:
        assert [rank.rank for rank in step.ranks] == [0, 1]
        assert len(step.trace_ids) == 1
        assert step.missing_ranks == ()
        assert step.duration_s == pytest.approx((step.end_ns - step.start_ns) / 1e9)
    again = otel_llm.read_steps(store, "sums-7", step=6)
    assert [(s.attempt, s.number) for s in again] == [(0, 6), (1, 6)]
    assert again[1] == next(s for s in steps if (s.attempt, s.number) == (1, 6))


def test_a_ranks_time_is_what_its_trainer_measured_and_its_parts_are_in_order(store, run):
    rank = otel_llm.read_steps(store, "sums-7")[0].ranks[1]
    own = next(s for s in run.spans[1] if s.name == "training_step")
    assert rank.times == {
        key.removeprefix(sc.TRAIN_TIME_PREFIX): value
        for key, value in own.attributes.items()
        if key.startswith(sc.TRAIN_TIME_PREFIX)
    }
    assert [part.kind for part in rank.parts] == [
        "sampling", "weight_sync", "generation", "reward", "reward", "reward", "logprobs", "advantages", "loss", "backward",
        "loss", "backward", "optimizer",
    ]  # fmt: skip
    assert (rank.host, rank.device, rank.local_rank) == ("node-0", "cuda:1", 1)


def test_where_nobody_measured_it_the_time_is_that_of_the_parts_each_second_once(tmp_path):
    made = Run(steps=1, ranks=1).train()
    for span in made.all_spans():
        for key in [key for key in span.attributes if key.startswith(sc.TRAIN_TIME_PREFIX)]:
            del span.attributes[key]
    generation = next(s for s in made.all_spans() if s.name == "generation")
    inner = made._span(0, "tokenize", generation.trace_id, generation, "part", generation.start_ns, 0.1,
                       {sc.RUN_ATTEMPT: 0, sc.TRAIN_STEP: 1, sc.TRAIN_PART: "tokenize"})  # fmt: skip
    (step,) = otel_llm.read_steps(made.write(tmp_path), made.id)
    assert step.ranks[0].times["generation"] == pytest.approx(
        generation.end_ns / 1e9 - generation.start_ns / 1e9
    )
    assert inner.name not in step.ranks[0].times
    assert "sampling" not in step.ranks[0].times
    assert step.ranks[0].times["loss"] == pytest.approx(0.3)


def test_series_have_the_last_word_on_a_steps_numbers_and_ranks_keep_their_own(tmp_path):
    made = Run(steps=2).train()
    told = {sc.SERIES_SOURCE: "program", sc.RUN_ID: made.id, sc.RANK: 1}
    made.rows[1] += [
        SeriesRow("kl", 2, 9.5, made.now, told),
        SeriesRow("own/number", 2, math.inf, made.now, told),
    ]
    made.rows[1] += [
        SeriesRow("kl", 2, 7.0, made.now, {**told, sc.RUN_ID: "another"}),
        SeriesRow("x", None, 1.0, 0, told),
    ]
    step = otel_llm.read_steps(made.write(tmp_path), made.id)[1]
    assert step.ranks[1].scalars["kl"] == 9.5
    assert step.ranks[0].scalars["kl"] < 1
    assert step.ranks[1].scalars["own/number"] == math.inf
    assert step.scalar("kl") == step.ranks[0].scalars["kl"]
    assert "x" not in step.scalars


def test_a_row_that_names_no_attempt_is_of_the_one_that_had_begun(tmp_path):
    made = Run(steps=4, attempts=2, resumed_at=1).train()
    for rows in made.rows.values():
        for row in rows:
            row.attributes = {key: value for key, value in row.attributes.items() if key != sc.RUN_ATTEMPT}
    made.rows[0] = [row for row in made.rows[0] if row.name == "kl"]
    steps = otel_llm.read_steps(made.write(tmp_path), made.id)
    by_time = sorted(row.value for row in made.rows[0] if row.step == 2)
    assert sorted(s.ranks[0].scalars["kl"] for s in steps if s.number == 2) == by_time
    assert len(by_time) == 2


def test_a_rollout_has_its_rewards_its_words_and_its_place(store, run):
    found = {(one.attempt, one.sample_id): one for one in otel_llm.read_rollouts(store, "sums-7")}
    assert len(found) == 11 * 2 * 2 * 4
    span = next(s for s in run.all_spans() if s.name == "rollout" and s.attributes[sc.SAMPLE_ID] == "3-1-5")
    one = found[0, "3-1-5"]
    assert (one.step, one.rank, one.group, one.index, one.mode, one.status) == (
        3,
        1,
        "3-1-g1",
        1,
        "train",
        "scored",
    )
    assert one.rewards == {name: span.attributes[sc.SAMPLE_REWARDS_PREFIX + name] for name in COMPONENTS}
    assert (one.reward, one.advantage) == (
        span.attributes[sc.SAMPLE_REWARD],
        span.attributes[sc.SAMPLE_ADVANTAGE],
    )
    assert "the answer was" in one.explanations["correctness"]
    assert (one.policy_step, one.policy_version, one.staleness) == (2, "v2", 0)
    assert [role for role, _ in one.conversation] == ["system", "user", "assistant"]
    assert (one.span.trace_id, one.span.span_id) == (span.trace_id, span.span_id)


def test_rollouts_of_one_step_are_those_of_all_its_attempts(store):
    assert sorted(
        (one.attempt, one.step) for one in otel_llm.read_rollouts(store, "sums-7", step=6)
    ) == sorted([(attempt, 6) for attempt in (0, 1) for _ in range(16)])


def test_a_run_whose_own_span_is_lost_is_found_by_its_steps(tmp_path):
    made = Run(steps=2).train()
    for rank in made.spans:
        made.spans[rank] = [s for s in made.spans[rank] if not s.name.startswith("training_run")]
    (found,) = otel_llm.read_runs(made.write(tmp_path))
    assert (found.run_id, found.steps, found.state) == (made.id, 2, "unknown")


def test_values_of_the_wrong_kind_are_left_out_and_nothing_raises(tmp_path):
    made = Run(steps=2).train()
    for span in made.all_spans():
        if span.name == "rollout":
            span.attributes |= {
                sc.SAMPLE_REWARD: "good", sc.SAMPLE_INDEX: "first", sc.SAMPLE_REWARDS_PREFIX + "format": ("a", "b"),
                sc.SAMPLE_ADVANTAGE: math.nan, sc.INPUT_MESSAGES: "[{cut", sc.SAMPLE_TOKEN_IDS: 7, sc.SAMPLE_GROUP: 3,
            }  # fmt: skip
        elif span.name == "training_step":
            span.attributes |= {
                sc.TRAIN_TIME_PREFIX + "loss": "long",
                sc.WORLD_SIZE: "two",
                sc.TRAIN_EPOCH: None,
            }
    where = made.write(tmp_path)
    one = next(iter(otel_llm.read_rollouts(where, made.id)))
    assert (one.reward, one.index, one.token_ids, one.group) == (None, None, (), "3")
    assert math.isnan(one.advantage)
    assert one.conversation[0] == ("?", "[{cut")
    assert "loss" not in otel_llm.read_steps(where, made.id)[0].ranks[0].times


def test_reading_holds_one_rollout_at_a_time(tmp_path):
    made = Run(steps=3).train().write(tmp_path)
    rollouts = otel_llm.read_rollouts(made, "sums-7")
    assert iter(rollouts) is rollouts
    assert next(rollouts).sample_id
    rollouts.close()


def test_an_empty_store_has_no_runs(tmp_path):
    assert otel_llm.read_runs(tmp_path / "nowhere") == []
    assert otel_llm.read_steps(tmp_path, "x") == []
    assert list(otel_llm.read_rollouts(tmp_path, "x", step=1)) == []


def test_an_open_step_whose_process_is_gone_died_and_one_whose_process_lives_did_not(tmp_path):
    made = Run(steps=3, faults=frozenset({"died"})).train()
    step = otel_llm.read_steps(made.write(tmp_path / "gone"), made.id)[-1]
    assert [(rank.died, rank.end_ns is None) for rank in step.ranks] == [(False, False), (True, True)]
    assert (step.end_ns, otel_llm.read_runs(tmp_path / "gone")[0].state) == (None, "killed")
    assert step.last_ns > step.start_ns + S

    from otel_llm.store import StoreWriter

    write(tmp_path / "here", made.spans[0])
    living = StoreWriter(tmp_path / "here", commit_interval_s=0.0, open_after_s=0.0)
    for span in made.spans[1]:
        living.started(span.to_readable())
        if span.end_ns is not None:
            living.ended(span.to_readable())
    assert living.flush(10)
    try:
        assert otel_llm.read_runs(tmp_path / "here")[0].state == "running"
        assert [rank.died for rank in otel_llm.read_steps(tmp_path / "here", made.id)[-1].ranks] == [
            False,
            False,
        ]
    finally:
        living.close(10)


@pytest.mark.parametrize(
    ("role", "names", "found"),
    [
        ("reward", ["reward_std", "reward"], "reward"),
        ("reward", ["train/reward"], "train/reward"),
        ("loss", ["training_step/loss", "x"], "training_step/loss"),
        ("kl", ["x"], None),
    ],
)
def test_numbers_are_known_by_the_names_that_trainers_give(role, names, found):
    assert name_for(role, names) == found
