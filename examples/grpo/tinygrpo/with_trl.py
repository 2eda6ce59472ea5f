"""What the stories with TRL share: options, its configuration, its reward functions, the model that it begins with."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

import otel_llm_trl
from tinygrpo import options
from tinygrpo.policy import Policy
from tinygrpo.tasks import Question, Reward, Task
from tinygrpo.tiny import tiny_model, tiny_tokenizer
from tinygrpo.warmup import warm_up


def parser(story: str, about: str | None) -> argparse.ArgumentParser:
    """Return the parser of a story: the options of every loop, and those of the plug-in for TRL."""
    made = options.parser(
        story, about, wandb_project=story, train_batch_size=64, steps=160, checkpoint_interval=0
    )
    made.add_argument(
        "--gradient-accumulation",
        type=int,
        default=2,
        metavar="N",
        help="batches in each update of the weights",
    )
    otel_llm_trl.add_arguments(made)
    return made


def parse(made: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options; those that do not fit each other, or the number of processes, end the program."""
    args = made.parse_args(argv)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rollouts = args.rollouts_per_step * args.group_size
    batch, rest = divmod(args.train_batch_size, ranks * args.gradient_accumulation)
    if rest or not batch:
        made.error(f"{ranks} processes times --gradient-accumulation have to divide --train-batch-size")
    if rollouts % args.train_batch_size:
        made.error("--train-batch-size has to divide --rollouts-per-step times --group-size")
    args.batch, args.batches_per_generation = batch, rollouts // (ranks * batch)
    otel_llm_trl.configure(
        log_full_trajectories=args.log_full_trajectories,
        log_trajectory_samples=args.log_trajectory_samples,
        log_token_details=args.log_token_details,
    )
    return args


def first_model(args: argparse.Namespace, task: Task, *, heads: int = 4) -> str:
    """Return the model that training begins with: `--model-name`, else a directory with a tiny one, made once.

    Args:
        args: the options.
        task: what a tiny one has the words of, and is shown the form of.
        heads: of its attention.
    """
    if args.model_name:
        return str(args.model_name)
    directory: Path = args.output / "tiny"
    state = PartialState(cpu=not torch.cuda.is_available())
    if state.is_local_main_process:
        tokenizer = tiny_tokenizer(task.texts())
        policy = Policy(tiny_model(tokenizer, args.seed, heads), tokenizer, "tiny")
        with torch.random.fork_rng():
            torch.manual_seed(args.seed)
            warm_up(policy, task.demonstrations, args)
        policy.save(directory)
    state.wait_for_everyone()
    return str(directory)


def tokenizer_of(args: argparse.Namespace, model: str) -> Any:
    """Return the tokenizer of the model that training begins with."""
    # transformers takes any tokenizer beside a Qwen2 for one of Qwen2's, unless it is told better.
    kind = AutoTokenizer if args.model_name else PreTrainedTokenizerFast
    return kind.from_pretrained(model, padding_side="left")


def configuration(args: argparse.Namespace, task: Task, tokenizer: Any, **more: Any) -> GRPOConfig:
    """Return TRL's configuration for the options; on CPU and on GPUs, for any number of processes.

    Args:
        args: the options.
        task: for the length of answers.
        tokenizer: for the length of prompts.
        **more: what a story wants besides.
    """
    longest = max(
        len(
            tokenizer.apply_chat_template(
                asked(question), add_generation_prompt=True, tokenize=True, return_dict=False
            )
        )
        for question in task.questions
    )
    is_real = args.model_name is not None
    return GRPOConfig(
        output_dir=str(args.output),
        run_name=args.run_name or args.loop,
        max_steps=args.steps,
        learning_rate=0.0 if args.frozen else args.lr,
        lr_scheduler_type="constant",
        beta=args.kl_weight,
        epsilon=args.clip,
        temperature=args.temperature,
        num_generations=args.group_size,
        per_device_train_batch_size=args.batch,
        gradient_accumulation_steps=args.gradient_accumulation,
        steps_per_generation=args.batches_per_generation,
        max_completion_length=max(1, min(args.max_new_tokens or task.new_tokens, args.max_length - longest)),
        save_strategy="steps" if args.checkpoint_interval else "no",
        save_steps=args.checkpoint_interval or 500,
        seed=args.seed,
        logging_steps=1,
        report_to=[],  # otel_llm tells W&B and TensorBoard, with the same names
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        bf16=is_real and torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
        **_checkpointing(is_on=is_real),
        **more,
    )


def _checkpointing(*, is_on: bool) -> dict[str, Any]:
    """Return the setting by the name that this release of transformers wants: newer ones warn of the old one."""
    if hasattr(GRPOConfig, "activation_checkpointing"):
        return {"activation_checkpointing": is_on, "gradient_checkpointing": None}
    return {"gradient_checkpointing": is_on}


def asked(question: Question) -> list[dict[str, str]]:
    """Return a question as a conversation."""
    return [{"role": "user", "content": question.text}]


def dataset(task: Task) -> Dataset:
    """Return the questions as a dataset with the columns `prompt` and `answer`."""
    return Dataset.from_list([{"prompt": asked(one), "answer": one.answer} for one in task.questions])


def reward_functions(rewards: Sequence[Reward]) -> list[Any]:
    """Return rewards of a task as TRL calls them: on all completions at once."""
    return [_of_all(reward) for reward in rewards]


def _of_all(reward: Reward) -> Any:
    one_by_one = getattr(
        reward, "__wrapped__", reward
    )  # the plug-in records what TRL asks, so that is enough

    def scored(completions: Any, answer: Sequence[str], **_: Any) -> list[float]:
        texts = (re.sub(r"\s+", " ", said[-1]["content"]).strip() for said in completions)
        return [one_by_one(text, Question("", right)) for text, right in zip(texts, answer, strict=True)]

    scored.__name__ = reward.__name__
    return scored


class Show(TrainerCallback):  # type: ignore[misc]
    """Prints what a step has earned."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Print it."""
        if state.is_world_process_zero and "reward" in (logs or {}):
            print(f"step {state.global_step:3}  reward {logs['reward']:.3f}", flush=True)


def train(trainer: GRPOTrainer) -> None:
    """Train, with a line a step."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Show)
    trainer.train()
