"""Rollouts of a program's own: open until their advantage is known, whatever happens."""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm import drops, testing
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from otel_llm.testing import Captured
from otel_llm.training import holding

SECRET = "sk-" + "proj-" + "Ab12" * 8


@pytest.fixture
def captured() -> Iterator[Captured]:
    with testing.capture(metrics=False) as found:
        yield found


def rollouts(captured: Captured) -> list[Any]:
    return [span for span in captured.exporter.get_finished_spans() if span.name == "rollout"]


def settled(captured: Captured) -> list[Any]:
    """Return rollouts that ended so far, without flushing, which would end those that wait."""
    from otel_llm import runtime

    active = runtime.current()
    assert active is not None
    active.finisher.drain(5)
    return rollouts(captured)


def test_it_waits_for_its_advantage_and_ends_when_its_block_ended(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a") as one:
            pass
        ended = one.end_ns
        assert settled(captured) == []
        one.reward("x", 2.0, weight=0.5).reward("y", 1.0)
        assert settled(captured) == []
        one.advantage(-1.0)
        (span,) = settled(captured)
    assert span.end_time == ended
    assert span.attributes[sc.SAMPLE_REWARD] == 2.0
    assert span.attributes[sc.SAMPLE_ADVANTAGE] == -1.0
    assert span.attributes[sc.SAMPLE_WEIGHTS_PREFIX + "x"] == 0.5
    assert holding.waiting() == 0


def test_one_that_is_never_scored_ends_with_its_step(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a"):
            pass
    (span,) = settled(captured)
    assert span.attributes[sc.SAMPLE_STATUS] == "unscored"


def test_outside_any_step_it_ends_with_a_flush(captured: Captured) -> None:
    with otel_llm.rollout("a"):
        pass
    assert settled(captured) == []
    captured.spans()
    assert len(rollouts(captured)) == 1


def test_outside_any_step_it_waits_a_bounded_time(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "LONGEST_S", 0.0)
    for name in "ab":
        with otel_llm.rollout(name):
            pass
    assert [span.attributes[sc.SAMPLE_ID] for span in settled(captured)] == ["a", "b"]


def test_one_outside_any_step_does_not_wait_for_those_of_a_long_step(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    with otel_llm.rollout("loose"):
        pass
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("in a step"):
            pass
        monkeypatch.setattr(holding, "LONGEST_S", 0.0)
        with otel_llm.tool("anything that ends"):
            pass
        settled(captured)
        assert [span.attributes[sc.SAMPLE_ID] for span in settled(captured)] == ["loose"]


def test_only_so_many_wait(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MOST", 3)
    with otel_llm.training_run("exp"), otel_llm.step(1):
        for number in range(5):
            with otel_llm.rollout(str(number)):
                pass
        assert holding.waiting() == 3
        assert [span.attributes[sc.SAMPLE_ID] for span in settled(captured)] == ["0", "1"]


def test_the_store_shows_one_that_waits_as_open(tmp_path: Any) -> None:
    otel_llm.instrument(store=tmp_path)
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a") as one:
            pass
        one.reward("x", 1)
    otel_llm.shutdown()
    (found,) = StoreReader(tmp_path).spans(name="rollout")
    assert found.end_ns is not None
    assert found.attributes[sc.SAMPLE_REWARDS_PREFIX + "x"] == 1.0


def test_what_comes_after_its_end_is_an_event_with_its_ids(tmp_path: Any) -> None:
    otel_llm.instrument(store=tmp_path)
    with otel_llm.training_run("exp"):
        with otel_llm.step(1), otel_llm.rollout("a", group="g") as one:
            pass
        one.reward("judge", 0.25, explanation="meh").advantage(0.5)
    otel_llm.shutdown()
    reader = StoreReader(tmp_path)
    (span,) = reader.spans(name="rollout")
    events = [row for row in reader.logs() if row.event_name == sc.EVENT_EVALUATION_RESULT]
    assert [(row.trace_id, row.span_id) for row in events] == [(span.trace_id, span.span_id)] * 2
    assert events[0].attributes == {
        sc.RUN_ID: "exp",
        sc.TRAIN_STEP: 1,
        sc.SAMPLE_ID: "a",
        sc.SAMPLE_GROUP: "g",
        sc.EVALUATION_NAME: "judge",
        sc.EVALUATION_SCORE: 0.25,
        sc.EVALUATION_EXPLANATION: "meh",
    }
    assert events[1].attributes[sc.EVALUATION_NAME] == sc.SAMPLE_ADVANTAGE


@pytest.mark.parametrize(
    ("score", "problem"),
    [(None, "reward_missing"), (float("nan"), "reward_not_finite"), ("high", "reward_missing")],
)
def test_a_reward_that_is_no_number_is_a_problem_not_an_exception(
    captured: Captured, score: Any, problem: str
) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a") as one:
            pass
        one.reward("good", 1.0).reward("bad", score).advantage(0.0)
    (span,) = settled(captured)
    assert span.attributes[sc.SAMPLE_PROBLEMS] == (problem,)
    assert span.attributes[sc.SAMPLE_REWARD] == 1.0


def test_a_reward_scope_within_it_is_one_of_its_components(captured: Captured) -> None:
    @otel_llm.reward("length")
    def length(text: str) -> float:
        return len(text) / 10

    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a") as one:
            assert length("12345") == 0.5
            with otel_llm.reward("judge") as judged:
                judged.set(score=1, explanation="fine")
        one.advantage(0.0)
    (span,) = settled(captured)
    assert span.attributes[sc.SAMPLE_REWARDS_PREFIX + "length"] == 0.5
    assert span.attributes[sc.SAMPLE_REWARDS_PREFIX + "judge"] == 1.0
    assert span.attributes[sc.SAMPLE_REWARD] == 1.5
    assert {
        e.attributes[sc.EVALUATION_NAME]: e.attributes.get(sc.EVALUATION_EXPLANATION) for e in span.events
    } == {
        "length": None,
        "judge": "fine",
    }


def test_tokens_and_policy(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(3):
        with otel_llm.rollout("a", mode="train") as one:
            one.tokens(input=5, output=7, truncated=True)
        one.policy(step=2, version="v2").advantage(1)
    (span,) = settled(captured)
    expected = {
        sc.SAMPLE_MODE: "train",
        sc.SAMPLE_INPUT_TOKENS: 5,
        sc.SAMPLE_OUTPUT_TOKENS: 7,
        sc.SAMPLE_TRUNCATED: True,
        sc.SAMPLE_POLICY_STEP: 2,
        sc.SAMPLE_POLICY_VERSION: "v2",
    }
    assert {key: span.attributes.get(key) for key in expected} == expected


def test_a_rollout_nobody_refers_to_any_more_still_ends_with_its_step(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a"):
            pass
        gc.collect()
    assert len(settled(captured)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_leaves_them_to_the_parent(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a") as one:
            pass
        child = os.fork()
        if child == 0:
            os._exit(holding.waiting())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        one.advantage(0.0)
    assert len(settled(captured)) == 1


def test_breaking_what_holds_them_does_not_reach_the_program(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(holding, "hold", broken)
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a") as one:
            pass
        one.reward("x", 1)
    assert drops.counts()


def test_prompt_and_response_are_content_however_they_are_told() -> None:
    with testing.capture(metrics=False, content="full") as captured:
        with otel_llm.rollout("a", prompt="2+2", response="3") as one:
            one.set(response="4", mine=1)
        (span,) = [span for span in captured.spans() if span.name == "rollout"]
    assert '"2+2"' in span.attributes[sc.INPUT_MESSAGES]
    assert '"4"' in span.attributes[sc.OUTPUT_MESSAGES]
    assert span.attributes[sc.CUSTOM_PREFIX + "mine"] == 1


def test_messages_as_sdks_write_them_keep_their_tool_calls() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}]
    said = [
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "name": "add", "content": "2"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "stop"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "It is"}, {"type": "text", "text": "2"}]},
    ]
    with testing.capture(metrics=False, content="full") as captured:
        with otel_llm.rollout("a") as one:
            one.content(response=said)
        (span,) = [span for span in captured.spans() if span.name == "rollout"]
    assert [message["parts"] for message in json.loads(span.attributes[sc.OUTPUT_MESSAGES])] == [
        [
            {"type": "text", "content": "Let me see."},
            {"type": "tool_call", "name": "add", "id": "c1", "arguments": '{"a":1}'},
        ],
        [{"type": "tool_call_response", "response": "2", "id": "c1", "name": "add"}],
        [{"type": "tool_call", "name": "stop"}],
        [{"type": "text", "content": "It is\n2"}],
    ]


class OnDevice:
    """Stands in for a tensor on a device: `read` tells which threads waited for its value."""

    dtype, is_cuda = "float32", True
    device = type("device", (), {"type": "fake"})

    def __init__(self, value: float) -> None:
        self.value, self.read = value, list[str]()

    def detach(self) -> OnDevice:
        return self

    def clone(self) -> OnDevice:
        return self

    def numel(self) -> int:
        return 1

    def element_size(self) -> int:
        return 4

    def tolist(self) -> float:
        self.read.append(threading.current_thread().name)
        return self.value


def test_what_comes_late_from_a_device_is_not_waited_for_by_the_program(tmp_path: Path) -> None:
    otel_llm.instrument(store=tmp_path, metrics=False)
    late = OnDevice(0.25)
    try:
        with otel_llm.training_run("exp"), otel_llm.step(1):
            with otel_llm.rollout("a") as one:
                one.advantage(1.0)
            one.reward(f"judge {SECRET}", late)
            assert threading.current_thread().name not in late.read
        otel_llm.force_flush()
        events = [
            row.attributes
            for row in StoreReader(tmp_path).logs()
            if row.event_name == sc.EVENT_EVALUATION_RESULT
        ]
    finally:
        otel_llm.shutdown()
    assert [event[sc.EVALUATION_SCORE] for event in events] == [0.25]
    assert SECRET not in str(events)
    assert late.read


@pytest.mark.parametrize("strange", [10**400, object(), "much"], ids=["huge", "object", "text"])
def test_strange_rewards_and_advantages_do_not_keep_a_rollout_from_ending(
    captured: Captured, strange: Any
) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.rollout("a") as one:
            one.reward("x", strange).reward("y", 1.0)
        one.advantage(strange)
    [span] = [span for span in captured.spans() if span.name == "rollout"]
    assert span.attributes[sc.SAMPLE_REWARDS_PREFIX + "y"] == 1.0
    assert sc.SAMPLE_REWARDS_PREFIX + "x" not in span.attributes
    assert sc.SAMPLE_ADVANTAGE not in span.attributes
    assert span.attributes[sc.INVALID_FIELDS] == (sc.SAMPLE_ADVANTAGE,)
    assert not drops.counts()
