"""`otel-llm report` as it is typed."""

import re

import pytest

from otel_llm import semconv as sc
from otel_llm.cli.report import default_output
from tests.cli.spans import agent_trace
from tests.report.document import Page
from tests.report.games import Game, write
from tests.report.training import Run


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


def test_each_game_and_each_run_has_a_file_of_its_own(otel_llm, store, tmp_path):
    run = Run(steps=1, ranks=1, groups=1, size=2).train()
    run.write(store)
    for chosen in (["--game", "selfplay-001"], ["--game", "selfplay-005"], ["--run", run.id]):
        done = otel_llm("report", *chosen, "--store", store)
        name = f"otel-llm-report-{chosen[1]}.html"
        assert done.stdout.startswith(f"{name}  "), done.stderr
        assert (tmp_path / name).is_file()
    assert len(list(tmp_path.glob("*.html"))) == 3


def test_an_id_that_is_no_file_name_makes_one_in_this_directory_and_two_make_two():
    ids = ["../a/b", "../a b", "é" * 300, "x" * 300, "\x1b[0m", ".."]
    names = [str(default_output(name)) for name in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert re.fullmatch(r"otel-llm-report-[A-Za-z0-9._-]+\.html", name)
        assert len(name) < 120


@pytest.mark.parametrize(("command", "default"), [("report", "otel-llm-report.html"), ("receive", "128")])
def test_help_tells_a_default_once(invoke, command, default):
    told = invoke(command, "--help").output
    option = {"report": "--output", "receive": "--max-queue"}[command]
    about = re.search(rf"{option} [A-Z].*?(?=\n +-)", told, re.DOTALL)[0]
    assert about.count(default) == 1
    assert "[default" not in about


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
