"""GRPO with TRL: instrument, train; nothing else is about telemetry.

python trl_grpo.py, on two processes ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 trl_grpo.py, or on GPUs
accelerate launch --config_file configs/zero3.yaml trl_grpo.py --model-name Qwen/Qwen3-4B.
"""

from collections.abc import Sequence

from tinygrpo import telemetry, with_trl
from tinygrpo.tasks import copying
from trl import GRPOTrainer

import otel_llm


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    args = with_trl.parse(with_trl.parser("trl_grpo", __doc__), argv)
    telemetry.start(args)

    task = copying(args.seed, args.max_prompts)
    model = with_trl.first_model(args, task)
    tokenizer = with_trl.tokenizer_of(args, model)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=with_trl.reward_functions(task.rewards),
        args=with_trl.configuration(args, task, tokenizer),
        train_dataset=with_trl.dataset(task),
        processing_class=tokenizer,
    )
    with_trl.train(trainer)
    otel_llm.shutdown()


if __name__ == "__main__":
    main()
