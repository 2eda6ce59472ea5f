# ruff: noqa: RUF001 (punctuation of other scripts)
"""Figures about prompts and answers: what they say, and that they cost neither calls nor secrets."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_llm
from otel_llm import analysers, drops, hooks, testing
from otel_llm import semconv as sc
from otel_llm.analysers import Budget
from otel_llm.text_analysis import MAX_CHARACTERS, text_features
from tests.http.payloads import ANSWER, URL, request

KEY = "sk-proj-" + "a1B2c3D4" * 6


# --- the built-in analyser ------------------------------------------------------------------------
def test_the_features_of_a_plain_text() -> None:
    assert text_features("I move to Burgundy. Will you support me? I trust you, and you trust me!") == {
        "words": 15,
        "sentences": 3,
        "questions": 1,
        "distinct_word_ratio": 0.6667,
        "repetition": 0.0,
        "json": False,
        "refusal_markers": 0,
    }


def test_an_empty_text_has_no_features_that_cannot_be() -> None:
    assert text_features("") == {
        "words": 0,
        "sentences": 0,
        "questions": 0,
        "distinct_word_ratio": 0.0,
        "repetition": 0.0,
        "json": False,
        "refusal_markers": 0,
    }


@pytest.mark.parametrize(
    ("text", "words", "sentences", "questions"),
    [
        ("我不能帮助你。你为什么这样做？", 13, 2, 1),
        ("Was machst du, Österreich? Ich gehe nach Tirol.", 8, 2, 1),
        ("هل ستساعدني؟ نعم.", 3, 2, 1),
        ("Куда ты идёшь? Я иду в Вену. Вот так…", 9, 3, 1),
        ("3.14 is pi. e.g. this", 7, 2, 0),
        ("no end", 2, 0, 0),
    ],
)
def test_words_sentences_and_questions_in_several_languages(
    text: str, words: int, sentences: int, questions: int
) -> None:
    found = text_features(text)
    assert (found["words"], found["sentences"], found["questions"]) == (words, sentences, questions)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"orders": ["A PAR - BUR"]}', True),
        ('```json\n{"orders": []}\n```', True),
        ("  [1, 2]\n", True),
        ('{"orders": [', False),
        ("orders: A PAR - BUR", False),
        ('Here it is: {"a": 1}', False),
        ("7", False),
        ('{"a": "\ud800"}', False),
    ],
)
def test_json_is_an_object_or_an_array_that_parses(text: str, expected: bool) -> None:
    assert text_features(text)["json"] is expected


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "As an AI, I cannot play.",
        "Tut mir leid.",
        "对不起，我无法回答。",
        "I can’t.",
    ],
)
def test_refusals_show(text: str) -> None:
    assert text_features(text)["refusal_markers"] >= 1
    assert text_features("The army moves to Burgundy, and the fleet holds.")["refusal_markers"] == 0


def _words(n: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    return " ".join(f"{rng.choice('abcdefgh')}{rng.randrange(400)}" for _ in range(n))


def test_repetition_is_the_share_of_the_longest_passage_that_comes_again() -> None:
    assert text_features(_words(800))["repetition"] == 0.0
    assert text_features("attack now " * 300)["repetition"] > 0.99  # a model that hangs
    passage = _words(100, 2)
    twice = f"{_words(150, 3)} {passage} {_words(150, 4)} {passage}"
    assert text_features(twice)["repetition"] == pytest.approx(0.2, abs=0.02)
    assert text_features("我们进攻" * 50)["repetition"] > 0.9
    assert text_features("one two three. one two three.")["repetition"] == 0.0  # too short to say anything


@given(st.text(max_size=300))
def test_any_text_has_features_that_are_attributes(text: str) -> None:
    found = text_features(text)
    assert all(isinstance(value, bool | int | float) and math.isfinite(value) for value in found.values())
    assert 0 <= found["repetition"] <= 1
    assert 0 <= found["distinct_word_ratio"] <= 1


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2_000_000,
        "ab " * 700_000,
        " " * 2_000_000,
        "." * 2_000_000,
        "[" * 2_000_000,
        "```\n" * 500_000,
        "字" * 2_000_000,
    ],
)
def test_a_text_of_megabytes_takes_milliseconds(text: str) -> None:
    started = time.perf_counter()
    found = text_features(text)
    assert time.perf_counter() - started < 0.25  # some 5 ms on a quiet machine
    assert found["partial"] is True
    assert found["words"] <= MAX_CHARACTERS


# --- analysers ------------------------------------------------------------------------------------
@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    monkeypatch.setattr(analysers, "_budget", Budget(analysers.SHARE, analysers.BURST_S))
    removes: list[Callable[[], None]] = []
    yield lambda *args, **more: removes.append(otel_llm.add_analyser(*args, **more))
    for remove in removes:
        remove()
    assert not hooks.analysing


def call(answer: str = "Hello there", **more: Any) -> None:
    body = json.loads(json.dumps(ANSWER))
    body["choices"][0]["message"]["content"] = answer
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, json=body))
    httpx2.Client(transport=transport).post(URL, json=request(**more))


def features(captured: testing.Captured) -> dict[str, Any]:
    (span,) = captured.calls()
    return {
        key.removeprefix(sc.TEXT_PREFIX): value
        for key, value in (span.attributes or {}).items()
        if key.startswith(sc.TEXT_PREFIX)
    }


def test_the_built_in_analyser_puts_figures_on_calls_while_content_is_off(add: Callable[..., None]) -> None:
    add(otel_llm.text_features)
    with testing.capture(content="none") as captured:
        call("Yes? No. Perhaps!")
        found = features(captured)
    assert found["input.words"] == 1
    assert (found["output.words"], found["output.sentences"], found["output.questions"]) == (3, 3, 1)
    (span,) = captured.exporter.get_finished_spans()
    assert "Perhaps" not in span.to_json()


def test_an_analyser_gets_all_text_and_which_side_it_is_and_runs_on_the_worker(
    add: Callable[..., None],
) -> None:
    seen: list[tuple[str, str, str]] = []

    def look(text: str, role: str) -> dict[str, int]:
        seen.append((text, role, threading.current_thread().name))
        return {}

    add(look)
    messages = [
        {"role": "system", "content": "You are France."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Your move?"}, {"type": "text", "text": "Now!"}],
        },
    ]
    with testing.capture() as captured:
        call(messages=messages)
        deadline = time.monotonic() + 5
        while len(seen) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert features(captured) == {}
    assert seen == [
        ("You are France.\nYour move?\nNow!", "input", "otel_llm-finisher"),
        ("Hello there", "output", "otel_llm-finisher"),
    ]


def test_features_are_numbers_booleans_and_short_clean_texts_under_tame_names(
    add: Callable[..., None],
) -> None:
    add(
        lambda _text, role: (
            {
                "Mood!": "x" * 1000,
                "a.b": 0.5,
                "flag": True,
                "count": 3,
                "key": f"the key is {KEY}",
                "none": None,
                "nan": math.nan,
                "huge": 1 << 70,
                "list": [1],
                "..": 1,
            }
            if role == "output"
            else {}
        )
    )
    with testing.capture() as captured:
        call()
        found = features(captured)
    assert found == {
        "output.mood": "x" * 256,
        "output.a_b": 0.5,
        "output.flag": True,
        "output.count": 3,
        "output.key": "the key is [redacted]",
    }
    assert drops.counts() == {}


def test_an_analyser_that_fails_costs_its_own_features_only(
    add: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_text: str, _role: str) -> dict[str, int]:
        raise ValueError("broken on purpose")

    add(broken, name="mine")
    add(lambda _text, _role: 3)  # type: ignore[arg-type, return-value]
    add(lambda text, _role: {"length": len(text)})
    with testing.capture() as captured:
        call()
        found = features(captured)
        (span,) = captured.calls()
    assert found == {"input.length": 2, "output.length": 11}
    assert span.attributes["gen_ai.usage.input_tokens"] == 9
    assert drops.counts() == {("analysis", "failed"): 4}
    assert caplog.text.count("the analyser mine failed") == 1


def test_an_analyser_that_takes_long_leaves_the_rest_of_the_call_out_and_is_said(
    add: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(analysers, "CALL_S", 0.01)

    def slow(_text: str, _role: str) -> dict[str, int]:
        time.sleep(0.02)
        return {"slow": 1}

    add(slow)
    add(lambda _text, _role: {"fast": 1})
    with testing.capture() as captured:
        call()
        found = features(captured)
    assert found == {"input.slow": 1}
    assert drops.counts() == {("analysis", "call_took_too_long"): 3}
    assert caplog.text.count("slow took") == 1


def test_all_analysers_together_take_a_share_of_the_time(
    add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysers, "_budget", Budget(0.1, 0.01))

    def slow(_text: str, _role: str) -> dict[str, int]:
        time.sleep(0.01)
        return {"slow": 1}

    add(slow)
    with testing.capture() as captured:
        for _ in range(10):
            call()
        analysed = [
            span for span in captured.calls() if f"{sc.TEXT_PREFIX}input.slow" in (span.attributes or {})
        ]
        assert len(captured.calls()) == 10
    assert 1 <= len(analysed) < 5
    assert drops.counts() == {("analysis", "time_is_up"): 10 - len(analysed)}


def test_a_budget_fills_up_as_time_passes_but_not_beyond_its_bound() -> None:
    now = 0.0
    budget = Budget(0.1, 2.0, lambda: now)
    budget.spend(2.5)
    assert not budget.left
    now = 4.0
    assert not budget.left
    now = 6.0
    assert budget.left
    now = 1e6
    assert budget.left
    budget.spend(2.1)
    assert not budget.left


def test_of_a_long_conversation_an_analyser_gets_the_end(
    add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysers, "MAX_TEXT", 20)
    seen: list[str] = []

    def look(text: str, role: str) -> dict[str, int]:
        seen.append(text)
        return {}

    add(look)
    messages = [{"role": "user", "content": f"message number {n}"} for n in range(10)]
    with testing.capture() as captured:
        call(messages=messages)
        features(captured)
    assert seen[0] == "r 8\nmessage number 9"


def test_what_a_scope_was_told_is_analysed_too(add: Callable[..., None]) -> None:
    add(otel_llm.text_features)
    with testing.capture() as captured:
        with otel_llm.interaction("order") as turn:
            turn.content(prompt="What do you order?", response='{"orders": []}')
        (span,) = captured.spans()
    assert span.attributes[f"{sc.TEXT_PREFIX}input.questions"] == 1
    assert span.attributes[f"{sc.TEXT_PREFIX}output.json"] is True


def test_features_can_be_measured_and_switched_off(add: Callable[..., None]) -> None:
    add(otel_llm.text_features)
    told: list[otel_llm.Record] = []
    remove = otel_llm.on_end(told.append)
    with testing.capture(drop_attributes=["otel_llm.text.input.*"]) as captured:
        call()
        found = features(captured)
    remove()
    assert found["output.words"] == 2
    assert not [key for key in found if key.startswith("input")]
    assert told[0].attributes[f"{sc.TEXT_PREFIX}output.words"] == 2


def test_what_cannot_be_called_is_no_analyser() -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        otel_llm.add_analyser(3)  # type: ignore[arg-type]
