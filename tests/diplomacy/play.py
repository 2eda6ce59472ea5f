"""Playing on the engine, and calling models, as programs do that know nothing of tracing."""

from __future__ import annotations

import random
from typing import Any

import httpx
from diplomacy import Game

import otel_llm
from otel_llm import semconv as sc
from otel_llm.testing import Captured
from tests.http.payloads import ANSWER

URL = "https://api.openai.com/v1/chat/completions"


def _answer(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=ANSWER)


_client = httpx.Client(transport=httpx.MockTransport(_answer))


def ask(model: str) -> None:
    """Call a model, by whose name the test finds the span again."""
    assert _client.post(URL, json={"model": model, "messages": []}).status_code == 200


async def ask_async(model: str) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(_answer)) as client:
        assert (await client.post(URL, json={"model": model, "messages": []})).status_code == 200


def random_orders(game: Game, rng: random.Random) -> None:
    possible = game.get_all_possible_orders()
    for power in game.powers:
        places = game.get_orderable_locations(power)
        game.set_orders(power, [rng.choice(sorted(possible[place])) for place in places if possible[place]])


def year(game: Game) -> int:
    return int(game.get_current_phase()[1:5])


def duel(**kwargs: Any) -> Game:
    """France is about to throw Germany's only army out of Munich."""
    game = Game(**kwargs)
    game.clear_units()
    game.clear_centers()
    game.set_units("FRANCE", ["A RUH", "A BUR"])
    game.set_centers("FRANCE", ["PAR", "MAR"])
    game.set_units("GERMANY", ["A MUN"])
    game.set_centers("GERMANY", ["MUN"])
    return game


def where(captured: Captured) -> dict[str, tuple[Any, Any, Any]]:
    """End it all, and return of each model call, by its model: its game's id, its phase, its parent span's name."""
    otel_llm.shutdown()
    spans = captured.exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    found: dict[str, tuple[Any, Any, Any]] = {}
    for call in spans:
        told = call.attributes or {}
        if sc.REQUEST_MODEL not in told:
            continue
        parent = None if call.parent is None else names.get(call.parent.span_id, "?")
        found[str(told[sc.REQUEST_MODEL])] = told.get(sc.GAME_ID), told.get(sc.PHASE_NAME), parent
    return found


def names(captured: Captured) -> list[str]:
    return [span["name"] for span in captured.shape()]


def attributes(captured: Captured, name: str) -> dict[str, Any]:
    (found,) = [span["attributes"] for span in captured.shape() if span["name"] == name]
    return dict(found)


def events(captured: Captured, name: str) -> list[tuple[str, dict[str, Any]]]:
    (span,) = [span for span in captured.spans() if span.name == name]
    return [(event.name, dict(event.attributes or {})) for event in span.events]
