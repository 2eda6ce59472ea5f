"""Conversations, inputs and rewards as text: whatever shape they have, nothing is changed and nothing raises."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.trajectory import (
    extract_trajectory_stats,
    format_conversation,
    format_input_data,
    format_reward_components,
)
from tests.trajectory.conversations import FOUND, QUESTION, SHAPES, TEXT


@pytest.mark.parametrize("shape", SHAPES)
def test_a_conversation_reads_the_same_whatever_shape_it_has(shape: str) -> None:
    assert format_conversation(SHAPES[shape]) == TEXT


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_formatted_and_counted_stays_as_it_was(shape: str) -> None:
    before = copy.deepcopy(SHAPES[shape])
    format_conversation(SHAPES[shape])
    extract_trajectory_stats(SHAPES[shape])
    assert SHAPES[shape] == before


def test_mappings_that_nobody_can_change_are_read() -> None:
    frozen = tuple(
        MappingProxyType({k: tuple(v) if isinstance(v, list) else v for k, v in message.items()})
        for message in SHAPES["calls as mappings"]
    )
    assert format_conversation(frozen) == TEXT


def test_a_generator_is_left_for_the_program() -> None:
    messages = (message for message in SHAPES["calls as mappings"])
    assert format_conversation(messages) == ""
    assert len(list(messages)) == 4


def test_a_prompt_and_its_completion_are_one_conversation() -> None:
    whole = SHAPES["calls as mappings"]
    assert format_conversation(whole[:1], whole[1:]) == TEXT
    assert format_conversation(QUESTION, whole[1:]) == TEXT
    assert format_conversation(whole[:1], whole) == TEXT, "the completion holds the prompt already"
    assert format_conversation("2 + 2?", "4") == "👤 USER:\n2 + 2?\n\n🤖 ASSISTANT:\n4"


def test_a_plain_text_is_returned_as_it_is() -> None:
    assert format_conversation("Paris.") == "Paris."
    assert format_conversation("[1, 2]") == "[1, 2]"
    assert format_conversation('{"answer": 1}') == '{"answer": 1}'


def test_all_kinds_of_messages_have_their_marker() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Hmm."},
        {"role": "tool", "content": FOUND},
        {"role": "referee", "content": "Foul!"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:..."}}, "and text"]},
        {"role": "assistant", "content": None},
    ]
    assert format_conversation(messages) == (
        "⚙️ SYSTEM:\nBe brief.\n\n💭 REASONING:\nHmm.\n\n🤖 ASSISTANT:\nYes.\n\n"
        f"🔧 TOOL:\n{FOUND}\n\n💬 REFEREE:\nFoul!\n\n👤 USER:\n[image_url]\nand text\n\n🤖 ASSISTANT:\n"
    )


def test_calls_without_text_and_odd_calls_are_shown() -> None:
    calls: list[Any] = [
        {"function": {"name": "add", "arguments": ""}},
        {"function": {"name": "add", "arguments": None}},
        {"name": "é", "arguments": {"x": {1, 2}}},
        {"function": {}},
        None,
    ]
    assert format_conversation([{"role": "assistant", "content": "", "tool_calls": calls}]) == (
        '🤖 ASSISTANT:\n\n📞 TOOL CALLS:\n  • add({})\n  • add({})\n  • é({"x": [1, 2]})\n  • ?({})'
    )
    old = [{"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}}]
    assert "• add({})" in format_conversation(old)


def test_a_long_conversation_is_cut_in_its_middle() -> None:
    messages = [{"role": "user", "content": "a" * 500 + "b" * 500}]
    text = format_conversation(messages, max_length=200)
    assert len(text) == 200
    assert text.startswith("👤 USER:\naaa")
    assert "...[truncated, original 1008 chars]" in text
    assert text.endswith("bbb")
    assert len(format_conversation(messages, max_length=5)) == 5
    assert format_conversation(messages, max_length=0) == ""


class Hostile:
    """An object of the program's own that fails whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def _odd() -> dict[str, Any]:
    hostile = Hostile()
    return {
        "None": None,
        "a number": 3,
        "bytes": b"x",
        "no messages": [],
        "no keys": {},
        "a list of nothing": [None],
        "a list of numbers": [3],
        "nested lists": [[[]]],
        "hostile": hostile,
        "a hostile message": [hostile],
        "a hostile role": {"role": hostile},
        "hostile content": {"role": "user", "content": hostile},
        "hostile calls": {"role": "assistant", "tool_calls": hostile},
        "a hostile call": {"role": "assistant", "tool_calls": [hostile]},
        "a list as role": {"role": ["user"], "content": "x"},
        "a list as type": {"type": ["x"]},
        "a list as a part's type": {"role": "user", "content": [{"type": ["x"]}]},
    }


@pytest.mark.parametrize("odd", _odd())
def test_nothing_raises(odd: str) -> None:
    given = _odd()[odd]
    assert isinstance(format_conversation(given), str)
    assert isinstance(format_conversation(given, given), str)
    assert isinstance(extract_trajectory_stats(given), dict)
    assert isinstance(extract_trajectory_stats(given, given), dict)
    assert isinstance(format_input_data(given), str)
    assert isinstance(format_reward_components(given, given), str)


def test_one_message_that_cannot_be_read_keeps_no_other_from_being_read() -> None:
    messages = [Hostile(), {"role": ["?"], "content": "first"}, {"role": "user", "content": "second"}]
    assert format_conversation(messages).endswith("👤 USER:\nsecond")


def test_a_conversation_that_holds_itself_ends() -> None:
    messages: list[Any] = [{"role": "user", "content": []}]
    messages.append(messages)
    messages[0]["content"].append(messages[0]["content"])
    assert isinstance(format_conversation(messages), str)
    rewards: dict[str, Any] = {}
    rewards["self"] = rewards
    assert isinstance(format_reward_components(rewards), str)
    assert isinstance(format_input_data(rewards), str)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "parts",
                    "type",
                    "text",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "id",
                ]
            ),
            inner | st.sampled_from(["user", "assistant", "tool", "tool_use", "tool_result", "text"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(_ANY)
def test_any_json_is_read_without_raising_and_without_being_changed(value: Any) -> None:
    before = json.dumps(value)
    assert isinstance(format_conversation(value), str)
    stats = extract_trajectory_stats(value)
    json.dumps(stats)
    assert format_conversation(value) == format_conversation(copy.deepcopy(value))
    format_input_data(value)
    format_reward_components(value)
    assert json.dumps(value) == before


# --- inputs ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    question: str
    answer: int
    note: None = None


def test_input_data_is_one_field_after_the_other() -> None:
    data = {"question": QUESTION, "context": "one\ntwo", "docs": ["a", {"b": 1}], "level": 2, "answer": None}
    assert format_input_data(data) == (
        f'question: {QUESTION}\ncontext:\n  one\n  two\ndocs:\n  • a\n  • {{"b": 1}}\nlevel: 2'
    )


def test_input_data_may_be_an_object_or_a_text() -> None:
    assert format_input_data(Row("q", 4)) == "question: q\nanswer: 4"
    assert format_input_data(SimpleNamespace(question="q", _private=1)) == "question: q"
    assert format_input_data("just text") == "just text"
    assert format_input_data(None) == ""
    assert len(format_input_data({"a": "x" * 50_000, "b": "y"})) < 11_000
    assert len(format_input_data({"a": "x" * 50_000}, max_length=100)) == 100


# --- rewards --------------------------------------------------------------------------------------
class Tensor:
    """As much of a tensor as matters: reading it on a device waits for the device."""

    dtype = "float32"

    def __init__(self, value: float, device: str) -> None:
        self.value = value
        self.device = SimpleNamespace(type=device)

    def numel(self) -> int:
        return 1

    def item(self) -> float:
        assert self.device.type == "cpu", "it was waited for"
        return self.value

    def __str__(self) -> str:
        return str(self.item())

    __repr__ = __str__


def test_rewards_are_shown_with_three_digits() -> None:
    rewards = {"correctness": 1, "format": 0.5, "cpu": Tensor(0.25, "cpu"), "several": [1.0, 0.0]}
    assert format_reward_components(rewards, 1.75) == (
        "correctness: 1.000 | format: 0.500 | cpu: 0.250 | several: 0.500 | total: 1.750"
    )
    assert format_reward_components({}) == format_reward_components(None) == "no rewards"
    assert format_reward_components(0.5) == "total: 0.500"
    assert format_reward_components([("a", 1.0), ("b", None), ("c", "high")]) == "a: 1.000 | b: - | c: high"
    assert format_reward_components({"a": float("nan")}) == "a: nan"


def test_a_reward_on_a_device_is_not_waited_for() -> None:
    gpu = Tensor(1.0, "cuda")
    assert format_reward_components({"gpu": gpu}) == "gpu: <Tensor on a device>"
    assert format_input_data({"x": gpu, "y": [gpu]}) == (
        'x: "<Tensor on a device>"\ny:\n  • "<Tensor on a device>"'
    )
    assert "on a device" in format_conversation([{"role": "user", "content": {"x": gpu}}])
