"""GRPO over several turns: questions over documents, answered with a retrieval tool.

Logs through the `Logger` that such scripts have.
"""

import argparse
from collections.abc import Sequence

import torch
from tinygrpo import options, telemetry
from tinygrpo.experience import batch_loss, batches, compare, shuffled
from tinygrpo.multi_turn import ToolTask, roll_out
from tinygrpo.policy import load
from tinygrpo.tool_tasks import documents
from tinygrpo.warmup import warm_up

import otel_llm
from otel_llm.training.figures import Logger

EXAMPLES_EVERY = 10


def main(argv: Sequence[str] | None = None) -> None:
    """Train on questions over documents."""
    args = options.parse("multiturn_qa", __doc__, argv, steps=80)
    train(args, documents(args.seed, args.max_prompts))


def train(args: argparse.Namespace, task: ToolTask) -> None:
    """Train on a task with a tool."""
    logger = Logger(
        use_wandb=args.wandb,
        project=args.wandb_project,
        run_name=args.run_name,
        log_dir=args.log_dir,
        store=args.store,
        content=args.content,
        service_name=f"grpo-{args.loop}",
    )
    torch.manual_seed(args.seed)
    order = torch.Generator().manual_seed(args.seed)

    policy = load(args, task.texts())
    warm_up(policy, task.demonstrations, args)
    reference = policy.reference()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=args.lr)
    updates = 0

    with logger, telemetry.run(args, policy, "grpo"):
        steps = otel_llm.steps(batches(task.questions, args.rollouts_per_step, args.steps))
        for number, questions in enumerate(steps, 1):
            experiences = roll_out(policy, task, questions, args, step=number)
            compare(experiences, policy, reference, args)
            returns = [one.reward for one in experiences]
            logger.log_rollouts(
                returns,
                kl=[one.kl for one in experiences],
                advantages=[one.advantage for one in experiences],
                replay_buffer_size=len(experiences),
            )
            logger.log_batch_returns(returns)
            logger.log({"rollouts/sampled_tokens": sum(one.sample.sampled for one in experiences)})
            if number % EXAMPLES_EVERY == 1:
                logger.log_example(policy.tokenizer.decode(experiences[0].sample.ids))

            for micro_step, batch in enumerate(shuffled(experiences, args.train_batch_size, order)):
                updates += 1
                with otel_llm.loss(
                    [one.rollout for one in batch], micro_step=micro_step, update=updates
                ) as part:
                    loss = batch_loss(batch, policy, args)
                    part.set(loss=loss.total)
                if not loss.total.isfinite():
                    logger.log_invalid_loss(updates)
                    continue
                with otel_llm.part("backward"):
                    loss.total.backward()
                with otel_llm.part("optimizer", update=updates):
                    norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
                    if not args.frozen:
                        optimizer.step()
                    optimizer.zero_grad()
                logger.log_training_step(
                    loss=loss.total, kl=loss.kl, grad_norm=norm, learning_rate=args.lr, step=updates
                )
            logger.log_epoch_end(updates)
            telemetry.checkpoint(number, policy, logger.metrics, args)
            telemetry.show(number, experiences)


if __name__ == "__main__":
    main()
