"""Values kept as they were, with real tensors where torch is installed."""

from __future__ import annotations

from typing import Any

import pytest

from otel_llm import drops
from otel_llm.training.deferred import Deferred, deferred, is_lazy


@pytest.mark.parametrize("value", [1, 0.5, True, "x", None, [1, 2.0], ["a", None], {"a": 1}])
def test_plain_values_come_back_as_they_are(value: Any) -> None:
    assert Deferred(value).value() == value
    assert deferred(Deferred(value)).value() == value
    assert not is_lazy(value)


def test_a_sequence_is_kept_as_it_was() -> None:
    values = [1, 2]
    kept = Deferred(values)
    values.append(3)
    assert kept.value() == [1, 2]


def test_numbers_are_as_many_as_were_asked_for() -> None:
    assert Deferred([1, "x", 2.5]).numbers(4) == [1, None, 2.5, None]
    assert Deferred(3).numbers(2) == [3, 3]
    assert Deferred([1, 2, 3]).numbers(2) == [1, 2]


def test_what_cannot_be_kept_costs_itself_only() -> None:
    class Odd:
        dtype = "x"

        def detach(self) -> Any:
            raise RuntimeError("on purpose")

        clone = detach

    assert Deferred(Odd()).value() is None
    assert drops.counts()


def test_arrays_of_numpy() -> None:
    np = pytest.importorskip("numpy")
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    kept = Deferred(values)
    values[0, 0] = 9.0
    assert kept.value() == [1.0, 2.0, 3.0, 4.0]
    assert Deferred(np.float32(0.5)).numbers(1) == [0.5]


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    kept, several = Deferred(parameter), Deferred([parameter[0], parameter[1]])
    with torch.no_grad():
        parameter.fill_(9.0)
    assert kept.value() == [1.0, 2.0]
    assert several.numbers(2) == [1.0, 2.0]
    assert Deferred(torch.tensor(3)).numbers(1) == [3]
    assert Deferred(torch.empty(2, device="meta")).value() is None
    before = torch.get_rng_state()
    Deferred(torch.ones(4))
    assert torch.equal(before, torch.get_rng_state())
