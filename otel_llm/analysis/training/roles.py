"""What trainers call the numbers that everybody asks for: reward, KL, entropy, lengths, loss, gradient norm, rate.

The names are TRL's, and those that programs in the field give; with or without `train/` before them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

ROLES: Final[dict[str, tuple[str, ...]]] = {
    "reward": ("reward", "rollouts/returns_mean", "mean_reward", "reward/mean", "rewards/mean"),
    "reward_std": ("reward_std", "rollouts/returns_std", "reward/std"),
    "kl": (
        "kl",
        "training_step/kl",
        "rollouts/kl_mean",
        "kl_divergence",
        "approx_kl",
        "kl/mean",
        "objective/kl",
    ),
    "entropy": ("entropy", "entropy/mean", "policy/entropy", "objective/entropy"),
    "length": (
        "completions/mean_length",
        "completion_length",
        "rollouts/length_mean",
        "response_length/mean",
    ),
    "clipped": ("completions/clipped_ratio",),
    "loss": ("loss", "training_step/loss", "train_loss", "policy_loss", "loss/policy_avg"),
    "grad_norm": ("grad_norm", "training_step/grad_norm", "gradient_norm"),
    "learning_rate": ("learning_rate", "training_step/learning_rate", "lr"),
}
"""Names by role, the first that is there counts."""

_PREFIX: Final = "train/"


def name_for(role: str, names: Collection[str]) -> str | None:
    """Return which of some names plays a role; None where none does."""
    for candidate in ROLES[role]:
        for name in (candidate, _PREFIX + candidate):
            if name in names:
                return name
    return None
