"""`otel-llm report` as it is typed."""

import pytest

from otel_llm import semconv as sc
from tests.cli.spans import agent_trace
from tests.report.document import Page
from tests.report.games import Game, write


@pytest.fixture
def store(tmp_path, game):
    other = Game(number=4, years=1, content=False).play()
    write(tmp_path / "store", [*game.spans, *other.spans])
    return tmp_path / "store"


def test_all_games_go_into_one_file_in_the_working_directory(otel_llm, store, tmp_path):
    done = otel_llm("report", "--store", store)
    assert done.stderr == ""
    assert done.stdout.startswith("otel-llm-report.html  2 games, ")
    assert [one["id"] for one in Page(tmp_path / "otel-llm-report.html").data["games"]] == [
        "selfplay-001",
        "selfplay-005",
    ]


@pytest.mark.parametrize("name", ["selfplay-005", "selfplay-005 "])
def test_one_game_by_its_id(invoke, store, tmp_path, name):
    result = invoke("report", "--game", name.strip(), "--store", store, "-o", tmp_path / "one.html")
    assert result.exit_code == 0, result.output
    page = Page(tmp_path / "one.html")
    assert (page.data["kind"], page.data["title"]) == ("game", "diplomacy · selfplay-005")
    assert {detail["trace"] for detail in page.details()} == {
        span.trace_id for span in Game(number=4, years=1, content=False).play().phases
    }


def test_a_range_of_time_and_no_words(invoke, store, tmp_path, game):
    phase = game.phases[1]
    when = [f"{_iso(phase.start_ns)}", f"{_iso(phase.end_ns)}"]
    result = invoke(
        "report", "--game", game.id, "--since", when[0], "--until", when[1], "--no-content", "--store", store, "-o",
        tmp_path / "r.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "without what was said" in result.output
    page = Page(tmp_path / "r.html")
    assert page.data["kept"] == 0
    assert [one["name"] for one in page.data["games"][0]["phases"]] == [phase.attributes[sc.PHASE_NAME]]


def _iso(time_ns):
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat()


def test_without_games_it_is_about_calls(invoke, tmp_path):
    write(tmp_path / "store", agent_trace())
    result = invoke("report", "--store", tmp_path / "store", "-o", tmp_path / "calls.html")
    assert "calls.html  4 calls; " in result.output
    assert Page(tmp_path / "calls.html").data["kind"] == "calls"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--game", "no-such"], "there is no game no-such in the store", 1),
        (["--since", "soon"], "--since is 'soon'; it accepts an age", 2),
        (["--until", "soon"], "--until is 'soon'; it accepts an age", 2),
        (["--since", "2100-01-01"], "nothing in the store matches", 1),
        (["-o", "store"], "--output is a directory: store", 2),
        (["-o", "no/such/folder/r.html"], "cannot write no/such/folder/r.html: No such file or directory", 1),
    ],
)
def test_a_mistake_is_one_clear_line(otel_llm, store, arguments, message, code):
    done = otel_llm("report", "--store", store, *arguments)
    assert (done.stdout, done.returncode) == ("", code)
    assert done.stderr.startswith(f"otel-llm: {message}")
    assert done.stderr.count("\n") == 1


def test_a_store_that_can_be_read_in_part_says_so_on_the_page(invoke, store, tmp_path):
    (store / "host-1-00000000.db").write_bytes(b"no database at all" * 500)
    result = invoke("report", "--store", store, "-o", tmp_path / "r.html")
    assert result.exit_code == 0
    assert Page(tmp_path / "r.html").data["problems"][0].startswith("host-1-00000000.db: ")
