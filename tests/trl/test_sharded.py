"""A model that is divided among ranks, by FSDP and by DeepSpeed's ZeRO-3: recorded like any other, and left alone."""

from __future__ import annotations

import math

import pytest

from otel_llm import semconv as sc
from tests.trl.test_links import SHAPES, linked
from tests.trl.test_training import same

SHARDED = {"fsdp": ("newest", "DistributedType.FSDP"), "zero3": ("stories", "DistributedType.DEEPSPEED")}
"""By configuration of examples/grpo/configs: the environment that has it, and what accelerate calls it."""

sharded = pytest.mark.parametrize("how", SHARDED)


def settings(how, case, **more):
    return {"name": SHARDED[how][0], "ranks": 2, "case": f"{case} under {how}", **more}


def evaluated_and_saved(how):
    return settings(how, "evaluates", save_strategy="steps", save_steps=2)


@sharded
def test_training_is_the_same_to_the_last_bit_and_collective(train, how):
    on, off = train(**evaluated_and_saved(how)), train(off=True, **evaluated_and_saved(how))
    same(on, off)
    for number, rank in enumerate(on.ranks):
        assert rank["error"] is None
        assert rank["extra"]["distributed"] == SHARDED[how][1]
        assert rank["extra"]["held"] == rank["extra"]["parameters"] / 2 > 0, "each rank has half of the model"
        assert rank["extra"]["collectives"]["gloo:all_gather"] > 0
        assert not rank["dropped"]
        assert "otel_llm:" not in (on.folder / f"output{number}.txt").read_text(), (
            "we have nothing to complain of"
        )


@sharded
def test_a_step_is_one_trace_with_both_ranks_and_all_their_parts(train, how):
    on = train(**evaluated_and_saved(how))
    for number in (1, 2, 3):
        steps = on.named("training_step", **{sc.TRAIN_STEP: number})
        assert [span.attributes[sc.RANK] for span in steps if not span.parent_id] == [0]
        assert sorted(span.attributes[sc.RANK] for span in steps) == [0, 1]
        assert len({span.trace_id for span in steps}) == 1
        mine = [span for span in on.spans if span.trace_id == steps[0].trace_id]
        for rank in (0, 1):
            names = [span.name for span in mine if span.attributes[sc.RANK] == rank]
            saved = 1 if number > 1 else 0
            assert {name: names.count(name) for name in dict.fromkeys([*names, "checkpoint"])} == {
                "training_step": 1, "sampling": 1, "generation": 1, "logprobs": 1, "rewards": 1, "reward digits": 1,
                "reward shortness": 1, "advantages": 1, "rollout": 8, "loss": 2, "backward": 2, "optimizer": 1,
                "checkpoint": saved,
            }  # fmt: skip
    assert len(on.named("evaluation")) == 4


@sharded
def test_each_loss_links_the_rollouts_whose_tokens_were_in_its_batch(train, how):
    on = train(**settings(how, "tokens", instrument={"store_content": "full"}, **SHAPES["all of it"]))
    for rank in (0, 1):
        rollouts = {span.span_id: span for span in on.named("rollout", **{sc.RANK: rank})}
        losses, batches = on.named("loss", **{sc.RANK: rank}), on.ranks[rank]["learned"]
        assert len(losses) == len(batches) > 0
        for span, batch in zip(losses, batches, strict=True):
            told = [
                (
                    list(rollouts[one].attributes[sc.SAMPLE_TOKEN_IDS]),
                    rollouts[one].attributes[sc.SAMPLE_ADVANTAGE],
                )
                for one in linked(span, on)
            ]
            assert sorted(told) == sorted(zip(batch["rows"], batch["advantages"], strict=True))
            assert not [name for name in batch["columns"] if "otel" in name], "our column is out of the batch"


def test_the_optimizer_of_deepspeed_is_recorded_in_the_backward_pass_that_it_is_in(train):
    on = train(**evaluated_and_saved("zero3"))
    assert on.first["seams"]["deepspeed"] == "active"
    assert [on.parent_of(span).name for span in on.named("optimizer")] == ["backward"] * 6
    for step in on.named("training_step"):
        mine = {name: step.attributes[sc.TRAIN_TIME_PREFIX + name] for name in ("optimizer", "backward")}
        within = {sc.TRAIN_STEP: step.attributes[sc.TRAIN_STEP], sc.RANK: step.attributes[sc.RANK]}
        (optimizer,) = on.named("optimizer", **within)
        backward = sum(span.duration_s for span in on.named("backward", **within))
        assert mine["optimizer"] == pytest.approx(optimizer.duration_s, rel=0.02, abs=0.002)
        assert mine["backward"] == pytest.approx(backward - optimizer.duration_s, rel=0.02, abs=0.002)


@sharded
def test_norms_of_gradients_are_of_what_a_rank_can_see(train, how):
    told = settings(how, "logging callback", max_grad_norm=1e9)
    on, off = train(**told), train(off=True, **told)
    for name in ("weights", "random", "learned", "extra"):
        assert [rank[name] for rank in on.ranks] == [rank[name] for rank in off.ranks]
    norms = [row for row in on.series if row.name.startswith("gradients/")]
    if how == "zero3":
        assert not norms
        assert (
            "no parameter has a gradient that a callback can see" in (on.folder / "output0.txt").read_text()
        )
        return
    for entry in on.first["history"][:3]:
        parts = [row.value for row in norms if row.step == entry["step"]]
        assert math.hypot(*parts) == pytest.approx(entry["grad_norm"], rel=1e-6), (
            "each rank logs its own part"
        )
