"""Text from models never acts upon a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.cli.text import ascii_only, fit, many_lines, one_line, width, wrap

DANGEROUS = [
    "\x1b[2Jgone",
    "\x1b]0;title\x07",
    "\x9b31mred",
    "a\rb",
    "a\x08\x08b",
    "\u202egnirts\u202c",
    "\u2066isolate\u2069",
    "\u200bhidden",
    "\x7f",
    "\u2028line",
    "\ufeffmark",
    "\U000e0041tag",
]


def acts_upon_a_terminal(text):
    return any(
        ord(c) < 0x20
        or 0x7F <= ord(c) < 0xA0
        or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028"
        for c in text
    )


@pytest.mark.parametrize("text", DANGEROUS)
def test_controls_are_spelled_out_or_left_out(text):
    assert not acts_upon_a_terminal(one_line(text))
    assert not any(acts_upon_a_terminal(line) for line in many_lines(text))


def test_an_escape_sequence_can_be_read_as_what_it_is():
    assert one_line("\x1b[31mred") == "\\x1b[31mred"


def test_lines_are_kept_where_there_may_be_several_and_joined_where_not():
    assert many_lines("a\r\nb\tc") == ["a", "b    c"]
    assert one_line("a\nb") == "a b"


@given(st.text())
def test_no_text_at_all_reaches_a_terminal_as_a_control(text):
    assert not acts_upon_a_terminal(one_line(text))
    one_line(text).encode()


@given(st.text(st.characters(codec="utf-8")), st.integers(8, 40))
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text, cells):
    lines = wrap(one_line(text), cells)
    assert all(width(line) <= cells for line in lines)
    assert "".join(lines).replace(" ", "") == one_line(text).replace(" ", "")


@given(st.text(), st.integers(1, 20))
def test_a_cut_text_fits(text, cells):
    assert width(fit(one_line(text), cells)) <= cells


def test_wide_characters_count_twice():
    assert width("日本") == 4
    assert fit("日本語", 5) == "日本…"
    assert wrap("日本語日本語", 8) == ["日本語", "日本語"]


def test_ascii_streams_get_ascii():
    assert ascii_only("├─ é → ✗") == "|- \\xe9 -> x"
