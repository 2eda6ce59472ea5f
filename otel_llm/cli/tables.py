"""Tables as lines: columns where the terminal is wide enough, else a row's facts below its name.

Cells must be clean already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from otel_llm.cli.lines import Line
from otel_llm.cli.text import fit, width, wrap

GAP: Final = 2
_SHORTEST: Final = 10
"""Text columns are cut to so many cells at least, before the table is given up for lines."""


class Cell(NamedTuple):
    """A text with a style of `lines.STYLES`."""

    text: str
    style: str = ""


Given: TypeAlias = str | Cell
Row: TypeAlias = Sequence[Given]


def table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Row],
    columns: int,
    *,
    left: int = 1,
    remark: bool = False,
) -> Iterator[Line]:
    """Yield the lines of a table; columns in which every cell is empty are left out.

    Args:
        title: above it; empty for none.
        headings: names of the columns.
        rows: cells, as many as there are headings.
        columns: cells of the terminal.
        left: how many of the first columns are text, to the left; all others are figures, to the right.
        remark: whether the last column is free text, which goes on below where it is long.
    """
    if title:
        yield Line.of(fit(title, columns), "title")
    if not rows:
        return
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    used = [i for i in range(len(headings)) if any(row[i].text for row in cells)]
    figures_end = len(headings) - 1 if remark else len(headings)
    fixed = [i for i in used if i < figures_end]
    sizes = {i: max(width(headings[i]), *(width(row[i].text) for row in cells)) for i in fixed}
    room = columns - sum(sizes[i] + GAP for i in fixed) + GAP
    texts = [i for i in fixed if i < left]
    while room < 0 and texts:
        widest = max(texts, key=lambda i: sizes[i])
        cut = min(-room, sizes[widest] - max(_SHORTEST, width(headings[widest])))
        if cut <= 0:
            break
        sizes[widest] -= cut
        room += cut
    free = figures_end if remark and figures_end in used else None
    if room < 0:
        for row in cells:
            yield from _below(headings, row, used, columns, texts)
        return
    heading = [Cell(text, "quiet") for text in headings]
    if free is not None and columns - (sum(sizes.values()) + GAP * len(sizes)) < width(headings[free]):
        heading[free] = Cell("")  # its cells go below the rows
    for row in (heading, *cells):
        line = Line()
        for place, i in enumerate(fixed):
            shown = fit(row[i].text, sizes[i])
            if place:
                line.add(" " * GAP)
            if i >= left:
                line.add(" " * (sizes[i] - width(shown))).add(shown, row[i].style)
            else:
                line.add(shown, row[i].style).add(" " * (sizes[i] - width(shown)))
        yield from _with_remark(line, row[free], columns) if free is not None and row[free].text else [line]


def _with_remark(line: Line, remark: Cell, columns: int) -> Iterator[Line]:
    if line.width + GAP + width(remark.text) <= columns:
        yield line.add(" " * GAP).add(remark.text, remark.style)
        return
    yield line
    for piece in wrap(remark.text, columns - 2 * GAP):
        yield Line.of(" " * 2 * GAP).add(piece, remark.style)


def _below(
    headings: Sequence[str], row: Sequence[Cell], used: Sequence[int], columns: int, texts: Sequence[int]
) -> Iterator[Line]:
    name = "  ".join(row[i].text for i in texts if row[i].text)
    style = next((row[i].style for i in texts if row[i].style), "")
    yield Line.of(fit(name, columns), style)
    told = [f"{headings[i]} {row[i].text}" for i in used if i not in texts and row[i].text]
    yield from joined(told, columns, "    ", "quiet")


def joined(parts: Sequence[str], columns: int, indent: str = "", style: str = "") -> Iterator[Line]:
    """Yield parts joined by dots, on as many lines as they take, broken between parts where that is possible."""
    room = max(columns - len(indent), 8)
    text = ""
    for part in parts:
        if text and width(text) + 3 + width(part) > room:
            yield from (Line.of(indent).add(piece, style) for piece in wrap(text, room))
            text = part
        else:
            text = f"{text} · {part}" if text else part
    if text:
        yield from (Line.of(indent).add(piece, style) for piece in wrap(text, room))


def share(value: float | None) -> str:
    """Return a share of one as per cent: `97.1 %`."""
    return "" if value is None else f"{value * 100:.1f} %"
