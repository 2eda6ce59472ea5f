"""Teach a tiny model the form of answers, before it learns what is right.

A model that was never trained writes noise, and what never earns a reward teaches nothing. So it sees some
demonstrations whose form is right and whose content was drawn by lot: afterwards it answers in form, and no better
than chance. A real model needs none of this: it knows forms from its instruction.
"""

import argparse
import random
from collections.abc import Sequence
from typing import Final

import torch

from tinygrpo.policy import Policy
from tinygrpo.tasks import Demonstration

UPDATES: Final = 60
BATCH: Final = 32


def warm_up(policy: Policy, demonstrations: Sequence[Demonstration], args: argparse.Namespace) -> None:
    """Learn from demonstrations, a few seconds; nothing happens to a model that was not made on the spot.

    Args:
        policy: what learns.
        demonstrations: of answers.
        args: for the seed.
    """
    if not policy.is_tiny:
        return
    chance = random.Random(args.seed)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=3e-3)
    for _ in range(UPDATES):
        samples = []
        for shown in chance.choices(demonstrations, k=BATCH):
            one = policy.prompt([{"role": "user", "content": shown.prompt}])
            for text, is_said in shown.said:
                one.append(policy.tokenizer(text, add_special_tokens=False)["input_ids"], sampled=is_said)
            one.append([policy.tokenizer.eos_token_id], sampled=True)
            samples.append(one)
        ids, seen, mask = policy.collate(samples)
        labels = ids.masked_fill(~mask, -100)
        loss = policy.model(input_ids=ids, attention_mask=seen, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
