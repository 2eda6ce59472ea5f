"""The reward functions of the example, and the wrapper that logs them and changes nothing."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_llm
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from otel_llm_trl.rewards import Collector, logged, logged_all

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "grpo"))
import reward_config
import rewards

GOOD = "<reasoning>\ntwo apples and two apples make four\n</reasoning>\n<answer>\n4\n</answer>\n"
SEED_NAMES = (
    "xmlcount_reward_func",
    "soft_format_reward_func",
    "strict_format_reward_func",
    "int_reward_func",
    "correctness_reward_func",
    "anti_repetition_reward_func",
    "topic_relevance_reward_func",
)


def said(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "assistant", "content": text}] for text in texts]


# --- the functions --------------------------------------------------------------------------------
def test_every_function_is_there_wrapped_in_order_and_weighted() -> None:
    assert [function.__name__ for function in rewards.REWARD_FUNCTIONS] == list(SEED_NAMES)
    for name in SEED_NAMES:
        assert callable(getattr(rewards, name))
        assert getattr(rewards, f"wrapped_{name}") in rewards.REWARD_FUNCTIONS
    assert [reward_config.REWARD_WEIGHTS[name] for name in SEED_NAMES] == rewards.WEIGHTS


def test_reasoning_and_answer_are_extracted() -> None:
    assert rewards.extract_reasoning_and_answer(GOOD) == ("two apples and two apples make four", "4")
    assert rewards.extract_reasoning_and_answer("no tags") == ("", "")
    assert rewards.extract_reasoning_and_answer("<answer>7") == ("", "7")
    assert rewards.extract_xml_answer(GOOD) == "4"
    assert rewards.extract_xml_answer("<answer>1</answer><answer> 2 </answer>") == "2"


def test_correctness_and_integers() -> None:
    texts = said(GOOD, "<answer>five</answer>", "4", "<answer>-3</answer>")
    assert rewards.correctness_reward_func(None, texts, ["4", "5", "4", "3"]) == [2.0, 0.0, 2.0, 0.0]
    assert rewards.int_reward_func(texts) == [0.5, 0.0, 0.5, 0.5]


def test_formats() -> None:
    loose = "well: <reasoning>a</reasoning> <answer>b</answer> done"
    texts = said(GOOD, loose, "<answer>4</answer>", GOOD.strip(), " " + GOOD)
    assert rewards.strict_format_reward_func(texts) == [0.5, 0.0, 0.0, 0.5, 0.0]
    assert rewards.soft_format_reward_func(texts) == [0.5, 0.5, 0.0, 0.5, 0.5]


def test_tags_are_counted_once_each_less_what_comes_after() -> None:
    found = rewards.xmlcount_reward_func(said(GOOD, GOOD + "x" * 100, GOOD + GOOD, "nothing"))
    assert found == pytest.approx([0.5, 0.4, 0.0, 0.0])


def test_repetition_costs_in_any_script() -> None:
    clean, phrase, run, run_in_tamil = rewards.anti_repetition_reward_func(
        said("each word of this is new", "I think so too. " * 30, "x" * 50, "அஆ" * 30)
    )
    assert clean == 0.0
    assert phrase < -0.8
    assert run == run_in_tamil == -0.5
    assert min(rewards.anti_repetition_reward_func(said(("y" * 20 + " z ") * 100))) == -1.5


def test_topic_relevance_rewards_the_question_and_not_length() -> None:
    question = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "two apples and two apples"},
    ]
    prompts = [question] * 4
    on, off, long, trailing = rewards.topic_relevance_reward_func(
        prompts,
        said(GOOD, GOOD.replace("apples", "pears"), GOOD.replace("4", "4" * 1000), GOOD + "and so on"),
    )
    assert on == 0.5
    assert off == 0.25
    assert long == pytest.approx(0.5 - 0.8)
    assert trailing == 0.25
    assert rewards.topic_relevance_reward_func(["two apples"], [GOOD]) == [0.5]


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    for function in rewards.REWARD_FUNCTIONS:
        for completions in ([text], said(text), [[]]):
            (score,) = function(prompts=[text], completions=completions, answer=["4"])
            assert -10 < score <= 2


# --- the wrapper ----------------------------------------------------------------------------------
@pytest.fixture
def store(tmp_path: Any) -> Iterator[StoreReader]:
    otel_llm.instrument(store=tmp_path / "store", exporters=[], instrumentations=[])
    yield StoreReader(tmp_path / "store")
    otel_llm.shutdown()


def rewarded(completions: Any, answer: Any, **_: Any) -> list[float]:
    return [1.0, 0.0]


def test_scores_become_events_and_a_curve_and_answers_are_counted(store: StoreReader) -> None:
    counted = Collector()
    function = logged(rewarded, "correctness", collected_by=counted)
    state = SimpleNamespace(global_step=6)
    function(prompts=["p", "q"], completions=said("a", "b"), answer=["a", "c"], trainer_state=state)
    otel_llm.force_flush()
    events = [
        (
            log.attributes[sc.EVALUATION_NAME],
            log.attributes[sc.SAMPLE_ID],
            log.attributes[sc.EVALUATION_SCORE],
        )
        for log in store.logs()
        if log.event_name == sc.EVENT_EVALUATION_RESULT
    ]
    assert events == [("correctness", "sample_0", 1.0), ("correctness", "sample_1", 0.0)]
    assert {(row.name, row.step, row.value) for row in store.series()} >= {
        ("reward/correctness/mean", 7, 0.5)
    }
    assert (counted.correct, counted.total) == (1, 2)


def test_the_very_result_comes_back_under_the_same_name() -> None:
    result = [1.0]
    function = logged(lambda **_: result)
    assert function(completions=["x"]) is result
    named = logged(rewards.int_reward_func)
    assert named.__name__ == "int_reward_func"
    assert inspect.signature(named) == inspect.signature(rewards.int_reward_func)
    assert named.__doc__ == rewards.int_reward_func.__doc__


def test_what_a_function_raises_comes_through_and_odd_results_hurt_nobody(store: StoreReader) -> None:
    def fails(**_: Any) -> Any:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        logged(fails)(completions=["x"])
    for odd in (None, [None, float("nan")], "text", [1.0] * 7, object()):
        result = logged(lambda odd=odd, **_: odd, "correctness", collected_by=Collector())(completions=["x"])
        assert result is odd
    assert not [what for what, _ in drops.counts() if what == "internal_error"]


def test_coroutine_functions_stay_what_they_are() -> None:
    async def slow(completions: Any, **_: Any) -> list[float]:
        await asyncio.sleep(0)
        return [0.5]

    function = logged(slow)
    assert inspect.iscoroutinefunction(function)
    assert asyncio.run(function(completions=["x"])) == [0.5]


def test_a_wrapped_function_can_be_sent_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(rewards.wrapped_int_reward_func))
    assert copy(completions=said("<answer>4</answer>")) == [0.5]
    assert copy.__name__ == "int_reward_func"


def test_models_and_their_names_are_left_alone() -> None:
    model = SimpleNamespace(forward=None)
    found = logged_all(["org/reward-model", model, rewarded])
    assert found[:2] == ["org/reward-model", model]
    assert found[2].__wrapped__ is rewarded


def test_nothing_is_logged_while_a_trainer_evaluates(store: StoreReader) -> None:
    counted, callback = Collector(), SimpleNamespace
    function = logged(rewarded, "correctness", collected_by=counted)
    counted.attach(callback, 1)
    function(completions=said("a", "b"), answer=["a", "b"])
    counted.step = 3
    function(completions=said("a", "b"), answer=["a", "b"])
    otel_llm.force_flush()
    assert counted.total == 2
    assert {row.step for row in store.series()} == {3}
    assert len(counted.take()) == 2
    assert counted.take() == []


def test_outputs_are_bounded_and_kept_for_nobody_who_is_not_there() -> None:
    counted = Collector()
    function = logged(lambda completions, **_: [1.0] * len(completions), "correctness", collected_by=counted)
    function(completions=["x"] * 9000)
    assert (counted.total, counted.take()) == (9000, [])
    watcher = Collector()  # anything that can be watched
    counted.attach(watcher, 1)
    counted.step = 1
    function(completions=["x"] * 9000)
    assert len(counted.take()) == 4096
    del watcher
    counted.step = None
    assert not counted.is_evaluating


def test_negative_scores_are_kept_and_fill_no_log(store: StoreReader, caplog: Any) -> None:
    function = logged(lambda **_: [-1.0, 0.5, -0.25], "anti_repetition", collected_by=Collector())
    function(completions=["x"] * 3)
    otel_llm.force_flush()
    found = {row.name: row.value for row in store.series()}
    assert found["reward/anti_repetition/mean"] == -0.25
    assert found["reward/anti_repetition/min"] == -1.0
    assert len([log for log in store.logs() if log.event_name == sc.EVENT_EVALUATION_RESULT]) == 3
    assert "non-negative" not in caplog.text
    assert drops.counts() == {("metric", "not_for_histogram"): 3}
