"""Games over the engine's own network: a server's game and its clients' views of it, without sockets."""

from __future__ import annotations

from typing import Any

import pytest
from diplomacy import Game
from diplomacy.client.network_game import NetworkGame
from diplomacy.server.server_game import ServerGame

from otel_llm import semconv as sc
from otel_llm import testing
from otel_llm.testing import Captured
from tests.diplomacy.play import ask, attributes, names, where


@pytest.fixture
def server() -> Any:
    game = ServerGame(game_id="n", map_name="standard", rules=["SOLITAIRE", "NO_DEADLINE", "NO_PRESS"])
    game.set_status("active")
    return game


def client_of(server: Any) -> Any:
    return NetworkGame(None, server.as_omniscient_game("watcher"))


def test_a_server_and_its_clients_in_one_process_are_one_game(captured: Captured, server: Any) -> None:
    server.get_state()
    clients = [client_of(server) for _ in range(3)]
    for client in clients:
        client.get_state()
        ask(f"client {clients.index(client)}")
        Game.set_orders(client, "FRANCE", ["A PAR - BUR"])  # as the server's answer does
    server.set_orders("FRANCE", ["A PAR - BUR"])
    before, now, _ = server.process()
    for client in clients:
        client.set_phase_data([before, now], clear_history=False)
        client.get_current_phase()
        ask(f"client {clients.index(client)} again")
    server.draw()
    assert [name for name in names(captured) if not name.startswith("chat")] == [
        "invoke_workflow diplomacy",
        "phase S1901M",
        "phase F1901M",
    ]
    assert attributes(captured, "phase S1901M")[sc.ORDERS_VALID_COUNT] == 1
    assert where(captured) == {
        **{f"client {n}": ("n", "S1901M", "phase S1901M") for n in range(3)},
        **{f"client {n} again": ("n", "F1901M", "phase F1901M") for n in range(3)},
    }


def test_a_client_that_was_seen_first_gives_way_to_the_server(captured: Captured, server: Any) -> None:
    client = client_of(server)
    client.get_state()
    before, now, _ = server.process()
    client.set_phase_data([before, now], clear_history=False)
    client.get_state()
    ask("client")
    server.draw()
    assert where(captured) == {"client": ("n", "F1901M", "phase F1901M")}
    assert names(captured)[:2] == ["invoke_workflow diplomacy", "phase S1901M"]
    assert len(names(captured)) == 4


def test_a_client_of_a_server_elsewhere_shows_what_it_is_told(server: Any) -> None:
    received = server.as_omniscient_game("watcher")
    server.set_orders("FRANCE", ["A PAR - BUR"])
    before, now, _ = server.process()
    with testing.capture(metrics=False) as captured:
        client = NetworkGame(None, received)
        client.get_state()
        ask("first")
        client.set_phase_data([before, now], clear_history=False)
        client.get_state()
        ask("second")
        found = where(captured)
        assert found == {
            "first": ("n", "S1901M", "phase S1901M"),
            "second": ("n", "F1901M", "phase F1901M"),
        }
        told = attributes(captured, "phase S1901M")
    assert told[sc.ORDERS_RESULTS] == '{"FRANCE":{"A PAR - BUR":[]}}'
