"""Trains with TRL's AsyncGRPOTrainer on a CPU: rollouts come out of a queue, made before; attention is torch's own.

python asynchronous.py MODEL OUTPUT on|off: prints what came of it as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TRL_EXPERIMENTAL_SILENCE": "1"}
STEPS, BATCH = 3, 4


class Worker:
    """Has rollouts for all steps."""

    def __init__(self) -> None:
        import numpy as np
        from trl.experimental.async_grpo.async_rollout_worker import RolloutSample

        self.rollout_buffer: queue.Queue[Any] = queue.Queue()
        self.metrics_queue: queue.Queue[Any] = queue.Queue()
        random = np.random.default_rng(0)
        for i in range(2 * STEPS * BATCH):
            self.rollout_buffer.put(
                RolloutSample(
                    prompt=[{"role": "user", "content": "?"}],
                    completion=[{"role": "assistant", "content": "!"}],
                    input_ids=random.integers(6, 60, 12),
                    completion_mask=np.array([0] * 4 + [1] * 8),
                    old_log_probs=np.full(12, -4.0, dtype=np.float32),
                    advantage=float(i % 4) - 1.5,
                    model_version=1 + i // BATCH,
                    group_id=i // 4,
                    metrics={"reward": float(i % 4)},
                )
            )

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Weights:
    """Sends weights to nobody."""

    def send_weights(self, iterator: Any) -> None:
        for _ in iterator:
            pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Attention:
    """What the kernel does that TRL has of the Hub, sequence by sequence."""

    @staticmethod
    def flash_attn_varlen_func(q: Any, k: Any, v: Any, q_ends: Any, k_ends: Any, *_: Any, **more: Any) -> Any:
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        made, repeats = [], q.shape[1] // k.shape[1]
        for i in range(len(q_ends) - 1):
            rows, seen = slice(q_ends[i], q_ends[i + 1]), slice(k_ends[i], k_ends[i + 1])
            keys, values = (x[seen].repeat_interleave(repeats, 1).transpose(0, 1) for x in (k, v))
            n, m = q[rows].shape[0], keys.shape[1]
            mask = torch.ones(n, m, dtype=torch.bool).tril(m - n)
            out = scaled_dot_product_attention(
                q[rows].transpose(0, 1), keys, values, attn_mask=mask, scale=more.get("softmax_scale")
            )
            made.append(out.transpose(0, 1))
        return torch.cat(made)


def main(model: str, output: Path, is_on: bool) -> None:
    """Train."""
    if is_on:
        import otel_llm

        otel_llm.instrument(store=output / "store", content="full")
    import torch
    from datasets import Dataset
    from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer, async_grpo_trainer, packing

    packing._flash_attn = Attention
    async_grpo_trainer.get_peak_flops_per_device = lambda *_: None  # asks for the name of the GPU
    trainer = AsyncGRPOTrainer(
        model=model,
        reward_funcs=[lambda completions, **_: [0.0 for _ in completions]],
        args=AsyncGRPOConfig(
            output_dir=str(output), max_steps=STEPS, per_device_train_batch_size=BATCH, gradient_accumulation_steps=1,
            num_generations=4, token_budget=0, max_staleness=100, logging_steps=1, save_strategy="no", report_to=[],
            use_cpu=True, bf16=False, gradient_checkpointing=False, learning_rate=1e-2, disable_tqdm=True, seed=0,
        ),
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": "?"}]}] * 8),
        rollout_worker=Worker(),
        weight_transfer=Weights(),
    )  # fmt: skip
    trainer.train()
    digest = hashlib.sha256()
    for value in trainer.model.parameters():
        digest.update(value.detach().contiguous().view(torch.uint8).numpy().tobytes())
    timed = ("runtime", "per_second", "perf/", "_s")
    found: dict[str, Any] = {
        "weights": digest.hexdigest(),
        "history": [
            {name: value for name, value in row.items() if not any(word in name for word in timed)}
            for row in trainer.state.log_history
        ],
    }
    if is_on:
        import otel_llm_trl

        otel_llm.shutdown()
        found |= {"seams": otel_llm_trl.seams(), "dropped": otel_llm.status()["dropped"]}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "on")
