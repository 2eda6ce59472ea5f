"""Dr. GRPO: no division by lengths, none by spreads; what the loss consists of is told, and what is compared with.

How long an answer is, is what is to be learned here: the loss of GRPO favours short wrong ones.
"""

from collections.abc import Sequence
from functools import partial

import torch
from tinygrpo import options, telemetry
from tinygrpo.experience import batch_loss, batches, compare, shuffled
from tinygrpo.maths import group_advantages
from tinygrpo.policy import load
from tinygrpo.single_turn import roll_out_together
from tinygrpo.tasks import counting
from tinygrpo.warmup import warm_up

import otel_llm


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    parser = options.parser("dr_grpo", __doc__, steps=40)
    parser.add_argument(
        "--critic",
        choices=("group_mean", "leave_one_out"),
        default="group_mean",
        help="what a reward is compared with: the mean of its group, or of the others in it",
    )
    args = parser.parse_args(argv)
    telemetry.start(args)
    torch.manual_seed(args.seed)
    order = torch.Generator().manual_seed(args.seed)

    task = counting(args.seed, args.max_prompts)
    policy = load(args, task.texts())
    warm_up(policy, task.demonstrations, args)
    reference = policy.reference()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=args.lr)
    advantages = partial(group_advantages, normalise=False, leave_one_out=args.critic == "leave_one_out")
    longest = args.max_new_tokens or task.new_tokens
    updates = 0

    with (
        telemetry.run(args, policy, "dr_grpo"),
        otel_llm.TrainingMetrics(dr_grpo=True, critic_type=args.critic) as metrics,
    ):
        steps = otel_llm.steps(batches(task.questions, args.rollouts_per_step, args.steps))
        for number, questions in enumerate(steps, 1):
            experiences = roll_out_together(policy, task, questions, args)
            compare(experiences, policy, reference, args, advantages)
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
                    loss = batch_loss(batch, policy, args, longest=longest)
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
                    loss.total,
                    kl=loss.kl,
                    grad_norm=norm,
                    learning_rate=args.lr,
                    components={"policy": loss.policy, "kl": loss.penalty},
                    step=updates,
                )
            metrics.epoch_end(updates)
            telemetry.checkpoint(number, policy, metrics, args)
            telemetry.show(number, experiences)
    otel_llm.shutdown()


if __name__ == "__main__":
    main()
