"""A trace as lines: a header, then a row a span with its tree, time bar, figures and remarks.

Pure: from spans to `Line`s for a given width. Everything that comes out of a span is made clean here.
"""

# ruff: noqa: RUF001 (the multiplication sign is meant)
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from otel_llm.cli import figures
from otel_llm.cli.facts import Facts, Totals
from otel_llm.cli.lines import Line
from otel_llm.cli.messages import detail_lines
from otel_llm.cli.text import fit, one_line, width, wrap
from otel_llm.cli.tree import Folded, Node, Row, build, rows, walk
from otel_llm.cli.turns import game_remarks, title

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

BUDGET: Final = 60
"""Lines of a trace that is not asked for in full."""
_PHASE_BUDGET: Final = 240
"""The same for a phase of a game: with seven powers it has some ninety interactions, and all are looked for."""

_NAME_MAX: Final = 36
_NAME_MIN: Final = 16
_MESSAGE_MAX: Final = 300
_BARS: Final = ((140, 16), (100, 12), (0, 0))
"""From this width on, the time bar has so many cells."""
_NARROW: Final = 72
_ROOMY: Final = 120
"""From this width on, some of it is kept for remarks behind the figures."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a trace is shown.

    Attributes:
        width: columns.
        now_ns: the present, for ages and for spans that are still open.
        full: every span, with its content and all its attributes.
        ids: whether the header tells the trace's id.
    """

    width: int
    now_ns: int
    full: bool = False
    ids: bool = True


def trace_lines(trace_id: str, spans: Sequence[StoredSpan], style: Style) -> list[Line]:
    """Return the lines of one trace.

    Args:
        trace_id: 32 hex digits.
        spans: all of its spans, in any order.
        style: how it is shown.
    """
    roots = build(spans)
    lines = _header(trace_id, roots, style)
    budget = _PHASE_BUDGET if any(node.facts.scope == "phase" for node in roots) else BUDGET
    shown = rows(roots, None if style.full else budget)
    layout = _Layout(shown, style, roots)
    if layout.wide and len(shown) > 1:  # one row speaks for itself
        lines.append(layout.heading())
    for row in shown:
        lines += layout.row(row)
    return lines


def _header(trace_id: str, roots: Sequence[Node], style: Style) -> list[Line]:
    nodes = list(walk(roots))
    totals = Totals.of((node.span, node.facts) for node in nodes)
    service = nodes[0].span.resource.get("service.name")
    parts = [one_line(service, 40)] if service and style.ids else []
    parts.append(figures.plural(totals.spans, "span"))
    parts.append(summary(totals))
    if totals.open:
        parts.append(f"{totals.open} open")
    sums = " · ".join(part for part in parts if part)
    if not style.ids:
        return [Line.of(piece, "quiet") for piece in wrap(sums, style.width)]
    lines = [Line.of(fit(f"trace {one_line(trace_id, 40)}", style.width), "title")]
    at = figures.moment(nodes[0].span.start_ns, style.now_ns)
    for text in (at, sums):
        if lines[-1].width + 2 + width(text) <= style.width:
            lines[-1].add("  ").add(text, "quiet")
        else:
            lines += [Line.of(f"  {piece}", "quiet") for piece in wrap(text, style.width - 2)]
    return lines


def summary(totals: Totals) -> str:
    """Return `5 calls · 1,204 → 36 tokens · $0.0031 · 1 error`, as far as it is known."""
    parts = []
    if totals.calls:
        parts.append(figures.plural(totals.calls, "call"))
    if tokens := _tokens(totals.input_tokens, totals.output_tokens):
        parts.append(f"{tokens} tokens")
    if totals.cost is not None:
        parts.append(figures.money(totals.cost))
    if totals.errors:
        parts.append(figures.plural(totals.errors, "error"))
    return " · ".join(parts)


def _tokens(given: int | None, got: int | None) -> str:
    if given is None and got is None:
        return ""
    return f"{figures.count(given) or '?'} → {figures.count(got) or '?'}"


class _Layout:
    """Columns for one trace."""

    def __init__(self, shown: Sequence[Row], style: Style, roots: Sequence[Node]) -> None:
        self._style = style
        self._by_id = {node.span.span_id: node for node in walk(roots)}
        self._begin = min(node.span.start_ns for node in self._by_id.values())
        self._end = max(
            style.now_ns if node.span.end_ns is None else node.span.end_ns for node in self._by_id.values()
        )
        self.wide = style.width >= _NARROW
        self._bar = next(cells for columns, cells in _BARS if style.width >= columns)
        figures_width = (self._bar + 2 if self._bar else 0) + sum(cells for _, cells in _COLUMNS)
        self._drawn = max(2, style.width // 14)
        branches = [width(self._branch(row)) for row in shown]
        names = max(branch + width(_title(row.content)) for branch, row in zip(branches, shown, strict=True))
        room = style.width - figures_width - (style.width // 6 if style.width >= _ROOMY else 4)
        self._name = max(_NAME_MIN, min(names, _NAME_MAX + max(branches), room))

    def heading(self) -> Line:
        line = Line().pad(self._name + (self._bar + 2 if self._bar else 0))
        for heading, cells in _COLUMNS:
            line.add(heading.rjust(cells), "quiet")
        return line

    def row(self, row: Row) -> list[Line]:
        content = row.content
        branch = self._branch(row)
        if isinstance(content, Folded):
            totals = Totals.of((node.span, node.facts) for node in content.nodes())
            span_style, remarks = "quiet", _folded_remarks(content, totals)
            cells = ["", "", *_counts(totals.input_tokens, totals.output_tokens, totals.cost)]
            begin = min(node.span.start_ns for node in content.tops)
            end: int | None = max(node.span.end_ns or self._style.now_ns for node in content.tops)
        else:
            facts, span = content.facts, content.span
            span_style = "bad" if facts.failed else "warn" if span.end_ns is None else ""
            remarks = self._remarks(content)
            took = None if span.end_ns is None else (span.end_ns - span.start_ns) / 1e9
            usage = (facts.input_tokens, facts.output_tokens, facts.cost) if facts.is_call else (None,) * 3
            cells = [figures.duration(took), figures.duration(facts.ttft_s), *_counts(*usage)]
            begin, end = span.start_ns, span.end_ns
        name = _title(content)
        lines = (
            self._wide_row(branch, name, span_style, cells, remarks, self._draw(begin, end), row)
            if self.wide
            else self._narrow_row(branch, name, span_style, cells, remarks, row)
        )
        if self._style.full and isinstance(content, Node):
            prefix = self._stem(row)
            for detail in detail_lines(content.span, max(self._style.width - width(prefix) - 2, 8)):
                lines.append(Line.of(prefix, "quiet").add("  "))
                for piece, style in detail.pieces:
                    lines[-1].add(piece, style)
        return lines

    def _wide_row(
        self,
        branch: str,
        name: str,
        style: str,
        cells: Sequence[str],
        remarks: list[tuple[str, str]],
        bar: str,
        row: Row,
    ) -> list[Line]:
        line = Line.of(branch, "quiet").add(fit(name, max(self._name - width(branch), 8)), style)
        line.pad(self._name)
        if self._bar:
            line.add("  ").add(bar, "bad" if style == "bad" else "bar")
        for value, (_, size) in zip(cells, _COLUMNS, strict=True):
            line.add(value.rjust(size))
        text_width = sum(width(text) for text, _ in remarks) + 3 * (len(remarks) - 1)
        if line.width + 2 + text_width <= self._style.width:
            _join(line.add("  ") if remarks else line, remarks)
            return [line]
        return [line, *self._below(row, remarks)]

    def _narrow_row(
        self,
        branch: str,
        name: str,
        style: str,
        cells: Sequence[str],
        remarks: list[tuple[str, str]],
        row: Row,
    ) -> list[Line]:
        took, ttft, given, got, cost = cells
        fitting = fit(name, max(self._style.width - width(branch) - width(took) - 2, 8))
        line = Line.of(branch, "quiet").add(fitting, style)
        if took:
            line.add(f"  {took}")
        more = [(f"ttft {ttft}", "")] if ttft else []
        if given or got:
            more.append((f"{given or '?'} → {got or '?'}", ""))
        if cost:
            more.append((cost, ""))
        return [line, *self._below(row, [*more, *remarks])]

    def _below(self, row: Row, remarks: list[tuple[str, str]]) -> list[Line]:
        """Remarks on lines of their own, under the name."""
        prefix = self._stem(row) + "  "
        room = max(self._style.width - width(prefix), 8)
        lines: list[Line] = []
        line = Line.of(prefix, "quiet")
        for text, style in remarks:
            if line.width > width(prefix) and line.width + 3 + width(text) > self._style.width:
                lines.append(line)
                line = Line.of(prefix, "quiet")
            if line.width > width(prefix):
                line.add(" · ", "quiet")
            if width(text) <= room:
                line.add(text, style)
                continue
            first, *others = wrap(text, room)
            line.add(first, style)
            for other in others:
                lines.append(line)
                line = Line.of(prefix, "quiet").add(other, style)
        return [*lines, line] if line.width > width(prefix) else lines

    def _branch(self, row: Row) -> str:
        """The tree's glyphs before a name; the roots have none."""
        if row.depth == 0:
            return ""
        levels, hidden = self._levels(row)
        above = "".join("   " if last else "│  " for last in levels[:-1])
        return hidden + above + ("└─ " if levels[-1] else "├─ ")

    def _stem(self, row: Row) -> str:
        """The glyphs before lines that belong to a row but come below it."""
        levels, hidden = self._levels(row)
        own = "".join("   " if last else "│  " for last in levels)
        content = row.content
        return hidden + own + ("│" if isinstance(content, Node) and content.children else " ")

    def _levels(self, row: Row) -> tuple[tuple[bool, ...], str]:
        """The levels that are drawn, and how many are not, so that deep trees stay on the screen."""
        drawn = row.last[-self._drawn :]
        hidden = row.depth - len(drawn)
        return drawn, f"…{hidden} ".ljust(6) if hidden else ""

    def _draw(self, begin: int, end: int | None) -> str:
        """The span's place in the trace's time."""
        total = max(self._end - self._begin, 1)
        scale = self._bar / total
        start = min(int((begin - self._begin) * scale), self._bar - 1)
        until = self._end if end is None else end
        cells = (until - begin) * scale
        length = max(1, round((until - self._begin) * scale) - start)
        drawn = "▏" if cells * 2 < 1 else "█" * min(length, self._bar - start)
        if end is None:
            drawn = drawn[:-1] + "…"
        return (" " * start + drawn).ljust(self._bar)

    def _remarks(self, node: Node) -> list[tuple[str, str]]:
        facts, span = node.facts, node.span
        found: list[tuple[str, str]] = []
        if span.end_ns is None:
            since = figures.duration((self._style.now_ns - span.start_ns) / 1e9)
            found.append((f"open since {since}", "warn"))
        if facts.failed:
            found.append((error_text(facts, None if self._style.full else _MESSAGE_MAX), "bad"))
        if facts.attempt or facts.retry_of:
            found.append((self._retry(facts), "warn"))
        if node.orphan:
            found.append(("parent not in the store", "quiet"))
        found += call_remarks(facts)
        found += game_remarks(span, facts, None) if self._style.full else game_remarks(span, facts)
        return found

    def _retry(self, facts: Facts) -> str:
        if facts.interaction is None:
            text = f"retry {facts.attempt}" if facts.attempt else "retry"
        else:
            text = f"attempt {facts.attempt + 1}" if facts.attempt else "attempted again"
        if facts.retry_of is None:
            return text
        trace_id, span_id = facts.retry_of
        before = self._by_id.get(span_id)
        if before is None:
            return f"{text} of trace {one_line(trace_id, 40)}"
        after = f" after {one_line(before.facts.error_type, 60)}" if before.facts.error_type else ""
        waited = ""
        if before.span.end_ns is not None:
            own = next(n for n in self._by_id.values() if n.facts is facts)
            waited = f", {figures.duration((own.span.start_ns - before.span.end_ns) / 1e9)} later"
        return f"{text}{after}{waited}"


_COLUMNS: Final = (("took", 9), ("ttft", 8), ("in", 8), ("out", 7), ("cost", 11))


def _counts(given: int | None, got: int | None, cost: float | None) -> list[str]:
    return [figures.count(given), figures.count(got), figures.money(cost)]


def _title(content: Node | Folded) -> str:
    if isinstance(content, Node):
        return title(content.span, content.facts)
    if content.below:
        return f"… {figures.plural(content.size, 'span')} below"
    return f"… {figures.count(len(content.tops))} more"


def _folded_remarks(content: Folded, totals: Totals) -> list[tuple[str, str]]:
    found = []
    if totals.errors:
        found.append((figures.plural(totals.errors, "error"), "bad"))
    if totals.open:
        found.append((f"{totals.open} open", "warn"))
    if not content.below:
        names = Counter(title(node.span, node.facts, 60) for node in content.tops).most_common(3)
        rest = len(content.tops) - sum(n for _, n in names)
        told = [f"{figures.count(n)} × {name}" for name, n in names] + ([f"{rest} others"] if rest else [])
        found.append((", ".join(told), "quiet"))
        if below := content.size - len(content.tops):
            found.append((f"{figures.plural(below, 'span')} below", "quiet"))
    return found


def error_text(facts: Facts, limit: int | None = _MESSAGE_MAX) -> str:
    """Return `✗ rate_limit (429): the provider's words`."""
    text = f"✗ {one_line(facts.error_type, 100)}"
    if facts.status_code is not None and facts.status_code >= HTTPStatus.BAD_REQUEST:
        text += f" ({facts.status_code})"
    if facts.error_message:
        text += f": {one_line(facts.error_message, limit)}"
    return text


def call_remarks(facts: Facts) -> list[tuple[str, str]]:
    """Return what there is to say about how a call went, beyond its figures: (text, style)."""
    found: list[tuple[str, str]] = []
    if facts.retry_after_s is not None and facts.failed:
        found.append((f"retry after {figures.duration(facts.retry_after_s)}", ""))
    reasons = [one_line(reason, 60) for reason in dict.fromkeys(facts.finish_reasons)]
    if reasons:
        found.append((", ".join(reasons), "" if reasons != ["error"] else "bad"))
    if facts.tool_calls:
        tools = Counter(one_line(name, 60) for name in facts.tool_calls)
        found.append(("→ " + ", ".join(n if c == 1 else f"{n} ×{c}" for n, c in tools.items()), "call"))
    if facts.cache_read:
        found.append((f"{figures.count(facts.cache_read)} cached", ""))
    if facts.cache_write:
        found.append((f"{figures.count(facts.cache_write)} written to cache", ""))
    if facts.reasoning:
        found.append((f"{figures.count(facts.reasoning)} reasoning", ""))
    if facts.answered_by:
        found.append((f"by {one_line(facts.answered_by, 60)}", "quiet"))
    return found


def _join(line: Line, remarks: Iterable[tuple[str, str]]) -> None:
    for index, (text, style) in enumerate(remarks):
        if index:
            line.add(" · ", "quiet")
        line.add(text, style)
