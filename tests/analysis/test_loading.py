"""Spans become games: every call under its interaction, nothing lost."""

import os
import subprocess
import sys
from dataclasses import replace
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm import semconv as sc
from otel_llm.analysis import OUTSIDE, Message, Totals, load_games
from otel_llm.store import StoreReader
from otel_llm.store.rows import StoredEvent
from tests.analysis.games import (
    GAME_TRACE,
    Memory,
    failure,
    game,
    interaction,
    message,
    model_call,
    phase,
    raised,
    refused_call,
    trace,
)
from tests.cli.conftest import write
from tests.cli.spans import MS, T0, call, span


def load(*spans, **wanted):
    return load_games(Memory(*spans), **wanted)


def only(*spans, **wanted):
    (found,) = load(*spans, **wanted)
    return found


def a_small_game():
    return [
        game(
            1,
            took_ms=5000,
            more={
                sc.GAME_PLAYERS: ("FRANCE", "ITALY"),
                sc.GAME_MODELS: ("gpt-5", ""),
                sc.GAME_STATUS: "completed",
                sc.GAME_OUTCOME: "solo",
                sc.GAME_WINNERS: ("FRANCE",),
                sc.GAME_EPISODE: 4,
                sc.GAME_IN_TRAINING: True,
            },
        ),
        phase(
            2, start_ms=10, more={f"{sc.PHASE_CENTERS_PREFIX}FRANCE": 5, f"{sc.PHASE_UNITS_PREFIX}ITALY": 2}
        ),
        interaction(
            3,
            parent=2,
            start_ms=20,
            took_ms=300,
            more={
                sc.ORDERS_SUBMITTED: ("A PAR H", "F BRE - LON"),
                sc.ORDERS_INVALID: ("F BRE - LON",),
                sc.ORDERS_INVALID_COUNT: 1,
                sc.ORDERS_VALID_COUNT: 1,
                sc.POWER_CENTERS: 3,
                sc.POWER_UNITS: 4,
                sc.INTERACTION_SUCCESS: True,
                sc.GAME_REWARD: 0.5,
                sc.INTERACTION_DURATION: 1.25,
            },
            events=[message("ITALY", text="Peace?", at_ms=30)],
        ),
        refused_call(4, parent=3, start_ms=21, took_ms=10, more={sc.RETRY_AFTER: 0.5}),
        model_call(
            5,
            parent=3,
            start_ms=40,
            took_ms=200,
            given=90,
            got=30,
            cost=0.25,
            more={
                sc.HTTP_RESEND_COUNT: 1,
                sc.INPUT_LENGTH: 400,
                sc.OUTPUT_LENGTH: 80,
                sc.RESPONSE_TIME_TO_FIRST_CHUNK: 0.05,
                sc.USAGE_CACHE_READ: 64,
                sc.INPUT_MESSAGES: '[{"role":"user","parts":[{"type":"text","content":"Orders?"}]}]',
                sc.OUTPUT_MESSAGES: '[{"role":"assistant","parts":[{"type":"text","content":"A PAR H"}]}]',
            },
        ),
        phase(6, "F1901M", trace_id=trace(2), start_ms=2000),
        interaction(7, "negotiation", "ITALY", trace_id=trace(2), parent=6, start_ms=2010),
    ]


def test_a_game_is_put_together():
    found = only(*a_small_game())
    assert (found.game_id, found.name, found.status, found.outcome) == ("g", "diplomacy", "completed", "solo")
    assert (found.winners, found.players, found.models) == (
        ("FRANCE",),
        ("FRANCE", "ITALY"),
        {"FRANCE": "gpt-5"},
    )
    assert (found.episode, found.training, found.duration_s) == (4, True, 5.0)
    assert found.spans == [(GAME_TRACE, f"{1:016x}")]
    assert [(p.name, p.year, p.season, p.type, p.trace_id) for p in found.phases] == [
        ("S1901M", 1901, 0, "movement", trace(1)),
        ("F1901M", 1901, 1, "movement", trace(2)),
    ]
    assert found.phases[0].centers == {"FRANCE": 5}
    assert found.phases[0].units == {"ITALY": 2}
    assert found.totals == Totals(
        interactions=2,
        calls=2,
        failed_calls=1,
        rate_limited_calls=1,
        input_tokens=90,
        output_tokens=30,
        cost_usd=0.25,
        valid_orders=1,
        invalid_orders=1,
        messages=1,
        interactions_by_type={"order": 1, "negotiation": 1},
        interactions_by_power={"FRANCE": 1, "ITALY": 1},
        calls_by_model={"gpt-5": 2},
    )
    assert found.phases[1].totals.interactions == 1
    assert found.totals.success_rate == 1.0


def test_an_interaction_has_what_its_span_and_its_calls_say():
    record = only(*a_small_game()).phases[0].interactions[0]
    calls, attributes = record.calls, record.attributes
    assert attributes[sc.POWER_CENTERS] == 3
    told = replace(record, calls=[], attributes={})
    expected = {
        "span_id": f"{3:016x}",
        "trace_id": trace(1),
        "parent_id": f"{2:016x}",
        "name": "invoke_agent FRANCE",
        "start_ns": T0 + 20 * MS,
        "end_ns": T0 + 320 * MS,
        "duration_s": 0.3,
        "game_id": "g",
        "phase": "S1901M",
        "year": 1901,
        "season": 0,
        "phase_type": "movement",
        "power": "FRANCE",
        "type": "order",
        "model": "gpt-5",
        "models": ("gpt-5",),
        "response_time_s": 1.25,
        "success": True,
        "outcome": None,
        "error_type": None,
        "error_message": None,
        "exception": False,
        "attempt": 1,
        "retry_of": None,
        "orders": ("A PAR H", "F BRE - LON"),
        "invalid_orders": ("F BRE - LON",),
        "valid_count": 1,
        "invalid_count": 1,
        "results": None,
        "messages": [Message("FRANCE", ("ITALY",), None, 6, "Peace?", T0 + 30 * MS, "S1901M")],
        "centers": 3,
        "units": 4,
        "reward": 0.5,
        "episode": None,
        "step": None,
        "calls": [],
        "input_tokens": 90,
        "output_tokens": 30,
        "cost_usd": 0.25,
        "input_length": 400,
        "response_length": 80,
        "attributes": {},
    }
    assert {name: getattr(told, name) for name in told.__slots__} == expected
    assert (record.latency_s, record.prompt, record.response) == (1.25, "Orders?", "A PAR H")
    refused, answered = calls
    assert (refused.error_type, refused.status_code, refused.retry_after_s, refused.attempt) == (
        "rate_limit", 429, 0.5, 1,
    )  # fmt: skip
    assert (answered.attempt, answered.time_to_first_token_s, answered.cached_tokens) == (2, 0.05, 64)
    for made in calls:
        assert (made.phase, made.power, made.interaction_type, made.interaction_id, made.game_id) == (
            "S1901M", "FRANCE", "order", record.span_id, "g",
        )  # fmt: skip


def test_other_peoples_spans_between_a_call_and_its_interaction_do_not_matter():
    spans = [phase(1), interaction(2, parent=1)]
    spans += [span(n, f"step {n}", parent=n - 1, trace_id=trace(1)) for n in range(3, 8)]
    found = only(*spans, model_call(8, parent=7, game_id=None))
    assert [c.interaction_id for c in found.all_calls()] == [f"{2:016x}"]


@pytest.mark.parametrize("game_id", [None, "g"])
def test_spans_that_do_not_name_the_game_are_found_on_the_way_to_it(game_id):
    spans = [phase(1), interaction(2, parent=1), span(3, "GET /", parent=2, trace_id=trace(1))]
    found = only(*spans, model_call(4, parent=3), game_id=game_id)
    assert len(found.phases[0].interactions[0].calls) == 1


def test_a_call_in_an_inner_interaction_is_not_the_outer_ones_too():
    found = only(
        phase(1), interaction(2, "plan", parent=1), interaction(3, parent=2), model_call(4, parent=3)
    )
    assert [(i.type, len(i.calls)) for i in found.phases[0].interactions] == [("plan", 0), ("order", 1)]
    assert found.totals.calls == 1


def test_a_call_whose_context_was_lost_is_in_the_phase_it_names():
    lost = model_call(9, trace_id=trace(7), more={sc.PHASE_NAME: "S1901M", sc.POWER_NAME: "ITALY"})
    found = only(phase(1), interaction(2, parent=1), lost)
    assert [(c.phase, c.power, c.interaction_id) for c in found.phases[0].calls] == [
        ("S1901M", "ITALY", None)
    ]
    assert found.phases[0].totals.calls == 1


def test_what_has_no_phase_is_beside_the_phases():
    found = only(game(), interaction(2, "initialization", parent=1, trace_id=GAME_TRACE), model_call(3, trace_id=GAME_TRACE, parent=1))  # fmt: skip
    assert [i.type for i in found.interactions] == ["initialization"]
    assert len(found.calls) == 1
    assert (found.totals.interactions, found.totals.calls) == (1, 1)


def test_a_phase_whose_span_was_lost_is_known_from_what_happened_in_it():
    found = only(interaction(2, parent=99, phase_name="W1903A", took_ms=70), interaction(3, phase_name="W1903A", trace_id=trace(1)))  # fmt: skip
    (known,) = found.phases
    assert (known.name, known.span_id, known.year, known.season, known.type) == (
        "W1903A", None, 1903, 2, "adjustments",
    )  # fmt: skip
    assert (len(known.interactions), known.end_ns) == (2, T0 + 100 * MS)
    assert found.status == "unknown"


def test_games_do_not_mix():
    spans = [game(1, "a"), game(2, "b", trace_id="8" * 32)]
    for number, game_id in ((10, "a"), (20, "b")):
        spans += [
            phase(number, game_id=game_id, trace_id=trace(number)),
            interaction(number + 1, game_id=game_id, parent=number, trace_id=trace(number)),
            model_call(number + 2, game_id=game_id, parent=number + 1, trace_id=trace(number)),
        ]
    found = load(*spans)
    assert [(g.game_id, g.totals.interactions, g.totals.calls) for g in found] == [("a", 1, 1), ("b", 1, 1)]
    assert [g.game_id for g in load(*spans, game_id="b")] == ["b"]
    assert load(*spans, game_id="c") == []


def test_one_game_from_several_processes_is_one_record_in_order_of_time():
    found = only(
        game(1, took_ms=900, more={sc.GAME_PLAYERS: ("FRANCE",)}),
        phase(2, "F1901M", start_ms=500),
        game(3, trace_id="8" * 32, start_ms=300, took_ms=900, more={sc.GAME_PLAYERS: ("ITALY",), sc.GAME_STATUS: "completed"}),
        phase(4, "S1901M", trace_id=trace(4), start_ms=10),
        phase(5, "S1901M", trace_id=trace(5), start_ms=310),
        interaction(6, "order", "ITALY", parent=5, trace_id=trace(5), start_ms=311),
    )  # fmt: skip
    assert [(p.name, p.trace_id) for p in found.phases] == [
        ("S1901M", trace(4)),
        ("S1901M", trace(5)),
        ("F1901M", trace(1)),
    ]
    assert found.players == ("FRANCE", "ITALY")
    assert len(found.spans) == 2
    assert (found.status, found.end_ns) == ("completed", T0 + 1200 * MS)
    assert [i.power for i in found.phases[1].interactions] == ["ITALY"]


def test_what_is_outside_any_game_is_a_record_of_its_own_and_last():
    found = load(call(50, trace_id=trace(5)), interaction(51, game_id=None, trace_id=trace(6)), game())
    assert [g.game_id for g in found] == ["g", OUTSIDE]
    assert (len(found[1].calls), len(found[1].interactions)) == (1, 1)


def test_numbers_that_are_text_and_values_that_are_nonsense_are_taken_as_they_can_be():
    odd = {
        sc.USAGE_INPUT_TOKENS: "120",
        sc.USAGE_OUTPUT_TOKENS: "many",
        sc.COST_TOTAL: float("nan"),
        sc.INPUT_LENGTH: True,
        sc.OUTPUT_LENGTH: None,
        sc.HTTP_STATUS_CODE: 10**400,
        sc.RESPONSE_FINISH_REASONS: 7,
        sc.REQUEST_MODEL: 5,
    }
    found = only(
        phase(1, more={sc.PHASE_YEAR: "1905", sc.PHASE_TYPE: 3, f"{sc.PHASE_CENTERS_PREFIX}FRANCE": "4"}),
        interaction(2, 17, 3, parent=1, more={sc.INTERACTION_SUCCESS: "false", sc.GAME_REWARD: "-0.5"}),
        model_call(3, parent=2, more=odd),
    )
    record = found.phases[0].interactions[0]
    made = record.calls[0]
    assert (made.input_tokens, made.output_tokens, made.cost_usd, made.input_length) == (
        120,
        None,
        None,
        None,
    )
    assert (made.status_code, made.finish_reasons, made.model) == (10**400, (), None)
    assert (record.type, record.power, record.succeeded, record.reward) == ("17", "3", False, -0.5)
    assert (found.phases[0].year, found.phases[0].type, found.phases[0].centers) == (
        1905,
        "movement",
        {"FRANCE": 4},
    )


def test_an_interaction_fails_by_the_programs_word_before_anything_else():
    told = [
        interaction(2, parent=1),
        interaction(3, parent=1, more=failure()),
        interaction(4, parent=1, more={sc.INTERACTION_SUCCESS: False, sc.INTERACTION_OUTCOME: "no orders"}),
        interaction(5, parent=1, more={sc.INTERACTION_SUCCESS: True, sc.ERROR_TYPE: "timeout"}),
        interaction(6, parent=1, took_ms=None),
    ]
    records = only(phase(1), *told).phases[0].interactions
    assert [(r.succeeded, r.error_type, r.error_message) for r in records] == [
        (True, None, None),
        (False, "KeyError", "'orders'"),
        (False, "failed", "no orders"),
        (True, "timeout", None),
        (None, None, None),
    ]
    totals = Totals.of(records)
    assert (totals.failed_interactions, totals.open_interactions, totals.success_rate) == (2, 1, 0.5)


def test_what_an_interaction_that_was_recorded_by_hand_says_of_tokens_counts():
    by_hand = {
        sc.REQUEST_MODEL: "gpt-4o",
        sc.USAGE_INPUT_TOKENS: 7,
        sc.USAGE_OUTPUT_TOKENS: 2,
        sc.COST_TOTAL: 0.1,
    }
    found = only(phase(1), interaction(2, parent=1, more=by_hand))
    assert (found.totals.input_tokens, found.totals.output_tokens, found.totals.cost_usd) == (7, 2, 0.1)
    assert found.models == {"FRANCE": "gpt-4o"}


def test_an_interaction_that_failed_before_it_asked_has_the_model_of_its_power():
    found = only(
        phase(1),
        interaction(2, parent=1),
        model_call(3, "o5", parent=2),
        interaction(4, parent=1, more=failure()),
    )
    assert [i.model for i in found.phases[0].interactions] == ["o5", "o5"]


def test_texts_of_messages_that_the_store_alone_keeps_are_put_to_their_messages():
    record = only(
        interaction(
            2,
            "negotiation",
            events=[message("ITALY", at_ms=2), StoredEvent("other", T0, {}), message(at_ms=1, **{sc.MESSAGE_SENDER: "GM"})],
            more={sc.MESSAGE_CONTENT: ("second", "first")},
        )
    ).interactions[0]  # fmt: skip
    assert [(m.sender, m.recipients, m.content) for m in record.messages] == [
        ("GM", (), "first"),
        ("FRANCE", ("ITALY",), "second"),
    ]


def test_an_exception_and_a_repeated_attempt_are_known_as_such():
    found = only(
        phase(1),
        interaction(2, parent=1, more=failure(), events=[raised()]),
        interaction(3, parent=1, start_ms=200, retry_of=2, more={sc.INTERACTION_ATTEMPT: 2}),
    )
    first, second = found.phases[0].interactions
    assert (first.exception, first.attempt, first.retry_of) == (True, 1, None)
    assert (second.exception, second.attempt) == (False, 2)
    assert second.retry_of == (first.trace_id, first.span_id)


@pytest.mark.parametrize("game_id", [None, "g"])
def test_a_range_of_time_takes_in_the_game_and_what_is_above(game_id):
    spans = a_small_game()
    found = only(*spans, since_ns=T0 + 30 * MS, game_id=game_id)
    assert found.status == "completed"
    assert [(p.name, len(p.interactions)) for p in found.phases] == [("S1901M", 1), ("F1901M", 1)]
    assert found.totals.calls == 1  # the refused one began before
    before = only(*spans, until_ns=T0 + 1000 * MS, game_id=game_id)
    assert [p.name for p in before.phases] == ["S1901M"]


def test_a_limit_keeps_the_games_in_which_something_happened_last():
    spans = [game(n, f"g{n}", trace_id=trace(n), start_ms=n, took_ms=100 - n * 10) for n in range(1, 6)]
    assert [g.game_id for g in load(*spans, limit=2)] == ["g1", "g2"]


def test_spans_that_are_each_others_ancestors_are_no_endless_way():
    found = only(interaction(2, parent=3), interaction(3, parent=2), model_call(4, parent=3))
    assert len(found.interactions) == 2
    assert found.totals.calls == 1


parents = st.one_of(st.none(), st.integers(1, 30))
kinds = st.sampled_from(["game", "phase", "interaction", "call", "other"])
games = st.sampled_from([None, "a", "b"])


@given(st.lists(st.tuples(kinds, parents, games, st.booleans()), min_size=1, max_size=24))
def test_whatever_the_shape_no_interaction_and_no_call_is_lost_or_doubled(shape):
    makers = {
        "game": lambda n, **rest: game(n, **rest),
        "phase": lambda n, **rest: phase(n, f"P{n % 3}", **rest),
        "interaction": lambda n, **rest: interaction(n, phase_name=[None, "P1"][n % 2], **rest),
        "call": lambda n, **rest: model_call(n, **rest),
        "other": lambda n, **rest: span(
            n, "GET /", attributes={} if rest.pop("game_id") is None else {sc.SCOPE_KIND: "step"}, **rest
        ),
    }
    spans = []
    for number, (kind, parent, game_id, ended) in enumerate(shape, 1):
        made = makers[kind](
            number,
            parent=parent,
            game_id=game_id,
            start_ms=number,
            took_ms=5 if ended else None,
            trace_id=trace(1),
        )
        made.attributes.update({} if game_id is None else {sc.GAME_ID: game_id})
        spans.append(made)
    found = load(*spans)
    for what, kind in (("all_interactions", "interaction"), ("all_calls", "call")):
        ids = sorted(record.span_id for g in found for record in getattr(g, what)())
        assert ids == [f"{n:016x}" for n, (k, *_) in enumerate(shape, 1) if k == kind]
    one = load_games(Memory(*spans), game_id="a")
    assert all(g.game_id == "a" for g in one)


# --- over a real store ----------------------------------------------------------------------------
def test_the_same_is_read_from_a_store(tmp_path):
    write(tmp_path, a_small_game())
    reader = StoreReader(tmp_path)
    (found,) = load_games(reader)
    assert found == only(*a_small_game())
    assert load_games(reader, game_id="g") == [found]


def test_a_game_of_a_killed_process_is_told_from_one_that_runs(tmp_path):
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[2])\n"
        "import otel_llm; otel_llm.instrument(store=sys.argv[1])\n"
        "scope = otel_llm.game('g').start(); phase = otel_llm.phase('S1901M', parent=scope).start()\n"
        "time.sleep(0.4); otel_llm.interaction('order', parent=phase).start().end(); otel_llm.force_flush(5)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), root], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert process.stdout.readline() == "ready\n"
        (running,) = load_games(StoreReader(tmp_path))
    finally:
        process.kill()
        process.communicate()
    (killed,) = load_games(StoreReader(tmp_path))
    assert [running.status, killed.status] == ["running", "killed"]
    assert (killed.end_ns, killed.totals.interactions) == (None, 1)
    assert killed.phases[0].end_ns is None


@pytest.mark.parametrize("game_id", ["a/b", 'it"s', "日本", "\x1b[0m\n", "7", " "])
def test_any_id_is_found(tmp_path, game_id):
    write(tmp_path, [game(1, game_id), interaction(2, game_id=game_id)])
    (found,) = load_games(StoreReader(tmp_path), game_id=game_id)
    assert (found.game_id, found.totals.interactions) == (game_id, 1)


def test_an_id_that_is_a_number_is_found(tmp_path):
    write(tmp_path, [game(1, 7)])
    assert [g.game_id for g in load_games(StoreReader(tmp_path), game_id="7")] == ["7"]


def test_the_records_agree_with_the_games_own_closing_figures(tmp_path):
    import otel_llm

    otel_llm.instrument(store=tmp_path / "store")
    with otel_llm.game("g", players=["FRANCE"]):
        for name in ("S1901M", "F1901M"):
            with otel_llm.phase(name):
                for kind in ("order", "plan"):
                    with otel_llm.interaction(kind, power="FRANCE", orders=["A PAR H"], invalid_orders=[]):
                        pass
                with pytest.raises(KeyError), otel_llm.interaction("order_diary", power="FRANCE"):
                    raise KeyError("x")
    assert otel_llm.shutdown(10)
    (found,) = load_games(StoreReader(tmp_path / "store"))
    told = {
        key.removeprefix(sc.TOTALS_PREFIX): value
        for key, value in found.attributes.items()
        if key.startswith(sc.TOTALS_PREFIX)
    }
    assert told == {
        "interactions": found.totals.interactions,
        "failed_interactions": found.totals.failed_interactions,
        "phases": len(found.phases),
        "valid_orders": found.totals.valid_orders,
        "success_rate": found.totals.success_rate,
        "interactions_by_type.order": 2,
        "interactions_by_type.plan": 2,
        "interactions_by_type.order_diary": 2,
        "interactions_by_power.FRANCE": 6,
    }
    assert [i.exception for i in found.all_interactions()] == [False, False, True] * 2


def test_what_loading_takes_grows_with_the_number_of_interactions_and_no_faster():
    def loaded(phases: int) -> float:
        """Seconds of CPU that so many phases of 250 interactions take."""
        spans = [game()]
        for p in range(phases):
            tr, number = trace(p + 1), p * 1000 + 10
            spans.append(phase(number, trace_id=tr, start_ms=p))
            for i in range(250):
                at = number + 1 + i * 3
                spans.append(interaction(at, trace_id=tr, parent=number, start_ms=p))
                spans += [model_call(at + n, trace_id=tr, parent=at, start_ms=p) for n in (1, 2)]
        begin = thread_time()
        found = only(*spans)
        took = thread_time() - begin
        assert (found.totals.interactions, found.totals.calls) == (phases * 250, phases * 500)
        return took

    assert loaded(40) < 40 * loaded(4)  # ten times as many: about ten times as long, not a hundred
