"""What went wrong in a game, as lines. Everything that comes out of a record is made clean here."""

# ruff: noqa: RUF001 (the multiplication sign is meant)
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from otel_llm.analysis import (
    GameRecord,
    InteractionRecord,
    failures,
    oddities,
    refusals,
    repetitions,
    swallowed,
    with_invalid_orders,
)
from otel_llm.cli import figures
from otel_llm.cli.lines import Line
from otel_llm.cli.render import Style
from otel_llm.cli.text import fit, one_line, wrap

_ROWS: Final = 8
"""Rows of one kind of a game that is not asked for in full."""
_NAMED: Final = 4
_NAME: Final = 60
_MESSAGE: Final = 240
_TRACE: Final = 8

_Row = list[tuple[str, str]]
"""Pieces of text with their styles."""


def trouble_lines(game: GameRecord, style: Style) -> Iterator[Line]:
    """Yield what went wrong; nothing where nothing did."""
    sections = [
        ("failed", list(_failed(game))),
        ("attempted again", list(_repeated(game))),
        ("invalid orders", list(_invalid(game))),
        ("calls refused or broken off", list(_refused(game))),
        ("odd", list(_odd(game))),
    ]
    if not any(rows for _, rows in sections):
        return
    yield Line.of("what went wrong", "title")
    for name, rows in sections:
        if not rows:
            continue
        yield Line.of(fit(f"  {name}", style.width))
        shown = rows if style.full else rows[:_ROWS]
        for row in shown:
            yield from _wrapped(row, style.width)
        if left := len(rows) - len(shown):
            more = f"    … {figures.count(left)} more; --full names them"
            yield Line.of(fit(more, style.width), "quiet")


def _wrapped(row: _Row, columns: int) -> Iterator[Line]:
    """Yield a row, its pieces one after the other and on further lines where they do not fit."""
    margin = "    "
    line = Line.of(margin)
    for text, style in row:
        for index, piece in enumerate(wrap(text, columns - len(margin) - 2)):
            empty = not line.text
            if index or (not empty and line.width + 2 + Line.of(piece).width > columns):
                yield line
                line = Line.of(margin + "  ")
                empty = True
            line.add("" if empty else "  ").add(piece, style)
    yield line


def _failed(game: GameRecord) -> Iterator[_Row]:
    if game.error_type is not None:
        yield [("the game", ""), (_error(game.error_type, game.error_message), "bad")]
    for phase in game.phases:
        if phase.error_type is not None:
            told = _error(phase.error_type, phase.error_message)
            yield [(f"phase {one_line(phase.name, _NAME)}", ""), (told, "bad"), _trace(phase.trace_id)]
    silent = {(record.trace_id, record.span_id) for record in swallowed(game)}
    again = {record.retry_of for record in game.all_interactions() if record.retry_of is not None}
    groups: dict[tuple[str, str, str, str], list[InteractionRecord]] = {}
    for record in failures(game):
        key = record.trace_id, record.span_id
        went_on = (
            "the game went on without it" if key in silent else "attempted again" if key in again else ""
        )
        error = record.error_type or "failed"
        kind = record.type or record.name
        groups.setdefault((kind, error, record.error_message or "", went_on), []).append(record)
    for (kind, error, message, went_on), records in groups.items():
        row = [(_which(kind, records), ""), (_error(error, message), "bad")]
        if went_on:
            row.append((went_on, "warn"))
        yield [*row, _trace(records[0].trace_id)]


def _which(kind: str, records: Sequence[InteractionRecord]) -> str:
    kind = one_line(kind, _NAME)
    if len(records) == 1:
        (record,) = records
        return " ".join(part for part in (_power(record), kind, _in_phase(record.phase)) if part)
    phases = _names(record.phase or "no phase" for record in records)
    powers = _names(record.power or "nobody" for record in records)
    return f"{len(records)} × {kind} in {phases}: {powers}"


def _repeated(game: GameRecord) -> Iterator[_Row]:
    for row in repetitions(game.all_interactions()):
        first = row.records[0]
        kind = one_line(row.type or first.name, _NAME)
        what = " ".join(part for part in (_power(first), kind, _in_phase(row.phase)) if part)
        errors = ", ".join(f"{n} × {one_line(error, _NAME)}" for error, n in row.errors.items())
        end = {True: ("succeeded then", "good"), False: ("never succeeded", "bad"), None: ("open", "warn")}
        told: _Row = [(what, ""), (f"{row.attempts} attempts, {figures.duration(row.lost_s)} lost", "warn")]
        if errors:
            told.append((errors, "bad"))
        yield [*told, end[row.succeeded], _trace(first.trace_id)]


def _invalid(game: GameRecord) -> Iterator[_Row]:
    for record in with_invalid_orders(game.all_interactions()):
        bad, good = record.invalid_count or 0, record.valid_count
        of = f" of {bad + good}" if good is not None else ""
        what = " ".join(part for part in (_power(record), _in_phase(record.phase)) if part)
        named = ", ".join(one_line(order, _NAME) for order in record.invalid_orders)
        row: _Row = [(f"{what or one_line(record.name, _NAME)}: {bad}{of}", "")]
        if named:
            row.append((named, "warn"))
        yield [*row, _trace(record.trace_id)]


def _refused(game: GameRecord) -> Iterator[_Row]:
    for row in refusals([game]):
        codes = ", ".join(map(str, row.status_codes))
        error = f"{row.n} × {one_line(row.error_type, _NAME)}{f' ({codes})' if codes else ''}"
        told: _Row = [(f"{one_line(row.model, _NAME)}:" if row.model else "no model:", ""), (error, "bad")]
        if row.message:
            told.append((one_line(row.message, _MESSAGE), ""))
        told.append((f"{figures.duration(row.wasted_s)} lost", "warn"))
        if row.unanswered:
            told.append((f"{figures.plural(row.unanswered, 'interaction')} got no answer at all", "bad"))
        yield [*told, _trace(row.calls[0].trace_id)]


def _odd(game: GameRecord) -> Iterator[_Row]:
    for row in oddities(game):
        times = f" ({figures.count(row.n)} times)" if row.n > 1 else ""
        yield [(f"{row.kind}: {one_line(row.what, _NAME)}{times}", "warn"), _trace(row.trace_id)]


def _error(error_type: str, message: str | None) -> str:
    words = f": {one_line(message, _MESSAGE)}" if message else ""
    return f"✗ {one_line(error_type, 100)}{words}"


def _power(record: InteractionRecord) -> str:
    return one_line(record.power, _NAME) if record.power else ""


def _in_phase(name: str | None) -> str:
    return f"in {one_line(name, _NAME)}" if name else ""


def _trace(trace_id: str) -> tuple[str, str]:
    return f"trace {trace_id[:_TRACE]}", "quiet"


def _names(names: Iterable[str]) -> str:
    """Return different names, the first few of them."""
    unique = list(dict.fromkeys(names))
    shown = ", ".join(one_line(name, _NAME) for name in unique[:_NAMED])
    return shown if len(unique) <= _NAMED else f"{shown} and {len(unique) - _NAMED} more"
