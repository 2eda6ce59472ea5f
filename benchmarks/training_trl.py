# ruff: noqa: E402 (instrument() comes before the trainer is imported, as in a program)
"""One training of `benchmarks.training --trl`, in a process of its own; prints what it took as JSON.

    python -m benchmarks.training_trl on|off STEPS PRODUCTS ROLLOUTS

PRODUCTS matrix products a step stand for the work of a larger model.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

MODE, STEPS, PRODUCTS, ROLLOUTS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
_SIZE = 384

if MODE == "on":
    import otel_llm

    otel_llm.instrument(content="full")

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


def tiny() -> tuple[Any, Any]:
    """Return a model of some 10,000 parameters and its tokenizer, a character a token."""
    characters = ["<pad>", "<eos>", *sorted(set("abcdefghijklmnopqrstuvwxyz0123456789 .?:<>/"))]
    made = Tokenizer(models.WordLevel({c: i for i, c in enumerate(characters)}, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<pad>")
    tokenizer.padding_side = "left"
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(characters),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    return Qwen2ForCausalLM(config), tokenizer


_square = torch.full((_SIZE, _SIZE), 0.001)


def work(completions: list[str], **_: Any) -> list[float]:
    """Score by digits, after the products."""
    for _ in range(PRODUCTS):
        torch.mm(_square, _square)
    return [sum(c.isdigit() for c in text) / max(1, len(text)) for text in completions]


def short(completions: list[str], **_: Any) -> list[float]:
    """Prefer short ones."""
    return [-len(text) / 100 for text in completions]


class Watch(TrainerCallback):  # type: ignore[misc]
    """Notes when the first step was over: what comes before is loading and warming up."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        if self.began is None:
            self.began = time.process_time(), time.perf_counter()


def main() -> None:
    model, tokenizer = tiny()
    watch = Watch()
    with tempfile.TemporaryDirectory() as directory:
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=[work, short],
            args=GRPOConfig(
                output_dir=directory,
                per_device_train_batch_size=ROLLOUTS,
                num_generations=8,
                max_completion_length=8,
                max_steps=STEPS + 1,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                learning_rate=1e-3,
                disable_tqdm=True,
                seed=0,
            ),
            train_dataset=Dataset.from_list([{"prompt": f"answer with a number: {i}"} for i in range(512)]),
            callbacks=[watch],
        )
        trainer.train()
        if MODE == "on":
            otel_llm.shutdown()
    assert watch.began is not None
    cpu, wall = time.process_time() - watch.began[0], time.perf_counter() - watch.began[1]
    losses = [[row["loss"], row["reward"]] for row in trainer.state.log_history if "reward" in row]
    spans = 0
    if MODE == "on":
        from otel_llm.store import StoreReader

        spans = sum(1 for _ in StoreReader(os.environ["OTEL_LLM_STORE"]).spans(name="rollout"))
    print(json.dumps({"cpu_s": cpu, "step_s": wall / STEPS, "losses": losses, "rollouts": spans}))


if __name__ == "__main__":
    main()
