"""The arithmetic that the loops of examples/grpo share, on numbers that can be checked by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

GRPO = Path(__file__).parents[2] / "examples" / "grpo"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(GRPO))


needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@pytest.mark.trl
@needs_torch
def test_advantages_are_what_is_above_the_group() -> None:
    import torch
    from tinygrpo.maths import group_advantages

    rewards = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    assert group_advantages(rewards, normalise=False).tolist() == [[-1, 0, 1], [0, 0, 0]]
    assert group_advantages(rewards, normalise=False, leave_one_out=True).tolist() == [
        [-1.5, 0, 1.5],
        [0, 0, 0],
    ]
    assert torch.allclose(group_advantages(rewards), torch.tensor([[-1.0, 0, 1], [0, 0, 0]]), atol=1e-3)
    assert group_advantages(torch.tensor([[3.0]])).tolist() == [[0]]


@pytest.mark.trl
@needs_torch
def test_a_loss_of_two_rollouts_by_hand() -> None:
    import math

    import torch
    from tinygrpo.maths import grpo_loss

    new = torch.tensor([[math.log(0.6), math.log(0.5)], [math.log(0.1), 0.0]])
    old = torch.tensor([[math.log(0.4), math.log(0.5)], [math.log(0.2), 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    advantages = torch.tensor([1.0, -1.0])
    loss = grpo_loss(new, old, new, advantages, mask, clip=0.2, kl_weight=0.5)
    # 0.6 to 0.4 is clipped to 1.2; 0.1 to 0.2 is clipped to 0.8, the worse one of -0.5 and -0.8
    assert float(loss.policy) == pytest.approx(-((1.2 + 1.0) / 2 - 0.8) / 2)
    assert float(loss.penalty) == 0.0
    assert float(loss.total) == float(loss.policy)
    constant = grpo_loss(new, old, new, advantages, mask, clip=0.2, kl_weight=0.5, longest=4)
    assert float(constant.policy) == pytest.approx(-((1.2 + 1.0) / 4 - 0.8 / 4) / 2)


@given(st.integers(-99, 99), st.sampled_from(["+", "-", "*"]), st.integers(-99, 99), st.integers(1, 9))
def test_the_tool_computes_as_python_does(left: int, sign: str, right: int, last: int) -> None:
    sys.path.insert(0, str(GRPO))
    try:
        from tinygrpo.arithmetic import evaluate
    finally:
        sys.path.remove(str(GRPO))
    code = f"({left} {sign} {right}) // {last}"
    assert evaluate(code) == eval(code)


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').getcwd()",
        "open('x')",
        "().__class__",
        "[1 for _ in range(9)]",
        "2 ** 9",
        "1 / 0",
        "1 // 0",
        "9" * 50,
        "True",
        "1.5",
        "'a'",
        "a",
        "1; 2",
        "",
        "(" * 150,
        "1 +",
        "+".join(["1"] * 150),
        "\x00",
    ],
)
def test_the_tool_refuses_all_that_is_no_sum(code: str) -> None:
    from tinygrpo.arithmetic import evaluate

    with pytest.raises(ValueError, match=r"."):
        evaluate(code)
