"""`otel-llm tail`: calls as they are committed to the store."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_llm.cli import documents, figures, reading
from otel_llm.cli.facts import Facts
from otel_llm.cli.filters import Filters
from otel_llm.cli.lines import Line, Output
from otel_llm.cli.render import call_remarks, error_text
from otel_llm.cli.text import fit, one_line, width, wrap
from otel_llm.cli.turns import game_remarks, message_lines, order_lines, title, totals_remarks

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

POLL_S: Final = 0.2
_NAME: Final = 34
_MARGIN: Final = 10


def tail(
    filters: Filters,
    *,
    as_json: bool,
    everything: bool,
    from_start: bool,
    for_s: float | None,
    store: Path | None,
) -> int:
    """Print spans as they end, until interrupted.

    Args:
        filters: which spans.
        as_json: one JSON document a line.
        everything: spans that have nothing to do with models as well.
        from_start: what is in the store already as well.
        for_s: stop after so many seconds; None for never.
        store: the store's directory, None for the configured one; it need not exist yet.
    """
    deadline = None if for_s is None else time.monotonic() + for_s
    output = Output()
    try:
        _follow(output, filters, deadline, as_json, everything, from_start, store)
    except KeyboardInterrupt:
        # The usual end of it; the line that the terminal shows ^C on is finished.
        if output.is_terminal:
            sys.stdout.write("\n")
    return 0


def _follow(
    output: Output,
    filters: Filters,
    deadline: float | None,
    as_json: bool,
    everything: bool,
    from_start: bool,
    store: Path | None,
) -> None:
    from otel_llm.store import Cursor, StoreReader

    reader = StoreReader(reading.directory(store))
    if not reader.directory.is_dir():
        sys.stderr.write(f"otel-llm: waiting for a program to write to {reader.directory}\n")
    cursor = Cursor() if from_start else reader.tail(None)[1]
    said = 0
    while True:
        spans, cursor = reader.tail(cursor)
        for span in sorted(spans, key=lambda s: s.end_ns or s.start_ns):
            facts = Facts.of(span)
            of_models = everything or facts.operation or facts.scope
            if span.end_ns is None or not of_models or not filters.matches(span, facts):
                continue
            if as_json:
                sys.stdout.write(documents.dumps(documents.span_document(span, facts)) + "\n")
            else:
                output.write_all(span_lines(span, facts, output.width))
        output.flush()
        for problem in reader.problems[said:]:
            sys.stderr.write(f"otel-llm: {one_line(problem)}\n")
        said = len(reader.problems)
        if _over(deadline):
            return


def _over(deadline: float | None) -> bool:
    """Wait for the next look; say whether the time is up."""
    if deadline is None:
        time.sleep(POLL_S)
        return False
    left = deadline - time.monotonic()
    time.sleep(max(0.0, min(POLL_S, left)))
    return left <= 0


def span_lines(span: StoredSpan, facts: Facts, columns: int) -> list[Line]:
    """Return a span on one line, or on several where the terminal is narrow."""
    at = datetime.fromtimestamp((span.end_ns or span.start_ns) / 1e9, UTC).astimezone()
    line = Line.of(f"{at:%H:%M:%S}", "quiet").pad(_MARGIN)
    names = max(12, min(_NAME, columns - _MARGIN - 10))
    line.add(fit(title(span, facts), names), "bad" if facts.failed else "").pad(_MARGIN + names)
    line.add(figures.duration(span.duration_s).rjust(9))
    remarks: list[tuple[str, str]] = []
    if facts.failed:
        remarks.append((error_text(facts), "bad"))
    if facts.attempt:
        again = f"retry {facts.attempt}" if facts.interaction is None else f"attempt {facts.attempt + 1}"
        remarks.append((again, "warn"))
    if facts.ttft_s is not None:
        remarks.append((f"ttft {figures.duration(facts.ttft_s)}", ""))
    if facts.is_call and (facts.input_tokens is not None or facts.output_tokens is not None):
        tokens = f"{figures.count(facts.input_tokens) or '?'} → {figures.count(facts.output_tokens) or '?'}"
        remarks.append((tokens, ""))
    if facts.is_call and facts.cost is not None:
        remarks.append((figures.money(facts.cost), "good"))
    remarks += call_remarks(facts)
    remarks += game_remarks(span, facts, None, letters=False)
    remarks += totals_remarks(span, facts)
    remarks.append((f"trace {span.trace_id[:8]}", "quiet"))
    lines = [line]
    first = True
    for text, style in remarks:
        for index, piece in enumerate(wrap(text, columns - _MARGIN)):
            gap = "  " if first else " · "
            if index or lines[-1].width + len(gap) + width(piece) > columns:
                lines.append(Line().pad(_MARGIN))
                gap = ""
            lines[-1].add(gap, "quiet").add(piece, style)
            first = False
    for text, style in (*order_lines(span, facts), *message_lines(span, facts)):
        lines += [Line().pad(_MARGIN).add(piece, style) for piece in wrap(text, columns - _MARGIN)]
    return lines
