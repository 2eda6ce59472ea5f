"""A policy: a model and its tokenizer; it samples completions and tells how likely they were."""

import argparse
import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria, StoppingCriteriaList, logging

from tinygrpo.tiny import tiny_model, tiny_tokenizer

logging.disable_progress_bar()  # a bar for each checkpoint says nothing

Messages = list[dict[str, str]]


@dataclass(slots=True)
class Sample:
    """What was sampled from one prompt.

    Attributes:
        ids: tokens of prompt, completion, and what tools said.
        mask: for each token whether the policy has sampled it.
        truncated: whether it ended because it became too long.
    """

    ids: list[int]
    mask: list[bool] = field(default_factory=list)
    truncated: bool = False

    @property
    def prompt(self) -> int:
        """How many tokens the prompt has."""
        return self.mask.index(True) if True in self.mask else len(self.mask)

    @property
    def sampled(self) -> int:
        """How many tokens the policy has sampled."""
        return sum(self.mask)

    def append(self, ids: Sequence[int], *, sampled: bool) -> None:
        """Add tokens."""
        self.ids += ids
        self.mask += [sampled] * len(ids)


class StopAtTexts(StoppingCriteria):
    """Ends a row when its last tokens, as text, end with one of some texts."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], longest: int = 8) -> None:
        self._tokenizer, self._texts, self._longest = tokenizer, tuple(texts), longest

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ARG002 (given to all)
        """Say of each row whether it ends here."""
        last = self._tokenizer.batch_decode(input_ids[:, -self._longest :])
        ends = [text.rstrip().endswith(self._texts) for text in last]
        return torch.tensor(ends, device=input_ids.device)


class Policy:
    """A model that learns, and its tokenizer.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer, with a chat template.
        name: what it is called.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @property
    def is_tiny(self) -> bool:
        """Whether it was made on the spot."""
        return self.name == "tiny"

    def reference(self) -> "Policy":
        """Return a copy that never learns."""
        model = copy.deepcopy(self.model).eval().requires_grad_(requires_grad=False)
        return Policy(model, self.tokenizer, f"{self.name}-reference")

    def prompt(self, messages: Messages) -> Sample:
        """Return the start of a sample: a prompt as the model's chat template writes it."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return Sample(list(ids), [False] * len(ids))

    def text(self, ids: Sequence[int]) -> str:
        """Return tokens as text."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    @torch.no_grad()
    def sample(
        self,
        samples: Sequence[Sample],
        args: argparse.Namespace,
        *,
        new_tokens: int,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """Go on with samples, all at once, until each ends, has one of the texts `stop`, or is too long.

        Returns:
            What was added to each, as text.
        """
        padded = self.tokenizer.pad({"input_ids": [one.ids for one in samples]}, return_tensors="pt")
        padded = padded.to(self.device)
        start = padded["input_ids"].shape[1]
        ends = StoppingCriteriaList([StopAtTexts(self.tokenizer, stop)] if stop else [])
        out = self.model.generate(
            **padded,
            do_sample=True,
            temperature=args.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=max(1, min(new_tokens, args.max_length - start)),
            stopping_criteria=ends,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        end, added = self.tokenizer.eos_token_id, []
        for one, row in zip(samples, out[:, start:].tolist(), strict=True):
            ids = self._without_padding(row)
            text = self.text(ids)
            one.truncated = end not in ids and not (stop and text.endswith(tuple(stop)))
            one.append(ids, sampled=True)
            added.append(text)
        return added

    def _without_padding(self, ids: list[int]) -> list[int]:
        """Return what was sampled of a row, up to its end; rows that ended early were filled up."""
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        if end in ids:
            return ids[: ids.index(end) + 1]
        while ids and ids[-1] == pad:
            ids = ids[:-1]
        return ids

    def collate(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens, attention mask, and which tokens were sampled, [B, T] each, padded on the right."""
        length = max(len(one.ids) for one in samples)
        pad = self.tokenizer.pad_token_id
        ids = [one.ids + [pad] * (length - len(one.ids)) for one in samples]
        seen = [[1] * len(one.ids) + [0] * (length - len(one.ids)) for one in samples]
        mask = [one.mask + [False] * (length - len(one.mask)) for one in samples]
        return tuple(torch.tensor(rows, device=self.device) for rows in (ids, seen, mask))  # type: ignore[return-value]

    def logprobs(
        self, samples: Sequence[Sample], args: argparse.Namespace, model: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Return how likely each token was, and which of them were sampled; [B, T - 1] each.

        Args:
            samples: rollouts.
            args: the temperature at which they were sampled counts.
            model: what to ask, such as one that is wrapped for several processes; default: the policy's own.
        """
        ids, seen, mask = self.collate(samples)
        logits = (model or self.model)(input_ids=ids, attention_mask=seen).logits[:, :-1].float()
        logprobs = (logits / args.temperature).log_softmax(dim=-1)
        return logprobs.gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2), mask[:, 1:]

    def save(self, directory: Path) -> None:
        """Write a checkpoint."""
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)


def load(args: argparse.Namespace, texts: Iterable[str], device: Any = None) -> Policy:
    """Return the model that `--model-name` names; by default a tiny one that knows the words of `texts`.

    Args:
        args: the options.
        texts: of the task, all of them.
        device: where it computes; default: a GPU, if there is one.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if args.model_name:
        tokenizer = AutoTokenizer.from_pretrained(args.model_name)
        model = AutoModelForCausalLM.from_pretrained(args.model_name, dtype="auto")
        return Policy(model.eval().to(device), tokenizer, args.model_name)
    tokenizer = tiny_tokenizer(texts)
    return Policy(tiny_model(tokenizer, args.seed).to(device), tokenizer, "tiny")
