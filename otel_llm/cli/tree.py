"""A trace's spans as a tree, and a large tree folded to a readable number of rows.

Nothing here recurses: a trace may be nested deeper than Python's stack. Knows no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_llm.cli.facts import Facts

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan


DRAWN: Final = 20
"""Levels that are drawn at most; a tree may be thousands deep."""


@dataclass(slots=True, eq=False)
class Node:
    """A span in its place.

    Attributes:
        span: as stored.
        facts: what it says about a model call.
        children: in order of their start.
        orphan: whether it names a parent that is not among the spans.
        size: how many spans there are from here down, itself included.
        notable: whether it, or a span below it, failed or is still open.
    """

    span: StoredSpan
    facts: Facts
    children: list[Node] = field(default_factory=list)
    orphan: bool = False
    size: int = 1
    notable: bool = False


@dataclass(slots=True)
class Folded:
    """Spans that are not shown one by one.

    Attributes:
        tops: the topmost of them.
        below: whether they were left out for their depth, rather than for their number.
    """

    tops: list[Node]
    below: bool = False

    @property
    def size(self) -> int:
        """How many spans are folded, those below the topmost included."""
        return sum(node.size for node in self.tops)

    def nodes(self) -> Iterator[Node]:
        """All spans that are folded."""
        return walk(self.tops)


@dataclass(slots=True)
class Row:
    """One line of a tree.

    Attributes:
        content: a span, or several that are folded into one.
        depth: how far below a root it is.
        last: for this level and those above, the root's left out, whether it is the last of its siblings; of
            more than `DRAWN` levels the lowest.
    """

    content: Node | Folded
    depth: int = 0
    last: tuple[bool, ...] = ()


def build(spans: Iterable[StoredSpan]) -> list[Node]:
    """Return the roots of the spans of one trace, in order of their start.

    A span whose parent is missing is a root of its own; of spans that are each other's ancestors, one is.
    """
    nodes = {span.span_id: Node(span, Facts.of(span)) for span in sorted(spans, key=lambda s: s.start_ns)}
    roots: list[Node] = []
    for node in nodes.values():
        parent_id = node.span.parent_id
        parent = nodes.get(parent_id) if parent_id else None
        if parent is None or parent is node:
            node.orphan = bool(parent_id) and parent is None
            roots.append(node)
        else:
            parent.children.append(node)
    reached = {id(node) for node in walk(roots)}
    for node in nodes.values():
        if id(node) in reached:
            continue
        # Only a circle is left unreached: cut it open here.
        parent = nodes[node.span.parent_id or ""]
        parent.children.remove(node)
        node.orphan = True
        roots.append(node)
        reached.update(id(below) for below in walk([node]))
    _sum_up(roots)
    return roots


def walk(roots: Sequence[Node]) -> Iterator[Node]:
    """Yield all nodes, parents before children, in the order of display."""
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def _sum_up(roots: Sequence[Node]) -> None:
    for node in reversed(list(walk(roots))):
        node.size = 1 + sum(child.size for child in node.children)
        node.notable = (
            node.facts.failed or node.span.end_ns is None or any(child.notable for child in node.children)
        )


_SHAPES: Final = (
    *((children, 16) for children in (40, 20, 12, 8, 6)),
    *((children, 8) for children in (8, 6, 4)),
    *((4, depth) for depth in (6, 5, 4, 3)),
)
"""How many children of a span, and how many levels are shown: the first that fits is taken."""


def rows(roots: Sequence[Node], budget: int | None) -> list[Row]:
    """Return the lines that show a tree.

    Args:
        roots: from `build`.
        budget: about how many lines there may be; None for one a span.

    Returns:
        All spans where they are few enough, else the telling ones (failed, open, slowest, first, last), with
        the others folded in their places.
    """
    everything = sum(node.size for node in roots)
    if budget is None or everything <= budget:
        return _rows(roots, everything, everything)
    found: list[Row] = []
    for children, depth in _SHAPES:
        found = _rows(roots, children, depth, budget * 4)
        if len(found) <= budget:
            return found
    return found[: budget * 2]


def _rows(roots: Sequence[Node], children: int, depth: int, stop: int | None = None) -> list[Row]:
    found: list[Row] = []
    stack = [Row(content) for content in reversed(_some(roots, children))]
    while stack:
        row = stack.pop()
        found.append(row)
        if stop is not None and len(found) > stop:
            break
        node = row.content
        if isinstance(node, Folded) or not node.children:
            continue
        contents = (
            _some(node.children, children) if row.depth < depth else [Folded(node.children, below=True)]
        )
        above = row.last[-DRAWN + 1 :]
        last = len(contents) - 1
        stack.extend(  # last first: the stack gives them back in order
            Row(contents[index], row.depth + 1, (*above, index == last)) for index in range(last, -1, -1)
        )
    return found


def _some(siblings: Sequence[Node], limit: int) -> list[Node | Folded]:
    if len(siblings) <= limit + 1:  # a fold of one would save nothing
        return list(siblings)
    kept = {0, 1, len(siblings) - 1}
    kept.add(max(range(len(siblings)), key=lambda i: _took(siblings[i])))
    notable = [i for i, node in enumerate(siblings) if node.notable]
    kept.update(notable[: max(1, limit // 2)])
    for index in range(2, len(siblings)):
        if len(kept) >= limit:
            break
        kept.add(index)
    contents: list[Node | Folded] = []
    for index, node in enumerate(siblings):
        if index in kept:
            contents.append(node)
        elif contents and isinstance(before := contents[-1], Folded):
            before.tops.append(node)
        else:
            contents.append(Folded([node]))
    return contents


def _took(node: Node) -> int:
    end = node.span.end_ns
    return 0 if end is None else end - node.span.start_ns
