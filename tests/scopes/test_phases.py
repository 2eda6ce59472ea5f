from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.phases import MAX_NAME, Phase, parse_phase


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S1901M", Phase("S1901M", 1901, 0, "movement")),
        ("F1901R", Phase("F1901R", 1901, 1, "retreats")),
        ("S1902R", Phase("S1902R", 1902, 0, "retreats")),
        ("W1901A", Phase("W1901A", 1901, 2, "adjustments")),
        ("s1901m", Phase("s1901m", 1901, 0, "movement")),
        ("SPRING 1901 MOVEMENT", Phase("SPRING 1901 MOVEMENT", 1901, 0, "movement")),
        ("FALL 1902 RETREATS", Phase("FALL 1902 RETREATS", 1902, 1, "retreats")),
        ("Autumn 1902 retreat", Phase("Autumn 1902 retreat", 1902, 1, "retreats")),
        ("WINTER 1903 ADJUSTMENTS", Phase("WINTER 1903 ADJUSTMENTS", 1903, 2, "adjustments")),
        ("FORMING", Phase("FORMING", type="forming")),
        ("COMPLETED", Phase("COMPLETED", type="completed")),
        ("completed", Phase("completed", type="completed")),
        ("grpo_e3_s12", Phase("grpo_e3_s12")),
        ("S1901X", Phase("S1901X")),
        ("SPRING 1901 TEA", Phase("SPRING 1901 TEA")),
        ("", Phase("unnamed")),
        (None, Phase("unnamed")),
        (7, Phase("7")),
    ],
)
def test_a_name_tells_year_season_and_type(name: object, expected: Phase) -> None:
    assert parse_phase(name) == expected


@given(st.text() | st.integers() | st.none() | st.binary() | st.lists(st.text()))
def test_any_name_is_a_phase(name: object) -> None:
    phase = parse_phase(name)
    assert 0 < len(phase.name) <= MAX_NAME
    assert (phase.year is None) == (phase.season is None) == (phase.order is None)


@given(st.integers(1000, 9998), st.sampled_from(["S", "F"]))
def test_phases_of_a_year_come_in_their_order(year: int, season: str) -> None:
    names = [
        f"S{year}M", f"S{year}R", f"F{year}M", f"F{year}R", f"W{year}A", f"{season}{year + 1}M",
    ]  # fmt: skip
    orders = [parse_phase(name).order for name in names]
    assert None not in orders
    assert orders == sorted(orders)  # type: ignore[type-var]


def test_a_name_that_cannot_be_read_is_a_phase_too() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    assert parse_phase(Rude()).name == "<Rude>"
