"""`otel-llm doctor`: the report of `checks`, for people or as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from otel_llm.cli import documents, figures
from otel_llm.cli.lines import Line, Output
from otel_llm.cli.text import fit, one_line, width, wrap

_MARKS: Final = {"good": "✓", "bad": "✗", "": " ", "quiet": " "}

_WORKING: Final = frozenset({"patched", "active"})
_WRONG: Final = ("failed", "missing")
_ABSENT: Final = " is not installed"
_MANY_HOOKS: Final = 3

Fact = tuple[str, str, str]
"""(label, text, style)"""


def doctor(store: Path | None, *, as_json: bool) -> int:
    """Print the report.

    Args:
        store: the store's directory, None for the configured one.
        as_json: as one JSON document.

    Returns:
        The exit code: 1 where something is wrong.
    """
    from otel_llm.cli.checks import examine

    report = examine(store)
    if as_json:
        sys.stdout.write(documents.dumps(report, indent=2) + "\n")
    else:
        output = Output()
        output.write_all(report_lines(report, output.width))
        output.flush()
    return 0 if report["ok"] else 1


def report_lines(report: Mapping[str, Any], columns: int) -> list[Line]:
    """Return the report as lines."""
    lines: list[Line] = []
    for title, facts in (
        ("installed", _versions(report["versions"])),
        ("patched", _patched(report["instrumentation"])),
        ("settings", _settings(report["settings"])),
        ("exporters", _exporters(report["exporters"])),
        ("store", _store(report["store"])),
    ):
        lines.append(Line.of(title, "title"))
        told = list(facts)
        margin = min(max(width(label) for label, _, _ in told) + 6, columns // 2)
        for label, text, style in told:
            lines += _fact(label, text, style, margin, columns)
        lines.append(Line())
    problems = report["problems"]
    lines.append(
        Line.of(figures.plural(len(problems), "problem"), "bad")
        if problems
        else Line.of("no problems", "good")
    )
    for problem in problems:
        lines += [Line.of("  ").add(piece, "bad") for piece in wrap(one_line(problem), columns - 2)]
    return lines


def _fact(label: str, text: str, style: str, margin: int, columns: int) -> list[Line]:
    lines: list[Line] = []
    for piece in wrap(one_line(text), columns - margin):
        line = Line()
        if not lines:
            line.add(f"  {_MARKS.get(style, ' ')} ", style).add(fit(one_line(label), margin - 5))
        lines.append(line.pad(margin).add(piece, style if style in {"bad", "quiet"} else ""))
    return lines


def _versions(versions: Mapping[str, str]) -> Iterable[Fact]:
    return [(name, found, "") for name, found in versions.items()]


def _patched(status: Mapping[str, Any]) -> Iterable[Fact]:
    for name, where in status.get("found", {}).items():
        state = str(status.get("instrumentations", {}).get(name, "not installed"))
        yield name, f"{state}  ({where})", "good" if state == "installed" else "bad"
        yield from _seams(
            {client: str(seam) for client, seam in status.get("seams", {}).get(name, {}).items()}
        )
    if not status.get("found"):
        yield "nothing", "no instrumentor of ours is installed", "bad"
    for what, number in status.get("dropped", {}).items():
        yield "dropped", f"{number} {what}", _dropped_style(what)


def _seams(seams: Mapping[str, str]) -> Iterable[Fact]:
    """Yield a line a hook; one line for all of them where none has anything to tell, as where a library is not used."""
    told = [
        (f"  {client}", seam, "good" if seam in _WORKING else "bad" if seam.startswith(_WRONG) else "quiet")
        for client, seam in seams.items()
    ]
    if len(told) < _MANY_HOOKS or any(style != "quiet" for _, _, style in told):
        yield from told
        return
    states = dict.fromkeys(seam for _, seam, _ in told)
    absent = [state.removesuffix(_ABSENT) for state in states if state.endswith(_ABSENT)]
    words = [state for state in states if not state.endswith(_ABSENT)]
    if absent:
        words.append(f"not installed: {', '.join(absent)}")
    yield f"  {len(told)} hooks", "; ".join(words), "quiet"


def _settings(settings: Mapping[str, Mapping[str, str]]) -> Iterable[Fact]:
    for name, entry in settings.items():
        source = entry["source"]
        hint = entry.get("variable", "argument") if source == "default" else f"from {source}"
        yield name, f"{entry['value'] or '-'}  ({hint})", "quiet" if source == "default" else ""


def _exporters(exporters: Iterable[Mapping[str, Any]]) -> Iterable[Fact]:
    none = True
    for entry in exporters:
        none = False
        text = f"{entry['exporter']}"
        if "endpoint" in entry:
            text += f" to {entry['endpoint']} ({entry['protocol']}, {entry['source']})"
        if entry.get("problem"):
            text += f": {entry['problem']}"
        elif entry.get("reachable"):
            text += ": reachable"
        yield entry["signal"], text, "bad" if entry.get("problem") else "good"
    if none:
        yield "none", "only the local store; OTEL_EXPORTER_OTLP_ENDPOINT or exporters= add one", "quiet"


def _store(store: Mapping[str, Any]) -> Iterable[Fact]:
    if store["directory"] is None:
        yield "off", "OTEL_LLM_STORE switches it off", "quiet"
        return
    yield "directory", store["directory"], ""
    if not store["exists"]:
        yield "empty", "nothing was written yet", "quiet"
        return
    files = f"{figures.plural(store['files'], 'file')}, {figures.size(store['bytes'])}"
    if store["writing"]:
        files += f", {store['writing']} being written"
    yield "files", files, ""
    spans = figures.plural(store["spans"], "span")
    yield "spans", spans + (f", {store['open_spans']} open" if store["open_spans"] else ""), ""
    if store["newest_trace_ns"] is not None:
        yield "newest trace", figures.moment(store["newest_trace_ns"], time.time_ns()), ""
    for what, number in store["dropped"].items():
        yield "dropped", f"{figures.count(number)} {what}", _dropped_style(what)
    if not store["dropped"]:
        yield "dropped", "nothing", "good"
    for problem in store["unreadable"]:
        yield "unreadable", problem, "bad"


def _dropped_style(what: str) -> str:
    return "quiet" if what.endswith("_sampled") else "bad"  # sampling was asked for
