"""Training is what it was: losses, rewards, weights and random numbers, to the last bit."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from otel_llm import semconv as sc
from tests.trl import runs

BITS = ("error", "weights", "random", "learned", "callbacks", "extra")
ODD = ("none", "only_none", "nan", "raises", "too_few", "tensor", "constant", "columns", "texts", "async")
LATER = ("evaluates", "resumes", "not finite", "checkpoint fails", "callback", "subclass", "evaluates alone")


def same(on, off):
    assert len(on.ranks) == len(off.ranks)
    for rank, (ours, plain) in enumerate(zip(on.ranks, off.ranks, strict=True)):
        assert on.figures(rank) == off.figures(rank) or str(on.figures(rank)) == str(off.figures(rank))
        for name in BITS:
            assert str(ours[name]) == str(plain[name]), name
        failed = {what: n for what, n in ours["dropped"].items() if "internal_error" in what}
        assert not failed


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_is_the_same_to_the_last_bit_on_one_and_two_ranks(train, trainer, ranks):
    settings = {"ranks": ranks, "trainer": trainer, "max_steps": 4}
    same(train(**settings), train(off=True, **settings))


@pytest.mark.parametrize("case", ODD + LATER)
def test_is_the_same_where_something_is_odd(train, case):
    same(train(case=case), train(case=case, off=True))


@pytest.mark.parametrize("case", ["nan", "evaluates", "raises"])
def test_is_the_same_where_something_is_odd_on_two_ranks(train, case):
    same(train(case=case, ranks=2), train(case=case, ranks=2, off=True))


@pytest.mark.parametrize("trainer", ["sft", "dpo", "kto", "reward"])
def test_every_trainer_is_the_same_and_has_the_skeleton(train, trainer):
    on = train(trainer=trainer)
    same(on, train(trainer=trainer, off=True))
    names = [span.name for span in on.spans if span.attributes[sc.SCOPE_KIND] != "training_run"]
    assert names.count("training_step") == 3
    assert names.count("optimizer") == 3
    assert names.count("backward") == 3
    assert names.count("checkpoint") >= 1
    assert names.count("evaluation") == len([row for row in on.first["history"] if "eval_runtime" in row]) > 0
    assert len(on.named("loss", **{sc.TRAIN_MICRO_STEP: 0})) == 3
    run = next(span for span in on.spans if span.name.startswith("training_run"))
    assert run.attributes[sc.RL_ALGORITHM] == trainer
    logged = {row.name for row in on.series if row.step == 1}
    assert {"loss", "grad_norm", "learning_rate", "perf/tokens_per_second", "perf/step_seconds"} <= logged


SEAMS = (
    "run", "step", "figures", "loss", "backward", "evaluation", "checkpoint", "sampling", "generation", "rewards",
    "reward functions", "logprobs",
)  # fmt: skip


@pytest.mark.parametrize("how", ["break", "break after"])
@pytest.mark.parametrize("seam", SEAMS)
def test_a_seam_that_breaks_is_switched_off_alone_and_training_goes_on(train, seam, how):
    if (how, seam) == ("break after", "reward functions"):
        pytest.skip("its second half is that of every part")
    settings = {
        "max_steps": 2,
        "save_strategy": "steps",
        "save_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 1,
    }
    on = train(case=f"{how}:{seam}", **settings)
    plain = train(case=f"{how}:{seam}", off=True, **settings)
    assert on.figures() == plain.figures()
    for name in ("error", "weights", "random", "learned"):
        assert on.first[name] == plain.first[name]
    assert on.first["error"] is None
    assert on.first["seams"][seam].startswith("failed")
    others = {name: state for name, state in on.first["seams"].items() if name != seam}
    assert not [name for name, state in others.items() if "failed" in state]
    assert on.first["dropped"][f"seam: {seam}"] >= 1


@pytest.mark.slow
def test_torchrun_starts_it_and_trainers_are_imported_by_the_program_alone(train):
    plain = train(ranks=2, off=True, max_steps=2)  # (skips where there is no environment)
    folder = runs.scratch() / "torchrun"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    program = [str(runs.HERE / "programs" / "train.py"), str(runs.model("newest")), str(folder)]
    ran = subprocess.run(
        [runs.environment("newest") / "bin" / "python", "-m", "torch.distributed.run", "--nproc_per_node", "2",
         "--master_port", port, *program, "--config", '{"max_steps": 2}'],
        env={**runs.variables(runs.scratch() / "metadata"), "ACCELERATE_USE_CPU": "true"},
        capture_output=True, text=True, timeout=runs.TIMEOUT, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-4000:]
    told = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]
    on = runs.Trained(folder, tuple(told))
    assert [on.figures(rank) for rank in range(2)] == [plain.figures(rank) for rank in range(2)]
    assert [one["weights"] for one in told] == [one["weights"] for one in plain.ranks]
    steps = on.named("training_step")
    assert len(steps) == 4
    assert len({step.trace_id for step in steps}) == 2
