"""GRPO on several processes: each samples groups of its own, and all learn from all of them.

ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 accelerate_ddp.py, or on GPUs
accelerate launch --multi_gpu --num_processes=2 accelerate_ddp.py.
"""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from tinygrpo import options, telemetry
from tinygrpo.experience import batch_loss, batches, compare, shuffled
from tinygrpo.policy import load
from tinygrpo.single_turn import roll_out
from tinygrpo.tasks import successor
from tinygrpo.warmup import warm_up

import otel_llm


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    parser = options.parser("accelerate_ddp", __doc__, steps=80)
    args = parser.parse_args(argv)
    telemetry.start(args)
    accelerator = Accelerator()
    rank, ranks = accelerator.process_index, accelerator.num_processes
    if args.rollouts_per_step % ranks or args.train_batch_size % ranks:
        parser.error(f"{ranks} processes have to divide --rollouts-per-step and --train-batch-size")
    set_seed(args.seed, device_specific=True)  # else all ranks would sample alike
    order = torch.Generator().manual_seed(args.seed + rank)

    task = successor(args.seed, args.max_prompts)
    policy = load(args, task.texts(), accelerator.device)
    warm_up(policy, task.demonstrations, args)
    reference = policy.reference()
    model, optimizer = accelerator.prepare(
        policy.model, torch.optim.AdamW(policy.model.parameters(), lr=args.lr)
    )
    policy.model = accelerator.unwrap_model(model)
    mine = args.rollouts_per_step // ranks
    updates = 0

    with (
        telemetry.run(args, policy, "grpo"),
        otel_llm.TrainingMetrics(accelerator=accelerator, reduce=gather_object) as metrics,
    ):
        steps = otel_llm.steps(batches(task.questions, args.rollouts_per_step, args.steps))
        for number, questions in enumerate(steps, 1):
            first = rank * mine
            experiences = roll_out(
                policy, task, questions[first : first + mine], args, step=number, first_group=first
            )
            compare(experiences, policy, reference, args)
            metrics.rollouts(
                [one.reward for one in experiences],
                [one.kl for one in experiences],
                [one.advantage for one in experiences],
                replay_buffer_size=len(experiences),
            )

            for micro_step, batch in enumerate(shuffled(experiences, args.train_batch_size // ranks, order)):
                updates += 1
                with otel_llm.loss(
                    [one.rollout for one in batch], micro_step=micro_step, update=updates
                ) as part:
                    loss = batch_loss(batch, policy, args, model=model)
                    part.set(loss=loss.total)
                with otel_llm.part("backward"):
                    accelerator.backward(loss.total)  # gradients of all ranks become their mean
                with otel_llm.part("optimizer", update=updates):
                    norm = accelerator.clip_grad_norm_(model.parameters(), 1.0)
                    if not args.frozen:
                        optimizer.step()
                    optimizer.zero_grad()
                metrics.training_step(
                    loss.total, kl=loss.kl, grad_norm=norm, learning_rate=args.lr, step=updates
                )
            metrics.epoch_end(updates)
            if accelerator.is_main_process:
                telemetry.checkpoint(number, policy, metrics, args)
                telemetry.show(number, experiences)
    otel_llm.shutdown()
    accelerator.end_training()


if __name__ == "__main__":
    main()
