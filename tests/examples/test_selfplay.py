"""A game of seven powers, as it is played and as it is seen: the server's count is the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import served
import stored
from selfplay.board import POWERS
from selfplay.match import LOOPBACK_MODELS, Match, play, replies
from selfplay.table import Outcome, Rules

import otel_llm
from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer

TYPES = {
    "initialization",
    "plan",
    "negotiation",
    "negotiation_diary",
    "order",
    "order_diary",
    "phase_result_diary",
    "state_update",
    "diary_consolidation",
}


class Played:
    """A game of four years with everything in it."""

    def __init__(self, directory: Path) -> None:
        match = Match(["the game"], rules=Rules(max_year=1904, rounds=2, planning=True))
        otel_llm.instrument(store=directory)
        with LoopbackServer(reply=replies(match), keep=100_000) as server:
            (outcome,) = play(match, server=server)
            self.requests = server.requests
            assert server.served == len(self.requests)
        assert {request.sent.status for request in self.requests} == {200}
        assert isinstance(outcome, Outcome), outcome
        self.outcome = outcome
        assert otel_llm.shutdown()
        self.store = stored.Store(directory)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("selfplay") / "store")


def test_seven_powers_play_four_years_and_the_map_changes(played: Played) -> None:
    phases = played.outcome.phases
    assert phases[0] == "S1901M"
    assert max(phases)[0] == "W"
    assert {name[1:5] for name in phases} == {"1901", "1902", "1903", "1904"}
    assert len(phases) == len(set(phases))
    begin = {power: 4 if power == "RUSSIA" else 3 for power in POWERS}
    assert played.outcome.centres.keys() == begin.keys()
    assert sum(played.outcome.centres.values()) > sum(begin.values())  # what was nobody's was taken
    assert any(played.outcome.centres[power] < begin[power] for power in POWERS)  # and what was somebody's
    assert {one.task for one in map(served.Served.of, played.requests)} == TYPES
    assert {request.host for request in played.requests} == {
        "api.openai.com",
        "api.anthropic.com",
        "api.deepseek.com",
        "api.mistral.ai",
    }


def test_calls_of_a_phase_are_as_many_as_the_server_saw(played: Played) -> None:
    (truth,) = served.by_game(played.requests).values()
    (found,) = stored.by_game(played.store).values()
    assert found == truth
    assert list(truth["by_phase"]) == played.outcome.phases


def test_every_request_is_the_one_call_below_one_interaction(played: Played) -> None:
    requests = {one.id: one for one in map(served.Served.of, played.requests)}
    assert len(requests) == len(played.requests)
    calls = {one.id: one for one in map(stored.seen_as, played.store.calls)}
    assert len(calls) == len(played.store.calls)
    assert calls == requests  # each with the same game, phase, power, type, model and tokens

    under: Counter[tuple[str, str]] = Counter()
    for call in played.store.calls:
        interaction = played.store.parent(call)
        assert interaction is not None
        assert interaction.attributes[sc.SCOPE_KIND] == "interaction"
        for key in (sc.GAME_ID, sc.PHASE_NAME, sc.POWER_NAME, sc.INTERACTION_TYPE):
            assert interaction.attributes[key] == call.attributes[key]
        assert interaction.start_ns <= call.start_ns
        assert call.end_ns <= interaction.end_ns
        under[interaction.trace_id, interaction.span_id] += 1
    interactions = played.store.scopes("interaction")
    assert under == {(s.trace_id, s.span_id): 1 for s in interactions}
    assert {s.name for s in interactions} == {f"invoke_agent {power}" for power in POWERS}


def test_a_phase_is_a_trace_that_links_its_game_and_the_phase_before(played: Played) -> None:
    (game,) = played.store.scopes("game")
    phases = played.store.scopes("phase")
    assert [phase.attributes[sc.PHASE_NAME] for phase in phases] == played.outcome.phases
    traces = Counter(span.trace_id for span in played.store.spans)
    assert len(traces) == len(phases) + 1
    assert traces[game.trace_id] == 1

    before = None
    for phase in phases:
        roots = [s for s in played.store.spans if s.trace_id == phase.trace_id and s.parent_id is None]
        assert roots == [phase]
        links = {link.attributes[sc.LINK_KIND]: (link.trace_id, link.span_id) for link in phase.links}
        expected = {sc.LINK_GAME: (game.trace_id, game.span_id)}
        if before is not None:
            expected[sc.LINK_PREVIOUS_PHASE] = (before.trace_id, before.span_id)
        assert links == expected
        before = phase
    for interaction in played.store.scopes("interaction"):
        assert played.store.parent(interaction) in phases


def test_a_phase_says_who_owns_what_when_it_ends(played: Played) -> None:
    last = played.store.scopes("phase")[-1].attributes
    owned = {power: last.get(sc.PHASE_CENTERS_PREFIX + power) for power in POWERS}
    assert owned == played.outcome.centres
    assert (last[sc.PHASE_YEAR], last[sc.PHASE_SEASON], last[sc.PHASE_TYPE]) == (1904, 2, "adjustments")


def test_orders_say_what_was_given_and_that_all_of_it_was_possible(played: Played) -> None:
    orders = [s for s in played.store.scopes("interaction") if s.attributes[sc.INTERACTION_TYPE] == "order"]
    assert orders
    for span in orders:
        given = span.attributes.get(sc.ORDERS_SUBMITTED, ())
        assert span.attributes[sc.ORDERS_VALID_COUNT] == len(given)
        assert span.attributes[sc.ORDERS_INVALID_COUNT] == 0
        assert span.status != "error"
    first = [s for s in orders if s.attributes[sc.PHASE_NAME] == "S1901M"]
    assert {s.attributes[sc.POWER_NAME]: len(s.attributes[sc.ORDERS_SUBMITTED]) for s in first} == {
        power: 4 if power == "RUSSIA" else 3 for power in POWERS
    }


def test_messages_have_sender_recipients_and_length_but_no_text_unless_asked(played: Played) -> None:
    sent = [
        (span.attributes[sc.POWER_NAME], event.attributes)
        for span in played.store.scopes("interaction")
        for event in span.events
        if event.name == sc.EVENT_MESSAGE
    ]
    assert {attributes[sc.MESSAGE_PRIVATE] for _, attributes in sent} == {True, False}
    for power, attributes in sent:
        assert attributes[sc.MESSAGE_SENDER] == power
        to = attributes.get(sc.MESSAGE_RECIPIENTS, ())
        assert bool(to) is attributes[sc.MESSAGE_PRIVATE]
        assert set(to) < set(POWERS) - {power}
        assert attributes[sc.MESSAGE_LENGTH] > 10
        assert sc.MESSAGE_CONTENT not in attributes


def test_the_game_ends_with_its_totals(played: Played) -> None:
    (game,) = played.store.scopes("game")
    (truth,) = served.by_game(played.requests).values()
    assert stored.totals(game) == {key: value for key, value in truth.items() if key != "by_phase"}
    assert game.attributes[sc.GAME_PLAYERS] == POWERS
    models = [LOOPBACK_MODELS[power].partition(":")[2] for power in POWERS]
    assert list(game.attributes[sc.GAME_MODELS]) == models
    assert game.attributes[sc.TOTALS_PREFIX + "success_rate"] == 1.0
    assert game.attributes[sc.TOTALS_PREFIX + "phases"] == len(played.outcome.phases)
    assert game.attributes[sc.TOTALS_PREFIX + "cost"] > 0


def test_a_game_is_the_same_from_the_same_seed_and_another_from_another() -> None:
    def centres(seed: int) -> dict[str, int]:
        (outcome,) = play(Match(["same"], rules=Rules(1902, rounds=1), seed=seed))
        assert isinstance(outcome, Outcome), outcome
        return outcome.centres

    assert centres(1) == centres(1)
    assert centres(1) != centres(2)
