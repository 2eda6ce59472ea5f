"""Run a loop of examples/grpo, and keep what went into its arithmetic: `grpo_raw.py LOOP FILE OPTION...`.

Each process writes FILE with its rank: a pickle of plain NumPy arrays, taken before and after the loop's own functions,
which know nothing of it.
"""

from __future__ import annotations

import functools
import importlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "grpo"))

import torch
from tinygrpo import experience, maths

torch.set_num_threads(1)
rounds: list[dict[str, Any]] = []
losses: list[dict[str, Any]] = []
gradients: list[Any] = []


def array(value: Any) -> Any:
    return value.detach().cpu().numpy().copy() if hasattr(value, "detach") else value


def compare(original, experiences, policy, *args, **kwargs):
    original(experiences, policy, *args, **kwargs)
    rounds.append(
        {
            "rewards": [one.reward for one in experiences],
            "old": [array(one.old) for one in experiences],
            "reference": [array(one.reference) for one in experiences],
            "mask": [one.sample.mask[1:] for one in experiences],
            "texts": [policy.text(one.sample.ids) for one in experiences],
        }
    )


def batch_loss(original, batch, policy, *args, **kwargs):
    found = original(batch, policy, *args, **kwargs)
    losses[-1]["texts"] = [policy.text(one.sample.ids) for one in batch]
    return found


def grpo_loss(original, logprobs, old, reference, advantages, mask, **kwargs):
    tensors = {
        "logprobs": logprobs,
        "old": old,
        "reference": reference,
        "advantages": advantages,
        "mask": mask,
    }
    losses.append({name: array(value) for name, value in tensors.items()} | kwargs)
    return original(logprobs, old, reference, advantages, mask, **kwargs)


def clip(original, parameters, *args, **kwargs):
    parameters = list(parameters)
    gradients.append([array(one.grad) for one in parameters if one.grad is not None])
    return original(parameters, *args, **kwargs)


def put(module: Any, name: str, instead: Any) -> None:
    original = getattr(module, name)
    setattr(module, name, functools.wraps(original)(functools.partial(instead, original)))


put(experience, "compare", compare)
put(experience, "batch_loss", batch_loss)
put(maths, "grpo_loss", grpo_loss)
put(torch.nn.utils, "clip_grad_norm_", clip)

loop, file, *options = sys.argv[1:]
importlib.import_module(loop).main(options)
rank = os.environ.get("RANK", "0")
Path(f"{file}.{rank}").write_bytes(pickle.dumps({"rounds": rounds, "losses": losses, "gradients": gradients}))
