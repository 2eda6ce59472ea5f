"""GRPO, the loop itself: sample groups, compare within each, learn from the differences.

`python base.py --help` tells the options, README.md what is seen of it.
"""

from collections.abc import Sequence

import torch
from tinygrpo import options, telemetry
from tinygrpo.experience import batch_loss, batches, compare, shuffled
from tinygrpo.policy import load
from tinygrpo.single_turn import roll_out
from tinygrpo.tasks import copying
from tinygrpo.warmup import warm_up

import otel_llm


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    args = options.parse("base", __doc__, argv)
    telemetry.start(args)
    torch.manual_seed(args.seed)
    order = torch.Generator().manual_seed(args.seed)

    task = copying(args.seed, args.max_prompts)
    policy = load(args, task.texts())
    warm_up(policy, task.demonstrations, args)
    reference = policy.reference()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=args.lr)
    updates = 0

    with telemetry.run(args, policy, "grpo"), otel_llm.TrainingMetrics() as metrics:
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

            for micro_step, batch in enumerate(shuffled(experiences, args.train_batch_size, order)):
                updates += 1
                with otel_llm.loss(
                    [one.rollout for one in batch], micro_step=micro_step, update=updates
                ) as part:
                    loss = batch_loss(batch, policy, args)
                    part.set(loss=loss.total)
                if not loss.total.isfinite():
                    metrics.invalid_loss(updates)
                    continue
                with otel_llm.part("backward"):
                    loss.total.backward()
                with otel_llm.part("optimizer", update=updates):
                    norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
                    if not args.frozen:
                        optimizer.step()
                    optimizer.zero_grad()
                metrics.training_step(
                    loss.total, kl=loss.kl, grad_norm=norm, learning_rate=args.lr, step=updates
                )
            metrics.epoch_end(updates)
            telemetry.checkpoint(number, policy, metrics, args)
            telemetry.show(number, experiences)
    otel_llm.shutdown()


if __name__ == "__main__":
    main()
