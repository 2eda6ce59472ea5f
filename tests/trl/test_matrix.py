"""What each release of TRL gives: the oldest that works, two between, the newest."""

from __future__ import annotations

import pytest

from otel_llm import semconv as sc
from tests.trl.test_links import linked

PARTS = {
    "sampling",
    "generation",
    "logprobs",
    "rewards",
    "advantages",
    "loss",
    "backward",
    "optimizer",
    "checkpoint",
}
ABSENT = {"oldest": {"tools"}, "early": set(), "first": set(), "newest": set()}
"""Seams that a release does not have."""


@pytest.mark.parametrize("name", ABSENT)
def test_a_release_gives_what_it_can_and_says_what_it_cannot(train, name):
    settings = {
        "name": name,
        "case": "tokens",
        "num_iterations": 2,
        "save_strategy": "steps",
        "save_steps": 2,
    }
    on, off = train(**settings), train(off=True, **settings)
    assert on.first["error"] is None
    assert on.figures() == off.figures()
    for bits in ("weights", "random", "learned", "callbacks"):
        assert on.first[bits] == off.first[bits]
    assert not on.first["dropped"]
    assert {span.name for span in on.spans} >= PARTS | {
        "rollout",
        "training_step",
        "reward digits",
        "reward shortness",
    }
    rollouts = {span.span_id: list(span.attributes[sc.SAMPLE_TOKEN_IDS]) for span in on.named("rollout")}
    losses = on.named("loss")
    for span, batch in zip(losses, on.first["learned"], strict=True):
        assert sorted(rollouts[one] for one in linked(span, on)) == sorted(batch["rows"])
    lacking = {seam for seam, state in on.first["seams"].items() if state.startswith(("missing", "failed"))}
    assert lacking == ABSENT[name]


@pytest.mark.parametrize("name", ["early", "first", "newest"])
def test_rloo_is_recorded_like_grpo_where_it_is_made_like_it(train, name):
    on, off = train(name, trainer="rloo"), train(name, trainer="rloo", off=True)
    assert on.first["error"] is None
    assert on.first["weights"] == off.first["weights"]
    assert {span.name for span in on.spans} >= PARTS - {"checkpoint"}
    assert all(len(linked(span, on)) == 4 for span in on.named("loss"))
