from __future__ import annotations

import enum
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm import fields
from otel_llm import semconv as sc


def taken(**given_fields: Any) -> tuple[dict[str, Any], list[str]]:
    out: dict[str, Any] = {}
    unusable: list[str] = []
    fields.take(given_fields, out, unusable)
    return out, unusable


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        ({"success": True}, {sc.INTERACTION_SUCCESS: True}),
        ({"success": "TRUE"}, {sc.INTERACTION_SUCCESS: True}),
        ({"success": "false"}, {sc.INTERACTION_SUCCESS: False}),
        (
            {"success": "Failure: Invalid LLM Moves (2): A PAR X"},
            {
                sc.INTERACTION_SUCCESS: False,
                sc.INTERACTION_OUTCOME: "Failure: Invalid LLM Moves (2): A PAR X",
            },
        ),
        (
            {"success": "Success: Partial"},
            {sc.INTERACTION_SUCCESS: True, sc.INTERACTION_OUTCOME: "Success: Partial"},
        ),
        ({"success": "Northern front"}, {sc.INTERACTION_OUTCOME: "Northern front"}),
        ({"success": 0}, {sc.INTERACTION_SUCCESS: False}),
        ({"mine": [1, 1 << 70]}, {"otel_llm.custom.mine": ("1", str(1 << 70))}),
        ({"supply_centers": 3, "units": "4"}, {sc.POWER_CENTERS: 3, sc.POWER_UNITS: 4}),
        ({"centers": ["PAR", "BRE"]}, {sc.POWER_CENTERS: 2}),
        (
            {"centers": {"FRANCE": ["PAR"], "ITALY": 4, "TURKEY": None}},
            {sc.PHASE_CENTERS_PREFIX + "FRANCE": 1, sc.PHASE_CENTERS_PREFIX + "ITALY": 4},
        ),
        ({"orders": ["A PAR H", None]}, {sc.ORDERS_SUBMITTED: ("A PAR H",)}),
        ({"orders": {"FRANCE": ["A PAR H"]}}, {sc.ORDERS_SUBMITTED: ("FRANCE: A PAR H",)}),
        ({"invalid_orders": ["X", "Y"]}, {sc.ORDERS_INVALID: ("X", "Y"), sc.ORDERS_INVALID_COUNT: 2}),
        ({"invalid_orders": 2}, {sc.ORDERS_INVALID_COUNT: 2}),
        ({"invalid_orders": "2"}, {sc.ORDERS_INVALID_COUNT: 2}),
        ({"response_time_ms": "1250"}, {sc.INTERACTION_DURATION: 1.25}),
        ({"reward": "-0.5"}, {sc.GAME_REWARD: -0.5}),
        ({"relationships": {"ITALY": "Enemy"}}, {sc.INTERACTION_RELATIONSHIPS: '{"ITALY":"Enemy"}'}),
        ({"players": {"FRANCE": "gpt-5", "ITALY": None}}, {sc.GAME_PLAYERS: ("FRANCE", "ITALY"), sc.GAME_MODELS: ("gpt-5", "")}),
        ({"mine": 3, "its.own": [1, 2], "mixed": [1, "a"]}, {
            "otel_llm.custom.mine": 3, "otel_llm.custom.its_own": (1, 2), "otel_llm.custom.mixed": '[1,"a"]',
        }),
        ({"reward": None, "orders": None, "mine": None}, {}),
    ],
)  # fmt: skip
def test_fields_become_attributes(given_fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert taken(**given_fields) == (expected, [])


@pytest.mark.parametrize(
    "given_fields",
    [
        {"units": -1},
        {"units": "many"},
        {"units": 2.5},
        {"units": True},
        {"response_time_ms": -1},
        {"response_time_ms": math.nan},
        {"response_time_ms": math.inf},
        {"response_time_ms": 1e15},
        {"reward": "good"},
        {"orders": 7},
        {"success": "", "reward": []},
    ],
)
def test_what_cannot_be_used_is_left_out_and_named(given_fields: dict[str, Any]) -> None:
    out, unusable = taken(**given_fields)
    assert unusable == [list(given_fields)[-1]]
    assert set(out) <= {sc.INTERACTION_OUTCOME}


def test_a_tensor_is_never_looked_at() -> None:
    class Tensor:
        def __str__(self) -> str:
            raise AssertionError

        def item(self) -> float:
            raise AssertionError

    Tensor.__module__ = "torch"
    assert taken(reward=Tensor(), mine=Tensor()) == ({}, ["reward", "mine"])


def test_enumerations_count_by_their_values() -> None:
    class Mood(enum.Enum):
        BAD = "bad"

    assert taken(mine=Mood.BAD, more=[Mood.BAD]) == (
        {"otel_llm.custom.mine": "bad", "otel_llm.custom.more": ("bad",)},
        [],
    )


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(fields.FIELDS)) | st.text(max_size=8), _anything, max_size=6))
def test_whatever_is_given_is_an_attribute_or_is_named(given_fields: dict[str, Any]) -> None:
    out: dict[str, Any] = {}
    unusable: list[str] = []
    fields.take(given_fields, out, unusable)
    for value in out.values():
        items = value if isinstance(value, tuple) else (value,)
        assert all(type(item) in {str, bool, int, float} for item in items)
        assert len({type(item) for item in items}) <= 1
