"""A language model made on the spot: about 100,000 random parameters, and a tokenizer of a task's own words.

A small vocabulary is what makes reinforcement learning from nothing quick: one token a word, tags included.
"""

from collections.abc import Iterable
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

PAD: Final = "<pad>"
END: Final = "<end>"
UNKNOWN: Final = "<unknown>"
ROLES: Final = ("<system>", "<user>", "<assistant>")
_PIECES: Final = r"</?\w+>|\w+|[^\w\s]"
_TEMPLATE: Final = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tiny_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows the words, numbers, signs and tags of `texts`."""
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True)
    words = {piece for text in texts for piece, _ in split.pre_tokenize_str(text)}
    special = [PAD, END, UNKNOWN, *ROLES]
    vocabulary = {word: number for number, word in enumerate([*special, *sorted(words - set(special))])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    made.pre_tokenizer = split
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=PAD, unk_token=UNKNOWN, padding_side="left"
    )
    fast.add_special_tokens({"additional_special_tokens": list(ROLES)})
    fast.chat_template = _TEMPLATE
    return fast


def tiny_model(tokenizer: Any, seed: int, heads: int = 4) -> Qwen2ForCausalLM:
    """Return a Qwen2 of two layers; its random weights depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=heads,
                num_key_value_heads=heads,
                max_position_embeddings=512,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                initializer_range=0.1,  # the usual 0.02 is for wide models: a narrow one would learn slowly
                tie_word_embeddings=True,
            )
        )
