"""GRPO with TRL, rollouts from a vLLM server: trainer, HTTP client and engine in one trace.

python trl_vllm.py --make-model, then vllm serve, then python trl_vllm.py: README.md has the commands.
"""

import argparse
import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import httpx
from tinygrpo import telemetry, with_trl
from tinygrpo.tasks import copying
from trl import GRPOTrainer

import otel_llm

_CONCURRENT = httpx.Limits(max_connections=64)


class Server:
    """A vLLM server, asked over plain HTTP; `traceparent` goes with every request, and vLLM's spans are below it.

    Args:
        args: the options.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._has_weights_of = 0
        self.name = (
            httpx.get(f"{args.server}/v1/models", timeout=30).raise_for_status().json()["data"][0]["id"]
        )

    def roll_out(self, prompts: list[Any], trainer: GRPOTrainer) -> dict[str, list[Any]]:
        """Sample a completion of each prompt: TRL's `rollout_func`."""
        self._send_weights(trainer)
        tokenizer = trainer.processing_class
        ids = [
            tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=True, return_dict=False)
            for one in prompts
        ]
        answers = asyncio.run(self._sample(ids, trainer.args))
        return {
            "prompt_ids": ids,
            "completion_ids": [one["token_ids"] for one in answers],
            "logprobs": [one["logprobs"]["token_logprobs"] for one in answers],
        }

    async def _sample(self, prompts: list[list[int]], config: Any) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=self._args.server, timeout=600, limits=_CONCURRENT) as client:

            async def ask(prompt: list[int], count: int) -> list[dict[str, Any]]:
                body = {
                    "model": self.name,
                    "prompt": prompt,
                    "n": count,
                    "max_tokens": config.max_completion_length,
                    "temperature": config.temperature,
                    "top_p": config.top_p,
                    "logprobs": 0,  # of the token that was sampled, and of no other
                    "return_token_ids": True,
                }
                answer = await client.post("/v1/completions", json=body)
                return list(answer.raise_for_status().json()["choices"])

            async def ask_alone(prompt: list[int]) -> list[dict[str, Any]]:
                with otel_llm.rollout() as rollout:
                    rollout.policy(step=self._has_weights_of, version=f"step-{self._has_weights_of}")
                    return await ask(prompt, 1)

            if self._args.rollout_traces:
                found = await asyncio.gather(*(ask_alone(prompt) for prompt in prompts))
            else:  # TRL repeats a prompt for each rollout of its group
                groups = [(prompt, len(list(same))) for prompt, same in groupby(prompts)]
                found = await asyncio.gather(*(ask(prompt, count) for prompt, count in groups))
        return [answer for answers in found for answer in answers]

    def _send_weights(self, trainer: GRPOTrainer) -> None:
        """Let the server read the weights from a directory; all processes wait until it has."""
        step, every = trainer.state.global_step, self._args.sync_interval
        if not every or step - self._has_weights_of < every:
            return
        self._has_weights_of = step
        with otel_llm.part("weight_sync"):
            directory = (self._args.output / "policy").absolute()
            trainer.save_model(str(directory))
            if trainer.accelerator.is_main_process:
                with httpx.Client(base_url=self._args.server, timeout=600) as client:
                    for path, body in (
                        (
                            "/collective_rpc",
                            {"method": "reload_weights", "kwargs": {"weights_path": str(directory)}},
                        ),
                        ("/reset_prefix_cache", None),
                        ("/update_weight_version", {"new_version": f"step-{step}"}),
                    ):
                        client.post(path, json=body).raise_for_status()
            trainer.accelerator.wait_for_everyone()


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    parser = with_trl.parser("trl_vllm", __doc__)
    parser.set_defaults(steps=20)
    server = parser.add_argument_group("where rollouts come from")
    server.add_argument("--server", default="http://127.0.0.1:8000", help="the address of `vllm serve`")
    server.add_argument(
        "--make-model", action="store_true", help="write the tiny model for the server to serve, and end"
    )
    server.add_argument(
        "--sync-interval",
        type=int,
        default=1,
        metavar="N",
        help="steps after which it gets new weights; 0: never",
    )
    server.add_argument(
        "--rollout-traces",
        action="store_true",
        help="a request and a trace for each rollout, not for each group",
    )
    server.add_argument(
        "--trl-client",
        action="store_true",
        help="TRL's own client, which sends weights through NCCL: for GPUs",
    )
    args = with_trl.parse(parser, argv)
    task = copying(args.seed, args.max_prompts)
    if args.make_model:
        print(with_trl.first_model(args, task, heads=1))  # vLLM wants heads of 64 on CPU
        return
    telemetry.start(args)

    model = with_trl.first_model(args, task, heads=1)
    tokenizer = with_trl.tokenizer_of(args, model)
    if args.trl_client:
        how = {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": args.server}
        rollout_func = None
    else:
        how, rollout_func = {}, Server(args).roll_out
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=with_trl.reward_functions(task.rewards),
        args=with_trl.configuration(args, task, tokenizer, **how),
        train_dataset=with_trl.dataset(task),
        processing_class=tokenizer,
        rollout_func=rollout_func,
    )
    with_trl.train(trainer)
    otel_llm.shutdown()


if __name__ == "__main__":
    main()
