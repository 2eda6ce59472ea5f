"""The curves of a program that logs to TensorBoard: tensorboardX, and PyTorch's writer where it is not installed."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import otel_llm
from otel_llm import bridges, drops
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from tests.bridges.stored import gauges, labels, series

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

WRITER = """
class SummaryWriter:
    def __init__(self, log_dir=None):
        self.log_dir = log_dir
        self.written = []

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        '''Add a scalar.'''
        if scalar_value is None:
            raise ValueError("no value")
        self.written.append((tag, scalar_value, global_step, walltime))
        return "told"

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        for tag, value in tag_scalar_dict.items():
            self.written.append((f"{main_tag}/{tag}", value, global_step, walltime))
"""


@pytest.fixture
def torch_writer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A stand-in for `torch.utils.tensorboard`, imported by what uses it; returns how to import its class."""
    package = tmp_path / "modules" / "torch" / "utils" / "tensorboard"
    package.mkdir(parents=True)
    for directory in (package.parent.parent, package.parent):
        (directory / "__init__.py").touch()
    (package / "__init__.py").write_text("from .writer import SummaryWriter\n")
    (package / "writer.py").write_text(WRITER)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    # An import hook fires once; here each test imports a module of its own.
    monkeypatch.setattr(bridges._SEAMS["tensorboard"][0], "_hooked", False)

    def load() -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter

    yield load
    otel_llm.shutdown()
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        del sys.modules[name]


def test_scalars_are_kept_with_step_time_and_directory(torch_writer: Any) -> None:
    otel_llm.instrument(bridges=["tensorboard"])
    writer = torch_writer()("runs/a/train")
    assert writer.add_scalar("loss", 0.5, 3, walltime=1234.5) == "told"
    writer.add_scalar(tag="loss", scalar_value=0.25, global_step=4)
    writer.add_scalars("rewards", {"format": 1, "correctness": 0.0, "text": "x"}, 4)
    writer.add_scalar("no_step", 1)
    assert series() == [
        ("loss", 3, 0.5),
        ("loss", 4, 0.25),
        ("rewards/format", 4, 1),
        ("rewards/correctness", 4, 0.0),
        ("no_step", None, 1),
    ]
    assert next(row.time_ns for row in StoreReader(Path(".otel_llm")).series("loss")) == 1_234_500_000_000
    assert labels()[0] == {sc.SERIES_SOURCE: "tensorboard", sc.SERIES_RUN: "a/train"}
    assert gauges()["rewards/format"] == 1
    assert writer.written[0] == ("loss", 0.5, 3, 1234.5)


def test_two_writers_with_the_same_tag_are_told_apart(torch_writer: Any) -> None:
    otel_llm.instrument(bridges=["tensorboard"])
    for part in ("train", "eval"):
        torch_writer()(f"runs/a/{part}").add_scalar("loss", 1.0, 0)
    assert [told[sc.SERIES_RUN] for told in labels()] == ["a/train", "a/eval"]


def test_the_writer_keeps_its_signature_its_documentation_and_its_exceptions(torch_writer: Any) -> None:
    otel_llm.instrument(bridges=["tensorboard"])
    writer = torch_writer()
    assert inspect.getdoc(writer.add_scalar) == "Add a scalar."
    assert "double_precision" in inspect.signature(writer.add_scalar).parameters
    with pytest.raises(ValueError, match="no value"):
        writer("x").add_scalar("a", None)
    with pytest.raises(TypeError):
        writer("x").add_scalar("a")


def test_a_hook_that_is_broken_on_purpose_hurts_nobody(
    torch_writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    otel_llm.instrument(bridges=["tensorboard"])

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("otel_llm.bridges._tensorboard.scalars_of", broken)
    writer = torch_writer()("x")
    assert writer.add_scalar("a", 1) == "told"
    writer.add_scalars("m", {"a": 1})
    assert len(writer.written) == 2
    assert drops.counts()["internal_error", "taking up add_scalar"] == 1


def test_uninstrumenting_gives_the_class_back(torch_writer: Any) -> None:
    handle = otel_llm.instrument(bridges=["tensorboard"])
    patched = torch_writer().add_scalar
    assert handle.status()["bridges"]["torch.utils.tensorboard.writer"] == "patched"
    handle.uninstrument()
    assert torch_writer().add_scalar is patched.__wrapped__
    torch_writer()("x").add_scalar("a", 1)
    assert series() == []


def test_a_module_without_a_writer_is_reported_and_left_alone() -> None:
    handle = otel_llm.instrument(bridges=["tensorboard"])
    empty = ModuleType("torch.utils.tensorboard.writer")
    bridges._SEAMS["tensorboard"][0]._patch(empty)
    assert handle.status()["bridges"]["torch.utils.tensorboard.writer"].startswith("failed")


def test_tensorboardx_is_taken_up_as_it_is(tmp_path: Path) -> None:
    tensorboardx = pytest.importorskip("tensorboardX", reason="the tensorboardX package is not installed")
    otel_llm.instrument(bridges=["tensorboard"])
    numpy = pytest.importorskip("numpy")
    with tensorboardx.SummaryWriter(str(tmp_path / "runs" / "x")) as writer:
        for step in range(3):
            writer.add_scalar("loss", numpy.float32(0.5 * step), step)
        writer.add_scalars("rewards", {"a": 1.0, "b": 2.0}, 2)
        writer.add_text("note", "not a number", 2)
    assert series() == [
        ("loss", 0, 0.0),
        ("loss", 1, 0.5),
        ("loss", 2, 1.0),
        ("rewards/a", 2, 1.0),
        ("rewards/b", 2, 2.0),
    ]
    assert labels()[0][sc.SERIES_RUN] == "runs/x"
    assert list((tmp_path / "runs" / "x").rglob("*tfevents*")), "TensorBoard still gets its files"
