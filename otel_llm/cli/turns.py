"""What there is to say about a span of a game, on its row: the interaction's type, orders, messages, what is odd."""

# ruff: noqa: RUF001 (the multiplication sign is meant)
from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from otel_llm import semconv as sc
from otel_llm.analysis.making import messages
from otel_llm.analysis.queries import EVERYBODY
from otel_llm.analysis.values import flag, label, number, texts, whole
from otel_llm.cli import figures
from otel_llm.cli.facts import Facts
from otel_llm.cli.text import one_line

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

_NAME: Final = 60
_MESSAGE: Final = 500
_ORDERS: Final = 12
"""Orders, and recipients, that are named at most."""


def title(span: StoredSpan, facts: Facts, limit: int = 200) -> str:
    """Return the span's name; an interaction's with its type: `invoke_agent FRANCE · order`."""
    name = one_line(span.name, limit)
    kind = None if facts.interaction is None else one_line(facts.interaction, _NAME)
    return name if kind is None or name == f"{sc.INVOKE_AGENT} {kind}" else f"{name} · {kind}"


def game_remarks(
    span: StoredSpan, facts: Facts, limit: int | None = _ORDERS, *, letters: bool = True
) -> list[tuple[str, str]]:
    """Return what there is to say about a span of a game beyond its figures: (text, style).

    Args:
        span: any span.
        facts: what it says.
        limit: how many orders and recipients are named; None for all.
        letters: whether to say to whom messages were sent.
    """
    if facts.scope not in {"game", "phase", "interaction"}:
        return []
    a = span.attributes
    found: list[tuple[str, str]] = []
    outcome = label(a, sc.INTERACTION_OUTCOME) or label(a, sc.GAME_OUTCOME)
    if outcome is not None and outcome not in (facts.error_message or ""):
        found.append((one_line(outcome, 200), "bad" if facts.failed else ""))
    if winners := texts(a, sc.GAME_WINNERS):
        found.append((f"won by {_names(winners, limit)}", "good"))
    found += _orders(span, limit)
    written = Counter(to for message in messages(span) for to in message.recipients or (EVERYBODY,))
    if letters and written:
        told = [name if n == 1 else f"{one_line(name, _NAME)} ×{n}" for name, n in written.most_common()]
        found.append((f"wrote to {_names(told, limit)}", "call"))
    if (reward := number(a, sc.GAME_REWARD)) is not None:
        found.append((f"reward {reward:.4g}", ""))
    if flag(a, sc.PHASE_OUT_OF_ORDER):
        found.append(("out of order", "warn"))
    if flag(a, sc.POWER_UNKNOWN):
        found.append(("unknown power", "warn"))
    if flag(a, sc.LEFT_OPEN):
        found.append(("left open by the program", "warn"))
    if unusable := texts(a, sc.INVALID_FIELDS):
        found.append((f"unusable: {_names(unusable, limit)}", "warn"))
    return found


def order_lines(span: StoredSpan, facts: Facts) -> list[tuple[str, str]]:
    """Return the orders that an interaction gave, on one line."""
    given = texts(span.attributes, sc.ORDERS_SUBMITTED) if facts.scope == "interaction" else ()
    return [(f"orders: {_names(given, None)}", "quiet")] if given else []


def message_lines(span: StoredSpan, facts: Facts) -> list[tuple[str, str]]:
    """Return the messages that were sent in a span of a game, a line each: `FRANCE → GERMANY: …`."""
    if facts.scope is None:
        return []
    found: list[tuple[str, str]] = []
    for message in messages(span, label(span.attributes, sc.POWER_NAME)):
        sender = one_line(message.sender or "?", _NAME)
        to = _names(message.recipients or (EVERYBODY,), None)
        if message.content is not None:
            said = one_line(message.content, _MESSAGE)
        else:
            said = "" if message.length is None else figures.plural(message.length, "character")
        found.append((f"{sender} → {to}{' (private)' if message.private else ''}: {said}", "role"))
    return found


def totals_remarks(span: StoredSpan, facts: Facts) -> list[tuple[str, str]]:
    """Return the closing figures of a phase or a game, such as `42 interactions`, `49 calls`, `$0.31`."""
    if facts.scope not in {"game", "phase"}:
        return []
    a = span.attributes
    found: list[tuple[str, str]] = []
    for name, noun, style in (
        ("interactions", "interaction", ""),
        ("calls", "call", ""),
        ("failed_interactions", "interaction", "bad"),
        ("failed_calls", "call", "bad"),
        ("invalid_orders", "invalid order", "warn"),
    ):
        if n := whole(a, sc.TOTALS_PREFIX + name):
            failed = " failed" if name.startswith("failed") else ""
            found.append((figures.plural(n, noun) + failed, style))
    if (cost := number(a, f"{sc.TOTALS_PREFIX}cost")) is not None:
        found.append((figures.money(cost), "good"))
    return found


def _orders(span: StoredSpan, limit: int | None) -> list[tuple[str, str]]:
    a = span.attributes
    given, invalid = texts(a, sc.ORDERS_SUBMITTED), texts(a, sc.ORDERS_INVALID)
    bad = whole(a, sc.ORDERS_INVALID_COUNT)
    bad = len(invalid) if bad is None else bad
    if not bad:
        return [(figures.plural(len(given), "order"), "")] if given else []
    of = f" of {figures.count(len(given))}" if len(given) >= bad else ""
    named = f": {_names(invalid, limit)}" if invalid else ""
    noun = "order" if bad == 1 and not of else "orders"
    return [(f"{figures.count(bad)}{of} {noun} invalid{named}", "warn")]


def _names(names: tuple[str, ...] | list[str], limit: int | None) -> str:
    shown = [one_line(name, _NAME) for name in (names if limit is None else names[:limit])]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
