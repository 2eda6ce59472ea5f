"""A short cut through streams: most events differ from the one before in nothing but a piece of text.

What has been parsed once serves as a template: if an event has the same bytes before and after the text, and what is
between them is one JSON string, then it is the same JSON but for that string. Nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import orjson

_LITERAL: Final = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"')


class Template:
    """An event that held one piece of text and nothing else of interest.

    Args:
        head: the bytes before the text's opening quote.
        tail: the bytes after its closing quote.
        take: takes the text of further such events.
    """

    __slots__ = ("_length", "_start", "_stop", "head", "tail", "take")

    def __init__(self, head: bytes, tail: bytes, take: Callable[[str], None]) -> None:
        self.head = head
        self.tail = tail
        self.take = take
        self._start = len(head)
        self._stop = -len(tail)
        self._length = len(head) + len(tail)

    def text(self, event: bytes) -> str | None:
        """Return the text of an event that is like this one, else None."""
        if len(event) <= self._length or not event.startswith(self.head) or not event.endswith(self.tail):
            return None
        try:
            piece = orjson.loads(event[self._start : self._stop])
        except orjson.JSONDecodeError:
            return None
        return piece if type(piece) is str else None


def template(event: bytes, key: bytes, take: Callable[[str], None]) -> Template | None:
    """Make a template of an event whose text stands under `key` (in quotes, with the colon); None if in doubt."""
    at = event.find(key)
    if at < 0 or event.find(key, at + 1) >= 0:
        return None
    at += len(key)
    while event[at : at + 1] == b" ":
        at += 1
    match = _LITERAL.match(event, at)
    if match is None:
        return None
    head, tail = event[:at], event[match.end() :]
    if not tail or b"\\" in head or b"\\" in tail:
        # The key might be written twice, once with an escape, or stand within another text.
        return None
    return Template(head, tail, take)
