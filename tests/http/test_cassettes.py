"""Recorded provider traffic, as the dialects read it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from otel_llm_http.dialects import Limits, _parser, recognise
from tests.http import cassette_readings as readings
from tests.http.cassettes import Interaction, interactions, root

pytestmark = pytest.mark.skipif(
    not root().is_dir(),
    reason=f"no recorded traffic at {root()}; set OTEL_LLM_CASSETTES to the folder of cassettes",
)


@pytest.fixture(scope="module")
def recorded() -> list[Interaction]:
    return list(interactions())


def test_every_recorded_model_call_is_seen_as_what_it_was(recorded: list[Interaction]) -> None:
    wrong = []
    calls = 0
    for interaction in recorded:
        expected = readings.read(interaction)
        if expected is None:
            continue
        calls += 1
        call = readings.seen(interaction)
        if call is None:
            wrong.append(f"{interaction}: not seen")
        elif found := readings.differences(expected, call):
            wrong.append(f"{interaction}: {'; '.join(found)}")
    assert not wrong, "\n".join(wrong)
    assert calls > 400


def test_nothing_else_that_was_recorded_is_taken_for_a_model_call(recorded: list[Interaction]) -> None:
    others = [interaction for interaction in recorded if readings.read(interaction) is None]
    assert [str(interaction) for interaction in others if readings.seen(interaction) is not None] == []
    assert len(others) > 5


def test_no_recorded_answer_is_called_malformed(recorded: list[Interaction]) -> None:
    calls = [
        (interaction, call) for interaction in recorded if (call := readings.seen(interaction)) is not None
    ]
    assert [
        str(i) for i, call in calls if call.error is not None and call.error.type == "malformed_response"
    ] == []


def test_how_an_answer_is_split_into_pieces_makes_no_difference(
    recorded: list[Interaction], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_parser, "_BATCH", 1)  # every piece is parsed as it comes
    rng = random.Random(20261121)
    for interaction in recorded:
        endpoint = recognise(interaction.method, interaction.host, interaction.path)
        if endpoint is None or not endpoint.confirm(interaction.request_body):
            continue
        parser = endpoint.parser(Limits())
        parser.request(interaction.request_body, None)
        parser.response(interaction.status, interaction.response_headers)
        for piece in _pieces(interaction.body, rng):
            parser.feed(piece)
        assert parser.end() == readings.seen(interaction), str(interaction)


def _pieces(body: bytes, rng: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size = rng.choice((1, 2, 3, 7, 40, 400, 4000))
        yield body[at : at + size]
        at += size
