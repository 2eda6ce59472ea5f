"""Groups, surprise, who learned from what, and what went wrong."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_llm
from otel_llm import semconv as sc
from otel_llm.analysis.training import Consumption, Trouble, group_of, groups_of, surprises
from otel_llm.store.rows import StoredLink
from tests.report.training import Run

REWARDS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan)), st.sampled_from(["a", "b", None])
    ),
    max_size=40,
)


# --- surprise -------------------------------------------------------------------------------------


def test_the_one_right_answer_surprises_as_much_as_the_one_wrong_answer_with_the_other_sign():
    rewards = [1.0, *[0.0] * 7, 0.0, *[1.0] * 7]
    found = surprises(rewards, ["a"] * 8 + ["b"] * 8)
    assert found[0] == pytest.approx(2.0)  # half of all are right: a spread of 0.5
    assert found[8] == pytest.approx(-2.0)
    assert all(abs(one) < 0.3 for place, one in enumerate(found) if place not in {0, 8})


def test_nearly_equal_rewards_of_a_group_do_not_surprise_where_the_step_has_larger_differences():
    found = surprises([0.50, 0.50, 0.51, 0.0, 1.0], ["a", "a", "a", "b", "b"])
    assert abs(found[2]) < 0.05
    assert found[4] > 1


def test_a_rollout_without_a_group_is_compared_with_all_others_of_its_step():
    assert surprises([0.0, 0.0, 0.0, 3.0], [None] * 4)[3] > 2


def test_nobody_surprises_where_all_are_the_same_and_nobody_is_asked_without_a_reward():
    assert surprises([1.0, 1.0, None, math.nan], ["a", "a", "a", "b"]) == [0.0, 0.0, None, None]
    assert surprises([], []) == []
    assert surprises([4.0], ["a"]) == [0.0]


@given(REWARDS)
def test_surprise_is_a_number_for_whoever_has_a_finite_reward(rows):
    found = surprises([reward for reward, _ in rows], [group for _, group in rows])
    for (reward, _), surprise in zip(rows, found, strict=True):
        if reward is None or math.isnan(reward):
            assert surprise is None
        else:
            assert surprise is not None
            assert math.isfinite(surprise)


# --- groups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rewards", "flat"),
    [
        ([1.0, 1.0], True),
        ([1.0, 1.0 + 1e-12, None], True),
        ([1.0, 1.1], False),
        ([1.0], False),
        ([None, None], False),
    ],
)
def test_a_group_has_no_spread_when_two_rewards_or_more_are_the_same(rewards, flat):
    assert group_of("g", rewards, lambda one: one).has_no_spread is flat


def test_groups_of_a_step_are_those_of_all_ranks_with_their_members_in_order(tmp_path):
    made = Run(steps=1, groups=3, size=5, faults=frozenset({"no_spread"})).train()
    groups = groups_of(list(otel_llm.read_rollouts(made.write(tmp_path), made.id)))
    assert [group.name for group in groups] == [f"1-{rank}-g{n}" for rank in (0, 1) for n in range(3)]
    assert all([one.index for one in group.members] == list(range(5)) for group in groups)
    assert [group.has_no_spread for group in groups] == [True, False, False] * 2


# --- who learned from what ------------------------------------------------------------------------


def test_each_rollout_leads_to_the_losses_that_linked_it_and_to_no_other(tmp_path):
    made = Run(steps=4, micro=3, size=6).train()
    where = made.write(tmp_path)
    consumption = Consumption(otel_llm.read_steps(where, made.id))
    learned: dict[str, set[str]] = {}
    for one in otel_llm.read_rollouts(where, made.id):
        for consumer in consumption.of(one):
            assert (consumer.kind, consumer.step) == ("loss", one.step)
            learned.setdefault(consumer.span.span_id, set()).add(one.span.span_id)
    assert learned == made.consumed


def test_a_step_counts_only_where_no_loss_says_it(tmp_path):
    made = Run(steps=1, ranks=1).train()
    for span in made.all_spans():
        if span.name == "loss":
            span.links = []
    where = made.write(tmp_path)
    consumption = Consumption(otel_llm.read_steps(where, made.id))
    for one in otel_llm.read_rollouts(where, made.id):
        assert [(c.kind, c.step) for c in consumption.of(one)] == [("step", 1)]


@pytest.mark.parametrize("names_group", [True, False])
def test_a_link_for_a_whole_group_leads_to_all_of_it_also_from_a_later_step(tmp_path, names_group):
    made = Run(steps=2, ranks=1, groups=2, size=3).train()
    rollouts = [s for s in made.all_spans() if s.name == "rollout" and s.attributes[sc.TRAIN_STEP] == 1]
    losses = [s for s in made.all_spans() if s.name == "loss"]
    for span in made.all_spans():
        span.links = []
    one = rollouts[1]
    told = {sc.LINK_KIND: sc.LINK_CONSUMED_GROUP}
    if names_group:
        told[sc.SAMPLE_GROUP] = one.attributes[sc.SAMPLE_GROUP]
    losses[-1].links = [StoredLink(one.trace_id, one.span_id, told)]
    where = made.write(tmp_path)
    consumption = Consumption(otel_llm.read_steps(where, made.id))
    assert consumption.has_stand_ins
    found = list(otel_llm.read_rollouts(where, made.id))
    consumption.resolve_groups(found)
    learned = {rollout.span.span_id for rollout in found if consumption.of(rollout)}
    assert learned == {
        s.span_id for s in rollouts if s.attributes[sc.SAMPLE_GROUP] == one.attributes[sc.SAMPLE_GROUP]
    }


# --- trouble --------------------------------------------------------------------------------------


def test_what_went_wrong_is_told_once_each_with_its_steps(tmp_path):
    made = Run(steps=5, faults=frozenset({"nan_loss", "unscored", "no_spread", "died", "raised"})).train()
    where = made.write(tmp_path)
    trouble, steps = Trouble(), otel_llm.read_steps(where, made.id)
    trouble.look_at_run(otel_llm.read_runs(where)[0])
    trouble.look_at_steps(steps)
    rollouts, consumption = list(otel_llm.read_rollouts(where, made.id)), Consumption(steps)
    for one in rollouts:
        trouble.look_at_rollout(one, unconsumed=not consumption.of(one))
    for step in range(1, 6):
        trouble.look_at_groups(step, groups_of([one for one in rollouts if one.step == step]))
    assert {(one.kind, one.what): (one.n, one.first, one.last) for one in trouble.problems} == {
        ("rank died", "rank 1 did not come back from logprobs"): (1, 5, 5),
        ("ended early", "attempt 1 was killed"): (1, 5, 5),
        ("failed", "generation: OutOfMemoryError: CUDA out of memory"): (1, 2, 2),
        ("not finite", "loss"): (2, 4, 4),
        ("reward missing", "rollout"): (5, 1, 5),
        ("never learned from", "rollout"): (8, 5, 5),
        ("no spread", "group"): (10, 1, 5),
    }
    assert trouble.problems[0].kind in {"rank died", "ended early"}


def test_a_rank_of_which_nothing_came_is_missing(tmp_path):
    made = Run(steps=2, ranks=3).train()
    made.spans[2].clear()
    trouble = Trouble()
    trouble.look_at_steps(otel_llm.read_steps(made.write(tmp_path), made.id))
    assert [(one.kind, one.what, one.n) for one in trouble.problems] == [("rank missing", "rank 2", 2)]


def test_what_the_spans_say_of_themselves_is_told_in_their_words(tmp_path):
    made = Run(steps=1, ranks=1).train()
    for span in made.all_spans():
        if span.name == "rollout" and span.attributes[sc.SAMPLE_INDEX] == 0:
            span.attributes[sc.SAMPLE_PROBLEMS] = ("empty",)
        if span.name == "training_step":
            span.attributes[sc.TRAIN_PROBLEMS] = ("loss_not_finite", "checkpoint_interrupted")
            span.attributes[sc.TRAIN_LOSS] = math.inf
    made.rows[0] = [row for row in made.rows[0] if row.name != "loss"]
    for span in made.all_spans():
        span.attributes.pop(sc.TRAIN_METRICS_PREFIX + "loss", None)
    where = made.write(tmp_path)
    trouble = Trouble()
    trouble.look_at_steps(otel_llm.read_steps(where, made.id))
    for one in otel_llm.read_rollouts(where, made.id):
        trouble.look_at_rollout(one)
    assert {(one.kind, one.what, one.n) for one in trouble.problems} == {
        ("not finite", "loss", 1), ("checkpoint interrupted", "step", 1), ("empty", "rollout", 2)
    }  # fmt: skip
