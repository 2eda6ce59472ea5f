"""Cells as CSV (RFC 4180): lines end with CR LF, an empty text is `""`, what is not there is nothing at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from otel_llm.views.model import Cell

NEWLINE: Final = "\r\n"
_needs_quotes: Final = re.compile(r'[",\r\n]').search
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def header(names: Sequence[str]) -> str:
    """Return the first line."""
    return ",".join(map(_text, names)) + NEWLINE


def lines(rows: Sequence[tuple[Cell, ...]], *, safe: bool) -> str:
    """Return rows as text.

    Args:
        rows: cells in the order of the header.
        safe: whether texts that a spreadsheet would run as a formula get an apostrophe.
    """
    written = []
    for row in rows:
        fields = []
        for cell in row:
            if cell is None:
                fields.append("")
            elif type(cell) is str:
                text = f"'{cell}" if safe and cell.startswith(_FORMULA) else cell
                fields.append(_text(text))
            elif type(cell) is bool:
                fields.append("true" if cell else "false")
            else:
                fields.append(repr(cell))
        # A line without any field would be no line at all for many readers.
        written.append(",".join(fields) or '""')
    written.append("")
    return NEWLINE.join(written)


def _text(text: str) -> str:
    if not text:
        return '""'
    return '"' + text.replace('"', '""') + '"' if _needs_quotes(text) else text
