"""The arithmetic of GRPO, written to be read. Tensors in, tensors out; nothing here knows of models or telemetry.

Shapes: B rollouts, T tokens; `mask` is true where the policy has sampled a token, false for prompts, tools, padding.

Sources: DeepSeekMath (arXiv 2402.03300) for GRPO, "Understanding R1-Zero-Like Training" (arXiv 2503.20783) for
Dr. GRPO, Schulman's "Approximating KL divergence" for the estimator.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Loss(NamedTuple):
    """A loss, and what it consists of.

    Attributes:
        total: what is differentiated, `policy + penalty`.
        policy: the clipped surrogate, negated.
        penalty: the KL divergence times its weight.
        kl: mean KL divergence of a sampled token, without its weight.
        ratios: of probabilities, new to old, [B, T].
    """

    total: Tensor
    policy: Tensor
    penalty: Tensor
    kl: Tensor
    ratios: Tensor


def group_advantages(rewards: Tensor, *, normalise: bool = True, leave_one_out: bool = False) -> Tensor:
    """Return how much better each rollout was than the others of its group.

    Args:
        rewards: [groups, group size].
        normalise: divide by the standard deviation of the group, as GRPO does and Dr. GRPO does not: it gives
            groups on which nearly all agree as much weight as any other.
        leave_one_out: compare with the mean of the others, instead of that of all.

    Returns:
        [groups, group size]; zeros for a group without spread.
    """
    size = rewards.shape[1]
    baseline = rewards.mean(dim=1, keepdim=True)
    if leave_one_out and size > 1:
        baseline = (rewards.sum(dim=1, keepdim=True) - rewards) / (size - 1)
    better = rewards - baseline
    if normalise and size > 1:
        better = better / (rewards.std(dim=1, keepdim=True) + 1e-4)
    return better


def token_kl(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Estimate the KL divergence from the reference at each token: unbiased, and never negative; [B, T]."""
    apart = reference - logprobs
    return apart.exp() - apart - 1


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values where the mask is true; 0 where it is nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def grpo_loss(
    logprobs: Tensor,
    old: Tensor,
    reference: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float,
    kl_weight: float,
    longest: int | None = None,
) -> Loss:
    """Return the loss of a batch of rollouts.

    Args:
        logprobs: of the sampled tokens under the policy that learns, [B, T].
        old: under the policy that sampled them, [B, T].
        reference: under the model that training began with, [B, T].
        advantages: one a rollout, [B].
        mask: which tokens were sampled, [B, T].
        clip: ratios count between `1 - clip` and `1 + clip`.
        kl_weight: what the KL divergence is multiplied with.
        longest: None for GRPO: each rollout is the mean of its tokens, so a token of a long one counts less. For
            Dr. GRPO the most tokens that one can have: sums are divided by this constant, and all tokens are equal.
    """
    ratios = (logprobs - old).exp()
    better = advantages.unsqueeze(1)
    surrogate = torch.minimum(ratios * better, ratios.clamp(1 - clip, 1 + clip) * better)
    kl = token_kl(logprobs, reference)

    def of_batch(values: Tensor) -> Tensor:
        sums = (values * mask).sum(dim=1)
        return (sums / (mask.sum(dim=1).clamp(min=1) if longest is None else longest)).mean()

    policy, penalty = -of_batch(surrogate), kl_weight * of_batch(kl)
    return Loss(policy + penalty, policy, penalty, masked_mean(kl, mask), ratios)
