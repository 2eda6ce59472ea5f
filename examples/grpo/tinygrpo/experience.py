"""What was experienced in one step, and how it is dealt out to learn from."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

import otel_llm
from tinygrpo import maths
from tinygrpo.policy import Policy, Sample

T = TypeVar("T")


@dataclass(slots=True)
class Experience:
    """One rollout, as it is learned from.

    Attributes:
        sample: its tokens.
        rollout: its scope in otel_llm.
        reward: what it earned.
        advantage: how much better it was than its group.
        old: log-probabilities of its tokens when it was sampled, [T - 1].
        reference: the same under the model that training began with.
    """

    sample: Sample
    rollout: Any
    reward: float
    advantage: float = 0.0
    old: Tensor = field(default_factory=lambda: torch.empty(0))
    reference: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def kl(self) -> Tensor:
        """How far the policy had moved from the reference, at each token that it sampled."""
        sampled = torch.tensor(self.sample.mask[1:], device=self.old.device)
        return maths.token_kl(self.old, self.reference)[sampled]


def compare(
    experiences: Sequence[Experience],
    policy: Policy,
    reference: Policy,
    args: argparse.Namespace,
    advantages: Callable[[Tensor], Tensor] = maths.group_advantages,
) -> None:
    """Find out how likely the tokens of all rollouts were, and how good each was among its group.

    Args:
        experiences: group by group.
        policy: what has sampled them.
        reference: what training began with.
        args: the options.
        advantages: makes them from rewards, [groups, group size].
    """
    samples = [one.sample for one in experiences]
    with otel_llm.part("logprobs"), torch.no_grad():
        old, _ = policy.logprobs(samples, args)
        before, _ = reference.logprobs(samples, args)
    with otel_llm.part("advantages"):
        rewards = torch.tensor([one.reward for one in experiences]).view(-1, args.group_size)
        better = advantages(rewards).flatten().tolist()
    for i, one in enumerate(experiences):
        length = len(one.sample.ids) - 1
        one.old, one.reference, one.advantage = old[i, :length], before[i, :length], better[i]
        one.rollout.advantage(better[i])


def batch_loss(
    batch: Sequence[Experience],
    policy: Policy,
    args: argparse.Namespace,
    *,
    model: Any = None,
    longest: int | None = None,
) -> maths.Loss:
    """Return the loss of some rollouts; `model` and `longest` as for `Policy.logprobs` and `maths.grpo_loss`."""
    logprobs, mask = policy.logprobs([one.sample for one in batch], args, model)
    return maths.grpo_loss(
        logprobs,
        _stacked([one.old for one in batch], mask.shape[1]),
        _stacked([one.reference for one in batch], mask.shape[1]),
        torch.tensor([one.advantage for one in batch], device=mask.device),
        mask,
        clip=args.clip,
        kl_weight=args.kl_weight,
        longest=longest,
    )


def _stacked(rows: Sequence[Tensor], width: int) -> Tensor:
    return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])


def shuffled(items: Sequence[T], size: int, generator: torch.Generator) -> Iterator[list[T]]:
    """Yield the items in random order, so many at a time."""
    order = torch.randperm(len(items), generator=generator).tolist()
    for at in range(0, len(items), size):
        yield [items[i] for i in order[at : at + size]]


def batches(items: Sequence[T], size: int, count: int) -> Iterator[list[T]]:
    """Yield so many batches of items, from the first again after the last."""
    for number in range(count):
        yield [items[(number * size + i) % len(items)] for i in range(size)]
