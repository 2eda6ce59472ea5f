"""Content goes where the policy lets it, in whole JSON, bounded, without secrets."""

import copy
import logging
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.content import CaptureMode, ContentPolicy, capture_mode, content_attributes
from otel_llm.llm import LLMCall
from otel_llm.redaction import Scrubber

KEY = "sk-" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF"
CONTENT = (sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES, sc.SYSTEM_INSTRUCTIONS, sc.TOOL_DEFINITIONS)


def text(content):
    return {"type": "text", "content": content}


def message(*parts, role="user", **more):
    return {"role": role, "parts": [text(p) if isinstance(p, str) else p for p in parts], **more}


def weather(**changes):
    call = LLMCall(
        "chat",
        "openai",
        "gpt-4o",
        input_messages=[
            message("hello"),
            message({"type": "tool_call_response", "id": "c0", "response": {"c": 7}}, role="tool"),
        ],
        system_instructions=[text("Be terse.")],
        tool_definitions=[{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}],
        output_messages=[
            message(
                "Looking.",
                {"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": {"city": "Oslo"}},
                {"type": "tool_call", "id": "c2", "name": "get_tide", "arguments": '{"a":1}'},
                role="assistant",
                finish_reason="tool_calls",
            ),
        ],
    )
    for name, value in changes.items():
        setattr(call, name, value)
    return call


def described(call, policy, max_length=262_144, preview_length=200, scrubber=None):
    return content_attributes(call, policy, scrubber or Scrubber(), max_length, preview_length)


LENGTHS = {
    sc.INPUT_LENGTH: len("hello") + len('{"c":7}') + len("Be terse."),
    sc.INPUT_MESSAGE_COUNT: 2,
    sc.TOOLS_OFFERED: 1,
    sc.OUTPUT_LENGTH: len("Looking.") + len('{"city":"Oslo"}') + len('{"a":1}'),
    sc.OUTPUT_TOOL_CALLS: ("get_weather", "get_tide"),
}


def test_none_keeps_nothing():
    assert described(weather(), ContentPolicy.NONE) == {}


def test_length_keeps_counts_lengths_and_tool_names_and_no_word_of_content():
    assert described(weather(), ContentPolicy.LENGTH) == LENGTHS


def test_full_keeps_everything_as_json():
    call = weather()
    attributes = described(call, ContentPolicy.FULL)
    assert {k: orjson.loads(v) if k in CONTENT else v for k, v in attributes.items()} == LENGTHS | {
        sc.INPUT_MESSAGES: call.input_messages,
        sc.OUTPUT_MESSAGES: call.output_messages,
        sc.SYSTEM_INSTRUCTIONS: call.system_instructions,
        sc.TOOL_DEFINITIONS: call.tool_definitions,
    }


def test_preview_cuts_every_text_arguments_and_results_included():
    call = weather(
        input_messages=[
            message("short", "x" * 500),
            message({"type": "tool_call_response", "response": "r" * 300}),
        ],
        output_messages=[message({"type": "tool_call", "name": "f", "arguments": {"a": "y" * 300}})],
    )
    attributes = described(call, ContentPolicy.PREVIEW, preview_length=20)
    assert orjson.loads(attributes[sc.INPUT_MESSAGES]) == [
        message("short", "x" * 20 + "...[truncated, original 500 chars]"),
        message({"type": "tool_call_response", "response": "r" * 20 + "...[truncated, original 300 chars]"}),
    ]
    [answer] = orjson.loads(attributes[sc.OUTPUT_MESSAGES])
    assert answer["parts"][0]["arguments"] == ('{"a":"' + "y" * 14) + "...[truncated, original 308 chars]"
    assert attributes[sc.INPUT_LENGTH] == 5 + 500 + 300 + len("Be terse.")


def test_a_call_without_content_has_no_content_attributes():
    assert described(LLMCall("chat", "openai"), ContentPolicy.FULL) == {}


def test_a_long_text_is_cut_in_its_part_and_small_parts_survive():
    call = weather(
        input_messages=[message("before", "x" * 10_000, "after", role="system"), message("the question")]
    )
    attributes = described(call, ContentPolicy.FULL, max_length=4_000)
    assert orjson.loads(attributes[sc.INPUT_MESSAGES]) == [
        message("before", "x" * 1_000 + "...[truncated, original 10000 chars]", "after", role="system"),
        message("the question"),
    ]


def test_of_a_long_conversation_the_first_and_the_newest_messages_stay():
    call = weather(input_messages=[message(f"{n:03} " + "x" * 90) for n in range(100)])
    kept = orjson.loads(described(call, ContentPolicy.FULL, max_length=2_000)[sc.INPUT_MESSAGES])
    numbers = [m["parts"][0]["content"][:3] for m in kept]
    newest = 100 - (len(kept) - 2)
    assert newest < 95
    assert numbers == ["000", "...", *(f"{n:03}" for n in range(newest, 100))]
    assert kept[1] == {"role": "otel_llm", "parts": [text(f"...[{newest - 1} messages dropped]")]}


def test_many_tools_and_many_parts_are_bounded_too():
    call = weather(
        tool_definitions=[
            {"type": "function", "name": f"tool_{n}", "description": "d" * 50} for n in range(100)
        ],
        output_messages=[message(*["p" * 30 for _ in range(1_000)])],
    )
    attributes = described(call, ContentPolicy.FULL, max_length=1_500)
    tools = orjson.loads(attributes[sc.TOOL_DEFINITIONS])
    assert tools[0]["name"] == "tool_0"
    assert tools[-1]["name"] == "tool_99"
    assert tools[1]["name"] == f"...[{100 - (len(tools) - 1)} tools dropped]"
    [answer] = orjson.loads(attributes[sc.OUTPUT_MESSAGES])
    assert answer["parts"][1] == text("...[992 parts dropped]")
    assert len(answer["parts"]) == 9


json_values = st.recursive(
    st.text(max_size=300) | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=10,
)
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_call", "tool_call_response", "blob"])},
    optional={"content": st.text(max_size=3_000), "arguments": json_values, "response": json_values},
)
messages = st.lists(
    st.builds(
        lambda role, p: {"role": role, "parts": p},
        st.sampled_from(["user", "tool"]),
        st.lists(parts, max_size=5),
    ),
    max_size=12,
)


@given(messages, st.lists(parts, max_size=4), st.integers(2, 3_000), st.integers(1, 50))
def test_whatever_is_said_the_json_is_valid_bounded_and_the_call_unchanged(
    said, system, max_length, preview_length
):
    call = weather(input_messages=said, output_messages=said, system_instructions=system)
    before = copy.deepcopy(call)
    for policy in (ContentPolicy.PREVIEW, ContentPolicy.FULL):
        attributes = described(call, policy, max_length, preview_length)
        for key in CONTENT:
            if key in attributes:
                assert len(attributes[key]) <= max_length
                assert isinstance(orjson.loads(attributes[key]), list)
    assert repr(call) == repr(before)


class Opaque:
    def __str__(self):
        return "opaque"


class Broken:
    def __str__(self):
        raise RuntimeError


def arguments(value):
    call = weather(output_messages=[message({"type": "tool_call", "name": "f", "arguments": value})])
    return orjson.loads(described(call, ContentPolicy.FULL)[sc.OUTPUT_MESSAGES])[0]["parts"][0]["arguments"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"x": math.nan, "y": math.inf}, {"x": None, "y": None}),
        ({"x": Opaque()}, {"x": "opaque"}),
        ({"x": Broken()}, {"x": "<Broken>"}),
        ({1: "one", None: 2}, {"1": "one", "null": 2}),
        ({"x": 2**70}, {"x": str(2**70)}),
        ({"x": "\ud800"}, {"x": "?"}),
        ({"\ud800": Broken()}, {"?": "<Broken>"}),
        ({"x": {3}}, {"x": "{3}"}),
        ({"x": b"ab"}, {"x": "b'ab'"}),
    ],
)
def test_what_is_no_json_is_written_as_what_comes_closest(value, written):
    assert arguments(value) == written


def test_nesting_without_end_is_cut():
    endless = []
    endless.append(endless)
    assert b"nested too deep" in orjson.dumps(arguments(endless))


def test_secrets_are_scrubbed_from_every_part_of_the_content():
    call = LLMCall(
        "chat",
        "openai",
        input_messages=[message(f"my key is\n{KEY}")],
        system_instructions=[text(f"use {KEY}")],
        tool_definitions=[{"name": "f", "description": KEY}],
        output_messages=[
            message({"type": "tool_call", "name": KEY, "arguments": {"api_key": "hunter2", KEY: KEY}})
        ],
    )
    for policy in (ContentPolicy.LENGTH, ContentPolicy.PREVIEW, ContentPolicy.FULL):
        attributes = described(call, policy)
        assert "aB3dE5gH" not in repr(attributes)
        assert "hunter2" not in repr(attributes)
        assert attributes[sc.OUTPUT_TOOL_CALLS] == ("[redacted]",)
    assert KEY in call.input_messages[0]["parts"][0]["content"]


@pytest.mark.parametrize("before", range(170, 205))
def test_a_cut_leaves_no_half_of_a_secret(before):
    call = weather(input_messages=[message("x" * (before - 1) + " " + KEY + " y" * 300)])
    for policy, length in ((ContentPolicy.PREVIEW, 200), (ContentPolicy.FULL, 200)):
        kept = described(call, policy, max_length=800, preview_length=length)[sc.INPUT_MESSAGES]
        assert "sk-a" not in kept
        assert "aB3" not in kept


def test_the_users_redaction_reaches_content_and_leaves_its_shape():
    scrubber = Scrubber([r"Oslo"], hook=lambda s: s.replace("hello", "[greeting]").replace("user", "!"))
    attributes = described(weather(), ContentPolicy.FULL, scrubber=scrubber)
    assert orjson.loads(attributes[sc.INPUT_MESSAGES])[0] == message("[greeting]")
    assert '"city":"[redacted]"' in attributes[sc.OUTPUT_MESSAGES]


def test_a_policy_is_read_from_text_in_any_case():
    assert [ContentPolicy.parse(t) for t in ("none", " Length", "PREVIEW", "full")] == list(ContentPolicy)
    with pytest.raises(ValueError, match=r"^none, length, preview or full$"):
        ContentPolicy.parse("everything")


@pytest.mark.parametrize(
    ("value", "mode", "spans", "events"),
    [
        (None, CaptureMode.UNSET, False, False),
        ("", CaptureMode.UNSET, False, False),
        ("NO_CONTENT", CaptureMode.NO_CONTENT, False, False),
        ("span_only", CaptureMode.SPAN_ONLY, True, False),
        ("Event_Only", CaptureMode.EVENT_ONLY, False, True),
        (" SPAN_AND_EVENT ", CaptureMode.SPAN_AND_EVENT, True, True),
    ],
)
def test_opentelemetrys_own_variable_is_understood(value, mode, spans, events):
    found = capture_mode(
        {} if value is None else {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value}
    )
    assert (found, found.spans, found.events) == (mode, spans, events)


@pytest.mark.parametrize("value", ["true", "false", "1", "everything"])
def test_a_value_it_does_not_accept_is_said_once_and_captures_nothing(value, caplog):
    drops.reset()
    with caplog.at_level(logging.WARNING, "otel_llm"):
        for _ in range(3):
            mode = capture_mode({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value})
            assert mode is CaptureMode.NO_CONTENT
    [record] = caplog.records
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in record.getMessage()
    assert "SPAN_AND_EVENT" in record.getMessage()
    drops.reset()
