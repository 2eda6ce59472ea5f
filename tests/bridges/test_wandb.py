"""The curves of a program that logs to W&B, with the real package, offline."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

wandb = pytest.importorskip("wandb", reason="the wandb package is not installed")

import otel_llm
from otel_llm import bridges, drops
from otel_llm import semconv as sc
from tests.bridges.stored import gauges, labels, series

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "WANDB_DATA_DIR": str(tmp_path / "data"),
        "WANDB_CACHE_DIR": str(tmp_path / "cache"),
        "WANDB_CONFIG_DIR": str(tmp_path / "config"),
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_X_DISABLE_STATS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    yield
    if wandb.run is not None:
        wandb.finish()


def start(**more: Any) -> Any:
    return wandb.init(project="p", settings=wandb.Settings(x_disable_stats=True, console="off"), **more)


def test_every_scalar_is_kept_with_the_step_of_its_row() -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start()
    wandb.log({"train/loss": 1.5, "lr": 1})
    run.log({"train/loss": 1.25})
    run.log({"train/loss": 1.0}, step=10)
    run.log({"accuracy": True}, step=10)
    run.log({"a": 1}, commit=False)
    run.log({"b": 2})
    assert series() == [
        ("train/loss", 0, 1.5),
        ("lr", 0, 1),
        ("train/loss", 1, 1.25),
        ("train/loss", 10, 1.0),
        ("accuracy", 10, 1),
        ("a", 10, 1),
        ("b", 10, 2),
    ]
    assert labels() == [{sc.SERIES_SOURCE: "wandb", sc.SERIES_RUN: run.id}] * 7
    assert gauges() == {"train/loss": 1.0, "lr": 1, "accuracy": 1, "a": 1, "b": 2}


def test_a_step_metric_that_the_program_defined_is_the_step() -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start()
    run.define_metric("train/global_step")
    run.define_metric("train/*", step_metric="train/global_step")
    wandb.define_metric("val/loss", "epoch")
    run.log({"train/loss": 1.0, "train/global_step": 100, "other": 7})
    run.log({"train/loss": 0.5})
    run.log({"val/loss": 0.25, "epoch": 3})
    run.log({"val/loss": 0.125, "epoch": 3.5})
    assert series() == [
        ("train/loss", 100, 1.0),
        ("train/global_step", 0, 100),
        ("other", 0, 7),
        ("train/loss", 100, 0.5),  # as W&B does: the last step that was logged
        ("val/loss", 3, 0.25),
        ("epoch", 2, 3),
        ("val/loss", 3, 0.125),  # half an epoch is no step
        ("epoch", 3, 3.5),
    ]


def test_nested_mappings_are_paths_and_what_is_no_number_is_left_out() -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start()
    data = {
        "train": {"loss": 0.5, "deep": {"er": 2}},
        "text": "0.5",
        "none": None,
        "list": [1, 2],
        "histogram": wandb.Histogram([1, 2, 3]),
        "nan": float("nan"),
    }
    before = copy.copy(data)
    run.log(data)
    assert data == before
    kept = series()
    assert [name for name, _, _ in kept] == ["train/loss", "train/deep/er", "nan"]
    assert kept[2][2] != kept[2][2]


def test_a_tensor_on_a_device_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor:
        dtype = "float32"
        device = SimpleNamespace(type="cuda")

        def numel(self) -> int:
            return 1

        def item(self) -> float:
            raise AssertionError("waited for the device")

    otel_llm.instrument(bridges=["wandb"])
    run = start()
    monkeypatch.setattr(type(run), "_log", lambda *_, **__: None)  # W&B itself reads every tensor
    run.log({"loss": Tensor(), "lr": 0.5})
    assert series() == [("lr", 0, 0.5)]
    assert drops.counts()["scalar", "on_device"] == 1


def test_a_call_keeps_its_result_and_its_exceptions() -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start()
    assert run.log({"x": 1}) is None
    with pytest.raises(TypeError, match="dictionary"):
        run.log([1])
    with pytest.raises(TypeError, match="strings"):
        run.log({1: 2})
    with pytest.raises(TypeError):
        run.log()
    metric = run.define_metric("m", summary="max")
    assert metric.name == "m"
    with pytest.raises(wandb.Error):
        run.define_metric("a*b")
    run.finish()
    with pytest.raises(Exception, match="finished"):
        run.log({"x": 2})
    assert series()[0] == ("x", 0, 1)


def test_a_hook_that_is_broken_on_purpose_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start()

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("otel_llm.bridges._wandb.scalars_of", broken)
    monkeypatch.setattr("otel_llm.bridges._wandb._Steps.define", broken)
    run.log({"x": 1})
    wandb.log({"x": 2})
    run.define_metric("x", step_metric="y")
    assert run.step == 2
    assert drops.counts()["internal_error", "taking up log"] == 2
    assert drops.counts()["internal_error", "taking up define_metric"] == 1
    assert series() == []


def test_a_run_that_was_started_before_is_taken_up_and_given_back() -> None:
    run = start()
    untouched, bound = type(run).log, wandb.log
    wandb.log({"x": 1})
    handle = otel_llm.instrument(bridges=["wandb"])
    wandb.log({"x": 2})
    run.log({"x": 3})
    assert handle.status()["bridges"]["wandb.sdk.wandb_run"] == "patched"
    assert series() == [("x", 1, 2), ("x", 2, 3)]
    handle.uninstrument()
    assert type(run).log is untouched
    assert wandb.log == bound
    wandb.log({"x": 4})
    assert len(series()) == 2
    otel_llm.instrument(bridges=["wandb"])
    wandb.log({"x": 5})
    assert sorted(series()) == [("x", 1, 2), ("x", 2, 3), ("x", 4, 5)]  # in two files of the store


def test_nothing_is_patched_unless_it_is_asked_for() -> None:
    from wandb.sdk.wandb_run import Run

    before = Run.log
    otel_llm.instrument()
    assert Run.log is before


def test_a_disabled_run_is_taken_up_too() -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start(mode="disabled")
    run.log({"x": 1})
    wandb.log({"x": 2})
    wandb.log({"x": 3}, step=7)
    wandb.log({"x": 4}, commit=False)
    wandb.log({"x": 5})
    assert series() == [("x", 0, 1), ("x", 1, 2), ("x", 7, 3), ("x", 7, 4), ("x", 7, 5)]


def test_what_a_sink_of_ours_writes_is_not_taken_up_again() -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start()
    with bridges.ignoring():
        run.log({"x": 1})
    ours = threading.Thread(target=run.log, args=({"x": 2},), name="otel_llm-wandb")
    ours.start()
    ours.join()
    run.log({"x": 3})
    assert series() == [("x", 2, 3)]


def test_names_that_opentelemetry_does_not_accept_are_made_to_fit_and_kept_in_the_store() -> None:
    otel_llm.instrument(bridges=["wandb"])
    run = start()
    run.log({"train loss (%)": 1, "1st": 2, sc.METRIC_GAME_DURATION: 3})
    assert [name for name, _, _ in series()] == ["train loss (%)", "1st", sc.METRIC_GAME_DURATION]
    assert gauges() == {"train_loss____": 1, "series/1st": 2}
    assert drops.counts()["metric", "name"] == 1


def test_a_metric_for_every_interaction_does_not_become_an_instrument_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("otel_llm.step_series.MAX_METRICS", 10)
    otel_llm.instrument(bridges=["wandb"])
    run = start()
    for i in range(30):
        run.log({f"interactions/{i}/tokens": i})
    assert len(series()) == 30, "the store has them all"
    assert len(gauges()) == 10
    assert drops.counts()["metric_label", "cardinality"] == 20


PROGRAM = """
import sys
import otel_llm
otel_llm.instrument(store=sys.argv[1])
assert not any(name.partition(".")[0] in {"wandb", "torch", "tensorboard", "tensorboardX"} for name in sys.modules)
import wandb
with wandb.init(project="p") as run:
    for step in range(3):
        run.log({"loss": 1 / (step + 1)})
"""


def test_a_variable_is_enough_and_the_end_of_the_program_loses_nothing(tmp_path: Path) -> None:
    import os

    environ = {**os.environ, "OTEL_LLM_BRIDGES": "wandb", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store")],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert series(tmp_path / "store") == [("loss", 0, 1.0), ("loss", 1, 0.5), ("loss", 2, 1 / 3)]


def test_an_unknown_bridge_is_named_with_those_that_exist() -> None:
    with pytest.raises(
        otel_llm.SettingsError, match=r"argument bridges names mlflow; it accepts tensorboard, wandb"
    ):
        otel_llm.instrument(bridges=["mlflow", "wandb"])
