"""Figures of one trajectory, and of many side by side."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from otel_llm.trajectory import (
    Trajectory,
    compare_evaluation,
    compare_success,
    extract_trajectory_stats,
    tag_adherence_rate,
    tag_use,
    tool_use_over_steps,
)
from tests.trajectory.conversations import ANSWER, FOUND, QUESTION, SEARCHES, SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_a_trajectory_has_the_same_figures_whatever_shape_it_has(shape: str) -> None:
    assert extract_trajectory_stats(SHAPES[shape]) == {
        "messages": 4,
        "turns": 1,
        "user_turns": 1,
        "assistant_turns": 2,
        "tool_calls": 1,
        "tool_calls_by_name": {"retrieve": 1},
        "tool_responses": 1,
        "tool_errors": 0,
        "tool_errors_by_name": {},
        "total_length": len(QUESTION + SEARCHES + FOUND + ANSWER),
        "user_length": len(QUESTION),
        "assistant_length": len(SEARCHES + ANSWER),
        "reasoning_length": 0,
        "tool_length": len(FOUND),
        "tags": {"think": 1, "cite": 1, "answer": 1},
        "malformed_tags": [],
        "tag_adherence": 1.0,
    }


def test_turns_are_exchanges() -> None:
    roles = ["system", "user", "assistant", "tool", "assistant", "user", "user", "assistant"]
    stats = extract_trajectory_stats([{"role": role, "content": "x"} for role in roles])
    assert (stats["turns"], stats["user_turns"], stats["assistant_turns"]) == (2, 3, 3)
    assert extract_trajectory_stats([])["turns"] == 0
    assert extract_trajectory_stats("an answer")["turns"] == 1


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ("Error: no such page", True),
        ("ValueError: bad", True),
        ("json.JSONDecodeError: Expecting value", True),
        ("Traceback (most recent call last):\n  File", True),
        ("Error executing tool retrieve: timeout", True),
        ("An error occurred while running the tool.", True),
        ('{"error": "not found"}', True),
        ('{"error": null, "result": 4}', False),
        ("Errors were rare in Paris.", False),
        ("The error: none", False),
        ("4", False),
        ("", False),
    ],
)
def test_a_failed_tool_is_known_by_what_it_says(result: str, failed: bool) -> None:
    messages = [{"role": "tool", "name": "t", "content": result}]
    assert extract_trajectory_stats(messages)["tool_errors"] == failed


def test_a_failed_tool_is_known_by_its_flag() -> None:
    block = {"type": "tool_result", "tool_use_id": "1", "content": "nothing", "is_error": True}
    stats = extract_trajectory_stats(
        [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look", "input": {}}]},
            {"role": "user", "content": [block]},
            SimpleNamespace(type="tool", content="nothing", name="walk", status="error"),
        ]
    )
    assert stats["tool_errors_by_name"] == {"look": 1, "walk": 1}
    assert stats["user_turns"] == 0, "a message that holds results alone is the tool's, not the user's"


def test_calls_that_a_model_writes_into_its_text_are_counted_once() -> None:
    text = '<tool_call>\n{"name": "add", "arguments": {"x": 1}}\n</tool_call><tool>{"name": "sub"}</tool><tool>{no}</tool>'
    assert extract_trajectory_stats([{"role": "assistant", "content": text}])["tool_calls_by_name"] == {
        "add": 1,
        "sub": 1,
    }
    both = {"role": "assistant", "content": text, "tool_calls": [{"function": {"name": "add"}}]}
    assert extract_trajectory_stats([both])["tool_calls_by_name"] == {"add": 1}


# --- tags -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "pairs", "malformed", "adherence"),
    [
        ("<think>a</think><answer>b</answer>", {"think": 1, "answer": 1}, (), 1.0),
        ("<think>a</think>", {"think": 1, "answer": 0}, (), 0.5),
        ("<think>cut off", {"think": 0, "answer": 0}, ("think",), 0.0),
        ("a</think><answer>b</answer>", {"think": 0, "answer": 1}, ("think",), 0.5),
        ("<think><answer></think></answer>", {"think": 1, "answer": 0}, ("answer",), 0.5),
        ("<think></think><think>", {"think": 1, "answer": 0}, ("think",), 0.0),
        ("<think mode='x'>a</think><answers>b</answers>", {"think": 1, "answer": 0}, (), 0.5),
        ("nothing", {"think": 0, "answer": 0}, (), 0.0),
    ],
)
def test_adherence_asks_for_whole_tags(
    text: str, pairs: dict[str, int], malformed: tuple[str, ...], adherence: float
) -> None:
    use = tag_use(text, ("think", "answer"))
    assert (use.pairs, use.malformed, use.adherence) == (pairs, malformed, adherence)


def test_only_what_the_assistant_says_is_looked_at() -> None:
    assert tag_use([{"role": "user", "content": "<answer>x</answer>"}], ["answer"]).adherence == 0.0


def test_the_rate_is_over_trajectories() -> None:
    texts = ["<think>a</think><answer>b</answer>", "<answer>b</answer>", "<think>", "no"]
    assert tag_adherence_rate(texts, ["<think>", "answer"]) == {"think": 0.25, "answer": 0.5, "all": 0.25}
    assert tag_adherence_rate([], ["answer"]) == {"answer": None, "all": None}
    assert tag_use("x", ()).adherence is None
    assert extract_trajectory_stats("x", tags=())["tag_adherence"] is None


# --- many -----------------------------------------------------------------------------------------
def _tools(*names: str, fails: bool = False) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "q"}]
    for name in names:
        messages += [
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": name}}]},
            {"role": "tool", "name": name, "content": "Error: no" if fails else "ok"},
        ]
    return [*messages, {"role": "assistant", "content": "<answer>a</answer>" if names else "done"}]


MANY: list[Any] = [
    Trajectory(_tools("search"), step=2, reward=1.0, success=True),
    {"messages": _tools("search", "add"), "step": 1, "total_reward": 0.5, "success": True, "split": "train"},
    SimpleNamespace(prompt="q", completion=_tools(fails=True)[1:], step=2, reward=0.0, success=False),
    {"messages": _tools("add", fails=True), "step": 2, "score": 0.1, "split": "eval"},
    {"messages": _tools(), "evaluation": True},
]


def test_tool_use_is_shown_step_by_step() -> None:
    steps = tool_use_over_steps(MANY)
    assert [(use.step, use.trajectories, use.calls, dict(use.calls_by_name)) for use in steps] == [
        (1, 1, 2, {"add": 1, "search": 1}),
        (2, 3, 2, {"add": 1, "search": 1}),
        (None, 1, 0, {}),
    ]
    assert steps[1].calls_per_trajectory == steps[1].share_with_tools == 2 / 3
    assert (steps[1].responses, steps[1].errors, steps[1].error_rate) == (2, 1, 0.5)
    assert (steps[1].with_tools, steps[1].turns, steps[2].error_rate) == (2, 5, None)
    assert tool_use_over_steps([]) == []


def test_successful_trajectories_stand_beside_failed_ones() -> None:
    compared = compare_success(MANY, tags=["answer"])
    assert (compared.first.count, compared.second.count, compared.left_out) == (2, 1, 2)
    rows = {figure: tuple(values) for figure, *values in compared.rows()}
    assert rows["reward"] == (0.75, 0.0, 0.75)
    assert rows["tool_calls"] == (1.5, 0.0, 1.5)
    assert rows["tool_calls/search"] == (1.0, 0.0, 1.0)
    assert rows["tags/answer"] == (1.0, 0.0, 1.0)
    assert rows["tool_error_rate"] == (0.0, None, None)
    assert compare_success(MANY, threshold=0.1).left_out == 1
    assert compare_success(MANY, threshold=0.1).first.count == 3


def test_training_stands_beside_evaluation() -> None:
    compared = compare_evaluation(MANY, tags=["answer"])
    assert compared.names == ("training", "evaluation")
    assert (compared.first.count, compared.second.count) == (3, 2)
    rows = {figure: tuple(values) for figure, *values in compared.rows()}
    assert rows["success_rate"] == (2 / 3, None, None)
    assert rows["tool_calls/add"] == (1 / 3, 0.5, 1 / 3 - 0.5)
    assert rows["tags/all"] == (2 / 3, 0.5, 2 / 3 - 0.5)


def test_comparing_nothing_says_that_nothing_is_known() -> None:
    compared = compare_evaluation([])
    assert compared.first.count == 0
    assert all(left is None and right is None for _, left, right, _ in compared.rows())


class Hostile:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")


def test_odd_trajectories_are_counted_and_raise_nothing() -> None:
    odd = [None, 3, "text", {}, object(), Hostile(), {"step": "x", "reward": "y"}, {"step": float("inf")}]
    assert [use.trajectories for use in tool_use_over_steps(odd)] == [len(odd)]
    assert compare_success(odd).left_out == len(odd)
    assert compare_evaluation(odd).first.count == len(odd)
