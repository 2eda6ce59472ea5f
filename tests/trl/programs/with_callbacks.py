"""Trains a tiny model with GRPO on a CPU, with our callback or without; prints what came of it as JSON.

python with_callbacks.py DIRECTORY enhanced|optimized|none
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "grpo"))

import rewards
from datasets import Dataset
from tiny import build
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

import otel_llm
from otel_llm.store import StoreReader
from otel_llm_trl.callbacks import EnhancedLoggingCallback, Frequencies, OptimizedLoggingCallback

STEPS = 4


class Norms(TrainerCallback):
    """Computes norms of gradients by itself, to compare."""

    def __init__(self) -> None:
        self.found: dict[int, dict[str, float]] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.found[state.global_step + 1] = {
            name: float(p.grad.double().pow(2).sum().sqrt()) for name, p in model.named_parameters()
        }


def main(directory: Path, which: str) -> None:
    callbacks: list[Any] = [norms := Norms()]
    if which == "enhanced":
        callbacks.append(
            EnhancedLoggingCallback(Frequencies(1, 2, 1, 2, 2, 1), checkpoint_dir=directory / "kept")
        )
    elif which == "optimized":
        callbacks.append(OptimizedLoggingCallback(directory / "kept"))
    functions = rewards.REWARD_FUNCTIONS
    if which != "none":
        otel_llm.instrument(store=directory / "store", exporters=[], content="full", instrumentations=[])
    else:
        functions = [function.__wrapped__ for function in functions]
    rows = [{"prompt": [{"role": "user", "content": f"{i} + {i}?"}], "answer": str(2 * i)} for i in range(16)]
    # One that is always right, so that there is something to count.
    rewards.extract_xml_answer = lambda text: "4" if len(text) % 2 else "x"
    for row in rows:
        row["answer"] = "4"
    data = Dataset.from_list(rows)
    build(directory / "model")
    trainer = GRPOTrainer(
        str(directory / "model"),
        functions,
        GRPOConfig(
            output_dir=str(directory / "out"),
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            num_generations=4,
            gradient_accumulation_steps=2,
            max_completion_length=8,
            max_steps=STEPS,
            logging_steps=1,
            save_steps=2,
            eval_strategy="steps",
            eval_steps=3,
            learning_rate=1e-2,
            reward_weights=rewards.WEIGHTS,
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
            seed=0,
        ),
        train_dataset=data,
        eval_dataset=data.select(range(4)),
        callbacks=callbacks,
    )
    trainer.train()
    otel_llm.shutdown()
    told: dict[str, list[Any]] = {}
    outputs = 0
    if which != "none":
        for row in StoreReader(directory / "store").series():
            told.setdefault(row.name, []).append([row.step, row.value])
        outputs = sum(
            log.event_name == "otel_llm.model_output" for log in StoreReader(directory / "store").logs()
        )
    timed = ("runtime", "per_second", "step_time")
    history = [
        {k: v for k, v in entry.items() if not k.endswith(timed)} for entry in trainer.state.log_history
    ]
    print(
        json.dumps(
            {
                "told": told,
                "outputs": outputs,
                "history": history,
                "norms": norms.found,
                "dropped": _dropped(),
            }
        )
    )


def _dropped() -> dict[str, int]:
    from otel_llm import drops

    return {f"{what}: {why}": n for (what, why), n in drops.counts().items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
