"""Made-up metrics of a training and an inference pipeline, with the names that real ones would have."""

import math
import random


def training(step: int, worker: int) -> dict[str, float]:
    """Return what one worker measured in one training step."""
    noise = random.Random(f"training-{worker}-{step}")
    loss = 2.0 * math.exp(-step / 40) + noise.gauss(0, 0.05)
    return {
        "training/loss": loss,
        "training/learning_rate": 1e-5 * min(1.0, (step + 1) / 10),
        "training/kl": 0.01 * step + abs(noise.gauss(0, 0.002)),
        f"training/grads/grad_norm_{worker}": 1.0 + abs(noise.gauss(0, 0.3)),
    }


def inference(step: int, worker: int) -> dict[str, float]:
    """Return what one worker measured while it generated one batch."""
    noise = random.Random(f"inference-{worker}-{step}")
    return {
        "inference/e2e/speed": 900 + noise.gauss(0, 60),  # tokens a second
        "inference/e2e/latency": 1.5 + abs(noise.gauss(0, 0.2)),  # seconds
        "inference/reward/mean": 1 - math.exp(-step / 30) + noise.gauss(0, 0.05),
        "inference/reward/std": 0.2 + abs(noise.gauss(0, 0.02)),
    }


def reward(step: int, sample: int) -> float:
    """Return what one trajectory was worth."""
    return min(1.0, random.Random(f"reward-{step}-{sample}").random() + step / 100)
