"""The figures of a view, one game or all of them, as the page takes them: rows of the analysis' analysis.

A power, type or model is a number here (see `items.Columns`), -1 for none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from otel_llm import analysis
from otel_llm.analysis import CallRecord, Distribution, GameRecord, InteractionRecord, Totals
from otel_llm.analysis.queries import Answer, grouped
from otel_llm.report.histograms import bins_of, edges_of
from otel_llm.report.items import Columns

MAX_ROWS: Final = 300
"""Longest table of single cases; the page says how many there are in all."""


class View:
    """Makes the figures of some games.

    Args:
        columns: the numbers of names.
        place: number of an interaction's item by its span id.
        t0_ns: when the document's time begins.
    """

    def __init__(self, columns: Columns, place: Mapping[str, int], t0_ns: int) -> None:
        self._columns = columns
        self._place = place
        self._t0 = t0_ns

    def of(self, games: Sequence[GameRecord], number: int | None) -> dict[str, Any]:
        """Return the figures of games.

        Args:
            games: whose.
            number: number of the game, where it is one.
        """
        interactions = [record for game in games for record in game.all_interactions()]
        answers = analysis.answers(games)
        return {
            "game": number,
            "totals": self._totals(games),
            "powers": self._powers(games, interactions, answers),
            "latency": self._latencies(interactions, answers),
            "spending": {by: self._spending(answers, by) for by in ("power", "model", "type")},
            "success": {by: self._success(interactions, by) for by in ("type", "model", "power", "phase_type")},
            "models": self._models(games),
            "patterns": self._patterns(games),
            "costs": self._costs(games[0]) if len(games) == 1 else None,
            "letters": self._letters(games),
            "orders": self._orders(interactions),
            "refusals": self._refusals(games),
            "failures": self._failures(games),
            "repetitions": self._repetitions(interactions),
            "oddities": [
                {"kind": odd.kind, "what": odd.what, "n": odd.n, "trace": odd.trace_id}
                for game in games
                for odd in analysis.oddities(game)
            ][:MAX_ROWS],
            "episodes": self._episodes(games),
            "rewards": [
                {"level": row.level, "measure": row.measure, "n": row.correlation.n,
                 "pearson": row.correlation.pearson, "spearman": row.correlation.spearman}
                for row in analysis.reward_correlations(games)
            ],
        }  # fmt: skip

    # --- sums -----------------------------------------------------------------------------------------

    def _totals(self, games: Sequence[GameRecord]) -> dict[str, Any]:
        totals = Totals.of(
            (record for game in games for record in game.all_interactions()),
            (
                call
                for game in games
                for call in (*game.calls, *(c for phase in game.phases for c in phase.calls))
            ),
        )
        return {
            "interactions": totals.interactions,
            "failed": totals.failed_interactions,
            "open": totals.open_interactions,
            "success": totals.success_rate,
            "calls": totals.calls,
            "refused": totals.failed_calls,
            "limited": totals.rate_limited_calls,
            "given": totals.input_tokens,
            "got": totals.output_tokens,
            "cost": totals.cost_usd,
            "valid": totals.valid_orders,
            "invalid": totals.invalid_orders,
            "messages": sum(game.totals.messages for game in games),
            "phases": sum(len(game.phases) for game in games),
            "swallowed": sum(len(analysis.swallowed(game)) for game in games),
        }

    def _powers(
        self,
        games: Sequence[GameRecord],
        interactions: Sequence[InteractionRecord],
        answers: Sequence[Answer],
    ) -> list[dict[str, Any]]:
        """Return a line for each power, as on a score board."""
        success = {row.key[0]: row for row in analysis.success(interactions, ("power",))}
        times = {row.key[0]: row.seconds for row in analysis.latency(interactions, ("power",))}
        costs = {row.key[0]: row for row in analysis.spending(answers, ("power",))}
        sent = Counter(message.sender for game in games for message in game.all_messages())
        one = games[0] if len(games) == 1 else None
        held = analysis.holdings(one) if one else []
        players = one.players if one else tuple(dict.fromkeys(p for game in games for p in game.players))
        rows = []
        for power in dict.fromkeys((*players, *(name for name in success if name is not None))):
            won, cost = success.get(power), costs.get(power)
            models = {game.models[power] for game in games if power in game.models}
            centers = [at.centers[power] for at in held if power in at.centers]
            rows.append(
                {
                    "power": self._columns.powers.number(power),
                    "models": [self._columns.models.number(model) for model in sorted(models)],
                    "centers": [centers[0], centers[-1]] if centers else None,
                    "winner": sum(power in game.winners for game in games),
                    "interactions": won.n if won else 0,
                    "failed": won.failed if won else 0,
                    "rate": won.rate if won else None,
                    "valid": won.valid_orders if won else 0,
                    "invalid": won.invalid_orders if won else 0,
                    "calls": cost.calls if cost else 0,
                    "given": cost.input_tokens if cost else None,
                    "got": cost.output_tokens if cost else None,
                    "cost": cost.cost_usd if cost else None,
                    "median": times[power].p50 if power in times else None,
                    "sent": sent.get(power, 0),
                }
            )
        return rows

    def _spending(self, answers: Sequence[Answer], by: str) -> list[dict[str, Any]]:
        return [
            {
                "key": self._number(by, row.key[0]), "calls": row.calls, "refused": row.failed_calls,
                "given": row.input_tokens, "got": row.output_tokens, "cached": row.cached_tokens,
                "cost": row.cost_usd, "unpriced": row.unpriced,
            }
            for row in analysis.spending(answers, (by,))
        ]  # fmt: skip

    def _costs(self, game: GameRecord) -> dict[str, Any] | None:
        """Return what each phase cost by power."""
        table: dict[int, list[float]] = {}
        for place, phase in enumerate(game.phases):
            records: list[Answer] = [*phase.interactions, *phase.calls]
            for record in records:
                if record.cost_usd:
                    power = self._columns.powers.number(record.power)
                    table.setdefault(power, [0.0] * len(game.phases))[place] += record.cost_usd
        return (
            {"powers": list(table), "usd": [[round(v, 6) for v in row] for row in table.values()]}
            if table
            else None
        )

    # --- time and success -----------------------------------------------------------------------------

    def _latencies(
        self, interactions: Sequence[InteractionRecord], answers: Sequence[Answer]
    ) -> dict[str, Any]:
        asked: Sequence[Answer] = interactions or answers
        tables: dict[str, tuple[str, Sequence[Answer]]] = {
            "model": ("model", answers), "type": ("type", asked), "power": ("power", asked),
        }  # fmt: skip
        known = [
            s for _, records in tables.values() for r in records if (s := _seconds(r)) is not None and s > 0
        ]
        edges = edges_of(known)
        made: dict[str, Any] = {"edges": edges}
        for name, (by, records) in tables.items():
            groups = dict(grouped(records, (by,)))
            made[name] = [
                {
                    "key": self._number(by, row.key[0]),
                    **_spread(row.seconds),
                    "first": row.first_token_s.p50 if row.first_token_s else None,
                    "bins": bins_of([_seconds(record) for record in groups[row.key]], edges),
                }
                for row in analysis.latency(records, (by,))
            ]
        return made

    def _success(self, interactions: Sequence[InteractionRecord], by: str) -> list[dict[str, Any]]:
        return [
            {"key": self._number(by, row.key[0]), "n": row.n, "ok": row.succeeded, "failed": row.failed,
             "open": row.open, "rate": row.rate, "errors": row.errors, "valid": row.valid_orders,
             "invalid": row.invalid_orders}
            for row in analysis.success(interactions, (by,))
        ]  # fmt: skip

    def _models(self, games: Sequence[GameRecord]) -> list[dict[str, Any]]:
        return [
            {"model": self._columns.models.number(row.model), "interactions": row.interactions,
             "rate": row.success_rate, "invalid": row.invalid_share, "calls": row.calls,
             "latency": _spread(row.latency_s) if row.latency_s else None, "tokens": row.output_tokens,
             "length": row.response_length, "cost": row.cost_usd, "each": row.cost_per_interaction_usd,
             "reward": row.reward, "games": row.games, "wins": row.wins}
            for row in analysis.model_comparison(games)
        ]  # fmt: skip

    # --- patterns -------------------------------------------------------------------------------------

    def _patterns(self, games: Sequence[GameRecord]) -> dict[str, Any]:
        rows = analysis.patterns(games)
        kinds = Counter[str]()
        for row in rows:
            kinds.update(row.types)
        types = [name for name, _ in kinds.most_common()]
        return {
            "phases": [row.phase for row in rows],
            "types": [self._columns.types.number(name) for name in types],
            "counts": [[row.types.get(name, 0) for row in rows] for name in types],
        }

    def _letters(self, games: Sequence[GameRecord]) -> dict[str, Any]:
        found = analysis.correspondence(message for game in games for message in game.all_messages())
        number = self._columns.parties.number
        return {
            "from": [number(name) for name in found.senders],
            "to": [number(name) for name in found.recipients],
            "n": [[found.counts.get((a, b), 0) for b in found.recipients] for a in found.senders],
            "characters": [
                [found.characters.get((a, b), 0) for b in found.recipients] for a in found.senders
            ],
        }

    def _orders(self, interactions: Sequence[InteractionRecord]) -> list[dict[str, Any]]:
        """Return the invalid orders that were named, the most frequent first."""
        seen: dict[str, list[InteractionRecord]] = {}
        for record in analysis.with_invalid_orders(interactions):
            for order in record.invalid_orders:
                seen.setdefault(order, []).append(record)
        rows: list[dict[str, Any]] = [
            {
                "order": order[:200],
                "n": len(records),
                "powers": list(
                    dict.fromkeys(self._columns.powers.number(record.power) for record in records)
                ),
                "item": self._place.get(records[0].span_id, -1),
            }
            for order, records in seen.items()
        ]
        return sorted(rows, key=lambda row: -row["n"])[:MAX_ROWS]

    # --- trouble --------------------------------------------------------------------------------------

    def _refusals(self, games: Sequence[GameRecord]) -> list[dict[str, Any]]:
        return [
            {"error": row.error_type, "model": self._columns.models.number(row.model), "n": row.n,
             "codes": row.status_codes, "message": short(row.message), "unanswered": row.unanswered,
             "wasted": row.wasted_s,
             "item": self._place.get(row.calls[-1].interaction_id or row.calls[-1].span_id, -1)}
            for row in analysis.refusals(games)
        ]  # fmt: skip

    def _failures(self, games: Sequence[GameRecord]) -> list[dict[str, Any]]:
        """Return failed interactions by what failed, and how many of them nobody noticed."""
        silent = {record.span_id for game in games for record in analysis.swallowed(game)}
        groups: dict[tuple[str, str | None], list[InteractionRecord]] = {}
        for game in games:
            for record in analysis.failures(game):
                groups.setdefault((record.error_type or "said to have failed", record.type), []).append(
                    record
                )
        rows: list[dict[str, Any]] = [
            {
                "error": error,
                "type": self._columns.types.number(kind),
                "n": len(records),
                "swallowed": sum(record.span_id in silent for record in records),
                "powers": list(
                    dict.fromkeys(self._columns.powers.number(record.power) for record in records)
                ),
                "message": short(records[-1].error_message or records[-1].outcome),
                "item": self._place.get(records[-1].span_id, -1),
            }
            for (error, kind), records in groups.items()
        ]
        return sorted(rows, key=lambda row: (-row["swallowed"], -row["n"]))

    def _repetitions(self, interactions: Sequence[InteractionRecord]) -> dict[str, Any]:
        rows = analysis.repetitions(interactions)
        return {
            "n": len(rows),
            "rows": [
                {
                    "phase": row.phase, "type": self._columns.types.number(row.type),
                    "power": self._columns.powers.number(row.power), "attempts": row.attempts,
                    "ok": row.succeeded, "errors": row.errors, "lost": row.lost_s,
                    "item": self._place.get(row.records[-1].span_id, -1),
                }
                for row in sorted(rows, key=lambda row: -row.lost_s)[:MAX_ROWS]
            ],
        }  # fmt: skip

    def _episodes(self, games: Sequence[GameRecord]) -> list[dict[str, Any]]:
        return [
            {"episode": row.episode, "games": row.games, "interactions": row.interactions, "reward": row.reward,
             "rate": row.success_rate, "invalid": row.invalid_share, "tokens": row.output_tokens,
             "length": row.response_length, "cost": row.cost_usd,
             "median": row.latency_s.p50 if row.latency_s else None}
            for row in analysis.episode_progression(games)
        ]  # fmt: skip

    def _number(self, by: str, name: str | None) -> int | str | None:
        """Return the number of a name; kinds of phases are few and stay names."""
        numbers: dict[str, Callable[[str | None], int]] = {
            "power": self._columns.powers.number,
            "model": self._columns.models.number,
            "type": self._columns.types.number,
        }
        return numbers[by](name) if by in numbers else name


def _spread(seconds: Distribution) -> dict[str, Any]:
    return {"n": seconds.n, "mean": seconds.mean, "p50": seconds.p50, "p90": seconds.p90, "p99": seconds.p99,
            "max": seconds.max}  # fmt: skip


def _seconds(record: Answer) -> float | None:
    """Return the latency that `analysis.latency` counts."""
    if isinstance(record, CallRecord):
        return None if record.failed else record.duration_s
    return record.latency_s


def short(text: str | None) -> str | None:
    """Return as much of a text as a table has room for."""
    return None if text is None else text[:300]
