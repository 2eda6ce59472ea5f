"""examples/grpo/trl_grpo.py on two processes, as its page tells: terminal, Jaeger, W&B, report, and what each shows."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.store import StoredSpan, StoreReader
from tests.report.document import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from processes import Jaeger, serving_jaeger
from received import eventually

_MISSING = [name for name in ("torch", "trl", "wandb") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.trl,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"this story needs {', '.join(_MISSING)}"),
]

SCRIPT = ROOT / "examples" / "grpo" / "trl_grpo.py"
RUN, STEPS, RANKS, ROLLOUTS = "digits", 4, 2, 64


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of a user's shell, without what would change where telemetry goes."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "WANDB_"))}
    return kept | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_CONFIG_DIR": str(folder / "config"),
        "OTEL_LLM_RUN_ID": RUN,
        "OTEL_LLM_WANDB_JOIN_WAIT_S": "0",
        "OTEL_LLM_SHUTDOWN_TIMEOUT": "60",  # where everything is to arrive, a busy machine may take its time
        "NO_COLOR": "1",
        "COLUMNS": "200",
        **more,
    }


def execute(folder: Path, *command: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


def otel_llm(folder: Path, *command: str) -> str:
    return execute(folder, "-m", "otel_llm.cli", *command)


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger | None]:
    binary = os.environ.get("OTEL_LLM_TEST_JAEGER")
    if not binary:
        yield None
        return
    with serving_jaeger(binary, tmp_path_factory.mktemp("jaeger") / "log.txt") as jaeger:
        yield jaeger


class Trained:
    """The folder that a user trained in, and what the store has of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        reader = StoreReader(folder / ".otel_llm")
        self.spans: list[StoredSpan] = list(reader.spans())
        assert reader.problems == []
        assert reader.open_spans() == []
        state = folder / "grpo_checkpoints" / f"checkpoint-{STEPS}" / "trainer_state.json"
        self.history: list[dict[str, Any]] = json.loads(state.read_text())["log_history"]

    def of(self, kind: str, **attributes: Any) -> list[StoredSpan]:
        wanted = {sc.SCOPE_KIND: kind, **attributes}
        return [span for span in self.spans if wanted.items() <= span.attributes.items()]

    def samples(self, **attributes: Any) -> set[str]:
        return {str(span.attributes[sc.SAMPLE_ID]) for span in self.of("rollout", **attributes)}


@pytest.fixture(scope="module")
def trained(jaeger: Jaeger | None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("user")
    where = {}
    if jaeger is not None:
        where["OTEL_EXPORTER_OTLP_ENDPOINT"] = jaeger.otlp["http/protobuf"]
        where["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    printed = execute(
        folder,
        *f"-m torch.distributed.run --standalone --nproc_per_node {RANKS} {SCRIPT}".split(),
        *f"--steps {STEPS} --checkpoint-interval {STEPS} --seed 7".split(),
        **where,
    )
    assert printed.count("reward") == STEPS, "one rank tells of each step"
    return Trained(folder)


def test_a_step_is_one_trace_and_its_losses_learned_from_all_that_both_ranks_made(trained: Trained) -> None:
    for number in range(1, STEPS + 1):
        steps = trained.of("step", **{sc.TRAIN_STEP: number})
        assert [span.attributes[sc.RANK] for span in steps if not span.parent_id] == [0]
        assert sorted(span.attributes[sc.RANK] for span in steps) == [*range(RANKS)]
        assert len({span.trace_id for span in steps}) == 1
        rollouts = trained.of("rollout", **{sc.TRAIN_STEP: number})
        assert len(rollouts) == ROLLOUTS
        assert {span.trace_id for span in rollouts} == {steps[0].trace_id}
        consumed = Counter(
            link.span_id
            for span in trained.of("loss", **{sc.TRAIN_STEP: number})
            for link in span.links
            if link.attributes[sc.LINK_KIND] == sc.LINK_CONSUMED
        )
        assert consumed == Counter(span.span_id for span in rollouts), "each once, on one of the ranks"


def test_the_terminal_shows_each_step_and_each_rank(trained: Trained) -> None:
    run = otel_llm(trained.folder, "show", "--run", RUN)
    assert f"{STEPS} steps · {RANKS} ranks" in run
    (head, *_) = [number for number, line in enumerate(run.splitlines()) if line.startswith("step ")]
    table = [re.split(r"\s{2,}", line) for line in run.splitlines()[head : head + 1 + STEPS]]
    rewards = [float(cells[table[0].index("reward")]) for cells in table[1:]]
    assert rewards == pytest.approx([entry["reward"] for entry in trained.history], rel=1e-3)
    step = otel_llm(trained.folder, "show", "--run", RUN, "--step", "2")
    assert [line.split()[1] for line in step.splitlines() if line.startswith("rank ")] == ["0", "1"]
    for kind in ("generation", "reward correct", "loss", "backward", "optimizer"):
        assert step.count(f"─ {kind} ") >= RANKS, kind
    told = [one for one in trained.of("rollout", **{sc.RANK: 1}) if sc.OUTPUT_MESSAGES in one.attributes]
    rollout = otel_llm(
        trained.folder, "show", "--run", RUN, "--rollout", str(told[0].attributes[sc.SAMPLE_ID])
    )
    assert "Say the digit" in rollout
    assert "learned from" in rollout or "loss" in rollout


def test_jaeger_has_one_trace_a_step_with_both_ranks(trained: Trained, jaeger: Jaeger | None) -> None:
    if jaeger is None:
        pytest.skip("OTEL_LLM_TEST_JAEGER is not set: OTEL_LLM_TEST_JAEGER=$(tests/components/jaeger.sh)")
    found = eventually(lambda: jaeger.find("grpo-trl_grpo", operation="training_step"))
    assert found == {span.trace_id for span in trained.of("step")}
    for trace_id in found:
        mine = [span for span in trained.spans if span.trace_id == trace_id]
        eventually(lambda trace_id=trace_id, mine=mine: len(jaeger.trace(trace_id)) >= len(mine))
        theirs = jaeger.trace(trace_id)
        assert {span.span_id for span in theirs} == {span.span_id for span in mine}
        assert {span.attributes[sc.RANK] for span in theirs} == {*range(RANKS)}
        for span in theirs:
            if span.name == "loss":
                assert {link.span_id for link in span.links} <= {one.span_id for one in theirs}


def test_w_and_b_has_the_curves_of_the_trainer_to_the_step_and_the_trajectories_of_both_ranks(
    trained: Trained,
) -> None:
    from tests.wandb.offline import runs

    (run,) = runs(trained.folder)
    assert run.run["project"] == "trl_grpo"
    wanted: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for entry in trained.history:
        for name, value in entry.items():
            if name != "step":
                wanted[name].append((entry["step"], value))
    assert {"reward", "rewards/correct/mean", "kl", "completions/mean_length"} <= wanted.keys()
    for name, points in wanted.items():
        namespace = name.rpartition("/")[0] and name.partition("/")[0] + "/"
        curve = [point for point in run.curve(name, f"{namespace}global_step") if point[0] <= STEPS]
        assert curve[: len(points)] == points, name
    assert {row["Sample"] for row in run.rows("full_trajectories")} == trained.samples(**{sc.RANK: 0})

    otel_llm(trained.folder, "replay", "--to", "wandb", ".otel_llm")
    both = [row for one in runs(trained.folder) for row in one.rows("full_trajectories")]
    assert Counter(row["Sample"] for row in both) == Counter(trained.samples())
    told = {
        span.attributes[sc.SAMPLE_ID]: span.attributes[sc.SAMPLE_REWARD] for span in trained.of("rollout")
    }
    assert {row["Sample"]: row["Total_Reward"] for row in both} == told
    shown = [row for row in both if row["Full_Trajectory"]]
    assert len(shown) >= STEPS * RANKS * 5, "five rollouts a step and rank have their conversation"
    assert all("Say the digit" in row["Full_Trajectory"] for row in shown)


def test_the_report_has_every_step_rank_and_rollout(trained: Trained) -> None:
    otel_llm(trained.folder, "report", "--run", RUN, "-o", "report.html")
    page = Page(trained.folder / "report.html")
    assert page.data["steps"]["number"] == [*range(1, STEPS + 1)]
    assert page.data["steps"]["ranks"] == [RANKS] * STEPS
    assert page.data["rollouts"]["n"] == STEPS * ROLLOUTS
    assert sorted(page.data["components"]) == ["correct", "form"]


def test_rewards_rise_and_those_of_a_frozen_model_do_not(tmp_path: Path) -> None:
    def rewards(*more: str) -> list[float]:
        folder = tmp_path / ("frozen" if more else "learning")
        folder.mkdir()
        execute(folder, str(SCRIPT), "--no-wandb", "--seed", "1", *more, OTEL_LLM_RUN_ID="")
        rows = StoreReader(folder / ".otel_llm").series("reward")
        return [row.value for row in sorted(rows, key=lambda row: row.step or 0)]

    learned, frozen = rewards(), rewards("--frozen", "--steps", "40")
    assert sum(learned[-30:]) / 30 > sum(frozen) / len(frozen) + 0.3
    assert abs(sum(frozen[:20]) - sum(frozen[20:])) / 20 < 0.1


def test_tensorboard_has_the_curves_where_w_and_b_is_not_wanted(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    execute(
        tmp_path,
        str(SCRIPT),
        *["--no-wandb", "--log-dir", "boards", "--steps", "2", "--checkpoint-interval", "2"],
    )
    state = tmp_path / "grpo_checkpoints" / "checkpoint-2" / "trainer_state.json"
    history = json.loads(state.read_text())["log_history"]
    found = []
    for folder in {path.parent for path in (tmp_path / "boards").rglob("events.out.tfevents.*")}:
        read = EventAccumulator(str(folder)).Reload()
        if "reward" in read.Tags()["scalars"]:
            found += [(event.step, event.value) for event in read.Scalars("reward")]
    assert found == [(entry["step"], pytest.approx(entry["reward"])) for entry in history]


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--train-batch-size", "33"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 2
    assert "--train-batch-size" in done.stderr
