"""One rank of a made-up training with tensors: tells metrics, and writes down the raw values.

python ranks.py DIRECTORY      (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT as launchers set them)
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import otel_llm


def gather(mine: list[Any]) -> list[Any]:
    of_all: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(of_all, mine)
    return [one for found in of_all for one in found]


def main(directory: Path) -> None:
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo")
    otel_llm.instrument(store=directory / "store", exporters=[], instrumentations=[])
    apart = otel_llm.TrainingMetrics(run="apart", dr_grpo=True, ddof=1)
    reduced = otel_llm.TrainingMetrics(run="reduced", dr_grpo=True, ddof=1, reduce=gather)
    source = torch.Generator().manual_seed(rank)
    raw: dict[str, list[Any]] = {"returns": [], "kl": [], "advantages": [], "loss": [], "grad_norm": []}
    for batch in range(3):
        returns = 1e6 + torch.randn(5 + rank, generator=source, dtype=torch.float64)
        kl = torch.rand(4, generator=source).to(torch.bfloat16)
        advantages = torch.randn(2, 3 + rank, generator=source, requires_grad=True) * 2
        values = {"returns": returns, "kl": kl, "advantages": advantages}
        for name, value in values.items():
            raw[name].append(value.detach().flatten().tolist())
        for metrics in (apart, reduced):
            metrics.rollouts(**values)
        returns.zero_()  # what the program does with them later is its own business
        for _ in range(2):
            loss, norm = torch.rand((), generator=source), torch.rand((), generator=source)
            raw["loss"].append(loss.item())
            raw["grad_norm"].append(norm.item())
            for metrics in (apart, reduced):
                metrics.training_step(loss, grad_norm=norm, learning_rate=1e-3)
            loss.fill_(9.0)
        del batch
    for metrics in (apart, reduced):
        metrics.epoch_end()
        metrics.finish()
    otel_llm.shutdown()
    (directory / f"raw-{rank}.json").write_text(json.dumps(raw))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
