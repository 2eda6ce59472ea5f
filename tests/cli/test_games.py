"""`otel-llm show --game`, `--games`, `--stats` and `tail --game`."""
# ruff: noqa: RUF001 (the multiplication sign is meant)

import json
import re
from textwrap import dedent

import pytest

from otel_llm import semconv as sc
from otel_llm.analysis import load_games
from otel_llm.cli.game_view import game_lines
from otel_llm.cli.render import Style, trace_lines
from otel_llm.cli.stats_view import stats_lines
from otel_llm.cli.tables import Cell, table
from otel_llm.cli.text import width
from tests.analysis.games import (
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
from tests.cli.spans import MS, T0, call, span

NOW = T0 + 60_000 * MS
EVIL = "\x1b]0;x\x07\x9b\u202e"


def a_game(game_id="g", first=0):
    """Two phases: orders of which one is invalid, a retried plan, a diary that failed silently, a letter, a refusal."""
    n = lambda number: first + number  # noqa: E731
    t1, t2, t3 = trace(first + 1), trace(first + 2), trace(first + 3)
    centers = {f"{sc.PHASE_CENTERS_PREFIX}FRANCE": 4, f"{sc.PHASE_CENTERS_PREFIX}ITALY": 3}
    common = {"game_id": game_id, "trace_id": t2}
    return [
        game(
            n(1),
            game_id,
            trace_id=t1,
            took_ms=9000,
            more={
                sc.GAME_PLAYERS: ("FRANCE", "ITALY"),
                sc.GAME_MODELS: ("gpt-5", "o5"),
                sc.GAME_STATUS: "completed",
                sc.GAME_OUTCOME: "draw",
                sc.GAME_EPISODE: 3,
            },
        ),
        phase(n(2), "S1901M", took_ms=4000, more=centers, **common),
        interaction(
            n(3),
            parent=n(2),
            took_ms=1200,
            more={
                sc.ORDERS_SUBMITTED: ("A PAR - LON", "F BRE H"),
                sc.ORDERS_INVALID: ("A PAR - LON",),
                sc.ORDERS_INVALID_COUNT: 1,
                sc.ORDERS_VALID_COUNT: 1,
                sc.INTERACTION_SUCCESS: True,
            },
            **common,
        ),
        model_call(n(4), parent=n(3), took_ms=1000, **common),
        interaction(
            n(5),
            "plan",
            "ITALY",
            parent=n(2),
            start_ms=1300,
            more=failure("TypeError", "no plan"),
            events=[raised("TypeError", "no plan")],
            **common,
        ),
        interaction(
            n(6),
            "plan",
            "ITALY",
            parent=n(2),
            start_ms=2300,
            retry_of=n(5),
            more={sc.INTERACTION_ATTEMPT: 2, sc.INTERACTION_SUCCESS: True},
            **common,
        ),
        refused_call(n(7), "o5", parent=n(6), start_ms=2310, took_ms=20, **common),
        model_call(n(8), "o5", parent=n(6), start_ms=2350, cost=0.25, **common),
        phase(n(9), "F1901M", game_id, trace_id=t3, start_ms=4000, took_ms=2000),
        interaction(
            n(10),
            "negotiation",
            "ITALY",
            game_id,
            parent=n(9),
            trace_id=t3,
            start_ms=4010,
            events=[message("FRANCE", text=f"Peace? {EVIL}", **{sc.MESSAGE_PRIVATE: True})],
        ),
        interaction(
            n(11),
            "order_diary",
            "FRANCE",
            game_id,
            parent=n(9),
            trace_id=t3,
            start_ms=4020,
            more=failure("KeyError", "'orders'"),
            events=[raised()],
        ),
    ]


def loaded(*spans):
    (found,) = load_games(Memory(*spans))
    return found


def shown(record, columns=120, **style):
    lines = game_lines(record, Style(columns, NOW, **style))
    return "\n".join(line.text for line in lines)


def block(text):
    return dedent(text).strip("\n")


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_game_at_a_glance():
    assert shown(loaded(*a_game())) == block(
        """
        game g
          completed · draw
          diplomacy · 14:13:20 (60 s ago) · took 9.00 s · episode 3
          FRANCE gpt-5 (4 centres) · ITALY o5 (3 centres)
          2 phases · 5 interactions · 3 calls · 200 → 20 tokens · $0.2510 · 1 message · 60.0 % succeeded · 2 interactions failed
          1 call failed · 1 invalid order

        phase   trace       took  calls   in  out     cost  failed  invalid  interactions
        S1901M  00000000  4.00 s      3  200   20  $0.2510       1        1  1 order, 2 plan
        F1901M  00000000  2.00 s                                 1           1 negotiation, 1 order_diary

        what went wrong
          failed
            ITALY plan in S1901M  ✗ TypeError: no plan  attempted again  trace 00000000
            FRANCE order_diary in F1901M  ✗ KeyError: 'orders'  the game went on without it  trace 00000000
          attempted again
            ITALY plan in S1901M  2 attempts, 1.00 s lost  1 × TypeError  succeeded then  trace 00000000
          invalid orders
            FRANCE in S1901M: 1 of 2  A PAR - LON  trace 00000000
          calls refused or broken off
            o5:  1 × rate_limit (429)  Slow down.  20 ms lost  trace 00000000
        """
    )


def test_a_narrow_terminal_shows_the_same_facts():
    wide = shown(loaded(*a_game()), 200)
    narrow = shown(loaded(*a_game()), 44)
    assert max(map(width, narrow.splitlines())) <= 44
    words = set(re.findall(r"[\w']{3,}", wide)) - {"phase"}  # a heading
    assert words <= set(re.findall(r"[\w']{3,}", narrow))


@pytest.mark.parametrize("columns", [20, 33, 60, 72, 100, 160])
def test_no_line_is_wider_than_the_terminal(columns):
    record = loaded(*a_game("日本" * 30))
    for lines in (
        game_lines(record, Style(columns, NOW, full=True)),
        stats_lines([record], columns),
        stats_lines([record], columns, full=True),
    ):
        assert max(line.width for line in lines) <= columns


def test_a_game_that_was_killed_says_so_and_counts_up_to_where_it_is_known():
    spans = a_game()
    spans[0].end_ns = spans[8].end_ns = None
    record = loaded(*spans)
    record.status = "killed"
    told = shown(record)
    assert "\n  killed · draw\n" in told
    assert "took 4.12 s · episode" in told
    assert "120 ms…" in told
    record.status = "running"
    assert "took 4.12 s so far" in shown(record)
    assert "56.0 s…" in shown(record)


def test_a_long_game_is_folded_unless_all_of_it_is_asked_for():
    spans = [game()]
    for p in range(200):
        spans.append(phase(1000 + p, f"P{p}", trace_id=trace(p + 1), start_ms=p))
        more = failure() if p == 100 else {}
        spans.append(interaction(2000 + p, parent=1000 + p, trace_id=trace(p + 1), start_ms=p, more=more))
    told = shown(loaded(*spans))
    assert len(told.splitlines()) < 80
    assert all(f"\nP{p} " in told for p in (0, 4, 100, 190, 199))
    assert sum(map(int, re.findall(r"… (\d+) more", told))) == 140
    assert shown(loaded(*spans), full=True).count("\nP") == 200


def test_many_failures_are_grouped_and_bounded():
    spans = [phase(1)]
    for n in range(2, 50):
        spans.append(
            interaction(n, "diary", f"P{n}", parent=1, start_ms=n, more=failure("E", f"why {n % 12}"))
        )
    told = shown(loaded(*spans))
    assert "4 × diary in S1901M: P2, P14, P26, P38  ✗ E: why 2  " in told
    assert "… 4 more; --full names them" in told
    in_full = shown(loaded(*spans), full=True)
    assert "--full" not in in_full
    assert in_full.count("4 × diary") == 12


def test_a_phase_reads_well_as_a_tree():
    spans = [s for s in a_game() if s.trace_id == trace(2)]
    lines = trace_lines(trace(2), spans, Style(140, NOW, ids=False))
    assert "\n".join(line.text for line in lines) == block(
        """
        7 spans · 3 calls · 200 → 20 tokens · $0.2510 · 2 errors
                                                             took    ttft      in    out       cost
        phase S1901M                    ████████████████   4.00 s
        ├─ invoke_agent FRANCE · order  █████              1.20 s                                    1 of 2 orders invalid: A PAR - LON
        │  └─ chat gpt-5                ████               1.00 s             100     10    $0.0010  stop
        ├─ invoke_agent ITALY · plan         ▏             100 ms                                    ✗ TypeError: no plan
        └─ invoke_agent ITALY · plan             ▏         100 ms                                    attempt 2 after TypeError, 900 ms later
           ├─ chat o5                            ▏          20 ms                                    ✗ rate_limit (429): Slow down.
           └─ chat o5                            ▏          50 ms             100     10    $0.2500  stop
        """
    )


def test_a_phase_of_seven_powers_is_shown_whole():
    spans = [phase(1)]
    for i in range(91):
        spans += [
            interaction(10 + 2 * i, parent=1, start_ms=i),
            model_call(11 + 2 * i, parent=10 + 2 * i, start_ms=i),
        ]
    lines = [line.text for line in trace_lines(trace(1), spans, Style(140, NOW))]
    assert sum("invoke_agent FRANCE · order" in line for line in lines) == 91
    assert sum("chat gpt-5" in line for line in lines) == 91


# --- commands -------------------------------------------------------------------------------------
@pytest.fixture
def games(store):
    store.add(*a_game())
    store.add(*a_game('runs/2026-11 "x" é \x1b[0m', 100), call(900, trace_id=trace(900)))
    return store


def ran(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def test_games_are_listed(invoke, games):
    told = ran(invoke("show", "--games", "--store", games.path))
    lines = told.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == [
        "game",
        "name",
        "status",
        "began",
        "took",
        "phases",
        "players",
        "interactions",
        "calls",
        "cost",
        "failed",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["g", "runs/2026-11"]
    assert "completed · draw" in lines[1]
    assert "\\x1b[0m" in lines[2]


def test_how_a_game_that_was_stopped_ended_is_seen_on_120_columns(invoke, store):
    for number in (100, 200):
        more = {sc.GAME_STATUS: "unfinished", sc.GAME_OUTCOME: "stopped after 1904"}
        game_id, where = f"selfplay-1121-2012-ab{number}-1", trace(number)
        more[sc.GAME_PLAYERS] = tuple("ABCDEFG")
        store.add(
            game(number, game_id, trace_id=where, took_ms=151_000, more=more),
            phase(number + 1, game_id=game_id, trace_id=where),
            interaction(number + 2, parent=number + 1, game_id=game_id, trace_id=where),
            interaction(
                number + 3,
                parent=number + 1,
                game_id=game_id,
                trace_id=where,
                more={sc.ERROR_TYPE: "KeyError"},
            ),
            model_call(number + 4, parent=number + 2, trace_id=where),
        )
    narrow = ran(invoke("show", "--games", "--store", store.path, COLUMNS="120")).splitlines()
    assert narrow[0].split()[:3] == ["game", "status", "began"]
    assert all("ab" in line and "  stopped after 1904  " in line for line in narrow[1:])
    wide = ran(invoke("show", "--games", "--store", store.path, COLUMNS="160"))
    assert wide.count("  diplomacy  unfinished · stopped after 1904  ") == 2


def test_games_as_json(invoke, games):
    document = json.loads(ran(invoke("show", "--games", "--json", "--store", games.path)))
    assert document["schema"] == "otel_llm.games/1"
    first, second = document["games"]
    assert (first["game_id"], first["phases"], first["status"], first["totals"]["calls"]) == (
        "g",
        2,
        "completed",
        3,
    )
    assert second["game_id"] == 'runs/2026-11 "x" é \x1b[0m'


@pytest.mark.parametrize(
    "typed",
    ['runs/2026-11 "x" é \x1b[0m', 'runs/2026-11 "x" é \\x1b[0m', "runs/", 'runs/2026-11 "x" é \\x1b'],
)
def test_a_game_is_found_by_its_id_as_it_is_as_it_is_printed_or_by_its_beginning(invoke, games, typed):
    told = ran(invoke("show", "--game", typed, "--store", games.path))
    assert told.startswith('game runs/2026-11 "x" é \\x1b[0m\n')
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told)


def test_a_game_with_a_secret_in_its_id_is_found_by_what_was_typed_in_the_program(invoke, tmp_path):
    import otel_llm

    secret = "sk-proj-" + "a1B2" * 12
    otel_llm.instrument(store=tmp_path / "store")
    with otel_llm.game(f"run {secret}"):
        pass
    otel_llm.shutdown(5)
    told = ran(invoke("show", "--game", f"run {secret}", "--store", tmp_path / "store"))
    assert told.startswith("game run ")
    assert secret not in told


def test_a_game_as_json_has_every_interaction(invoke, games):
    document = json.loads(ran(invoke("show", "--game", "g", "--json", "--store", games.path)))
    assert document["schema"] == "otel_llm.game/1"
    order, plan, again = document["phases"][0]["interactions"]
    assert {
        key: order[key]
        for key in ("power", "type", "model", "succeeded", "orders", "invalid_orders", "calls")
    } == {
        "power": "FRANCE",
        "type": "order",
        "model": "gpt-5",
        "succeeded": True,
        "orders": ["A PAR - LON", "F BRE H"],
        "invalid_orders": ["A PAR - LON"],
        "calls": 1,
    }
    assert (plan["error_type"], again["attempt"], again["failed_calls"]) == ("TypeError", 2, 1)
    assert document["phases"][0]["centers"] == {"FRANCE": 4, "ITALY": 3}
    assert document["trouble"]["swallowed"] == [document["phases"][1]["interactions"][1]["span_id"]]
    assert document["trouble"]["repetitions"][0]["span_ids"] == [plan["span_id"], again["span_id"]]
    assert "attributes" not in order
    full = json.loads(ran(invoke("show", "--game", "g", "--json", "--full", "--store", games.path)))
    order = full["phases"][0]["interactions"][0]
    assert (order["calls"][0]["output_tokens"], order["attributes"][sc.POWER_NAME]) == (10, "FRANCE")


def test_json_is_strict_ascii_whatever_was_stored(invoke, store):
    odd = {sc.GAME_REWARD: float("inf"), sc.INTERACTION_OUTCOME: EVIL, "日本": ("é",), "bytes": b"\xff"}
    store.add(game(1, EVIL), interaction(2, EVIL, EVIL, EVIL, more=odd))
    for options in (["--game", EVIL], ["--games"], ["--stats"], ["--game", EVIL, "--full"]):
        text = ran(invoke("show", "--json", *options, "--store", store.path))
        assert text.isascii()
        json.loads(text, parse_constant=pytest.fail)


def test_a_phase_of_a_game_is_shown_as_a_tree(invoke, games):
    told = ran(invoke("show", "--game", "g", "--phase", "s1901m", "--store", games.path))
    assert told.startswith(f"trace {trace(2)}  ")
    assert "├─ invoke_agent FRANCE · order" in told
    assert "invoke_agent ITALY · negotiation" not in told
    document = json.loads(
        ran(invoke("show", "--game", "g", "--phase", "F1901M", "--json", "--store", games.path))
    )
    assert (document["schema"], [t["trace_id"] for t in document["traces"]]) == (
        "otel_llm.traces/1",
        [trace(3)],
    )


def test_of_a_game_in_one_trace_a_phase_is_its_part(invoke, store):
    one = trace(1)
    store.add(
        game(1, trace_id=one),
        phase(2, "S1901M", parent=1),
        interaction(3, parent=2),
        phase(4, "F1901M", parent=1),
        interaction(5, "plan", parent=4),
        model_call(6, parent=5),
    )
    told = ran(invoke("show", "--game", "g", "--phase", "F1901M", "--store", store.path))
    assert "3 spans · 1 call" in told
    assert "S1901M" not in told
    assert "order" not in told


def test_a_call_that_lost_its_context_is_shown_with_its_phase(invoke, store):
    store.add(
        phase(1), interaction(2, parent=1), model_call(3, trace_id=trace(7), more={sc.PHASE_NAME: "S1901M"})
    )
    document = json.loads(
        ran(invoke("show", "--game", "g", "--phase", "S1901M", "--json", "--store", store.path))
    )
    assert [t["trace_id"] for t in document["traces"]] == [trace(1), trace(7)]


def test_figures_of_all_games(invoke, games):
    told = ran(invoke("show", "--stats", "--store", games.path))
    assert told.startswith("2 games · 10 interactions · 7 calls\n\nLatency\n")
    titles = [line for line in told.splitlines() if line and line in {
        "Latency", "Success", "Tokens and cost", "Interactions by phase", "Who wrote to whom",
        "Models side by side", "Episodes", "Slowest interactions",
    }]  # fmt: skip
    assert len(titles) == 8
    assert re.search(r"^model +gpt-5 +4 +50\.0 % +2 +2 of 4 +2 KeyError$", told, re.MULTILINE)
    assert re.search(r"^ITALY +2$", told, re.MULTILINE)


def test_figures_of_one_game_as_json(invoke, games):
    document = json.loads(ran(invoke("show", "--game", "g", "--stats", "--json", "--store", games.path)))
    assert document["schema"] == "otel_llm.stats/1"
    assert (document["games"], document["interactions"], document["calls"]) == (["g"], 5, 3)
    by_model = {row["model"]: row for row in document["cost"] if row["by"] == ["model"]}
    assert (by_model["o5"]["calls"], by_model["o5"]["cost_usd"]) == (2, 0.25)
    by_type = {row["type"]: row for row in document["success"] if row["by"] == ["type"]}
    assert (by_type["plan"]["n"], by_type["plan"]["rate"], by_type["plan"]["errors"]) == (
        2,
        0.5,
        {"TypeError": 1},
    )
    latency = [row for row in document["latency_of_calls"] if row["by"] == ["model", "type"]]
    assert {(row["model"], row["type"]): row["seconds"]["p50"] for row in latency} == {
        ("gpt-5", "order"): 1.0,
        ("o5", "plan"): 0.05,
    }
    assert document["correspondence"] == [
        {"sender": "ITALY", "recipient": "FRANCE", "messages": 1, "characters": len(f"Peace? {EVIL}")}
    ]
    assert [(row["episode"], row["games"]) for row in document["episodes"]] == [(3, 1)]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["--game", "nobody"], "there is no game nobody in the store; `otel-llm show --games` lists them", 1),
        (["--game", "\x1b[0m"], "there is no game \\x1b[0m in the store", 1),
        (["--game", "g", "--phase", "W1"], "the game has no phase W1; it has S1901M, F1901M", 1),
        (["--phase", "S1901M"], "--phase is of a game: name it with --game ID", 2),
        (["--game", "g", "--model", "x"], "--game does not go with --model", 2),
        (["4bf92f35", "--games", "--stats"], "--games does not go with a trace id or --stats", 2),
        (["--stats", "--last", "3"], "--stats does not go with --last", 2),
    ],
)
def test_a_mistake_is_one_clear_line(otel_llm, games, arguments, said, code):
    done = otel_llm("show", "--store", games.path, *arguments)
    assert (done.stdout, done.returncode) == ("", code)
    assert done.stderr.startswith(f"otel-llm: {said}")
    assert done.stderr.count("\n") == 1


def test_several_games_with_one_beginning_are_named(otel_llm, store):
    store.add(game(1, "run-1"), game(2, "run-2", trace_id=trace(2)), game(3, "run", trace_id=trace(3)))
    assert (
        "several games begin with run-: run-1, run-2"
        in otel_llm("show", "--game", "run-", "--store", store.path).stderr
    )
    assert otel_llm("show", "--game", "run", "--store", store.path).stdout.startswith("game run\n")


def test_a_store_without_games_says_so(otel_llm, store):
    store.add(call(1))
    assert otel_llm("show", "--games", "--store", store.path).stderr == "the store has no games yet\n"


def test_an_interaction_outside_any_game_is_listed(invoke, store):
    store.add(interaction(1, game_id=None))
    assert "outside any game" in ran(invoke("show", "--games", "--store", store.path))


def test_tail_follows_one_game(otel_llm, games):
    told = otel_llm(
        "tail", "--game", "g", "--from-start", "--for", "0", "--store", games.path, COLUMNS="160"
    ).stdout
    assert told.count("phase ") == 2
    assert told.count("invoke_workflow ") == 1
    assert told.count("chat ") == 3
    assert "invoke_agent FRANCE · order" in told
    assert "          orders: A PAR - LON, F BRE H\n" in told
    assert "          ITALY → FRANCE (private): Peace? \\x1b]0;x\\x07\\x9b\\u202e\n" in told
    assert "attempt 2" in told
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told)


def test_tail_tells_a_messages_length_where_its_text_is_not_kept(otel_llm, store):
    store.add(interaction(1, "negotiation", events=[message()]))
    told = otel_llm("tail", "--game", "g", "--from-start", "--for", "0", "--store", store.path).stdout
    assert "          FRANCE → everybody: 5 characters\n" in told


# --- tables ---------------------------------------------------------------------------------------
def lines_of(*args, **kwargs):
    return [line.text for line in table(*args, **kwargs)]


def test_a_table_leaves_out_columns_without_values():
    assert lines_of("Costs", ("who", "n", "cost", "why"), [["a", "1", "", "x"], ["bb", "22", "", ""]], 40, remark=True) == [
        "Costs",
        "who   n  why",
        "a     1  x",
        "bb   22",
    ]  # fmt: skip


def test_a_table_that_does_not_fit_gives_its_facts_below():
    row = [["somebody", "1,000", "2,000", "3,000"]]
    assert lines_of("", ("who", "first", "second", "third"), row, 24) == [
        "somebody",
        "    first 1,000",
        "    second 2,000",
        "    third 3,000",
    ]


def test_text_columns_give_way_first():
    row = [[Cell("a very long name of somebody", "bad"), "1"]]
    assert lines_of("", ("who", "n"), row, 20) == ["who                n", "a very long name…  1"]


def test_spans_that_have_nothing_to_do_with_games_have_no_remarks_of_games():
    from otel_llm.cli.facts import Facts
    from otel_llm.cli.turns import game_remarks, message_lines, order_lines, title

    foreign = span(1, "GET /", attributes={sc.INTERACTION_TYPE: "order", sc.ORDERS_SUBMITTED: ("A",)})
    facts = Facts.of(foreign)
    assert (title(foreign, facts), game_remarks(foreign, facts)) == ("GET /", [])
    assert (order_lines(foreign, facts), message_lines(foreign, facts)) == ([], [])
