"""Questions about games, answered by hand first."""

import pytest

from otel_llm import semconv as sc
from otel_llm.analysis import (
    EVERYBODY,
    OUTSIDE,
    Correlation,
    Distribution,
    EpisodeRow,
    Latency,
    ModelRow,
    PhasePattern,
    RewardCorrelation,
    Spending,
    Success,
    answers,
    correspondence,
    episode_progression,
    holdings,
    latency,
    load_games,
    model_comparison,
    patterns,
    reward_correlations,
    slowest,
    spending,
    success,
)
from tests.analysis.games import (
    Memory,
    failure,
    game,
    interaction,
    message,
    model_call,
    phase,
    refused_call,
    trace,
)


def load(*spans):
    return load_games(Memory(*spans))


def seconds(*values):
    return Distribution.of(values)


@pytest.fixture
def games():
    """One phase; FRANCE by gpt-5 asked for two orders and wrote twice, ITALY by o5 failed once, was refused once."""
    return load(
        game(1, more={sc.GAME_WINNERS: ("FRANCE",)}),
        phase(2, "S1901M"),
        interaction(
            3,
            parent=2,
            took_ms=400,
            more={sc.ORDERS_VALID_COUNT: 3, sc.ORDERS_INVALID_COUNT: 1, sc.GAME_REWARD: 1.0},
        ),
        model_call(4, parent=3, took_ms=100, given=10, got=1, cost=0.5, more={sc.RESPONSE_TIME_TO_FIRST_CHUNK: 0.02, sc.OUTPUT_LENGTH: 40}),
        model_call(5, parent=3, took_ms=300, given=20, got=3, cost=0.25, more={sc.OUTPUT_LENGTH: 60}),
        interaction(
            6,
            "negotiation",
            parent=2,
            took_ms=200,
            more={sc.GAME_REWARD: 0.0},
            events=[message("ITALY", text="abc"), message("ITALY", "GERMANY", text="de"), message(text="f")],
        ),
        model_call(7, parent=6, took_ms=200, given=5, got=2, cost=None, more={sc.OUTPUT_LENGTH: 10}),
        interaction(8, "order", "ITALY", parent=2, took_ms=1000, more=failure("ValueError")),
        refused_call(9, "o5", parent=8, took_ms=1),
        interaction(10, "order", "ITALY", parent=2, took_ms=None),
    )  # fmt: skip


def everything(games):
    return [i for g in games for i in g.all_interactions()]


def test_latency_by_model_leaves_refusals_out(games):
    assert latency(answers(games), by=("model",)) == [
        Latency(("gpt-5",), seconds(0.1, 0.3, 0.2), seconds(0.02))
    ]


def test_latency_by_model_and_type(games):
    assert latency(answers(games), by=("model", "type")) == [
        Latency(("gpt-5", "negotiation"), seconds(0.2)),
        Latency(("gpt-5", "order"), seconds(0.1, 0.3), seconds(0.02)),
    ]


def test_latency_of_interactions_has_failed_ones_in_it_and_open_ones_not(games):
    assert latency(everything(games), by=("type",)) == [
        Latency(("negotiation",), seconds(0.2)),
        Latency(("order",), seconds(0.4, 1.0)),
    ]


def test_an_interaction_recorded_by_hand_counts_as_an_answer():
    by_hand = {sc.REQUEST_MODEL: "gpt-4o", sc.INTERACTION_DURATION: 1.25, sc.USAGE_OUTPUT_TOKENS: 8}
    found = load(interaction(1, more=by_hand), interaction(2, more={sc.REQUEST_MODEL: "never asked"}))
    assert latency(answers(found)) == [Latency(("gpt-4o",), seconds(1.25))]
    assert [(row.key, row.calls, row.output_tokens) for row in spending(answers(found))] == [
        (("gpt-4o",), 1, 8)
    ]


def test_success_is_the_share_of_the_decided(games):
    assert success(everything(games), by=("power",)) == [
        Success(("FRANCE",), 2, 2, 0, 0, 1.0, {}, 3, 1),
        Success(("ITALY",), 2, 0, 1, 1, 0.0, {"ValueError": 1}, 0, 0),
    ]
    assert [(row.key, row.rate) for row in success(everything(games), by=("type", "phase_type"))] == [
        (("negotiation", "movement"), 1.0),
        (("order", "movement"), 0.5),
    ]
    assert success([], by=("model",)) == []


def test_cost_and_tokens_by_model_and_by_power(games):
    assert spending(answers(games), by=("model",)) == [
        Spending(("gpt-5",), 3, 0, 35, 6, None, 0.75, 1),
        Spending(("o5",), 1, 1, None, None, None, None, 0),
    ]
    assert [(row.key, row.calls, row.cost_usd) for row in spending(answers(games), by=("power",))] == [
        (("FRANCE",), 3, 0.75),
        (("ITALY",), 1, None),
    ]


def test_every_grouping_has_the_same_sums(games):
    for by in (("model",), ("type",), ("power",), ("phase",), ("model", "type", "power"), ("game",), ()):
        assert sum(row.calls for row in spending(answers(games), by=by)) == 4
        assert sum(row.n for row in success(everything(games), by=by)) == 4


def test_groups_without_a_name_come_last():
    found = load(interaction(1, power=None), interaction(2, power="FRANCE"))
    assert [row.key for row in success(everything(found), by=("power",))] == [("FRANCE",), (None,)]


def test_patterns_count_types_by_phase_in_order_of_time():
    found = load(
        phase(1, "F1901M", trace_id=trace(1), start_ms=50),
        interaction(2, "plan", parent=1, start_ms=51),
        phase(3, "S1901M", trace_id=trace(3), start_ms=1),
        interaction(4, "order", parent=3, trace_id=trace(3)),
        interaction(5, "order", "ITALY", parent=3, trace_id=trace(3), events=[message("FRANCE")]),
        phase(6, "S1901M", "other", trace_id=trace(6), start_ms=90),
        interaction(7, "plan", game_id="other", parent=6, trace_id=trace(6)),
        interaction(8, "plan", game_id=None, trace_id=trace(8)),
    )
    assert patterns(found) == [
        PhasePattern("S1901M", {"order": 2, "plan": 1}, 1),
        PhasePattern("F1901M", {"plan": 1}, 0),
        PhasePattern(None, {"plan": 1}, 0),
    ]


def test_who_wrote_to_whom(games):
    found = correspondence(m for g in games for m in g.all_messages())
    assert found.senders == ("FRANCE",)
    assert found.recipients == ("GERMANY", "ITALY", EVERYBODY)
    assert found.counts == {("FRANCE", "ITALY"): 2, ("FRANCE", "GERMANY"): 1, ("FRANCE", EVERYBODY): 1}
    assert found.characters == {("FRANCE", "ITALY"): 5, ("FRANCE", "GERMANY"): 2, ("FRANCE", EVERYBODY): 1}


def test_what_the_powers_held_is_the_phases_word_before_the_interactions():
    (found,) = load(
        phase(1, more={f"{sc.PHASE_CENTERS_PREFIX}FRANCE": 5}),
        interaction(2, parent=1, more={sc.POWER_CENTERS: 3, sc.POWER_UNITS: 2}),
        interaction(3, "order", "ITALY", parent=1, more={sc.POWER_CENTERS: 4}),
        phase(4, trace_id=trace(4), start_ms=5),
    )
    (held,) = holdings(found)
    assert (held.phase.name, held.centers, held.units) == ("S1901M", {"FRANCE": 5, "ITALY": 4}, {"FRANCE": 2})


def test_the_slowest_come_first(games):
    assert [i.latency_s for i in slowest(everything(games), 2)] == [1.0, 0.4]
    assert [c.duration_s for c in slowest(games[0].all_calls(), 1)] == [0.3]


def test_models_side_by_side(games):
    assert model_comparison(games) == [
        ModelRow(
            model="gpt-5",
            interactions=2,
            success_rate=1.0,
            invalid_share=0.25,
            latency_s=seconds(0.4, 0.2),
            calls=3,
            output_tokens=3.0,
            response_length=55.0,
            cost_usd=0.75,
            cost_per_interaction_usd=0.75,
            reward=0.5,
            games=1,
            wins=1,
        ),
        ModelRow("o5", 2, 0.0, None, seconds(1.0), 1, None, None, None, None, None, 1, 0),
    ]


def test_what_is_outside_any_game_is_no_game_of_a_model():
    (row,) = model_comparison(load(interaction(1, game_id=None), model_call(2, game_id=None, parent=1)))
    assert (row.model, row.interactions, row.games) == ("gpt-5", 1, 0)


def test_episodes_one_after_the_other():
    spans = []
    for number, (episode, reward) in enumerate([(2, 0.5), (1, 0.0), (2, 1.0)]):
        tr = trace(number + 1)
        spans.append(
            game(
                number * 10 + 1,
                f"g{number}",
                trace_id=tr,
                more={sc.GAME_EPISODE: episode, sc.GAME_REWARD: -1.0},
            )
        )
        spans.append(interaction(number * 10 + 2, game_id=f"g{number}", trace_id=tr, took_ms=100 * (number + 1), more={sc.GAME_REWARD: reward, sc.ORDERS_INVALID_COUNT: 1, sc.ORDERS_VALID_COUNT: 1}))  # fmt: skip
    spans.append(game(91, "empty", trace_id=trace(9), more={sc.GAME_EPISODE: 3, sc.GAME_REWARD: 7}))
    spans.append(game(92, "none", trace_id=trace(10)))
    assert episode_progression(load(*spans)) == [
        EpisodeRow(1, 1, 1, 0.0, 1.0, 0.5, seconds(0.2), None, None, None),
        EpisodeRow(2, 2, 2, 0.75, 1.0, 0.5, seconds(0.1, 0.3), None, None, None),
        EpisodeRow(3, 1, 0, 7.0, None, None, None, None, None, None),
    ]


def test_rewards_go_with_length_as_worked_out_by_hand():
    spans = []
    for number, (length, reward, valid) in enumerate([(1, 1, 3), (2, 2, 3), (3, 4, 3), (4, 5, None)]):
        more = {sc.OUTPUT_LENGTH: length, sc.GAME_REWARD: reward}
        more |= {} if valid is None else {sc.ORDERS_VALID_COUNT: valid, sc.ORDERS_INVALID_COUNT: 0}
        spans.append(interaction(number + 1, more=more))
    spans.append(interaction(9, more={sc.OUTPUT_LENGTH: 999}))
    found = {row.measure: row for row in reward_correlations(load(*spans))}
    assert found["response length"] == RewardCorrelation(
        "interaction", "response length", Correlation(4, pytest.approx(7 / 50**0.5), pytest.approx(1.0))
    )
    assert found["valid share of orders"].correlation == Correlation(3, None, None)
    assert "cost" not in found


def test_a_game_with_a_reward_of_its_own_is_compared_as_a_whole():
    spans = []
    for number, (length, reward) in enumerate([(10, 1.0), (20, 2.0), (40, 3.0)]):
        tr, name = trace(number + 1), f"g{number}"
        spans.append(game(number * 10 + 1, name, trace_id=tr, more={sc.GAME_REWARD: reward}))
        spans.append(
            interaction(number * 10 + 2, game_id=name, trace_id=tr, more={sc.OUTPUT_LENGTH: length - 5})
        )
        spans.append(
            interaction(number * 10 + 3, game_id=name, trace_id=tr, more={sc.OUTPUT_LENGTH: length + 5})
        )
    found = {row.measure: row for row in reward_correlations(load(*spans))}
    # 10 20 40 with 1 2 3: products 30, squares 1400/3 and 2.
    assert found["response length"] == RewardCorrelation(
        "game",
        "response length",
        Correlation(3, pytest.approx(30 / (1400 / 3 * 2) ** 0.5), pytest.approx(1.0)),
    )


def test_nothing_is_no_error():
    assert load() == []
    for ask in (patterns, model_comparison, episode_progression, reward_correlations, answers):
        assert ask([]) == []
    assert (latency([]), spending([]), slowest([])) == ([], [], [])
    assert OUTSIDE == ""
