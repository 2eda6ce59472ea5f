"""Texts that a program logs by a name, as it logs scalars: `examples/completion`, `accelerate/device`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm import drops, runtime
from otel_llm import semconv as sc
from otel_llm.content import ContentPolicy
from otel_llm.llm import AttributeValue
from otel_llm.numeric import as_text
from otel_llm.secret_kinds import scrub_secrets

_MAX_WORD: Final = 128


def record_text(name: str, text: str, step: int | None, attributes: Mapping[str, AttributeValue]) -> None:
    """Hand a text over that a model wrote: what is kept of it the content policy says. Never raises.

    Args:
        name: what it is called.
        text: the text.
        step: the training step.
        attributes: what it belongs to.
    """
    try:
        active = runtime.current()
        if active is not None and active.settings.kept_content is not ContentPolicy.NONE:
            _put(name, {sc.SERIES_TEXT: text}, step, attributes)
    except Exception:
        drops.internal_error("recording a text")


def record_word(name: str, word: object, step: int | None, attributes: Mapping[str, AttributeValue]) -> None:
    """Hand a word of the program's configuration over, which is kept whatever the content policy. Never raises.

    Args:
        name: what it is called.
        word: the word, such as `cuda:0`.
        step: the training step.
        attributes: what it belongs to.
    """
    try:
        _put(name, {}, step, {**attributes, sc.SERIES_TEXT: scrub_secrets(as_text(word))[:_MAX_WORD]})
    except Exception:
        drops.internal_error("recording a word")


def _put(
    name: str, texts: dict[str, str], step: int | None, attributes: Mapping[str, AttributeValue]
) -> None:
    from otel_llm.logging._outputs import TextEvent

    active = runtime.current()
    if active is None or active.rows is None:
        return
    told = {**attributes, sc.SERIES_NAME: name}
    active.finisher.put(TextEvent(active, texts, step, event_name=sc.EVENT_TEXT, told=told))
