"""The analyses of games as tables. Everything that comes out of a record is made clean here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from otel_llm import analysis as an
from otel_llm.analysis.queries import Key
from otel_llm.cli import figures
from otel_llm.cli.lines import Line
from otel_llm.cli.tables import Cell, Row, joined, share, table
from otel_llm.cli.text import fit, one_line

ROWS: Final = 40
"""Rows of a table that is not asked for in full."""
_TYPES: Final = 9
_NAME: Final = 60
_BY: Final = (("model", "model"), ("type", "type"), ("power", "power"), ("phase_type", "phase"))


def stats_lines(games: Sequence[an.GameRecord], width: int, *, full: bool = False) -> Iterator[Line]:
    """Yield the tables that have rows, with an empty line before each but the first."""
    interactions = [record for game in games for record in game.all_interactions()]
    tables = [
        _latency(games, interactions, width),
        _success(interactions, width),
        _spending(games, width),
        _patterns(games, width, full),
        _correspondence(games, width),
        _models(games, width),
        _episodes(games, width, full),
        _rewards(games, width),
        _slowest(interactions, width),
    ]
    told = [figures.plural(sum(game.game_id != an.OUTSIDE for game in games), "game")]
    told.append(figures.plural(len(interactions), "interaction"))
    told.append(figures.plural(sum(game.totals.calls for game in games), "call"))
    yield from joined(told, width, "", "title")
    for lines in tables:
        for index, line in enumerate(lines):
            if not index:
                yield Line()
            yield line


def _latency(
    games: Sequence[an.GameRecord], interactions: Sequence[an.InteractionRecord], width: int
) -> Iterator[Line]:
    rows: list[list[str]] = []

    def add(of: str, found: Iterable[an.Latency]) -> None:
        for row in found:
            first = "" if row.first_token_s is None else figures.duration(row.first_token_s.p50)
            rows.append([of, _key(row.key), *_spread(row.seconds), first])

    answers = an.answers(games)
    add("calls of", an.latency(answers, by=("model",)))
    if len({answer.model for answer in answers}) > 1:
        add("calls of", an.latency(answers, by=("model", "type")))
    add("interactions", an.latency(interactions, by=("type",)))
    headings = ("", "", "n", "mean", "p50", "p90", "p99", "max", "ttft")
    yield from _titled("Latency", headings, rows, width, 2)


def _success(interactions: Sequence[an.InteractionRecord], width: int) -> Iterator[Line]:
    rows: list[Row] = []
    for by, name in _BY:
        for row in an.success(interactions, by=(by,)):
            errors = ", ".join(f"{n} {one_line(error, _NAME)}" for error, n in row.errors.items())
            judged = row.valid_orders + row.invalid_orders
            rows.append(
                [
                    name,
                    _key(row.key),
                    figures.count(row.n),
                    share(row.rate),
                    Cell(figures.count(row.failed) if row.failed else "", "bad"),
                    figures.count(row.open) if row.open else "",
                    f"{figures.count(row.invalid_orders)} of {figures.count(judged)}" if judged else "",
                    Cell(errors, "bad"),
                ]
            )
    headings = ("by", "", "n", "succeeded", "failed", "open", "invalid orders", "errors")
    yield from _titled("Success", headings, rows, width, 2, remark=True)


def _spending(games: Sequence[an.GameRecord], width: int) -> Iterator[Line]:
    rows: list[Row] = []
    answers = an.answers(games)
    for by, name in _BY[:3]:
        for row in an.spending(answers, by=(by,)):
            each = row.cost_usd / row.calls if row.cost_usd is not None and row.calls else None
            rows.append(
                [
                    name,
                    _key(row.key),
                    figures.count(row.calls),
                    figures.count(row.input_tokens),
                    figures.count(row.cached_tokens),
                    figures.count(row.output_tokens),
                    figures.money(row.cost_usd),
                    figures.money(each),
                    figures.count(row.unpriced) if row.unpriced else "",
                ]
            )
    headings = ("by", "", "calls", "in", "cached", "out", "cost", "a call", "no price")
    yield from _titled("Tokens and cost", headings, rows, width, 2)


def _patterns(games: Sequence[an.GameRecord], width: int, full: bool) -> Iterator[Line]:
    found = an.patterns(games)
    sums: dict[str, int] = {}
    for row in found:
        for kind, n in row.types.items():
            sums[kind] = sums.get(kind, 0) + n
    types = sorted(sums, key=lambda kind: -sums[kind])
    named, others = types[:_TYPES], types[_TYPES:]
    rows: list[Row] = []
    for row in found if full else found[:ROWS]:
        counts = [row.types.get(kind, 0) for kind in named]
        counts += [sum(row.types.get(kind, 0) for kind in others), row.messages]
        name = "(no phase)" if row.phase is None else one_line(row.phase, _NAME)
        rows.append([name, *(figures.count(n) if n else "" for n in counts)])
    headings = ("phase", *(one_line(kind, _NAME) for kind in named), "others", "messages")
    if sums:
        yield from _titled("Interactions by phase", headings, rows, width, 1)
        yield from _left(len(found) - len(rows), width)


def _correspondence(games: Sequence[an.GameRecord], width: int) -> Iterator[Line]:
    found = an.correspondence(message for game in games for message in game.all_messages())
    rows: list[Row] = []
    for sender in found.senders:
        counts = [found.counts.get((sender, to), 0) for to in found.recipients]
        rows.append([one_line(sender, _NAME), *(figures.count(n) if n else "·" for n in counts)])
    headings = ("from \\ to", *(one_line(to, _NAME) for to in found.recipients))
    yield from _titled("Who wrote to whom", headings, rows, width, 1)


def _models(games: Sequence[an.GameRecord], width: int) -> Iterator[Line]:
    rows: list[Row] = [
        [
            _name(row.model),
            figures.count(row.games),
            figures.count(row.wins) if row.wins else "",
            figures.count(row.interactions),
            share(row.success_rate),
            share(row.invalid_share),
            "" if row.latency_s is None else figures.duration(row.latency_s.p50),
            figures.count(row.output_tokens),
            figures.count(row.response_length),
            figures.money(row.cost_per_interaction_usd),
            "" if row.reward is None else f"{row.reward:.3g}",
        ]
        for row in an.model_comparison(games)
    ]
    headings = (
        "model", "games", "won", "interactions", "succeeded", "invalid", "p50", "tokens out", "characters", "cost each",
        "reward",
    )  # fmt: skip
    yield from _titled("Models side by side", headings, rows, width, 1)


def _episodes(games: Sequence[an.GameRecord], width: int, full: bool) -> Iterator[Line]:
    found = an.episode_progression(games)
    shown = found if full else found[-ROWS:]
    rows: list[Row] = [
        [
            str(row.episode),
            figures.count(row.games),
            figures.count(row.interactions),
            "" if row.reward is None else f"{row.reward:.3g}",
            share(row.success_rate),
            share(row.invalid_share),
            "" if row.latency_s is None else figures.duration(row.latency_s.p50),
            figures.count(row.output_tokens),
            figures.count(row.response_length),
            figures.money(row.cost_usd),
        ]
        for row in shown
    ]
    headings = (
        "episode", "games", "interactions", "reward", "succeeded", "invalid", "p50", "tokens out", "characters", "cost",
    )  # fmt: skip
    yield from _titled("Episodes", headings, rows, width, 1)
    yield from _left(len(found) - len(shown), width)


def _rewards(games: Sequence[an.GameRecord], width: int) -> Iterator[Line]:
    rows: list[Row] = [
        [
            row.measure,
            f"of each {row.level}",
            figures.count(row.correlation.n),
            _coefficient(row.correlation.pearson),
            _coefficient(row.correlation.spearman),
        ]
        for row in an.reward_correlations(games)
    ]
    headings = ("measure", "reward", "n", "Pearson", "Spearman")
    yield from _titled("What goes with reward", headings, rows, width, 2)


def _slowest(interactions: Sequence[an.InteractionRecord], width: int) -> Iterator[Line]:
    rows: list[Row] = [
        [
            one_line(record.type or record.name, _NAME),
            one_line(record.power or "", _NAME),
            one_line(record.phase or "", _NAME),
            _name(record.model),
            record.trace_id[:8],
            figures.duration(record.latency_s),
            figures.count(len(record.calls)),
            Cell(one_line(record.error_type or "", _NAME), "bad"),
        ]
        for record in an.slowest(interactions)
        if record.latency_s is not None
    ]
    headings = ("interaction", "power", "phase", "model", "trace", "took", "calls", "error")
    yield from _titled("Slowest interactions", headings, rows, width, 5, remark=True)


def _titled(
    title: str, headings: Sequence[str], rows: Sequence[Row], width: int, left: int, *, remark: bool = False
) -> Iterator[Line]:
    if rows:
        yield from table(title, headings, rows, width, left=left, remark=remark)


def _left(n: int, width: int) -> Iterator[Line]:
    if n > 0:
        yield Line.of(fit(f"… {figures.count(n)} more; --full names them", width), "quiet")


def _spread(found: an.Distribution) -> list[str]:
    values = (found.mean, found.p50, found.p90, found.p99, found.max)
    return [figures.count(found.n), *(figures.duration(value) for value in values)]


def _key(key: Key) -> str:
    return " · ".join(_name(part) for part in key)


def _name(name: str | None) -> str:
    return "(none)" if name is None else one_line(name, _NAME)


def _coefficient(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"
