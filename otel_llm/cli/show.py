"""`otel-llm show`: traces as trees, or as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from otel_llm.cli import documents, reading
from otel_llm.cli.filters import Filters
from otel_llm.cli.lines import Line, Output
from otel_llm.cli.messages import has_content
from otel_llm.cli.render import Style, trace_lines

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

DEFAULT_LAST = 5

Found = list[tuple[str, list["StoredSpan"]]]


def show(
    trace_id: str | None, filters: Filters, *, last: int, full: bool, as_json: bool, store: Path | None
) -> int:
    """Print traces, the newest last.

    Args:
        trace_id: this trace alone, or the only one that begins so; None for the newest.
        filters: which traces: those with a span that matches.
        last: how many at most.
        full: every span, with its content and attributes.
        as_json: as one JSON document.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no such trace, or no store.
    """
    reader = reading.open_store(store)
    more = False
    found: Found
    if trace_id is not None:
        found = [reading.find_trace(reader, trace_id)]
    else:
        summaries = reader.traces(limit=last + 1, **filters.arguments())
        more = len(summaries) > last
        found = [(s.trace_id, reader.trace(s.trace_id)) for s in reversed(summaries[:last])]
        found = [(identifier, spans) for identifier, spans in found if spans]  # removed meanwhile
    show_found(found, full=full, as_json=as_json)
    if not as_json:
        _advise(found, filters, more=more, full=full, last=last, single=trace_id is not None)
    reading.report(reader)
    return 0


def show_found(found: Found, *, full: bool, as_json: bool) -> None:
    """Print traces as trees, or as one JSON document."""
    if as_json:
        sys.stdout.write(documents.dumps(documents.traces(found), indent=2) + "\n")
    else:
        _print(found, full=full)


def _print(found: Found, *, full: bool) -> None:
    output = Output()
    style = Style(width=output.width, now_ns=time.time_ns(), full=full)
    for index, (trace_id, spans) in enumerate(found):
        if index:
            output.write("")
        output.write_all(trace_lines(trace_id, spans, style))
    output.flush()


def _advise(found: Found, filters: Filters, *, more: bool, full: bool, last: int, single: bool) -> None:
    """Say on standard error, where it is read but not piped, what else there is to see."""
    output = Output(sys.stderr)
    if not found:
        nothing = "nothing in the store matches" if filters.any else "the store has no traces yet"
        output.write(Line.of(nothing, "quiet"))
        return
    if not output.is_terminal:
        return
    said = _hints(found, full=full)
    if more and not single:
        said.append(f"there are older ones: --last {last * 4}")
    if said:
        output.write("", Line.of("; ".join(said), "quiet"))


def _hints(found: Sequence[tuple[str, Sequence[StoredSpan]]], *, full: bool) -> list[str]:
    if full:
        return []
    content = any(has_content(span) for _, spans in found for span in spans)
    return ["--full shows what was said"] if content else []
