"""Several games at once, and who plays them: models and clients by power, an endpoint or the loopback server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field

from otel_llm.loopback import LoopbackServer
from selfplay import faults
from selfplay.board import POWERS, Board
from selfplay.clients import KINDS, Clients, Endpoint
from selfplay.replies import Replies
from selfplay.table import Outcome, Rules, Table

LOOPBACK_MODELS = {
    "AUSTRIA": "openai:gpt-5-mini",
    "ENGLAND": "anthropic:claude-sonnet-5-5",
    "FRANCE": "aiohttp:deepseek-chat",
    "GERMANY": "openai:gpt-5",
    "ITALY": "requests:mistral-large-latest",
    "RUSSIA": "anthropic:claude-haiku-5-5",
    "TURKEY": "openai:gpt-5-nano",
}
"""Who plays where nobody says: four clients, four providers."""

# The addresses that the clients would call, but without TLS: the loopback server stands in as their proxy.
_LOOPBACK_URLS = {
    "openai": "http://api.openai.com/v1",
    "anthropic": "http://api.anthropic.com",
    "aiohttp": "http://api.deepseek.com",
    "requests": "http://api.mistral.ai/v1",
}
_LOOPBACK_PAUSE_S = 0.005


@dataclass(frozen=True)
class Match:
    """Games to play.

    Attributes:
        game_ids: one a game.
        models: by power, each with the client in front: `openai:gpt-5`, see `parse_models`.
        rules: how they are played.
        base_url: an OpenAI-compatible endpoint; None for the loopback server.
        keys: API keys by kind of client.
        seed: of the loopback server's play.
        faults: what goes wrong on purpose, names of `faults.FAULTS`; loopback only.
    """

    game_ids: list[str]
    models: dict[str, str] = field(default_factory=LOOPBACK_MODELS.copy)
    rules: Rules = field(default_factory=Rules)
    base_url: str | None = None
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    seed: int = 0
    faults: frozenset[str] = frozenset()


def parse_models(given: Iterable[str], default: dict[str, str]) -> dict[str, str]:
    """Return who plays which power.

    Args:
        given: `MODEL` for all powers, or for one after the other where there are several; `POWER=MODEL` for one.
            `MODEL` may begin with a client: `openai:`, `anthropic:`, `aiohttp:`, `requests:`.
        default: for powers that are not mentioned; empty where each must be.

    Raises:
        ValueError: a power is unknown, or has no model.
    """
    found = dict(default)
    in_turn: list[str] = []
    named: dict[str, str] = {}
    for item in filter(None, (text.strip() for text in given)):
        power, equals, model = item.partition("=")
        if not equals:
            in_turn.append(item)
        elif power.upper() in POWERS:
            named[power.upper()] = model
        else:
            raise ValueError(f"{power!r} is none of {', '.join(POWERS)}")
    if in_turn:
        found = {power: in_turn[n % len(in_turn)] for n, power in enumerate(POWERS)}
    found |= named
    if missing := [power for power in POWERS if not found.get(power)]:
        raise ValueError(f"no model for {', '.join(missing)}: name one for all, or POWER=MODEL")
    return {power: model if _client_of(model) else f"openai:{model}" for power, model in found.items()}


def _client_of(model: str) -> str | None:
    kind, colon, _ = model.partition(":")
    return kind if colon and kind in KINDS else None


def play(
    match: Match,
    *,
    server: LoopbackServer | None = None,
    on_phase: Callable[[int, Board], None] = lambda _, __: None,
) -> list[Outcome | BaseException]:
    """Play all games at once, to their end.

    Args:
        match: what to play.
        server: a loopback server that runs and has `replies(match)` for its callback; default: one is started
            where there is no `base_url`.
        on_phase: told of the game's place in `game_ids` and its board, before each phase and at the end.

    Returns:
        One outcome a game, or what went wrong with it.
    """
    own = match.base_url is None and server is None
    with LoopbackServer(reply=replies(match)) if own else nullcontext(server) as running:
        return asyncio.run(_play(match, running, on_phase))


def replies(match: Match) -> Replies:
    """Return what the loopback server says in a match."""
    return Replies(match.seed, lambda seen, answer: faults.misplay(match.faults, seen, answer))


async def _play(
    match: Match, server: LoopbackServer | None, on_phase: Callable[[int, Board], None]
) -> list[Outcome | BaseException]:
    endpoints = _endpoints(match, server)
    models = faults.models(match.faults, {power: m.partition(":")[2] for power, m in match.models.items()})
    kinds = {power: _client_of(model) or "openai" for power, model in match.models.items()}
    rules = match.rules
    async with Clients(endpoints) as clients:
        if server is not None:
            rules = Rules(rules.max_year, rules.rounds, rules.planning, _LOOPBACK_PAUSE_S)
            faults.plan(match.faults, server)
            faults.break_client(match.faults, clients, endpoints["openai"], kinds)
        seats = {power: (models[power], clients.get(kinds[power])) for power in POWERS}
        tables = [
            Table(game_id, number, seats, rules, lambda board, n=number: on_phase(n - 1, board))  # type: ignore[misc]
            for number, game_id in enumerate(match.game_ids, 1)
        ]
        return await asyncio.gather(*(table.play() for table in tables), return_exceptions=True)


def _endpoints(match: Match, server: LoopbackServer | None) -> dict[str, Endpoint]:
    if match.base_url is not None:
        return {kind: Endpoint(match.base_url.rstrip("/"), match.keys.get(kind, "none")) for kind in KINDS}
    assert server is not None
    return {kind: Endpoint(url, "loopback", server.url) for kind, url in _LOOPBACK_URLS.items()}
