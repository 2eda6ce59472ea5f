"""Secrets out of what is logged: by the redaction that `instrument()` was given, else by the built-in kinds."""

from __future__ import annotations

from typing import Final

from otel_llm import runtime
from otel_llm.content import ContentPolicy
from otel_llm.redaction import Scrubber

_plain: Final = Scrubber()


def scrub(text: str) -> str:
    """Return `text` without secrets."""
    active = runtime.current()
    return (_plain if active is None else active.scrubber).text(text)


def content_policy() -> ContentPolicy:
    """Return how much of what models say may leave the process."""
    active = runtime.current()
    return ContentPolicy.LENGTH if active is None else active.settings.content
