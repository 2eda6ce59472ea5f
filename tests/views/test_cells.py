"""Cells: of their column's type or not at all."""

from __future__ import annotations

import enum
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.views.cells import MisfitError, cell

TYPES = {"text": str, "int": int, "float": float, "bool": bool}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(anything, st.sampled_from(sorted(TYPES)))
def test_a_cell_is_of_its_columns_type_or_misfits(value, kind):
    try:
        found = cell(value, kind, 50)
    except MisfitError:
        return
    assert found is None or type(found) is TYPES[kind]
    if isinstance(found, str):
        found.encode()
        assert len(found) <= 50 + len("...[truncated, original 999999 chars]")
        assert "\x00" not in found
    if type(found) is int:
        assert -(2**63) <= found < 2**63


@given(st.floats())
def test_a_float_is_kept_exactly(value):
    assert repr(cell(value, "float")) == repr(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_is_kept_exactly(value):
    assert cell(value, "int") == value
    assert cell(str(value), "int") == value


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [
        (["a", "b"], "text", '["a","b"]'),
        ({"a": (1, None)}, "text", '{"a":[1,null]}'),
        (True, "text", "true"),
        (2.5, "text", "2.5"),
        (b"ab\xff", "text", "ab\N{REPLACEMENT CHARACTER}"),
        ("a\ud800b", "text", "a?b"),
        ({"k\ud800": 2**70}, "text", '{"k?":"1180591620717411303424"}'),
        (3.0, "int", 3),
        (Colour.RED, "int", 1),
        (np.int64(5), "int", 5),
        (np.float32(0.5), "float", 0.5),
        ("0.25", "float", 0.25),
        (7, "float", 7.0),
        (1, "bool", True),
        ("False", "bool", False),
        (None, "int", None),
    ],
)
def test_what_can_be_read_as_the_type_is(value, kind, found):
    made = cell(value, kind)
    assert (made, type(made)) == (found, type(found))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("three", "int"),
        (3.5, "int"),
        (2**63, "int"),
        (True, "int"),
        ([1], "int"),
        ("x", "float"),
        (10**400, "float"),
        (2, "bool"),
        (math.nan, "bool"),
        ([], "bool"),
    ],
)
def test_what_cannot_misfits(value, kind):
    with pytest.raises(MisfitError):
        cell(value, kind)


def test_a_long_text_is_cut_and_says_so():
    assert cell("x" * 30, "text", 10) == "x" * 10 + "...[truncated, original 30 chars]"


def test_nested_values_are_valid_json():
    assert json.loads(cell({"a": [1, {"b": "é"}]}, "text")) == {"a": [1, {"b": "é"}]}
