"""One rank of a GRPO run of arithmetic: the shape of a real one, without weights. Prints what it made as JSON.

python train.py STEPS CONTENT
"""

from __future__ import annotations

import json
import random
import sys
import time

import otel_llm
from otel_llm_trl import semconv as trl

STEPS, SAID = int(sys.argv[1]), sys.argv[2]
FAILS, EXTREME, BEST = (
    3,
    5,
    7,
)  # steps: one whose loss fails, one with an extreme reward, one with an extreme advantage

otel_llm.instrument(service_name="grpo", content="full", store_content="full")
chance = random.Random(7)
made: dict[str, list[int]] = {"failed": [], "extreme": [], "ordinary": []}

with otel_llm.training_run("grpo-of-the-tests", algorithm="grpo", model="tiny"):
    metrics = otel_llm.TrainingMetrics(gpu_memory=False)
    for number, _ in enumerate(otel_llm.steps(range(STEPS)), 1):
        rewards = [chance.random() for _ in range(4)]
        if number == EXTREME:
            rewards[2] = 5.0
        mean = sum(rewards) / len(rewards)
        advantages = [min(1.5, reward - mean) for reward in rewards]
        if number == BEST:
            advantages[0] = -3.0
        rollouts = []
        with otel_llm.part("generation"):
            time.sleep(0.02)
            for index in range(4):
                with otel_llm.rollout(f"{number}-{index}", group=str(number), index=index) as one:
                    one.content(prompt=f"{SAID} prompt", response=f"{SAID} answer")
                    one.tokens(input=12, output=34)
                rollouts.append(one)
        with otel_llm.part("reward"):
            time.sleep(0.005)
            for one, reward, advantage in zip(rollouts, rewards, advantages, strict=True):
                one.reward("correct", reward, explanation=f"{SAID} why").total_reward(reward).advantage(
                    advantage
                )
        metrics.rollouts(rewards, kl=[0.1 * reward for reward in rewards], advantages=advantages)
        try:
            with otel_llm.loss(rollouts) as loss:
                if number == FAILS:
                    raise FloatingPointError("the loss is no number")
                loss.set(loss=0.5)
        except FloatingPointError:
            pass
        with otel_llm.part("optimizer"):
            time.sleep(0.005)
        metrics.training_step(loss=1 / number, kl=0.01 * number, grad_norm=1.0, learning_rate=1e-5)
        otel_llm.log_metrics(
            {
                trl.SERIES_GPU_ALLOCATED: 1.5,
                trl.SERIES_GPU_RESERVED: 2.0,
                trl.SERIES_GPU_UTILIZATION: 80.0 + number % 7,
                trl.SERIES_TOKENS_PER_SECOND: 900.0,
                trl.SERIES_GENERATED_PER_SECOND: 1200.0,
                trl.SERIES_STALENESS_MEAN: 0.5,
                trl.SERIES_STALENESS_MAX: 1.0,
            },
            step=number,
        )
        what = "failed" if number == FAILS else "extreme" if number in {EXTREME, BEST} else "ordinary"
        made[what].append(number)
        time.sleep(0.05)

otel_llm.force_flush()
otel_llm.shutdown()
print(json.dumps(made))
