"""The loss is linked to exactly the rollouts it learned from: proved by the tokens that were in its batch."""

from __future__ import annotations

import pytest

from otel_llm import semconv as sc

SHAPES = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 4},
    "several iterations": {"num_iterations": 2, "max_steps": 4},
    "more steps than losses a generation": {"steps_per_generation": 4, "gradient_accumulation_steps": 2, "max_steps": 4},
    "several generations a step": {"steps_per_generation": 2, "gradient_accumulation_steps": 4},
    "all of it": {
        "num_iterations": 2, "steps_per_generation": 4, "gradient_accumulation_steps": 2, "max_steps": 6, "max_completion_length": 7,
    },
}  # fmt: skip


def linked(span, trained):
    """Ids of the spans that one learned from."""
    kept = trained.reader
    assert not kept.problems
    return {link.span_id for link in span.links if link.attributes[sc.LINK_KIND] == sc.LINK_CONSUMED}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_each_loss_links_the_rollouts_whose_tokens_were_in_its_batch(train, trainer, shape, ranks):
    trained = train(
        trainer=trainer, ranks=ranks, case="tokens", instrument={"store_content": "full"}, **SHAPES[shape]
    )
    for rank in range(ranks):
        batches = trained.ranks[rank]["learned"]
        rollouts = {
            span.span_id: span
            for span in trained.named("rollout", **{sc.RANK: rank})
            if span.attributes[sc.SAMPLE_MODE] == "train"
        }
        losses = [s for s in trained.named("loss", **{sc.RANK: rank}) if sc.TRAIN_MICRO_STEP in s.attributes]
        assert len(losses) == len(batches) > 0
        for span, batch in zip(losses, batches, strict=True):
            found = linked(span, trained)
            assert found <= rollouts.keys()
            assert len(found) == len(batch["rows"])
            told = sorted(
                (
                    list(rollouts[one].attributes[sc.SAMPLE_TOKEN_IDS]),
                    rollouts[one].attributes[sc.SAMPLE_ADVANTAGE],
                )
                for one in found
            )
            assert told == sorted(zip(batch["rows"], batch["advantages"], strict=True))
            assert span.attributes[sc.TRAIN_STEP] == batch["step"]
            assert span.attributes[sc.TRAIN_CONSUMED] == len(batch["rows"])
            assert not [name for name in batch["columns"] if "otel" in name], "our column is out of the batch"
        for step in trained.named("training_step", **{sc.RANK: rank}):
            mine = [s for s in losses if s.attributes[sc.TRAIN_STEP] == step.attributes[sc.TRAIN_STEP]]
            assert linked(step, trained) == set().union(*(linked(span, trained) for span in mine))


def test_what_is_learned_from_twice_is_known_to_be(train):
    trained = train(case="tokens", instrument={"store_content": "full"}, **SHAPES["several iterations"])
    told = [
        (s.attributes[sc.TRAIN_STEP], s.attributes[sc.TRAIN_ITERATION], s.attributes[sc.SAMPLE_STALENESS])
        for s in trained.named("loss")
        if sc.TRAIN_ITERATION in s.attributes
    ]
    assert told == [(1, 0, 0), (1, 0, 0), (2, 1, 1), (2, 1, 1), (3, 0, 0), (3, 0, 0), (4, 1, 1), (4, 1, 1)]
    staleness = {row.step: row.value for row in trained.series if row.name == "rollouts/staleness_mean"}
    assert staleness == {1: 0, 2: 1, 3: 0, 4: 1}
