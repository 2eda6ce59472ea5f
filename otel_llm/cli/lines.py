"""Lines of styled text, and the terminal or pipe they are written to. The one module that uses rich."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from otel_llm.cli import text as texts

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH: Final = 120
"""Columns where the output is no terminal and `COLUMNS` is not set."""

STYLES: Final = {
    "title": "bold",
    "quiet": "bright_black",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "bar": "cyan",
    "call": "cyan",
    "role": "magenta",
}


@dataclass(slots=True)
class Line:
    """One line: pieces of text, each with a style of `STYLES`; the text must be clean already."""

    pieces: list[tuple[str, str]] = field(default_factory=list)
    width: int = 0

    @classmethod
    def of(cls, text: str, style: str = "") -> Line:
        """Return a line of one piece."""
        return cls().add(text, style)

    def add(self, text: str, style: str = "") -> Line:
        """Append a piece."""
        if text:
            self.pieces.append((text, style))
            self.width += texts.width(text)
        return self

    def pad(self, width: int) -> Line:
        """Append spaces up to `width` cells."""
        return self.add(" " * (width - self.width))

    @property
    def text(self) -> str:
        """The line without styles."""
        return "".join(piece for piece, _ in self.pieces).rstrip()


class Output:
    """Where lines go: colours and the real width on a terminal, neither through a pipe.

    Args:
        stream: default standard output.
        width: columns; default the terminal's, or what `COLUMNS` says.
    """

    def __init__(self, stream: IO[str] | None = None, width: int | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._console = _console(self._stream)
        if width is None:
            width = (
                shutil.get_terminal_size().columns
                if self.is_terminal or "COLUMNS" in os.environ
                else PIPE_WIDTH
            )
        self.width = width
        """Columns to fill."""
        encoding = (
            (getattr(self._stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
        )
        self._ascii = not encoding.startswith(("utf", "cp65001"))

    @property
    def is_terminal(self) -> bool:
        """Whether somebody is watching."""
        return self._console is not None

    def write(self, *lines: Line | str) -> None:
        """Write lines; a `str` must be clean already."""
        self.write_all(Line.of(line) if isinstance(line, str) else line for line in lines)

    def write_all(self, lines: Iterable[Line]) -> None:
        """Write lines."""
        for line in lines:
            if self._console is None:
                self._stream.write(f"{texts.ascii_only(line.text) if self._ascii else line.text}\n")
            else:
                self._write_styled(self._console, line)

    def _write_styled(self, console: Console, line: Line) -> None:
        from rich.text import Text

        styled = Text(no_wrap=True, overflow="ignore")
        for piece, style in line.pieces:
            styled.append(texts.ascii_only(piece) if self._ascii else piece, STYLES.get(style))
        styled.rstrip()
        console.print(styled, soft_wrap=True)

    def flush(self) -> None:
        """Hand everything on."""
        self._stream.flush()


def _console(stream: IO[str]) -> Console | None:
    """Return rich's console for a terminal, or where colours are asked for; rich is not imported for a pipe."""
    if not stream.isatty() and not os.environ.get("FORCE_COLOR"):
        return None
    from rich.console import Console

    # What is printed has been laid out already, and markup in it is somebody else's text.
    return Console(file=stream, highlight=False, markup=False, emoji=False)
