"""One rank of a loop of one's own that learns sums: python rank.py STORE   (RANK, WORLD_SIZE as launchers set them)."""

from __future__ import annotations

import os
import random
import sys

import otel_llm


def main(store: str) -> None:
    rank = int(os.environ["RANK"])
    dice = random.Random(rank)
    otel_llm.instrument(store=store, exporters=[], instrumentations=[], content="full")
    with otel_llm.training_run("own-loop", name="sums", algorithm="grpo", model="tiny", config={"beta": 0.1}):
        for number, prompt in zip(range(1, 4), otel_llm.steps(["1+1", "1+2", "2+2"]), strict=False):
            rollouts = []
            with otel_llm.part("generation"):
                for i in range(3):
                    with otel_llm.rollout(
                        f"{number}-{rank}-{i}", group=f"{number}-{rank}", index=i, prompt=prompt
                    ) as one:
                        one.set(response=f"it is {i}")
                        with otel_llm.reward("form", score=1.0):
                            pass
                    rollouts.append(one)
            with otel_llm.part("rewards"):
                scores = [dice.random() for _ in rollouts]
                for one, score in zip(rollouts, scores, strict=True):
                    one.reward("right", score).total_reward(score)
            for one, score in zip(rollouts, scores, strict=True):
                one.advantage(score - sum(scores) / len(scores))
            with otel_llm.loss(rollouts=rollouts[:2]) as loss:
                loss.set(loss=0.1 * number)
            with otel_llm.part("optimizer"):
                pass
            otel_llm.log_metrics({"kl": 0.01 * number, "lonely": float(rank)}, step=number)
    otel_llm.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
