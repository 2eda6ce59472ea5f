"""Shards a model over CPUs: PyTorch's FSDP and DeepSpeed can do that, but accelerate hands them GPUs alone.

What is replaced is what accelerate decides by the kind of device; all else, from the configuration to the collectives,
is theirs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parents[3] / "examples" / "grpo" / "configs"


def prepare(name: str) -> None:
    """Let this process train as `accelerate launch --config_file` would start it, but on a CPU and in float32.

    Args:
        name: a file of examples/grpo/configs, without its ending.
    """
    launched = _launched(name)
    os.environ |= {key: value for key, value in launched.items() if key.startswith(("ACCELERATE_", "FSDP_"))}
    os.environ |= {"ACCELERATE_MIXED_PRECISION": "no", "DS_ACCELERATOR": "cpu"}
    os.environ.pop("ACCELERATE_USE_CPU", None)
    _count_cpus_as_gpus()
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        import deepspeed

        # Its own way of adding up on one machine is built with a compiler when it is first used; gloo does the same.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _launched(name: str) -> dict[str, str]:
    """Return the environment that accelerate gives to the processes it starts."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    parsed = launch_command_parser().parse_args(["--config_file", str(CONFIGS / f"{name}.yaml"), "train.py"])
    args, defaults, _ = _validate_launch_command(parsed)
    if not args.use_deepspeed:
        return dict(prepare_multi_gpu_env(args))
    args.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
    return dict(prepare_deepspeed_cmd_env(args)[1])


def _count_cpus_as_gpus() -> None:
    from accelerate import DistributedType
    from accelerate.state import AcceleratorState, PartialState

    backend_of, make = PartialState._prepare_backend, AcceleratorState.__init__

    def prepare_backend(self: Any, cpu: bool = False, *args: Any, **kwargs: Any) -> Any:
        return backend_of(self, True, *args, **kwargs)

    def made(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        make(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin

    PartialState._prepare_backend = prepare_backend
    AcceleratorState.__init__ = made


def held(parameter: Any) -> Any:
    """Return what this rank holds of a parameter: its part of it under ZeRO-3 and FSDP, else all."""
    if hasattr(parameter, "ds_tensor"):
        return parameter.ds_tensor.detach()
    return parameter.detach().to_local() if hasattr(parameter, "to_local") else parameter.detach()


def watched(run: Callable[[Any], None], told: dict[str, Any]) -> Callable[[Any], None]:
    """Return what runs a trainer and writes down how it was sharded, and each collective that there was.

    Args:
        run: trains.
        told: where it is written to.
    """

    def watching(trainer: Any) -> None:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU]) as seen:
            run(trainer)
        # Its raw events: making a tree of them takes longer than the training.
        names = (event.name() for event in seen.profiler.kineto_results.events())
        told["collectives"] = dict(
            sorted(Counter(n for n in names if n.startswith(("c10d::", "gloo:"))).items())
        )
        told["distributed"] = str(trainer.accelerator.distributed_type)
        parameters = list(trainer.model.parameters())
        told["held"] = sum(held(one).numel() for one in parameters)
        told["parameters"] = sum(int(getattr(one, "ds_numel", 0) or one.numel()) for one in parameters)

    return watching
