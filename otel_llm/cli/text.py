"""Text from elsewhere, made fit for a terminal.

What models, users and servers say is not trusted: an escape sequence in an answer could retitle the window,
hide lines or write the clipboard, and a bidirectional override could show other words than were said.
Standard library only.
"""

# ruff: noqa: RUF001 (signs that look like others are what this is about)
from __future__ import annotations

import unicodedata
from typing import Final

# C0 and C1 controls (which terminals act upon), DEL, bidirectional overrides and isolates, invisible
# separators, and characters that may not be encoded at all (surrogates).
_CONTROLS: Final = (
    *range(0x20), *range(0x7F, 0xA0), 0x061C, *range(0x200B, 0x2010), *range(0x2028, 0x202F),
    *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
)  # fmt: skip


_LAST_ASCII: Final = 0x7F


def _spelled(code: int) -> str:
    return chr(code).encode("ascii", "backslashreplace").decode() if code > _LAST_ASCII else f"\\x{code:02x}"


_JOINER: Final = 0x200D  # holds emoji together and has no effect of its own
_SPELLED: Final = {code: _spelled(code) for code in _CONTROLS if code != _JOINER}
_MANY_LINES: Final = _SPELLED | {ord("\t"): "    ", ord("\n"): "\n", ord("\r"): ""}
_ONE_LINE: Final = _SPELLED | {ord("\t"): " ", ord("\n"): " ", ord("\r"): ""}

_ASCII: Final = str.maketrans(
    {
        "├": "|", "└": "`", "│": "|", "─": "-", "█": "#", "▏": "|", "…": "...", "→": "->", "✗": "x", "✓": "ok",
        "×": "x", "·": "-",
    }
)  # fmt: skip


def one_line(text: object, limit: int | None = None) -> str:
    """Return `text` on one line, controls spelled out, at most `limit` characters of it."""
    raw = text if isinstance(text, str) else str(text)
    if limit is not None and len(raw) > limit:
        raw = raw[: limit - 1] + "…"
    return _encodable(raw.translate(_ONE_LINE))


def many_lines(text: str) -> list[str]:
    """Return the lines of `text`, controls spelled out."""
    return _encodable(text.translate(_MANY_LINES)).split("\n")


def ascii_only(text: str) -> str:
    """Return `text` for a stream that takes ASCII alone: our own signs replaced, the rest spelled out."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def width(text: str) -> int:
    """Return how many cells `text` takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or ord(char) == _JOINER:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, cells: int) -> str:
    """Return `text` cut to `cells`, with an ellipsis where something is missing."""
    if width(text) <= cells:
        return text
    used = 0
    for index, char in enumerate(text):
        used += _cells(char)
        if used > cells - 1:
            return text[:index] + "…"
    return text


def wrap(text: str, cells: int) -> list[str]:
    """Return `text` in lines of at most `cells`, broken at spaces where it has some."""
    cells = max(cells, 8)
    lines: list[str] = []
    line, used = "", 0
    for word in text.split(" "):
        size = width(word)
        if line and used + 1 + size > cells:
            lines.append(line)
            line, used = "", 0
        elif line:
            line, used = f"{line} ", used + 1
        while size > cells:
            head = fit(word, cells)[:-1]
            lines.append(line + head)
            word, line, used = word[len(head) :], "", 0  # noqa: PLW2901 (the rest of the word)
            size = width(word)
        line, used = line + word, used + size
    return [*lines, line]
