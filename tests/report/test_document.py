"""What a report says, read from its file without a browser."""

import json

import pytest

from otel_llm import analysis
from otel_llm import semconv as sc
from otel_llm.report import NothingToReportError, write_games, write_report
from otel_llm.store import StoreReader
from tests.cli.spans import agent_trace, call, span
from tests.report.document import Page
from tests.report.games import POWERS, Game, games, write


@pytest.fixture
def loaded(game, tmp_path):
    write(tmp_path / "store", game.spans)
    return analysis.load_games(StoreReader(tmp_path / "store"))


def page_of(loaded, tmp_path, **options):
    return Page(write_games(loaded, tmp_path / "report.html", **options).path)


def test_the_figures_are_those_of_the_analysis(loaded, tmp_path):
    (view,) = page_of(loaded, tmp_path).data["views"]
    totals = loaded[0].totals
    assert {
        key: view["totals"][key] for key in ("interactions", "failed", "calls", "refused", "given", "got")
    } == {
        "interactions": totals.interactions,
        "failed": totals.failed_interactions,
        "calls": totals.calls,
        "refused": totals.failed_calls,
        "given": totals.input_tokens,
        "got": totals.output_tokens,
    }
    assert view["totals"]["cost"] == pytest.approx(totals.cost_usd)
    assert view["totals"]["messages"] == sum(sum(row) for row in view["letters"]["n"])
    assert view["totals"]["swallowed"] == len(analysis.swallowed(loaded[0])) > 0


def test_every_power_has_its_line_with_its_model_and_centres(loaded, tmp_path):
    data = page_of(loaded, tmp_path).data
    rows = data["views"][0]["powers"]
    assert [data["powers"][row["power"]] for row in rows] == list(POWERS)
    held = analysis.holdings(loaded[0])
    for row in rows:
        power = data["powers"][row["power"]]
        assert [data["models"][model] for model in row["models"]] == [loaded[0].models[power]]
        assert row["centers"] == [held[0].centers[power], held[-1].centers[power]]
        assert row["interactions"] == loaded[0].totals.interactions_by_power[power]


def test_histograms_hold_every_answer_once(loaded, tmp_path):
    latency = page_of(loaded, tmp_path).data["views"][0]["latency"]
    for by in ("model", "type", "power"):
        assert all(sum(row["bins"]) == row["n"] for row in latency[by])
        assert len(latency[by][0]["bins"]) == len(latency["edges"]) - 1
    assert latency["edges"] == sorted(latency["edges"])


def test_each_item_keeps_what_was_said_ordered_and_written(loaded, tmp_path):
    page = page_of(loaded, tmp_path)
    details, items = page.details(), page.data["items"]
    assert len(details) == items["n"] == loaded[0].totals.interactions
    by_id = dict(zip(items["id"], details, strict=True))
    for record in loaded[0].all_interactions():
        detail = by_id[record.span_id]
        assert detail["trace"] == record.trace_id
        assert detail.get("orders", []) == list(record.orders)
        assert [(x["from"], x.get("to", []), x["text"]) for x in detail.get("letters", ())] == [
            (m.sender, list(m.recipients), m.content) for m in record.messages
        ]
        for shown, made in zip(detail["calls"], record.calls, strict=True):
            said = dict(shown["said"])
            assert said["user"] == json.loads(made.input_messages)[-1]["parts"][0]["content"]
            assert shown.get("error") == made.error_type


def test_without_content_lengths_are_kept_and_words_are_not(loaded, tmp_path):
    page = page_of(loaded, tmp_path, content=False)
    said = {message.content for message in loaded[0].all_messages()}
    everything = page.text + json.dumps(page.details(), ensure_ascii=False)
    assert said
    assert not [text for text in said if text in everything]
    assert page.data["kept"] == 0
    letters = [letter for detail in page.details() for letter in detail.get("letters", ())]
    assert sum(letter["length"] for letter in letters) == sum(m.length for m in loaded[0].all_messages())


def test_what_has_no_room_is_counted_and_left_out(loaded, tmp_path):
    page = page_of(loaded, tmp_path, max_characters=1_200_000)
    assert page.data["kept"] > 0
    assert page.data["left_out"] == page.data["items"]["n"] - page.data["kept"] or page.data["left_out"] == 0
    none = page_of(loaded, tmp_path, max_characters=-1)
    assert (none.data["kept"], none.data["left_out"]) == (0, none.data["items"]["n"])


def test_a_text_that_is_far_too_long_is_cut_and_says_so(report):
    long = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x" * 300_000}]}])
    (detail,) = Page(report([call(1, more={sc.INPUT_MESSAGES: long})])).details()
    ((_, text),) = detail["calls"][0]["said"]
    assert len(text) < 210_000
    assert text.endswith("…[the report leaves out 100,000 more characters]")


def test_many_games_have_figures_together_and_one_by_one(tmp_path):
    for one in games(3, content=False):
        write(tmp_path / "store", one.spans)
    data = Page(write_report(StoreReader(tmp_path / "store"), tmp_path / "r.html").path).data
    together, *alone = data["views"]
    assert data["kind"] == "games"
    assert data["title"] == "3 games of diplomacy"
    assert [view["game"] for view in data["views"]] == [None, 0, 1, 2]
    for name in ("interactions", "calls", "given", "messages", "invalid"):
        assert together["totals"][name] == sum(view["totals"][name] for view in alone)
    assert [row["episode"] for row in together["episodes"]] == [0, 1, 2]
    assert together["rewards"]


def test_calls_outside_any_game_are_listed_by_model_and_trace(report):
    page = Page(report(agent_trace()))
    data = page.data
    assert data["kind"] == "calls"
    assert [data["models"][m] for m in data["items"]["model"]] == ["gpt-5", "claude-5", "claude-5", "gpt-5"]
    assert data["items"]["state"] == [0, 1, 0, 1]
    assert data["items"]["attempt"] == [1, 1, 2, 1]
    assert [(run["name"], run["errors"]) for run in data["runs"]] == [("invoke_agent planner", 2)]
    assert {row["error"] for row in data["views"][0]["refusals"]} == {"rate_limit", "context_length"}


def test_a_range_of_time_is_kept_to(report, game):
    phase = game.phases[1]
    data = Page(report(game.spans, since_ns=phase.start_ns, until_ns=phase.end_ns)).data
    assert [one["name"] for one in data["games"][0]["phases"]] == [phase.attributes[sc.PHASE_NAME]]
    assert data["filters"] == {
        "game": None, "since": round(phase.start_ns / 1e6), "until": round(phase.end_ns / 1e6)
    }  # fmt: skip


def test_an_interaction_that_is_open_is_open(report):
    started = {
        sc.SCOPE_KIND: "interaction", sc.OPERATION_NAME: sc.INVOKE_AGENT, sc.GAME_ID: "g", sc.INTERACTION_TYPE: "plan"
    }  # fmt: skip
    data = Page(report([span(1, "invoke_agent FRANCE", took_ms=None, attributes=started)])).data
    assert (data["items"]["state"], data["items"]["took"]) == ([2], [None])


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "\ud800", 2**70, ("é", "\u2028"), b"\xff", "\x00\x1b"]
)
def test_odd_values_are_strict_json(report, value):
    more = {
        sc.SCOPE_KIND: "interaction",
        sc.GAME_ID: "g",
        sc.GAME_REWARD: value,
        "otel_llm.custom.odd": value,
    }
    page = Page(report([span(1, "invoke_agent", attributes=more)]))
    assert page.data["items"]["n"] == len(page.details()) == 1


def test_nothing_to_report_is_said_and_no_file_is_left(tmp_path):
    (tmp_path / "store").mkdir()
    with pytest.raises(NothingToReportError):
        write_report(StoreReader(tmp_path / "store"), tmp_path / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_an_old_report_stays_whole_until_the_new_one_is(loaded, tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("the old one")
    monkeypatch.setattr("otel_llm.report.writing.page", lambda *_: (_ for _ in [b"half"] if 1 / 0))
    with pytest.raises(ZeroDivisionError):
        write_games(loaded, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "store"]


def test_the_same_store_gives_the_same_report(loaded, tmp_path):
    first = page_of(loaded, tmp_path, now_ns=1).text
    assert page_of(loaded, tmp_path, now_ns=1).text == first


@pytest.mark.slow
def test_ten_thousand_interactions_are_written_in_five_seconds(tmp_path):
    import time

    write(tmp_path / "store", Game(rounds=4, words=900).play(10_000).spans)
    began = time.perf_counter()
    made = write_report(StoreReader(tmp_path / "store"), tmp_path / "report.html")
    took = time.perf_counter() - began
    assert made.interactions >= 10_000
    assert took < 5
