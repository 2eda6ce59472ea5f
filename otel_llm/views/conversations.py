"""What was said in a span, from the content that was kept: messages in the shape of the GenAI conventions.

A rollout's own content counts first; without it the conversation is put together from the model calls below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from otel_llm import semconv as sc
from otel_llm.store.rows import StoredSpan
from otel_llm.trajectory import Message, read_messages

Said = list[dict[str, Any]]
"""Messages as the GenAI conventions have them: `role` and `parts`."""


def said(attributes: Mapping[str, Any], key: str) -> Said:
    """Return the messages under a key; none where they were not kept, or were cut off."""
    value = attributes.get(key)
    if not isinstance(value, str) or not value:
        return []
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return []
    return [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []


def conversation(span: StoredSpan, calls: Iterable[StoredSpan]) -> tuple[Said, Said]:
    """Return what a rollout was given, and all that was said after it.

    Args:
        span: the rollout.
        calls: the model calls below it, by start time. Where each is given what was said before (a chat), that is
            taken once; else they stand one after the other.
    """
    prompt, answer = said(span.attributes, sc.INPUT_MESSAGES), said(span.attributes, sc.OUTPUT_MESSAGES)
    if prompt or answer:
        return prompt, answer
    so_far: Said = []
    for call in calls:
        given = said(call.attributes, sc.INPUT_MESSAGES)
        system = said(call.attributes, sc.SYSTEM_INSTRUCTIONS)
        if system:  # its own attribute holds parts, without a message around them
            given = [{"role": "system", "parts": system}, *given]
        if not so_far:
            prompt = given
        so_far += given[_common(so_far, given) :] + said(call.attributes, sc.OUTPUT_MESSAGES)
    return prompt, so_far[len(prompt) :]


def _common(one: Said, other: Said) -> int:
    """Return how many messages both begin with; what a model thought is not given back to it."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if _essence(a) != _essence(b):
            break
        n += 1
    return n


def _essence(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(read.role, read.text) for read in read_messages([message])]


_TAG: Final = re.compile(
    r"<(?P<tag>think|thinking|reasoning|answer)>(?P<text>.*?)</(?P=tag)>", re.DOTALL | re.IGNORECASE
)


def parts_of_answer(answer: Sequence[Message]) -> tuple[str | None, str | None]:
    """Return the reasoning and the answer of the last message that a model gave.

    Returns:
        The reasoning: what the provider marked as such, else what is in `<think>`, `<thinking>` or `<reasoning>`. The
        answer: what is in the last `<answer>`, else the text without its tags. None where there is none.
    """
    last = next((message for message in reversed(answer) if message.role == "assistant"), None)
    if last is None:
        return None, None
    tagged = [(match["tag"].lower(), match["text"].strip()) for match in _TAG.finditer(last.text)]
    thoughts = last.reasoning or "\n".join(text for tag, text in tagged if tag != "answer")
    answers = [text for tag, text in tagged if tag == "answer"]
    return thoughts or None, (answers[-1] if answers else _TAG.sub("", last.text).strip()) or None


def last_text(messages: Sequence[Message], role: str) -> str | None:
    """Return the text of the last message of a role."""
    found = (message.text for message in reversed(messages) if message.role == role)
    return next(found, None) or None
