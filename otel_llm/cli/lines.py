"""Lines of styled text, and the terminal or pipe they are written to. The one module that uses rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Final

from rich.console import Console
from rich.text import Text

from otel_llm.cli import text as texts

PIPE_WIDTH: Final = 120
"""Columns where the output is no terminal and `COLUMNS` is not set."""

STYLES: Final = {
    "name": "",
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
        width: columns; default the terminal's.
    """

    def __init__(self, stream: IO[str] | None = None, width: int | None = None) -> None:
        stream = sys.stdout if stream is None else stream
        self._stream = stream
        # rich takes COLUMNS into account, but takes 80 for pipes.
        self._console = Console(
            file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        if width is None and not self._console.is_terminal and not self._console._environ.get("COLUMNS"):
            self._console = Console(
                file=stream, width=PIPE_WIDTH, highlight=False, markup=False, emoji=False, soft_wrap=True
            )
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
        self._ascii = not encoding.startswith(("utf", "cp65001"))

    @property
    def width(self) -> int:
        """Columns to fill."""
        return self._console.width

    @property
    def is_terminal(self) -> bool:
        """Whether somebody is watching."""
        return self._console.is_terminal

    def write(self, *lines: Line | str) -> None:
        """Write lines; a `str` must be clean already."""
        for line in lines:
            self._write(Line.of(line) if isinstance(line, str) else line)

    def write_all(self, lines: Iterable[Line]) -> None:
        """Write lines."""
        for line in lines:
            self._write(line)

    def _write(self, line: Line) -> None:
        if not self._console.is_terminal:
            # The common case of pipes and files, and much cheaper than rich.
            plain = line.text
            self._stream.write((texts.ascii_only(plain) if self._ascii else plain) + "\n")
            return
        styled = Text(no_wrap=True, overflow="ignore")
        for piece, style in line.pieces:
            styled.append(texts.ascii_only(piece) if self._ascii else piece, STYLES.get(style, style))
        styled.rstrip()
        self._console.print(styled)

    def flush(self) -> None:
        """Hand everything on."""
        self._stream.flush()
