"""What went wrong is found, silent failures above all."""

import pytest

from otel_llm import semconv as sc
from otel_llm.analysis import (
    Oddity,
    failures,
    load_games,
    oddities,
    refusals,
    repetitions,
    swallowed,
    with_invalid_orders,
)
from tests.analysis.games import (
    Memory,
    failure,
    game,
    interaction,
    model_call,
    phase,
    raised,
    refused_call,
    trace,
)


def load(*spans):
    (found,) = load_games(Memory(*spans))
    return found


def ids(records):
    return [int(record.span_id, 16) for record in records]


def broken(number, **rest):
    return interaction(number, "order_diary", parent=1, more=failure(), events=[raised()], **rest)


def test_an_exception_after_which_the_phase_goes_on_was_swallowed():
    found = load(phase(1), broken(2), interaction(3, parent=1))
    assert (ids(swallowed(found)), ids(failures(found))) == ([2], [2])


def test_what_failed_by_word_was_not_swallowed():
    found = load(phase(1), interaction(2, parent=1, more={sc.INTERACTION_SUCCESS: False}))
    assert (ids(swallowed(found)), ids(failures(found))) == ([], [2])


def test_what_was_attempted_again_was_not_swallowed():
    found = load(phase(1), broken(2), broken(3, retry_of=2, start_ms=5))
    assert ids(swallowed(found)) == [3]


def test_what_ended_the_phase_was_not_swallowed():
    assert swallowed(load(phase(1, more={sc.ERROR_TYPE: "KeyError"}), broken(2))) == []
    outside = interaction(2, parent=1, more=failure(), events=[raised()])
    assert ids(swallowed(load(game(1, trace_id=trace(1)), outside))) == [2]
    assert swallowed(load(game(1, trace_id=trace(1), more={sc.ERROR_TYPE: "KeyError"}), outside)) == []


def test_attempts_belong_together():
    found = load(
        phase(1),
        interaction(2, parent=1, start_ms=0, more=failure("TypeError")),
        interaction(3, "order", "ITALY", parent=1, start_ms=1),
        interaction(4, parent=1, start_ms=1000, more=failure("TypeError") | {sc.INTERACTION_ATTEMPT: 2}),
        interaction(5, parent=1, start_ms=3000, more={sc.INTERACTION_ATTEMPT: 3}),
        interaction(6, parent=1, start_ms=4000),
        interaction(7, "plan", parent=1, start_ms=5000, more=failure() | {sc.INTERACTION_ATTEMPT: 4}),
    )
    first, second = repetitions(found.all_interactions())
    assert (first.phase, first.type, first.power, first.attempts, first.succeeded, first.errors, first.lost_s) == (
        "S1901M", "order", "FRANCE", 3, True, {"TypeError": 2}, 3.0,
    )  # fmt: skip
    assert ids(first.records) == [2, 4, 5]
    assert (second.type, second.attempts, second.succeeded) == ("plan", 4, False)  # those before were lost


def test_invalid_orders_are_found():
    found = load(
        phase(1),
        interaction(2, parent=1, more={sc.ORDERS_INVALID_COUNT: 0}),
        interaction(3, parent=1, more={sc.ORDERS_INVALID: ("A PAR - LON",)}),
        interaction(4, parent=1, more={sc.ORDERS_INVALID_COUNT: "2"}),
    )
    records = with_invalid_orders(found.all_interactions())
    assert [(r.invalid_count, r.invalid_orders) for r in records] == [(1, ("A PAR - LON",)), (2, ())]


def test_refused_calls_are_counted_by_reason_and_model():
    found = load(
        phase(1),
        interaction(2, parent=1),
        refused_call(3, parent=2, took_ms=100, more={sc.RETRY_AFTER: 2.0}),
        model_call(4, parent=2, start_ms=300),
        interaction(5, parent=1),
        refused_call(6, parent=5, took_ms=100, start_ms=9, message="Slower."),
        refused_call(7, parent=5, error="connection", status=None, message=None, took_ms=1000),
        refused_call(8, "o5", parent=1),
    )
    rows = refusals([found])
    assert [(r.error_type, r.model, r.n, r.status_codes, r.message, r.unanswered) for r in rows] == [
        ("rate_limit", "gpt-5", 2, (429,), "Slower.", 1),
        ("connection", "gpt-5", 1, (), None, 1),
        ("rate_limit", "o5", 1, (429,), "Slow down.", 0),
    ]
    assert [row.wasted_s for row in rows[:2]] == [pytest.approx(2.2), 1.0]


def test_odd_input_is_named_once_with_how_often():
    found = load(
        game(9, more={sc.GAME_STATUS: "completed"}),
        phase(1, more={sc.PHASE_OUT_OF_ORDER: True, sc.LEFT_OPEN: True}),
        *(
            interaction(
                n, "order", "ATLANTIS", parent=1, more={sc.POWER_UNKNOWN: True, sc.INVALID_FIELDS: ("units",)}
            )
            for n in (2, 3)
        ),
        interaction(4, parent=1, took_ms=None),
    )
    assert oddities(found) == [
        Oddity("left open", "phase S1901M", 1, trace(1)),
        Oddity("phase out of order", "S1901M", 1, trace(1)),
        Oddity("unknown power", "ATLANTIS", 2, trace(1)),
        Oddity("unusable field", "units", 2, trace(1)),
        Oddity("never ended", "invoke_agent FRANCE", 1, trace(1)),
    ]


def test_what_is_still_running_is_nothing_odd():
    assert (
        oddities(load(game(9, took_ms=None), phase(1, took_ms=None), interaction(2, parent=1, took_ms=None)))
        == []
    )
