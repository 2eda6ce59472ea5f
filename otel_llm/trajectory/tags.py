"""Whether answers keep to expected XML tags, such as `<think>`, `<cite>` and `<answer>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from otel_llm.trajectory.messages import Message, read_messages

EXPECTED_TAGS: Final = ("think", "cite", "answer")
"""The tags that are expected where nothing else is said."""


@dataclass(frozen=True, slots=True)
class TagUse:
    """The expected tags of one trajectory.

    Attributes:
        expected: the tags that were looked for.
        pairs: per tag, how often it was opened and closed within one answer.
        malformed: tags that were opened and not closed, closed and not opened, or closed across another.
    """

    expected: tuple[str, ...]
    pairs: Mapping[str, int] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()

    @property
    def adherence(self) -> float | None:
        """Share of the expected tags that are there and never malformed, 0 to 1; None where none is expected."""
        if not self.expected:
            return None
        kept = [tag for tag in self.expected if self.pairs.get(tag) and tag not in self.malformed]
        return len(kept) / len(self.expected)


def tag_use(conversation: Any, tags: Iterable[str] = EXPECTED_TAGS) -> TagUse:
    """Look for tags in what the assistant said.

    Args:
        conversation: as for `format_conversation`.
        tags: names of the expected tags, without brackets.
    """
    return tag_use_of(read_messages(conversation), expected_of(tags))


def tag_use_of(messages: Iterable[Message], expected: tuple[str, ...]) -> TagUse:
    """Look for tags in messages that were read."""
    pairs = dict.fromkeys(expected, 0)
    malformed: dict[str, None] = {}
    if not expected:
        return TagUse(expected)
    pattern = _pattern(expected)
    for message in messages:
        if message.role != "assistant":
            continue
        open_tags: list[str] = []
        for match in pattern.finditer(message.text):
            tag = match[2]
            if not match[1]:
                open_tags.append(tag)
            elif tag not in open_tags:
                malformed[tag] = None
            else:
                while (closed := open_tags.pop()) != tag:
                    malformed[closed] = None
                pairs[tag] += 1
        malformed |= dict.fromkeys(open_tags)
    return TagUse(expected, pairs, tuple(malformed))


def tag_adherence_rate(
    conversations: Iterable[Any], tags: Iterable[str] = EXPECTED_TAGS
) -> dict[str, float | None]:
    """Return how many of many trajectories keep to expected tags.

    Args:
        conversations: each as for `format_conversation`.
        tags: names of the expected tags, without brackets.

    Returns:
        Per tag the share of trajectories in which it is there and never malformed, 0 to 1, and under `all` the share
        in which that holds for every tag; None everywhere where there are no trajectories.
    """
    expected = expected_of(tags)
    return rate_of([tag_use(conversation, expected) for conversation in conversations], expected)


def rate_of(uses: Sequence[TagUse], expected: tuple[str, ...]) -> dict[str, float | None]:
    """Return the shares of `tag_adherence_rate` for tags that were looked for already."""
    if not uses:
        return dict.fromkeys((*expected, "all"))
    kept: dict[str, float | None] = {
        tag: sum(bool(use.pairs.get(tag)) and tag not in use.malformed for use in uses) / len(uses)
        for tag in expected
    }
    kept["all"] = sum(use.adherence == 1.0 for use in uses) / len(uses) if expected else None
    return kept


def expected_of(tags: Iterable[str]) -> tuple[str, ...]:
    """Return names of tags as `tag_use_of` takes them, whatever was given; brackets are taken off."""
    given = [tags] if isinstance(tags, str) else tags
    try:
        names = [tag.strip().strip("</>") for tag in given if isinstance(tag, str)]
    except Exception:
        return ()
    return tuple(dict.fromkeys(filter(None, names)))


@lru_cache(maxsize=64)
def _pattern(tags: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(map(re.escape, sorted(tags, key=len, reverse=True)))
    return re.compile(rf"<(/?)({names})(?:\s[^<>]*)?(?<!/)>")
