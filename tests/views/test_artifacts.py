"""A finished game as files."""

from __future__ import annotations

import json

import pytest

import otel_llm
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from otel_llm.views import model
from otel_llm.views.mapping import Mapper, Taken
from otel_llm.views.replaying import spans_of_game
from tests.views.programs import play


@pytest.fixture
def artifacts(tmp_path):
    """Run a program with a store; returns its artifacts, made from the store."""

    def run(program, wants=model.EVERYTHING):
        otel_llm.instrument(store=tmp_path / "store")
        program()
        otel_llm.shutdown()
        mapper = Mapper(
            wants, spans_of_game=lambda game, since_ns: spans_of_game(tmp_path / "store", game, since_ns)
        )
        return mapper.map(Taken(list(StoreReader(tmp_path / "store").spans()))).artifacts

    return run


def test_a_finished_game_is_an_artifact_with_its_own_spans_and_its_result(artifacts, tmp_path):
    first, second = artifacts(lambda: play(2, 2))
    assert (first.name, first.type) == ("game-g0", "game")
    assert second.name == "game-g1"
    files = first.files()
    assert set(files) == {"spans.jsonl", "result.json"}
    spans = [json.loads(line) for line in files["spans.jsonl"].splitlines()]
    stored = [one for one in StoreReader(tmp_path / "store").spans() if one.attributes.get("game.id") == "g0"]
    assert {(one["trace_id"], one["span_id"]) for one in spans} == {(s.trace_id, s.span_id) for s in stored}
    assert len(spans) == 1 + 2 + 2 * 2 * 2
    assert [one["start_ns"] for one in spans] == sorted(one["start_ns"] for one in spans)
    (game,) = [one for one in spans if one["attributes"].get(sc.SCOPE_KIND) == "game"]
    result = json.loads(files["result.json"])
    assert result == json.loads(json.dumps(dict(first.metadata)))
    assert (result["game_id"], result["trace_id"]) == ("g0", game["trace_id"])
    assert (result["status"], result["outcome"], result["winners"]) == ("completed", "solo", ["FRANCE"])
    assert result["totals"]["interactions"] == 4
    assert result["totals"]["failed_interactions"] == 1


def test_the_same_game_makes_the_same_bytes(artifacts):
    (game,) = artifacts(lambda: play(1, 1))
    assert game.files() == game.files()


def test_a_games_id_becomes_a_name_that_backends_accept(artifacts):
    def program():
        with otel_llm.game("../Réunion 7/a"):
            pass
        with otel_llm.game("g" * 300):
            pass

    odd, long = artifacts(program)
    assert odd.name == "game-.._R_union_7_a"
    assert len(long.name) <= 128
    assert json.loads(odd.files()["result.json"])["game_id"] == "../Réunion 7/a"


def test_who_wants_no_artifacts_has_none_made(artifacts):
    assert artifacts(lambda: play(1, 1), model.EVERYTHING - {model.ARTIFACTS}) == []
