"""GRPO with accelerate: mixed precision, devices and gradient accumulation are its business."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from tinygrpo import options, telemetry
from tinygrpo.experience import batch_loss, batches, compare, shuffled
from tinygrpo.policy import load
from tinygrpo.single_turn import roll_out
from tinygrpo.tasks import mirrored
from tinygrpo.warmup import warm_up

import otel_llm


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    parser = options.parser("accelerate_loop", __doc__, steps=80)
    parser.add_argument(
        "--gradient-accumulation-steps",
        type=int,
        default=2,
        help="parts that each training batch is split into",
    )
    args = parser.parse_args(argv)
    if args.train_batch_size % (pieces := args.gradient_accumulation_steps):
        parser.error("--gradient-accumulation-steps has to divide --train-batch-size")
    if args.rollouts_per_step * args.group_size % args.train_batch_size:
        parser.error("--train-batch-size has to divide the rollouts of a step")
    telemetry.start(args)
    accelerator = Accelerator(gradient_accumulation_steps=pieces)
    set_seed(args.seed)
    order = torch.Generator().manual_seed(args.seed)

    task = mirrored(args.seed, args.max_prompts)
    policy = load(args, task.texts(), accelerator.device)
    warm_up(policy, task.demonstrations, args)
    reference = policy.reference()
    model, optimizer = accelerator.prepare(
        policy.model, torch.optim.AdamW(policy.model.parameters(), lr=args.lr)
    )
    updates = 0

    with telemetry.run(args, policy, "grpo"), otel_llm.TrainingMetrics(accelerator=accelerator) as metrics:
        steps = otel_llm.steps(batches(task.questions, args.rollouts_per_step, args.steps))
        for number, questions in enumerate(steps, 1):
            experiences = roll_out(policy, task, questions, args, step=number)
            compare(experiences, policy, reference, args)
            metrics.rollouts(
                [one.reward for one in experiences],
                [one.kl for one in experiences],
                [one.advantage for one in experiences],
                replay_buffer_size=len(experiences),
            )

            size = args.train_batch_size // pieces
            losses = []
            for micro_step, batch in enumerate(shuffled(experiences, size, order)):
                with accelerator.accumulate(model):
                    rollouts = [one.rollout for one in batch]
                    with otel_llm.loss(rollouts, micro_step=micro_step, update=updates + 1) as part:
                        loss = batch_loss(batch, policy, args, model=model)
                        part.set(loss=loss.total)
                    losses.append(loss)
                    with otel_llm.part("backward"):
                        accelerator.backward(loss.total)
                    if not accelerator.sync_gradients:
                        continue
                    updates += 1
                    with otel_llm.part("optimizer", update=updates):
                        norm = accelerator.clip_grad_norm_(model.parameters(), 1.0)
                        if not args.frozen:
                            optimizer.step()
                        optimizer.zero_grad()
                mean = sum(one.total.detach() for one in losses) / pieces
                metrics.training_step(
                    mean,
                    kl=sum(one.kl.detach() for one in losses) / pieces,
                    grad_norm=norm,
                    learning_rate=args.lr,
                    step=updates,
                )
                losses = []
            metrics.epoch_end(updates)
            telemetry.checkpoint(number, policy, metrics, args)
            telemetry.show(number, experiences)
    otel_llm.shutdown()


if __name__ == "__main__":
    main()
