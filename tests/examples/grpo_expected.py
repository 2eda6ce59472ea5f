"""The metrics of a hand-written loop, computed from its raw tensors by other means: NumPy in double precision, `statistics`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

Series = dict[tuple[str, int], float]

GROUP = 4
LR = 1e-3


def advantages(rewards: Sequence[float], loop: str) -> list[float]:
    """Those of all groups: what is above the mean of the group, in its standard deviations but for Dr. GRPO."""
    found = []
    for at in range(0, len(rewards), GROUP):
        group = rewards[at : at + GROUP]
        mean = statistics.fmean(group)
        scale = 1.0 if loop == "dr_grpo" else statistics.stdev(group) + 1e-4
        found += [(reward - mean) / scale for reward in group]
    return found


def token_kl(round_: dict[str, Any]) -> list[float]:
    """Schulman's k3 at each token that was sampled."""
    found: list[float] = []
    for old, reference, mask in zip(round_["old"], round_["reference"], round_["mask"], strict=True):
        apart = reference.astype(np.float64) - old
        found += (np.exp(apart) - apart - 1)[np.array(mask)].tolist()
    return found


def loss(raw: dict[str, Any]) -> dict[str, float]:
    """The loss of a batch and its parts, rollout by rollout."""
    policy, penalty, kls = [], [], []
    for new, old, reference, advantage, mask in zip(
        *(raw[name].astype(np.float64) for name in ("logprobs", "old", "reference", "advantages")),
        raw["mask"],
        strict=True,
    ):
        ratio = np.exp(new - old)[mask]
        low, high = 1 - raw["clip"], 1 + raw["clip"]
        surrogate = [min(r * advantage, min(max(r, low), high) * advantage) for r in ratio]
        kl = (np.exp(reference - new) - (reference - new) - 1)[mask]
        tokens = raw["longest"] or len(ratio)
        policy.append(-sum(surrogate) / tokens)
        penalty.append(raw["kl_weight"] * kl.sum() / tokens)
        kls += kl.tolist()
    found = {
        "policy": statistics.fmean(policy),
        "penalty": statistics.fmean(penalty),
        "kl": statistics.fmean(kls),
    }
    return found | {"total": found["policy"] + found["penalty"]}


def grad_norm(gradients: Sequence[Any]) -> float:
    return float(np.sqrt(sum((one.astype(np.float64) ** 2).sum() for one in gradients)))


def figures(out: Series, family: str, values: Sequence[float], told: Sequence[str], step: int) -> None:
    """Add the figures of a family of names, and how many values there were."""
    known = {
        "sum": sum(values),
        "mean": statistics.fmean(values),
        "std": statistics.pstdev(values),
        "variance": statistics.pvariance(values),
        "max": max(values),
        "min": min(values),
        "skewness": _skewness(values),
        "count": len(values),
    }
    for name in (*told, "count"):
        if known[name] is not None:
            out[f"{family}{'/' if family == 'batch_returns' else '_'}{name}", step] = known[name]
    if family == "dr_grpo/advantages":
        del out[f"{family}_count", step]


def _skewness(values: Sequence[float]) -> float | None:
    spread = statistics.pstdev(values)
    mean = statistics.fmean(values)
    return statistics.fmean([((value - mean) / spread) ** 3 for value in values]) if spread else None


def of_rollouts(ranks: Sequence[dict[str, Any]], loop: str) -> Series:
    """`rollouts/*` of all ranks together, and what goes with them."""
    out: Series = {}
    best, total = -np.inf, 0
    for number, rounds in enumerate(zip(*(raw["rounds"] for raw in ranks), strict=True), 1):
        rewards = [reward for one in rounds for reward in one["rewards"]]
        better = [value for one in rounds for value in advantages(one["rewards"], loop)]
        figures(out, "rollouts/returns", rewards, ("sum", "mean", "std", "max", "min"), number)
        figures(
            out, "rollouts/kl", [kl for one in rounds for kl in token_kl(one)], ("mean", "std", "max"), number
        )
        figures(out, "rollouts/advantages", better, ("mean", "std"), number)
        if loop == "dr_grpo":
            figures(out, "dr_grpo/advantages", better, ("variance", "skewness"), number)
        if loop in {"multiturn_qa", "math_python"}:
            figures(out, "batch_returns", rewards, ("sum", "mean", "std", "max", "min"), number)
            tokens = sum(sum(mask) for one in rounds for mask in one["mask"])
            out["rollouts/sampled_tokens", number] = tokens
        total += len(rewards)
        best = max(best, statistics.fmean(rewards))
        out["rollouts/returns_best_mean", number] = best
        out["rollouts/total_rollouts", number] = total
        out["rollouts/batch_step", number] = number
    updates = len(ranks[0]["gradients"])
    out["final/total_rollouts", updates] = total
    out["final/best_mean_return", updates] = best
    out["final/total_batches", updates] = len(ranks[0]["rounds"])
    out["final/total_steps", updates] = updates
    return out


def of_updates(raw: dict[str, Any], loop: str) -> Series:
    """`training_step/*` of one rank."""
    out: Series = {}
    updates = len(raw["gradients"])
    pieces = len(raw["losses"]) // updates
    for number in range(1, updates + 1):
        parts = [loss(one) for one in raw["losses"][(number - 1) * pieces : number * pieces]]
        out["training_step/loss", number] = statistics.fmean([one["total"] for one in parts])
        out["training_step/kl", number] = statistics.fmean([one["kl"] for one in parts])
        out["training_step/grad_norm", number] = grad_norm(raw["gradients"][number - 1])
        out["training_step/learning_rate", number] = LR
        if loop == "dr_grpo":
            out["training_step/dr_component_policy", number] = parts[0]["policy"]
            out["training_step/dr_component_kl", number] = parts[0]["penalty"]
        if loop.startswith("accelerate"):
            out["accelerate/sync_gradients", number] = out["ddp/sync_gradients", number] = 1
    out["training/invalid_loss_count", 1] = 0
    out["training/invalid_loss_count", updates] = 0
    for number in range(1, len(raw["rounds"]) + 1):
        out["system/replay_buffer_size", number] = len(raw["rounds"][number - 1]["rewards"])
    return out


def of_epochs(ranks: Sequence[Series], epochs: int) -> Series:
    """`training_epoch/*` of all ranks together, from their `training_step/*`."""
    out: Series = {}
    updates = max(step for name, step in ranks[0] if name == "training_step/loss")
    size = updates // epochs
    for last in range(size, updates + 1, size):
        for name, told in (
            ("loss", ("mean", "std")),
            ("kl", ("mean", "std")),
            ("grad_norm", ("mean", "max")),
        ):
            values = [
                one[f"training_step/{name}", step]
                for one in ranks
                for step in range(last - size + 1, last + 1)
            ]
            figures(out, f"training_epoch/{name}", values, told, last)
    return out
