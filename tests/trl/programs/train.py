"""Trains a tiny model with TRL and writes down what came of it: one JSON file a rank.

    python train.py MODEL OUTPUT [--off] [--trainer grpo] [--case plain] [--config '{"max_steps": 2}']
    python train.py --serve                 reads such arguments from its input, a JSON list a line; forks for each

What losses learned from is captured here by itself, from the batches that the trainer hands to its loss.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("output", type=Path)
parser.add_argument("--off", action="store_true")
parser.add_argument("--trainer", default="grpo")
parser.add_argument("--case", default="plain")
parser.add_argument("--ranks", type=int, default=1)
parser.add_argument("--config", type=json.loads, default={})
parser.add_argument("--instrument", type=json.loads, default={})


def main(options: argparse.Namespace, *, imported: bool) -> None:
    """Train, and write the file."""
    import cases
    import sharded

    if not options.off:
        import otel_llm

        cases.break_on_purpose(options.case)
        otel_llm.instrument(**{"store": options.output / "store", "content": "full", **options.instrument})
        assert imported or not {"torch", "transformers", "trl"} & sys.modules.keys(), (
            "imported for the program"
        )
    import torch
    import transformers
    import trl

    learned: list[Any] = []
    trainer, run = cases.make(options, trl, lambda kind: capture(kind, learned))
    error = None
    try:
        run(trainer)
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    digest = hashlib.sha256()
    for value in trainer.model.parameters():
        digest.update(sharded.held(value).cpu().contiguous().view(torch.uint8).numpy().tobytes())
    found: dict[str, Any] = {
        "error": error,
        "history": trainer.state.log_history,
        "weights": digest.hexdigest(),
        "random": random_state(torch),
        "learned": learned,
        "versions": {"trl": trl.__version__, "transformers": transformers.__version__},
        "callbacks": [type(callback).__name__ for callback in trainer.callback_handler.callbacks],
        "extra": cases.extra,
    }
    if not options.off:
        import otel_llm_trl

        otel_llm.force_flush(30)
        found |= {"seams": otel_llm_trl.seams(), "dropped": otel_llm.status()["dropped"]}
        otel_llm.shutdown()
    rank = os.environ.get("RANK", "0")
    (options.output / f"rank{rank}.json").write_text(json.dumps(found))


def capture(kind: type, learned: list[Any]) -> None:
    """Write down which completions the batches of losses have, below whatever else looks at them."""
    name = "_compute_loss" if hasattr(kind, "_compute_loss") else "compute_loss"
    original = getattr(kind, name)

    def compute(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.model.training and isinstance(inputs, dict) and "completion_ids" in inputs:
            pairs = zip(inputs["completion_ids"].tolist(), inputs["completion_mask"].tolist(), strict=True)
            rows = [[token for token, there in zip(ids, mask, strict=True) if there] for ids, mask in pairs]
            learned.append(
                {
                    "step": self.state.global_step + 1,
                    "rows": rows,
                    "advantages": inputs["advantages"].tolist(),
                    "columns": sorted(inputs),
                }
            )
        return original(self, model, inputs, *args, **kwargs)

    setattr(kind, name, compute)


def random_state(torch: Any) -> str:
    """Return a digest of all random number generators."""
    import numpy as np

    numpy_state = np.random.get_state()  # noqa: NPY002 (what programs and trainers seed)
    parts = [repr(random.getstate()), repr(numpy_state), torch.get_rng_state().numpy().tobytes().hex()]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def serve() -> None:
    """Fork for each line of the input; answer with a line when all ranks have ended."""
    import datasets  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401
    import trl

    for name in ("GRPOTrainer", "RLOOTrainer", "SFTTrainer", "DPOTrainer", "KTOTrainer", "RewardTrainer"):
        getattr(trl, name)
    print("ready", flush=True)
    for line in sys.stdin:
        options = parser.parse_args(json.loads(line))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        children = [_child(options, rank, port) for rank in range(options.ranks)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(statuses), flush=True)


def _child(options: argparse.Namespace, rank: int, port: str) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with (options.output / f"output{rank}.txt").open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        if options.ranks > 1:
            os.environ |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(options.ranks),
                "LOCAL_WORLD_SIZE": str(options.ranks),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "ACCELERATE_USE_CPU": "true",
            }
        main(options, imported=True)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        given = parser.parse_args()
        given.output.mkdir(parents=True, exist_ok=True)
        main(given, imported=False)
