"""The options of every loop: each has the same ones, with defaults of its own."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

PROJECTS: Final = {
    "base": "tiny_grpo",
    "dr_grpo": "drgrpo_experiment",
    "accelerate_loop": "accelerate_grpo",
    "accelerate_ddp": "grpo_accelerate_ddp",
    "multiturn_qa": "tiny_grpo_multiturn_qa",
    "math_python": "tiny_grpo_multiturn_tool_calling",
    "diplomacy_grpo": "diplomacy-grpo",
}
"""The W&B project that each loop writes to, unless told otherwise."""


def parser(loop: str, about: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Return the parser of a loop.

    Args:
        loop: its name, a key of `PROJECTS`.
        about: the first line is shown by `--help`.
        **defaults: other defaults than those below.
    """
    made = argparse.ArgumentParser(prog=f"{loop}.py", description=(about or "").partition("\n")[0])

    where = made.add_argument_group("where it is logged")
    where.add_argument(
        "--wandb",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a W&B run, offline where nobody is logged in; --no-wandb: TensorBoard in --log-dir",
    )
    where.add_argument(
        "--wandb-project", default=PROJECTS.get(loop, "tiny_grpo"), help="default: %(default)s"
    )
    where.add_argument("--run-name", help="what the run is called; default: W&B's choice")
    where.add_argument("--log-dir", type=Path, default=Path("logs"), help="TensorBoard's files")
    where.add_argument("--store", type=Path, default=Path(".otel_llm"), help="the local store of otel_llm")
    where.add_argument(
        "--content",
        choices=("none", "length", "preview", "full"),
        default="full",
        help="what the store and the backends get of prompts and completions",
    )

    how = made.add_argument_group("how it learns")
    how.add_argument("--model-name", help="a model of transformers; default: a tiny one, made on the spot")
    how.add_argument("--lr", type=float, default=1e-3)
    how.add_argument("--group-size", type=int, default=8, help="rollouts of each prompt")
    how.add_argument("--rollouts-per-step", type=int, default=8, help="prompts in each step")
    how.add_argument(
        "--train-batch-size", type=int, default=16, help="rollouts in each update of the weights"
    )
    how.add_argument("--temperature", type=float, default=1.0)
    how.add_argument("--max-length", type=int, default=256, help="tokens of prompt and completion together")
    how.add_argument("--max-new-tokens", type=int, help="tokens of an answer; default: as the task needs")
    how.add_argument("--max-prompts", type=int, default=512, help="how many prompts there are")
    how.add_argument("--steps", type=int, default=60)
    how.add_argument("--kl-weight", type=float, default=0.01)
    how.add_argument("--clip", type=float, default=0.2, help="how far a ratio of probabilities counts")
    how.add_argument("--checkpoint-interval", type=int, default=20, help="steps between; 0 for none")
    how.add_argument("--output", type=Path, default=Path("grpo_checkpoints"), help="where checkpoints go")
    how.add_argument("--seed", type=int, default=42)
    how.add_argument(
        "--frozen", action="store_true", help="sample and score, but leave the weights as they are"
    )
    made.set_defaults(loop=loop, **defaults)
    return made


def parse(loop: str, about: str | None, argv: Sequence[str] | None, **defaults: Any) -> argparse.Namespace:
    """Read the options of a loop that has none of its own."""
    return parser(loop, about, **defaults).parse_args(argv)
