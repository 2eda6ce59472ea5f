"""Where the telemetry of a loop goes: the local store, and W&B or TensorBoard beside it."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

import otel_llm


def start(args: argparse.Namespace) -> None:
    """Instrument, as the options say."""
    if args.wandb:
        import otel_llm_wandb

        otel_llm_wandb.configure(project=args.wandb_project, name=args.run_name)
    else:
        os.environ["OTEL_LLM_TENSORBOARD_DIR"] = str(args.log_dir)
    exporters = ["wandb" if args.wandb else "tensorboard"]
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:  # a Collector, or Jaeger
        exporters.append("otlp")
    otel_llm.instrument(
        exporters=exporters,
        store=args.store,
        content=args.content,
        service_name=f"grpo-{args.loop}",
    )


def run(args: argparse.Namespace, policy: Any, algorithm: str, environment: str | None = None) -> Any:
    """Return the scope of a training run with the options as its configuration."""
    given = vars(args).items()
    return otel_llm.training_run(
        name=args.run_name or args.loop,
        algorithm=algorithm,
        model=policy.name,
        system=args.loop,
        environment=environment,
        config={name: str(value) if isinstance(value, os.PathLike) else value for name, value in given},
    )


def checkpoint(number: int, policy: Any, metrics: otel_llm.TrainingMetrics, args: argparse.Namespace) -> None:
    """Save the policy, if it is time."""
    if args.checkpoint_interval and number % args.checkpoint_interval == 0:
        with otel_llm.part("checkpoint"):
            policy.save(args.output / f"step_{number}")
        metrics.checkpoint(number)


def show(number: int, experiences: Sequence[Any]) -> None:
    """Print what a step has earned."""
    rewards = [one.reward for one in experiences]
    print(f"step {number:3}  reward {sum(rewards) / len(rewards):.3f}", flush=True)
