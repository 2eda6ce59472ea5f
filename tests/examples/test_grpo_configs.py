"""The configurations of examples/grpo/configs are what accelerate and DeepSpeed take; nothing is launched."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
pytestmark = pytest.mark.trl

CONFIGS = Path(__file__).parents[2] / "examples" / "grpo" / "configs"


def launched(name: str) -> tuple[argparse.Namespace, dict[str, str]]:
    """What `accelerate launch --config_file` makes of one: its arguments, and the environment of the processes."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    parser = launch_command_parser()
    args = parser.parse_args(["--config_file", str(CONFIGS / name), "trl_grpo.py"])
    args, defaults, _ = _validate_launch_command(args)
    if args.use_deepspeed:
        args.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        _, env = prepare_deepspeed_cmd_env(args)
    else:
        env = prepare_multi_gpu_env(args)
    return args, env


@pytest.mark.parametrize("name", ["ddp.yaml", "fsdp.yaml", "zero3.yaml"])
def test_accelerate_launches_two_processes_in_bf16(name: str) -> None:
    args, env = launched(name)
    assert (args.num_processes, args.cpu) == (2, False)
    assert env["ACCELERATE_MIXED_PRECISION"] == "bf16"


def test_fsdp_is_the_second_version_and_gathers_whole_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    args, env = launched("fsdp.yaml")
    assert args.use_fsdp
    for key, value in env.items():
        if key.startswith("FSDP_"):
            monkeypatch.setenv(key, value)
    plugin = accelerate.FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert plugin.reshard_after_forward is True


def test_zero_3_is_stage_three_and_saves_whole_checkpoints() -> None:
    args, env = launched("zero3.yaml")
    assert args.use_deepspeed
    assert env["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == "3"
    assert env["ACCELERATE_DEEPSPEED_ZERO3_INIT"] == "true"
    assert env["ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL"] == "true"


def test_deepspeed_takes_its_own_configuration() -> None:
    config = json.loads((CONFIGS / "deepspeed_zero3.json").read_text())
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    from deepspeed.runtime.config import DeepSpeedConfig

    sizes = {
        "train_micro_batch_size_per_gpu": 8,
        "gradient_accumulation_steps": 2,
        "train_batch_size": 16,
        "gradient_clipping": 1.0,
        "bf16": {"enabled": True},
        "zero_optimization": {
            key: 1_000_000 if value == "auto" else value for key, value in config["zero_optimization"].items()
        },
    }
    assert config.keys() == sizes.keys(), "all that is left to accelerate is known"
    read = DeepSpeedConfig(config | sizes)
    assert (read.zero_config.stage, read.zero_config.gather_16bit_weights_on_model_save) == (3, True)
