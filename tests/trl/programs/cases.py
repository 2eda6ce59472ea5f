"""What `train.py` can train, and what can go wrong in it."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

import sharded

extra: dict[str, Any] = {}
"""What a case has to tell besides."""


def digits(completions: Any, **_: Any) -> list[float]:
    return [sum(c.isdigit() for c in _text(x)) / max(1, len(_text(x))) for x in completions]


def shortness(completions: Any, **_: Any) -> list[float]:
    return [-abs(len(_text(x)) - 8) / 8 for x in completions]


async def vowels(completions: Any, **_: Any) -> list[float]:
    return [sum(c in "aeiou" for c in _text(x)) / 4 for x in completions]


def nothing(completions: Any, **_: Any) -> list[None]:
    return [None for _ in completions]


def some_nan(completions: Any, **_: Any) -> list[float]:
    return [float("nan") if i % 2 else 1.0 for i, _ in enumerate(completions)]


def raises(completions: Any, trainer_state: Any = None, **_: Any) -> list[float]:
    if trainer_state is None or trainer_state.global_step >= 1:
        raise RuntimeError("the judge is away")
    return [1.0 for _ in completions]


def too_few(completions: Any, **_: Any) -> list[float]:
    return [1.0 for _ in completions][:-1]


def tensor(completions: Any, **_: Any) -> Any:
    import torch

    return torch.tensor([float(len(_text(x))) for x in completions])


def constant(completions: Any, **_: Any) -> list[float]:
    return [1.0 for _ in completions]


def by_rank(completions: Any, **_: Any) -> list[float]:
    return [float(os.environ.get("RANK", "0")) for _ in completions]


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


REWARDS: dict[str, list[Any]] = {
    "plain": [digits, shortness],
    "async": [digits, vowels],
    "none": [digits, nothing],
    "only_none": [nothing],
    "nan": [some_nan],
    "raises": [raises],
    "too_few": [too_few],
    "tensor": [tensor],
    "constant": [constant],
    "by_rank": [by_rank],
}


def add(a: int, b: int) -> str:
    """Add two numbers.

    Args:
        a: one.
        b: the other.
    """
    return str(a + b)


async def shout(text: str) -> str:
    """Say it louder.

    Args:
        text: what to say.
    """
    return text.upper()


def divide(a: int) -> str:
    """Divide by nothing.

    Args:
        a: what to divide.
    """
    return str(a // 0)


class Guessing:
    """An environment: guess a number."""

    def reset(self, **_: Any) -> str:
        self.guessed: list[int] = []
        return "Guess!"

    def guess(self, number: int) -> str:
        """Guess.

        Args:
            number: which one.
        """
        self.guessed.append(number)
        return "warmer"

    def get_reward(self) -> float:
        return float(len(self.guessed))


def _with_tool_calls(trl: Any, names: list[str]) -> None:
    """Let every second completion be the call of a tool, until it has had an answer."""
    module = sys.modules[trl.GRPOTrainer.__module__]
    arguments = {"add": {"a": 1, "b": 2}, "shout": {"text": "hm"}, "divide": {"a": 1}, "guess": {"number": 7}}
    asked: dict[str, int] = {"n": 0}

    def parsed(ids: Any, **more: Any) -> dict[str, Any]:
        asked["n"] += 1
        message: dict[str, Any] = {"role": "assistant", "content": f"{len(ids)} tokens"}
        if len(more["prefix"]) < LONGEST_PROMPT and asked["n"] % 2:
            message["tool_calls"] = [
                {"type": "function", "function": {"name": name, "arguments": arguments[name]}}
                for name in names
            ]
        return message

    module.parse_response = lambda tokenizer, ids, **more: parsed(ids, **more)


TOOL_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% for call in message.get('tool_calls') or [] %}{{ call['function']['name'] }}"
    "{{ call['function']['arguments'] | tojson }}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

LONGEST_PROMPT = 20
"""With an answer of a tool behind it, it is longer."""


def rollouts(prompts: Any, trainer: Any) -> dict[str, Any]:
    """Make completions of one's own, each in a rollout of the program."""
    import otel_llm

    tokenizer = trainer.processing_class
    made: dict[str, Any] = {"prompt_ids": [], "completion_ids": [], "logprobs": [], "place": []}
    for i, prompt in enumerate(prompts):
        with otel_llm.rollout() as one, otel_llm.tool("search", arguments={"query": str(i)}):
            one.tokens(output=3)
            made["prompt_ids"].append(tokenizer(prompt[-1]["content"])["input_ids"])
            made["completion_ids"].append(tokenizer(f"{i % 10}a")["input_ids"] + [tokenizer.eos_token_id])
            made["logprobs"].append([-1.0] * 3)
            made["place"].append(str(i))
    return made


def make(options: Any, trl: Any, capture: Any) -> tuple[Any, Any]:
    """Return a trainer, and what runs it; of a case such as `plain under fsdp`, sharded over ranks."""
    options.case, _, sharding = options.case.partition(" under ")
    make_one = _online if options.trainer in {"grpo", "rloo", "enhanced"} else _offline
    if not sharding:
        return make_one(options, trl, capture)
    sharded.prepare(sharding)
    options.config = {"use_cpu": False, **options.config}
    trainer, run = make_one(options, trl, capture)
    return trainer, sharded.watched(run, extra)


def _config(kind: type, options: Any, **more: Any) -> Any:
    known = inspect.signature(kind).parameters
    settings = {
        "output_dir": str(options.output / "checkpoints"),
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "learning_rate": 1e-2,
        "disable_tqdm": True,
        "seed": 0,
        **more,
        **options.config,
    }
    return kind(**{name: value for name, value in settings.items() if name in known})


def _rows(case: str) -> list[dict[str, Any]]:
    rows = [{"prompt": [{"role": "user", "content": f"Number {i}?"}], "answer": str(i)} for i in range(32)]
    if case == "columns":
        for row in rows:
            row |= {
                "_otel_llm_rollouts": 7,
                "rl.sample.id": "mine",
                "step": 1,
                "advantages": 3.0,
                "otel_llm": "x",
            }
    if case == "texts":
        return [{"prompt": f"Number {i}?", "answer": str(i)} for i in range(32)]
    return rows


def _online(options: Any, trl: Any, capture: Any) -> tuple[Any, Any]:
    from datasets import Dataset

    case = options.case
    if options.trainer == "rloo":
        kind, config = trl.RLOOTrainer, trl.RLOOConfig
    else:
        kind, config = trl.GRPOTrainer, trl.GRPOConfig
    capture(kind)
    if case == "tokens" and not options.off:
        import otel_llm_trl

        otel_llm_trl.configure(log_token_details=True, log_trajectory_samples=0)
    if options.trainer == "enhanced":
        import otel_llm_trl

        kind = otel_llm_trl.EnhancedGRPOTrainer
    rows = Dataset.from_list(_rows(case))
    more: dict[str, Any] = {}
    if case == "arguments":
        more |= {"log_trajectory_samples": 2, "log_token_details": True}
    if case == "subclass":
        kind = _subclass(kind)
    if case == "callback":
        more["callbacks"] = [_callback()]
    if case == "logging callback" and not options.off:
        from otel_llm_trl.callbacks import EnhancedLoggingCallback, Frequencies

        more["callbacks"] = [EnhancedLoggingCallback(Frequencies(1, 1, 1, 1, 1, 1))]
    if case in {"tools", "environment"}:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(options.model)
        tokenizer.chat_template = TOOL_TEMPLATE
        tokenizer.response_template = tokenizer.response_schema = {"type": "object"}
        more["processing_class"] = tokenizer
        _with_tool_calls(trl, ["add", "shout", "divide"] if case == "tools" else ["guess"])
        more |= {"tools": [add, shout, divide]} if case == "tools" else {"environment_factory": Guessing}
        options.config = {
            "max_completion_length": 48,
            "generation_kwargs": {"max_new_tokens": 8},
            **options.config,
        }
    if case == "rollout_func":
        more["rollout_func"] = rollouts
    args = _config(
        config,
        options,
        num_generations=4,
        max_completion_length=12,
        beta=0.02,
        gradient_accumulation_steps=2,
        eval_strategy="steps" if case == "evaluates" else "no",
        eval_steps=2,
    )
    trainer = kind(
        model=options.model,
        reward_funcs=REWARDS.get(case, REWARDS["plain"]),
        args=args,
        train_dataset=rows,
        eval_dataset=rows.select(range(4)) if args.eval_strategy != "no" else None,
        **more,
    )
    return trainer, _run(case)


def _run(case: str) -> Any:
    def run(trainer: Any) -> None:
        if case == "resumes":
            trainer.args.max_steps = 2
            trainer.args.save_steps = 2
            trainer.args.save_strategy = "steps"
            trainer.train()
            trainer.args.max_steps = 3
            trainer.train(resume_from_checkpoint=True)
        elif case == "evaluates alone":
            trainer.evaluate()
        elif case == "not finite":
            original = type(trainer)._compute_loss

            def compute(self: Any, model: Any, inputs: Any) -> Any:
                loss = original(self, model, inputs)
                return loss * float("nan") if self.state.global_step == 1 else loss

            type(trainer)._compute_loss = compute
            trainer.train()
        elif case == "checkpoint fails":
            trainer.args.save_steps = 2
            trainer.args.save_strategy = "steps"
            trainer.save_model = _full_disk
            trainer.train()
        else:
            trainer.train()

    return run


def _full_disk(*_: Any, **__: Any) -> None:
    raise OSError("no space left on the device")


def _callback() -> Any:
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = state.global_step == 2

    return Stop()


def _subclass(kind: type) -> type:
    class Own(kind):  # type: ignore[valid-type,misc]
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            return super()._generate_and_score_completions(inputs)

        def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
            return super()._calculate_rewards(*args, **kwargs)

    return Own


def _offline(options: Any, trl: Any, capture: Any) -> tuple[Any, Any]:
    from datasets import Dataset

    name = options.trainer
    kind = getattr(trl, {"sft": "SFT", "dpo": "DPO", "kto": "KTO", "reward": "Reward"}[name] + "Trainer")
    config = getattr(trl, {"sft": "SFT", "dpo": "DPO", "kto": "KTO", "reward": "Reward"}[name] + "Config")
    user = [{"role": "user", "content": "Number?"}]
    good, bad = [{"role": "assistant", "content": "12"}], [{"role": "assistant", "content": "ab"}]
    rows: list[dict[str, Any]] = {
        "sft": [{"messages": user + good}] * 16,
        "dpo": [{"prompt": user, "chosen": good, "rejected": bad}] * 16,
        "kto": [{"prompt": user, "completion": good, "label": i % 2 == 0} for i in range(16)],
        "reward": [{"chosen": user + good, "rejected": user + bad}] * 16,
    }[name]
    data = Dataset.from_list(rows)
    args = _config(
        config,
        options,
        gradient_accumulation_steps=1,
        eval_strategy="steps",
        eval_steps=2,
        max_length=64,
        max_prompt_length=32,
        save_strategy="steps",
        save_steps=2,
    )
    model: Any = options.model
    more: dict[str, Any] = {}
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    if name == "reward":
        model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=1)
        model.config.pad_token_id = tokenizer.pad_token_id
    else:
        model = AutoModelForCausalLM.from_pretrained(options.model)
        if name in {"dpo", "kto"}:
            more["ref_model"] = AutoModelForCausalLM.from_pretrained(options.model)
    trainer = kind(
        model=model,
        args=args,
        train_dataset=data,
        eval_dataset=data.select(range(4)),
        processing_class=tokenizer,
        **more,
    )
    return trainer, lambda trainer: trainer.train()


def break_on_purpose(case: str) -> None:
    """Let our half of one seam raise: `break:NAME` before the trainer's half, `break after:NAME` after it."""
    how, _, name = case.partition(":")
    if how not in {"break", "break after"}:
        return
    from otel_llm_trl import guarding

    def failing(*_: Any) -> Any:
        raise ValueError("broken on purpose")

    original = guarding.around

    class Failing:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def done(self, result: Any) -> None:
            self.inner.done(result)
            failing()

        def failed(self, error: BaseException) -> None:
            self.inner.failed(error)
            failing()

    def around(seam: Any, enter: Any, theirs: Any) -> Any:
        if seam.name != name:
            return original(seam, enter, theirs)
        if how == "break":
            return original(seam, failing, theirs)

        def broken(*args: Any) -> Any:
            inner = enter(*args)
            return None if inner is None else Failing(inner)

        return original(seam, broken, theirs)

    from otel_llm_trl import patching

    patching.around = around
    if name == "reward functions" and how == "break":
        patching.scores.function_of = failing
