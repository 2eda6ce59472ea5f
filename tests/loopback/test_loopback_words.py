"""What the server says and how it counts."""

import json

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.loopback import Ask, Reply, Tool, words

TEXT = st.text(max_size=200)


def test_a_word_and_a_punctuation_mark_are_a_token_each():
    assert words.count("Hold Berlin, then: attack!") == 7
    assert words.count("") == 0


def test_input_tokens_are_the_messages_and_three_for_each():
    ask = Ask(model="m", messages=(("system", "be brief"), ("user", "hello there")))
    assert words.input_tokens(ask) == 2 + 3 + 2 + 3


def test_input_tokens_of_an_embedding_are_those_of_its_texts():
    assert words.input_tokens(Ask(model="m", inputs=("one two", "three"))) == 3


def test_usage_counts_reasoning_as_output_and_the_prefix_as_written_then_read():
    ask = Ask(model="m", messages=(("user", "a b c"),), prefix="a b", choices=2)
    reply = Reply("x y", reasoning="hm hm hm")
    first, second = words.usage(ask, reply, cached=False), words.usage(ask, reply, cached=True)
    assert (first.input, first.output, first.reasoning, first.cache_write, first.cache_read) == (
        6,
        10,
        6,
        2,
        0,
    )
    assert (second.cache_write, second.cache_read) == (0, 2)


@given(TEXT, st.integers(1, 40))
def test_pieces_of_a_text_are_the_text_and_no_more_than_planned(text, chunks):
    pieces = words.pieces(text, chunks)
    assert len(pieces) <= chunks
    assert "".join(pieces) == (text if text.split() else "")


@given(TEXT, st.integers(1, 60))
def test_a_text_is_drawn_out_to_as_many_pieces_as_planned(text, chunks):
    reply = words.fit(Reply(text), None, chunks)
    assert len(words.pieces(reply.text, chunks)) == (chunks if text.split() else 0)
    assert reply.text.startswith(text) or not text.split() or reply.text.startswith(text.rstrip())


@given(TEXT, st.integers(0, 30))
def test_a_text_is_cut_at_max_tokens_and_then_says_so(text, limit):
    reply = words.fit(Reply(text), limit, None)
    assert words.count(reply.text) == min(words.count(text), limit)
    assert reply.ends_with == ("length" if words.count(text) > limit else "stop")


def test_the_same_question_gets_the_same_answer_and_another_one_does_not():
    def say(text: str) -> str:
        return words.default_reply(Ask(model="m", messages=(("user", text),))).text

    assert say("Where is the fleet?") == say("Where is the fleet?")
    assert say("Where is the fleet?") != say("Where is the army?")


def test_a_tool_is_called_with_arguments_that_follow_its_schema_unless_it_was_just_answered():
    schema = {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}
    ask = Ask(model="m", messages=(("user", "Rome"),), tools=(Tool("weather", schema),), may_call=True)
    reply = words.default_reply(ask)
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("weather", {"place": "Rome", "days": 7})
    ]
    assert reply.ends_with == "tool_calls"
    assert (
        words.default_reply(Ask(model="m", messages=(("tool", "sunny"),), tools=ask.tools)).tool_calls == ()
    )


def test_an_object_follows_references_choices_and_enumerations():
    schema = {
        "type": "object",
        "properties": {
            "order": {"$ref": "#/$defs/Order"},
            "unit": {"enum": ["A", "F"]},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "sure": {"type": "BOOLEAN"},
            "weights": {"type": "array", "items": {"type": "number"}},
        },
        "$defs": {"Order": {"type": "object", "properties": {"to": {"const": "PAR"}}}},
    }
    reply = words.default_reply(Ask(model="m", messages=(("user", "go"),), schema=schema))
    assert json.loads(reply.text) == {
        "order": {"to": "PAR"},
        "unit": "A",
        "note": "go",
        "sure": True,
        "weights": [0.5],
    }


def test_a_schema_that_contains_itself_ends():
    schema = {
        "$ref": "#/$defs/N",
        "$defs": {"N": {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}}},
    }
    assert json.dumps(words.sample(schema, "x"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT, lambda v: st.lists(v) | st.dictionaries(TEXT, v)
    )
)
def test_any_content_has_a_text(content):
    assert isinstance(words.flatten(content), str)


def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone():
    one, again, other = words.embedding("a", 16), words.embedding("a", 16), words.embedding("b", 16)
    assert one == again != other
    assert abs(sum(x * x for x in one) - 1) < 1e-4
