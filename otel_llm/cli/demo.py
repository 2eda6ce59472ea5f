"""`otel-llm demo`: the story of `story`, seen by otel_llm, and what to do next."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_llm.cli import figures, reading
from otel_llm.cli.errors import CliError
from otel_llm.cli.facts import Facts, Totals
from otel_llm.cli.lines import Line, Output
from otel_llm.cli.render import Style, trace_lines
from otel_llm.cli.text import fit, one_line

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

ROOT: Final = "invoke_agent planner"
_FLUSH_S: Final = 5.0
_NAME: Final = 30


def demo(store: Path | None, content: str) -> int:
    """Run the story and print its trace.

    Args:
        store: the store's directory, None for the configured one.
        content: the content policy; everything that is said here is made up.

    Raises:
        CliError: an SDK is not installed, or what was seen cannot be shown.
    """
    from otel_llm.cli.story import REQUIRED, tell

    missing = [name for name in REQUIRED if not _installed(name)]
    if missing:
        raise CliError(
            f"the demo calls the openai, anthropic and google SDKs, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'otel-llm[demo]'",
            code=1,
        )
    import otel_llm
    from otel_llm.loopback import LoopbackServer

    output = Output()
    output.write(
        Line.of(
            "An agent plans a day out: openai, anthropic and google SDKs, answered by a server on loopback."
        ),
        "",
    )
    output.flush()
    where = reading.directory(store)
    begin_ns = time.time_ns()
    # Newer SDKs of Anthropic trace themselves, one span for all attempts; here each attempt is to be seen.
    os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")
    otel_llm.instrument(store=where, content=content, service_name="otel-llm-demo")
    with LoopbackServer() as server:
        tell(server)
    flushed = otel_llm.force_flush(_FLUSH_S)
    spans = _story(where, begin_ns)
    output.write_all(trace_lines(spans[0].trace_id, spans, Style(output.width, time.time_ns(), ids=False)))
    output.write("")
    output.write_all(summary_lines(spans))
    output.write("")
    output.write_all(_next(store))
    output.flush()
    if not flushed:
        sys.stderr.write("otel-llm: not all of it could be sent in time; `otel-llm doctor` says more\n")
    return 0


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def _story(where: Path, begin_ns: int) -> list[StoredSpan]:
    reader = reading.open_store(where)
    for summary in reader.traces(limit=20, since_ns=begin_ns):
        spans = reader.trace(summary.trace_id)
        if any(span.name == ROOT for span in spans):
            return spans
    reading.report(reader)
    raise CliError("the demo's trace is not in the store; `otel-llm doctor` says more", code=1)


def summary_lines(spans: list[StoredSpan]) -> list[Line]:
    """Return calls, tokens, money and errors per model, and in all."""
    by_model: dict[str, list[tuple[StoredSpan, Facts]]] = defaultdict(list)
    for span in sorted(spans, key=lambda s: s.start_ns):
        facts = Facts.of(span)
        if facts.is_call:
            by_model[facts.model or "?"].append((span, facts))
    lines = [Line.of("model", "quiet").pad(_NAME)]
    for title, cells in _COLUMNS:
        lines[0].add(title.rjust(cells), "quiet")
    everything = [item for items in by_model.values() for item in items]
    for model, items in [*by_model.items(), ("in all", everything)]:
        totals = Totals.of(items)
        line = Line.of(fit(one_line(model), _NAME - 1), "title" if items is everything else "").pad(_NAME)
        values = (
            figures.count(totals.calls),
            figures.count(totals.input_tokens),
            figures.count(totals.output_tokens),
            figures.money(totals.cost),
            figures.count(totals.errors) if totals.errors else "",
        )
        for value, (title, cells) in zip(values, _COLUMNS, strict=True):
            line.add(value.rjust(cells), "bad" if title == "errors" else "")
        lines.append(line)
    return lines


_COLUMNS: Final = (("calls", 7), ("in", 8), ("out", 8), ("cost", 11), ("errors", 8))


def _next(store: Path | None) -> list[Line]:
    option = "" if store is None else f" --store {one_line(store)}"
    commands = (
        (f"otel-llm show --last 1 --full{option}", "what was said"),
        ("otel-llm run your_script.py", "the same for your program, unedited"),
        ("otel-llm tail", "calls as they happen"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 otel-llm run your_script.py",
            "to any OTLP backend too",
        ),
    )
    lines = [Line.of("Next", "title")]
    for command, what in commands:
        lines.append(Line.of("  ").add(command, "call").add(f"  {what}", "quiet"))
    return lines
