"""The hand-written loops of examples/grpo: their metrics against the raw tensors, and what can be walked in the store."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import otel_llm
from otel_llm import semconv as sc
from otel_llm.store import StoredSpan, StoreReader

_MISSING = [
    name for name in ("torch", "transformers", "accelerate") if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.trl,
    pytest.mark.skipif(bool(_MISSING), reason=f"the loops of examples/grpo need {', '.join(_MISSING)}"),
]

ROOT = Path(__file__).parents[2]
STEPS, PROMPTS, GROUP, BATCH = 3, 2, 4, 4
SMALL = (
    f"--no-wandb --steps {STEPS} --rollouts-per-step {PROMPTS} --group-size {GROUP} --train-batch-size {BATCH} "
    "--checkpoint-interval 2 --seed 7"
).split()
LOOPS = ("base", "dr_grpo", "accelerate_loop", "accelerate_ddp", "multiturn_qa", "math_python")
MULTI_TURN = ("multiturn_qa", "math_python")


def environment() -> dict[str, str]:
    """Return that of a user's shell, without what would change where telemetry goes."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "WANDB_"))}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
    }


def execute(directory: Path, *command: str, ranks: int = 1, **more: str) -> str:
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)] if ranks > 1 else []
    )
    done = subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=directory,
        env=environment() | more,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


class Trained:
    """A small run: its raw tensors by rank, and what the store has of it."""

    def __init__(self, loop: str, directory: Path, ranks: int) -> None:
        self.loop, self.ranks, self.directory = loop, ranks, directory
        program = str(Path(__file__).parent / "programs" / "grpo_raw.py")
        self.printed = execute(directory, program, loop, str(directory / "raw"), *SMALL, ranks=ranks)
        self.raw = [pickle.loads((directory / f"raw.{rank}").read_bytes()) for rank in range(ranks)]
        reader = StoreReader(directory / ".otel_llm")
        self.spans = list(reader.spans())
        self.logs = list(reader.logs())
        self.series: dict[int, dict[tuple[str, Any], float]] = defaultdict(dict)
        for row in reader.series():
            self.series[row.attributes[sc.RANK]][row.name, row.step] = row.value
            assert row.attributes[sc.RUN_ID] == self.run.attributes[sc.RUN_ID], row
        assert reader.problems == []
        assert reader.open_spans() == []
        self.by_id = {span.span_id: span for span in self.spans}

    @property
    def run(self) -> StoredSpan:
        return self.of("training_run")[0]

    def of(self, kind: str, step: int | None = None) -> list[StoredSpan]:
        found = [span for span in self.spans if span.attributes.get(sc.SCOPE_KIND) == kind]
        found = [span for span in found if step is None or span.attributes[sc.TRAIN_STEP] == step]
        return sorted(found, key=lambda span: span.start_ns)

    def below(self, span: StoredSpan) -> list[StoredSpan]:
        return sorted(
            (one for one in self.spans if one.parent_id == span.span_id), key=lambda one: one.start_ns
        )


_made: dict[tuple[str, int], Trained] = {}


@pytest.fixture
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trained]:
    def once(loop: str, ranks: int | None = None) -> Trained:
        key = loop, ranks or (2 if loop == "accelerate_ddp" else 1)
        if key not in _made:
            _made[key] = Trained(loop, tmp_path_factory.mktemp(loop), key[1])
        return _made[key]

    return once


@pytest.mark.parametrize(("loop", "ranks"), [*((loop, None) for loop in LOOPS), ("accelerate_ddp", 1)])
def test_metrics_are_what_raw_tensors_give(
    loop: str, ranks: int | None, trained: Callable[..., Trained]
) -> None:
    import grpo_expected as expected

    one = trained(loop, ranks)
    steps = [expected.of_updates(raw, loop) for raw in one.raw]
    joint = expected.of_rollouts(one.raw, loop) | expected.of_epochs(steps, STEPS)
    if loop != "accelerate_loop":
        assert len(one.raw[0]["gradients"]) == STEPS * PROMPTS * GROUP // BATCH
    for rank in range(one.ranks):
        wanted = dict(steps[rank])
        if rank == 0:  # what is of all ranks is told once
            wanted |= joint
            wanted["checkpoint/saved", 2], wanted["checkpoint/step", 2] = 1, 2
        else:
            del wanted["training/invalid_loss_count", len(one.raw[rank]["gradients"])]
        if loop.startswith("accelerate"):
            for name, value in (
                ("num_processes", one.ranks),
                ("process_index", rank),
                ("local_process_index", rank),
            ):
                wanted[f"ddp/{name}", 1] = value
        found = one.series[rank]
        assert sorted(found) == sorted(wanted)
        for key, value in wanted.items():
            assert found[key] == pytest.approx(value, rel=1e-4, abs=2e-6), key


def test_advantages_of_two_ranks_are_those_of_their_own_groups(trained: Callable[..., Trained]) -> None:
    import grpo_expected as expected

    one = trained("accelerate_ddp")
    for number in range(1, STEPS + 1):
        told = Counter(round(span.attributes[sc.SAMPLE_ADVANTAGE], 4) for span in one.of("rollout", number))
        assert told == Counter(
            round(value, 4)
            for raw in one.raw
            for value in expected.advantages(raw["rounds"][number - 1]["rewards"], one.loop)
        )


@pytest.mark.parametrize("loop", LOOPS)
def test_each_step_has_its_rollouts_and_parts(loop: str, trained: Callable[..., Trained]) -> None:
    one = trained(loop)
    assert len(one.of("training_run")) == one.ranks
    for number in range(1, STEPS + 1):
        steps = one.of("step", number)
        assert len(steps) == one.ranks
        assert len({step.trace_id for step in steps}) == 1, "a step is one trace over all ranks"
        assert all(sc.TRAIN_LOSS in step.attributes for step in steps)
        kinds = {child.attributes[sc.SCOPE_KIND] for step in steps for child in one.below(step)}
        assert kinds >= {"generation", "logprobs", "advantages", "loss", "backward", "optimizer"}
        rollouts = one.of("rollout", number)
        assert Counter(span.attributes[sc.SAMPLE_GROUP] for span in rollouts) == dict.fromkeys(
            (f"{number}-{group}" for group in range(PROMPTS)), GROUP
        )
        assert len({span.attributes[sc.SAMPLE_ID] for span in rollouts}) == PROMPTS * GROUP
        for span in rollouts:
            components = [v for k, v in span.attributes.items() if k.startswith(sc.SAMPLE_REWARDS_PREFIX)]
            assert components
            assert span.attributes[sc.SAMPLE_REWARD] == pytest.approx(sum(components))
            assert span.attributes[sc.SAMPLE_STATUS] == "scored"
            spans = [
                child
                for child in one.spans
                if child.trace_id == span.trace_id and child.name.startswith("reward ")
            ]
            assert len(spans) == len(components), "its own, or of a batch one for all of its step"
        assert ({span.trace_id for span in rollouts} == {steps[0].trace_id}) == (loop == "dr_grpo")
        losses = [span for span in one.of("loss", number) if span.attributes[sc.RANK] == 0]
        updates = [span for span in one.of("optimizer", number) if span.attributes[sc.RANK] == 0]
        numbers = [span.attributes[sc.TRAIN_UPDATE] for span in updates]
        assert numbers == [(number - 1) * len(numbers) + i + 1 for i in range(len(numbers))]
        assert list(dict.fromkeys(span.attributes[sc.TRAIN_UPDATE] for span in losses)) == numbers
        last = next(step for step in steps if step.attributes[sc.RANK] == 0).attributes
        told = one.series[0]
        for name, key in (
            ("loss", sc.TRAIN_LOSS),
            ("grad_norm", sc.TRAIN_GRAD_NORM),
            ("learning_rate", sc.TRAIN_LEARNING_RATE),
        ):
            assert last[key] == pytest.approx(told[f"training_step/{name}", numbers[-1]])


def linked(span: StoredSpan) -> list[str]:
    return [link.span_id for link in span.links if link.attributes.get(sc.LINK_KIND) == sc.LINK_CONSUMED]


def words(text: str) -> str:
    """Return a text as the tiny tokenizer would write it, so that both can be compared."""
    return "".join(text.split())


def conversation(span: StoredSpan) -> str:
    """Return all that was said in a rollout."""
    said = ""
    for key in (sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES):
        for message in json.loads(span.attributes[key]):
            for part in message["parts"]:
                if part["type"] == "tool_call_response":
                    said += f"<result>{part['response']}</result>"
                elif part["type"] == "text":
                    said += part["content"]
    return words(said)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loss_is_linked_to_exactly_the_rollouts_whose_tokens_were_in_its_batch(
    loop: str, trained: Callable[..., Trained]
) -> None:
    one = trained(loop)
    for rank, raw in enumerate(one.raw):
        losses = [span for span in one.of("loss") if span.attributes[sc.RANK] == rank]
        assert len(losses) == len(raw["losses"])
        for span, learned in zip(losses, raw["losses"], strict=True):
            assert Counter(conversation(one.by_id[found]) for found in linked(span)) == Counter(
                map(words, learned["texts"])
            )
            assert span.attributes[sc.TRAIN_CONSUMED] == len(learned["texts"])
        for step in one.of("step"):
            if step.attributes[sc.RANK] == rank:
                below = [span for span in losses if span.parent_id == step.span_id]
                assert sorted(linked(step)) == sorted({found for span in below for found in linked(span)})


@pytest.mark.parametrize("loop", MULTI_TURN)
def test_turns_and_tool_calls_of_a_rollout_are_in_its_trace(
    loop: str, trained: Callable[..., Trained]
) -> None:
    one = trained(loop)
    name = {"multiturn_qa": "search", "math_python": "python"}[loop]
    calls = 0
    for rollout in one.of("rollout"):
        below = one.below(rollout)
        turns = [span for span in below if span.attributes[sc.SCOPE_KIND] == "turn"]
        assert [span.attributes[sc.SAMPLE_TURN] for span in turns] == list(range(len(turns)))
        assert rollout.attributes[sc.SAMPLE_TURNS] == len(turns) >= 1
        said = json.loads(rollout.attributes[sc.OUTPUT_MESSAGES])
        asked = [part for message in said for part in message["parts"] if part["type"] == "tool_call"]
        tools = [span for turn in turns for span in one.below(turn)]
        assert [span.name for span in tools] == [f"execute_tool {name}"] * len(asked)
        assert [json.loads(span.attributes[sc.TOOL_CALL_ARGUMENTS]) for span in tools] == [
            part["arguments"] for part in asked
        ]
        calls += len(tools)
    assert calls >= STEPS * PROMPTS * GROUP // 2, "the warm-up has taught the form of calls"


@pytest.mark.parametrize("loop", MULTI_TURN)
def test_examples_of_completions_are_kept(loop: str, trained: Callable[..., Trained]) -> None:
    one = trained(loop)
    texts = [log.attributes for log in one.logs if log.event_name == sc.EVENT_TEXT]
    assert [text[sc.SERIES_NAME] for text in texts] == ["examples/completion"]
    assert words(one.raw[0]["rounds"][0]["texts"][0]) in words(
        texts[0][sc.SERIES_TEXT].replace("<user>", "").replace("<assistant>", "").replace("<end>", "")
    )


def test_critic_and_device_are_told_as_words(trained: Callable[..., Trained]) -> None:
    words = {
        loop: {
            log.attributes[sc.SERIES_NAME]: log.attributes[sc.SERIES_TEXT]
            for log in trained(loop).logs
            if log.event_name == sc.EVENT_TEXT
        }
        for loop in ("dr_grpo", "accelerate_loop")
    }
    assert words == {
        "dr_grpo": {"dr_grpo/critic_type": "group_mean"},
        "accelerate_loop": {"accelerate/device": "cpu"},
    }


def rewards_of(directory: Path, loop: str, *more: str) -> list[float]:
    directory.mkdir()
    script = str(ROOT / "examples" / "grpo" / f"{loop}.py")
    execute(directory, script, "--no-wandb", "--seed", "1", "--checkpoint-interval", "0", *more)
    rows = StoreReader(directory / ".otel_llm").series("rollouts/returns_mean")
    return [row.value for row in sorted(rows, key=lambda row: row.step or 0)]


def test_rewards_rise_and_those_of_a_frozen_model_do_not(tmp_path: Path) -> None:
    learned = rewards_of(tmp_path / "learning", "dr_grpo", "--steps", "20")
    frozen = rewards_of(tmp_path / "frozen", "dr_grpo", "--steps", "20", "--frozen")
    assert sum(learned[-5:]) / 5 > sum(frozen) / 20 + 0.25
    assert abs(sum(frozen[-10:]) - sum(frozen[:10])) / 10 < 0.1


def test_tensorboard_files_are_where_log_dir_says(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    rewards_of(tmp_path / "run", "base", "--steps", "1", "--log-dir", str(tmp_path / "elsewhere"))
    assert list((tmp_path / "elsewhere").rglob("events.out.tfevents.*"))


def test_a_game_is_a_rollout_with_a_session_phases_and_orders(tmp_path: Path) -> None:
    pytest.importorskip("diplomacy", reason="the diplomacy engine is not installed")
    script = str(ROOT / "examples" / "grpo" / "diplomacy_grpo.py")
    small = [
        "--no-wandb",
        "--steps",
        "2",
        "--group-size",
        "3",
        "--rollouts-per-step",
        "2",
        "--train-batch-size",
        "3",
        "--seed",
        "5",
    ]
    execute(tmp_path, script, *small)
    store = tmp_path / ".otel_llm"
    spans = list(StoreReader(store).spans())
    kinds = defaultdict(list)
    for span in spans:
        kinds[span.attributes.get(sc.SCOPE_KIND)].append(span)

    sessions = sorted(otel_llm.read_sessions(store), key=lambda session: session.game_id)
    assert [session.game_id for session in sessions] == [
        f"episode-{step}-{group}-{index}" for step in (1, 2) for group in range(2) for index in range(3)
    ], "only what is learned from is a session"
    for session in sessions:
        assert (session.status, session.is_grpo_training) == ("completed", True)
        assert session.grpo_episode == int(session.game_id.split("-")[1])
        assert session.interactions_by_type == {"order": 2}
    for rollout in kinds["rollout"]:
        name = rollout.attributes[sc.SAMPLE_ID]
        mine = [span for span in spans if span.attributes.get(sc.SAMPLE_ID) == name]
        phases = [span for span in mine if span.attributes[sc.SCOPE_KIND] == "phase"]
        assert [span.attributes[sc.PHASE_NAME] for span in sorted(phases, key=lambda one: one.start_ns)] == [
            "S1901M",
            "F1901M",
        ]
        assert {span.attributes[sc.GAME_ID] for span in phases} == {f"episode-{name}"}
        assert {span.attributes[sc.TRAIN_STEP] for span in mine} == {rollout.attributes[sc.TRAIN_STEP]}
        assert all(sc.LEFT_OPEN not in span.attributes for span in mine)
        (game,) = (span for span in mine if span.attributes[sc.SCOPE_KIND] == "game")
        assert game.attributes[sc.GAME_REWARD] == pytest.approx(rollout.attributes[sc.SAMPLE_REWARD])
    ids = {span.span_id for span in kinds["rollout"]}
    assert {found for span in kinds["loss"] for found in linked(span)} == ids


@pytest.mark.parametrize(
    ("loop", "project"),
    [
        ("base", "tiny_grpo"),
        ("dr_grpo", "drgrpo_experiment"),
        ("accelerate_loop", "accelerate_grpo"),
        ("accelerate_ddp", "grpo_accelerate_ddp"),
        ("multiturn_qa", "tiny_grpo_multiturn_qa"),
        ("math_python", "tiny_grpo_multiturn_tool_calling"),
    ],
)
def test_every_loop_has_every_option_and_a_project_of_its_own(
    loop: str, project: str, tmp_path: Path
) -> None:
    told = execute(tmp_path, str(ROOT / "examples" / "grpo" / f"{loop}.py"), "--help")
    options = (
        "wandb no-wandb wandb-project run-name log-dir model-name lr group-size rollouts-per-step train-batch-size "
        "temperature max-length max-prompts checkpoint-interval seed steps store frozen"
    )
    assert [name for name in options.split() if f"--{name}" not in told] == []
    assert f"default: {project}\n" in told


def test_an_offline_run_of_wandb_has_the_project_and_the_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="W&B is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "wandb"))
    offline = importlib.import_module("offline")
    small = ["--steps", "2", "--rollouts-per-step", "2", "--group-size", "2", "--run-name", "first"]
    execute(tmp_path, str(ROOT / "examples" / "grpo" / "math_python.py"), *small, WANDB_MODE="offline")
    (run,) = offline.runs(tmp_path)
    assert (run.run["project"], run.run["name"]) == ("tiny_grpo_multiturn_tool_calling", "first")
    curve = {
        row["rollouts/global_step"]: row["rollouts/returns_mean"]
        for row in run.history
        if "rollouts/returns_mean" in row
    }
    stored = {
        row.step: row.value for row in StoreReader(tmp_path / ".otel_llm").series("rollouts/returns_mean")
    }
    assert curve == pytest.approx(stored)
    assert {"batch_returns/mean", "training_step/loss", "final/total_steps"} <= {
        key for row in run.history for key in row
    }
