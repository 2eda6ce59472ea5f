"""What goes wrong in a game is in the store, though the program says nothing of it; and no key is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import served
import stored
from selfplay import faults
from selfplay.clients import Endpoint, OpenAIClient
from selfplay.match import Match, play, replies
from selfplay.player import ATTEMPTS
from selfplay.table import Outcome, Rules

import otel_llm
from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoredSpan

GAME = "a bad day"


class BadDay:
    """A game of two years in which everything goes wrong that `faults` knows."""

    def __init__(self, directory: Path) -> None:
        match = Match([GAME], rules=Rules(max_year=1902, rounds=1), faults=frozenset(faults.FAULTS))
        # Everything that may be kept is kept: that is where a key would be found.
        otel_llm.instrument(store=directory, content="full")
        with LoopbackServer(reply=replies(match), keep=100_000) as server:
            (outcome,) = play(match, server=server)
            self.requests = server.requests
        assert isinstance(outcome, Outcome), outcome
        self.outcome = outcome
        assert otel_llm.shutdown()
        self.directory = directory
        self.store = stored.Store(directory)
        self.interactions = self.store.scopes("interaction")

    def of(self, power: str, kind: str | None = None) -> list[StoredSpan]:
        return [
            span
            for span in self.interactions
            if span.attributes[sc.POWER_NAME] == power
            and kind in {None, span.attributes[sc.INTERACTION_TYPE]}
        ]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> BadDay:
    return BadDay(tmp_path_factory.mktemp("faults") / "store")


def test_the_game_goes_on_and_says_nothing(day: BadDay, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(day.outcome.phases) > 5
    assert capsys.readouterr() == ("", "")


def test_a_refused_request_and_its_repetition_are_both_there(day: BadDay) -> None:
    refused = [r for r in day.requests if r.sent.status == 429]
    assert len(refused) > 20
    failed = [c for c in day.store.calls if c.attributes.get(sc.ERROR_TYPE) == "rate_limit"]
    assert len(failed) == len(refused)
    assert len(day.store.calls) == len(day.requests)
    expected = Counter((one.power, one.phase, one.task) for one in map(served.Served.of, refused))
    assert Counter((one.power, one.phase, one.task) for one in map(stored.seen_as, failed)) == expected
    for call in failed:
        assert call.status == "error"
        assert call.attributes[sc.RETRY_AFTER] == 0.01
        interaction = day.store.parent(call)
        assert interaction is not None
        assert interaction.attributes[sc.SCOPE_KIND] == "interaction"
    # An SDK tries again within the interaction, which then succeeds …
    within = [c for c in failed if c.attributes[sc.POWER_NAME] in {"AUSTRIA", "ENGLAND"}]
    assert within
    for call in within:
        interaction = day.store.parent(call)
        assert interaction is not None
        assert interaction.status != "error"
        calls = [c for c in day.store.calls if c.parent_id == interaction.span_id]
        assert any(sc.ERROR_TYPE not in c.attributes for c in calls)
    # … and by hand the program does, in an interaction that is numbered.
    by_hand = [c for c in failed if c.attributes[sc.POWER_NAME] == "FRANCE"]
    assert by_hand
    for call in by_hand:
        interaction = day.store.parent(call)
        assert interaction is not None
        assert interaction.status == "error"
        again = [s for s in day.of("FRANCE") for link in s.links if link.span_id == interaction.span_id]
        assert len(again) == 1
        assert again[0].attributes[sc.INTERACTION_ATTEMPT] > 1
        assert again[0].attributes[sc.INTERACTION_TYPE] == interaction.attributes[sc.INTERACTION_TYPE]


def test_a_dead_client_is_five_attempts_without_a_call(day: BadDay) -> None:
    attempts = day.of(faults.DEAD_POWER)
    assert attempts
    dead = {span.span_id for span in attempts}
    assert not [call for call in day.store.calls if call.parent_id in dead]
    assert not [r for r in day.requests if served.Served.of(r).power == faults.DEAD_POWER]
    by_task: dict[tuple[str, str], list[StoredSpan]] = {}
    for span in attempts:
        key = span.attributes[sc.PHASE_NAME], span.attributes[sc.INTERACTION_TYPE]
        by_task.setdefault(key, []).append(span)
    for spans in by_task.values():
        assert [s.attributes.get(sc.INTERACTION_ATTEMPT, 1) for s in spans] == list(range(1, ATTEMPTS + 1))
        for before, span in zip([None, *spans], spans, strict=False):
            assert span.status == "error"
            assert span.attributes[sc.ERROR_TYPE] == "TypeError"
            assert "response_fromat" in (span.status_description or "")
            linked = [li.span_id for li in span.links if li.attributes[sc.LINK_KIND] == sc.LINK_RETRY_OF]
            assert linked == ([] if before is None else [before.span_id])


def test_an_exception_that_gather_swallows_is_on_its_interaction(day: BadDay) -> None:
    diaries = day.of(faults.UNREADABLE_POWER, "negotiation_diary")
    assert len({span.attributes[sc.PHASE_NAME] for span in diaries}) == 4  # every movement phase
    unreadable = [s for s in diaries if s.attributes.get(sc.ERROR_TYPE, "").endswith("UnreadableAnswerError")]
    assert {s.attributes[sc.PHASE_NAME] for s in unreadable} == {s.attributes[sc.PHASE_NAME] for s in diaries}
    for span in unreadable:
        assert span.status == "error"
        (raised,) = [event for event in span.events if event.name == "exception"]
        assert raised.attributes[sc.EXCEPTION_TYPE].endswith("UnreadableAnswerError")
        (call,) = [c for c in day.store.calls if c.parent_id == span.span_id and c.status != "error"]
        assert "I would rather not" in call.attributes[sc.OUTPUT_MESSAGES]  # what the model did say


def test_impossible_orders_are_named_and_counted(day: BadDay) -> None:
    orders = [
        span
        for span in day.of(faults.CHEATING_POWER, "order")
        if span.attributes[sc.PHASE_NAME].endswith("M") and sc.ORDERS_SUBMITTED in span.attributes
    ]
    assert len(orders) == 4
    for span in orders:
        assert span.attributes[sc.ORDERS_INVALID] == faults.IMPOSSIBLE
        assert span.attributes[sc.ORDERS_INVALID_COUNT] == len(faults.IMPOSSIBLE)
        assert set(faults.IMPOSSIBLE) < set(span.attributes[sc.ORDERS_SUBMITTED])
        assert span.attributes[sc.INTERACTION_SUCCESS] is False
        assert span.attributes[sc.INTERACTION_OUTCOME].startswith(
            "Failure: Invalid LLM Moves (2): A MOS - LON"
        )
        assert span.status == "error"
    others = [s for s in day.interactions if s.attributes[sc.POWER_NAME] != faults.CHEATING_POWER]
    assert not [span for span in others if span.attributes.get(sc.ORDERS_INVALID)]


def test_no_key_is_anywhere_in_the_store(day: BadDay) -> None:
    calls = [c for c in day.store.calls if c.attributes[sc.POWER_NAME] == faults.LEAKING_POWER]
    assert calls
    assert {c.attributes[sc.REQUEST_MODEL] for c in calls} == {"gpt-5@[redacted]"}
    assert any(faults.LEAKED_KEY.encode() in request.body for request in day.requests)  # it was used

    secret = faults.LEAKED_KEY.removeprefix("sk-proj-")
    contents = "\n".join(day.store.contents())
    assert "A MOS - LON" in contents  # it is the whole of it
    assert secret not in contents
    files = [path for path in day.directory.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert secret.encode() not in path.read_bytes()
        assert secret not in path.name


def test_totals_count_what_failed(day: BadDay) -> None:
    (game,) = day.store.scopes("game")
    it = game.attributes
    failed = [span for span in day.interactions if span.status == "error"]
    assert it[sc.TOTALS_PREFIX + "interactions"] == len(day.interactions)
    assert it[sc.TOTALS_PREFIX + "failed_interactions"] == len(failed)
    assert it[sc.TOTALS_PREFIX + "calls"] == len(day.requests)
    assert it[sc.TOTALS_PREFIX + "failed_calls"] == sum(r.sent.status != 200 for r in day.requests)
    assert it[sc.TOTALS_PREFIX + "invalid_orders"] == 8
    assert it[sc.TOTALS_PREFIX + "input_tokens"] == sum(
        r.sent.usage.input for r in day.requests if r.sent.usage is not None
    )


def test_endpoints_do_not_show_their_key() -> None:
    endpoint = Endpoint("http://localhost/v1", "sk-secret")
    assert "sk-secret" not in repr(endpoint)
    assert "sk-secret" not in repr(vars(OpenAIClient(endpoint)))
    assert "sk-secret" not in repr(Match([], keys={"openai": "sk-secret"}))


# --- the same as the terminal and the report tell it ------------------------------------------------
TOLD = {
    faults.RATE_LIMITS: "rate_limit",
    faults.DEAD_CLIENT: "unexpected keyword argument 'response_fromat'",
    faults.SWALLOWED: "UnreadableAnswerError",
    faults.INVALID_ORDERS: "A MOS - LON",
    faults.KEY_IN_MODEL: "gpt-5@[redacted]",
}


def otel_llm_cli(day: BadDay, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "otel_llm.cli", *arguments, "--store", str(day.directory)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_show_tells_each_fault(day: BadDay) -> None:
    assert TOLD.keys() == faults.FAULTS.keys()
    shown = otel_llm_cli(day, "show", "--game", GAME, "--full")
    words = " ".join(shown.split())  # as it reads, wherever the lines break
    for fault, text in TOLD.items():
        assert text in words, fault
    assert faults.LEAKED_KEY not in shown


def test_show_as_json_counts_each_fault(day: BadDay) -> None:
    game = json.loads(otel_llm_cli(day, "show", "--game", GAME, "--json"))
    interactions = {it["span_id"]: it for phase in game["phases"] for it in phase["interactions"]}
    assert len(interactions) == len(day.interactions)
    assert game["totals"]["rate_limited_calls"] == sum(r.sent.status == 429 for r in day.requests)
    assert game["totals"]["invalid_orders"] == 8
    assert game["models"][faults.LEAKING_POWER] == TOLD[faults.KEY_IN_MODEL]

    trouble = game["trouble"]
    dead = [one for one in trouble["repetitions"] if one["power"] == faults.DEAD_POWER]
    assert {(one["attempts"], one["succeeded"]) for one in dead} == {(ATTEMPTS, False)}
    assert len(dead) * ATTEMPTS == len(day.of(faults.DEAD_POWER))
    swallowed = [interactions[span_id] for span_id in trouble["swallowed"]]
    told = {(it["power"], it["type"], it["phase"]) for it in swallowed}
    diaries = day.of(faults.UNREADABLE_POWER, "negotiation_diary")
    phases = {span.attributes[sc.PHASE_NAME] for span in diaries}
    assert told >= {(faults.UNREADABLE_POWER, "negotiation_diary", phase) for phase in phases}
    assert (
        sum(one["n"] for one in trouble["refusals"] if one["error_type"] == "rate_limit")
        == (game["totals"]["rate_limited_calls"])
    )
    assert trouble["oddities"] == []


def test_the_report_tells_each_fault(day: BadDay, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    otel_llm_cli(day, "report", "--game", GAME, "--output", str(page))
    html = page.read_text()
    for fault, text in TOLD.items():
        assert text in html, fault
    assert faults.LEAKED_KEY not in html
