"""`otel-llm show --runs`, `--run`, `--step` and `--rollout`."""

import json
import re

import pytest

from otel_llm import semconv as sc
from tests.cli.spans import call
from tests.report.training import Run


@pytest.fixture(scope="module")
def run():
    """A resumed run with every fault; nobody changes it."""
    faults = frozenset({"nan_loss", "unscored", "died", "raised"})
    return Run(steps=16, attempts=2, resumed_at=6, faults=faults).train()


@pytest.fixture(scope="module")
def store(run, tmp_path_factory):
    return run.write(tmp_path_factory.mktemp("store"))


@pytest.fixture
def show(invoke, store):
    def run_it(*arguments, **environment):
        result = invoke("show", "--store", store, *arguments, **environment)
        assert result.exit_code == 0, result.output
        return result.output

    return run_it


def row(text, first):
    """Return the cells of the line that begins so."""
    return next(re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.startswith(first))


# --- runs -----------------------------------------------------------------------------------------


def test_runs_are_a_list(show):
    text = show("--runs")
    cells = row(text, "sums-7")
    assert cells[:3] == ["sums-7", "sums", "killed"]
    assert cells[5:8] == ["2", "2", "16"]


def test_runs_as_json_have_the_fields_of_the_records(show):
    document = json.loads(show("--runs", "--json"))
    assert document["schema"] == "otel_llm.runs/1"
    (one,) = document["runs"]
    assert (one["run_id"], one["state"], one["steps"], one["world_size"]) == ("sums-7", "killed", 16, 2)
    assert [attempt["first_step"] for attempt in one["attempts"]] == [1, 7]


def test_a_store_without_runs_says_so(invoke, tmp_path):
    from tests.cli.conftest import write

    write(tmp_path / "store", [call(1)])
    result = invoke("show", "--runs", "--store", tmp_path / "store")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "the store has no training runs yet" in result.output


# --- one run --------------------------------------------------------------------------------------


def test_a_run_shows_its_last_steps_where_their_time_went_and_what_went_wrong(show):
    text = show("--run", "sums")
    assert text.startswith("run sums-7\n  killed · 2 attempts\n")
    assert "the last 12 of 18 steps" in text
    header = next(line for line in text.splitlines() if line.startswith("step  trace"))
    assert header.split() == [
        "step", "trace", "attempt", "took", "reward", "kl", "entropy", "loss", "grad", "norm", "tokens",
    ]  # fmt: skip
    assert row(text, "15 ")[7] == "nan"
    assert row(text, "16 ")[-1] == "rank 1 died"
    assert "generation  rewards  logprobs" in text
    assert "rank died: rank 1 did not come back from logprobs, step 16" in text
    assert "failed: generation: OutOfMemoryError: CUDA out of memory, step 2" in text
    assert "reward missing (rollout)" in text


def test_as_many_steps_as_are_asked_for(show):
    assert "the last 2 of 18 steps" in show("--run", "sums-7", "--last", "2")
    assert "the last" not in show("--run", "sums-7", "--full")


def test_a_run_as_json_has_its_steps_with_what_their_rollouts_come_to(show):
    document = json.loads(show("--run", "sums-7", "--json"))
    assert document["schema"] == "otel_llm.run/1"
    last = document["step_list"][-1]
    assert (last["number"], last["attempt"], last["rollouts"], last["groups"]) == (16, 1, 16, 4)
    assert [rank["died"] for rank in last["ranks"]] == [False, True]
    assert document["step_list"][-2]["ranks"][0]["scalars"]["loss"] == "nan"
    assert {"rank died", "ended early", "failed", "not finite", "reward missing"} <= {
        p["kind"] for p in document["trouble"]
    }


@pytest.mark.parametrize("columns", ["40", "72", "200"])
def test_no_line_is_wider_than_the_terminal(show, columns):
    for arguments in (
        ["--runs"],
        ["--run", "sums-7"],
        ["--run", "sums-7", "--step", "3"],
        ["--run", "sums-7", "--rollout", "3-1-2"],
    ):
        text = show(*arguments, COLUMNS=columns)
        assert max(map(len, text.splitlines())) <= int(columns), arguments


# --- one step -------------------------------------------------------------------------------------


def test_a_step_shows_each_rank_as_a_tree_and_which_loss_learned_from_which_rollout(show, run):
    text = show("--run", "sums-7", "--step", "3")
    assert text.startswith("run sums-7 · step 3 · attempt 1\n")
    assert "rank 0  node-0 cuda:0" in text
    assert "├─ sampling" in text
    assert "│  ├─ generation" in text
    step = [s for s in run.all_spans() if s.attributes.get(sc.TRAIN_STEP) == 3]
    names = {s.span_id: s.attributes[sc.SAMPLE_ID] for s in step if s.name == "rollout"}
    for loss in (s for s in step if s.name == "loss"):
        linked = ", ".join(names[link.span_id] for link in loss.links)
        assert f"micro-batch {loss.attributes[sc.TRAIN_MICRO_STEP]}  learned from 4: {linked}" in text
    assert "group 3-1-g0  reward " in text
    one = next(s for s in step if s.attributes.get(sc.SAMPLE_ID) == "3-1-2")
    cells = row(text, "3-1-2")
    assert cells[2] == f"{one.attributes[sc.SAMPLE_REWARD]:.4g}"
    assert re.fullmatch(r"loss rank 1 micro-batch [01]", cells[-1])


def test_a_part_that_scores_is_in_the_tree_and_what_scores_one_rollout_is_not(invoke, tmp_path):
    made = Run(steps=1, ranks=1).train()
    step = next(s for s in made.all_spans() if s.name == "training_step")
    here = {sc.RUN_ATTEMPT: 0, sc.RANK: 0, sc.TRAIN_STEP: 1}
    made._span(0, "rewards", step.trace_id, step, "rewards", step.start_ns, 0.1, here)
    for index in range(30):
        trace = f"{index + 1:032x}"
        own = made._span(0, "rollout", trace, None, "rollout", step.start_ns, 0.1, here)
        made._span(0, "reward judged", trace, own, "reward", step.start_ns, 0.01, here)
    result = invoke("show", "--run", made.id, "--step", "1", "--full", "--store", made.write(tmp_path))
    tree = result.output.partition("rank 0")[2].partition("group ")[0]
    assert "─ rewards  100 ms" in tree
    assert "─ reward correctness  " in tree  # of the step's own trace: it scored all at once
    assert "reward judged" not in tree


def test_a_step_that_was_done_again_is_shown_twice(show):
    text = show("--run", "sums-7", "--step", "7")
    assert "step 7 · attempt 1" in text
    assert "step 7 · attempt 2" in text
    document = json.loads(show("--run", "sums-7", "--step", "7", "--json"))
    assert [one["attempt"] for one in document["attempts"]] == [0, 1]
    assert all(len(one["rollouts"]) == 16 for one in document["attempts"])
    assert all(rollout["consumers"] for one in document["attempts"] for rollout in one["rollouts"])


def test_a_rank_that_died_and_a_reward_that_is_missing_are_seen_in_their_step(show):
    text = show("--run", "sums-7", "--step", "16")
    assert "rank 1  node-0 cuda:1  died in it" in text
    assert "logprobs  has not ended" in text
    assert row(text, "16-0-4")[2] == "missing"


# --- one rollout ----------------------------------------------------------------------------------


def test_a_rollout_shows_its_reward_what_was_said_and_its_way_to_the_loss(show):
    text = show("--run", "sums-7", "--rollout", "3-1-2")
    assert text.startswith("rollout 3-1-2\n  run sums-7 · attempt 1 · step 3 · rank 1 · train")
    assert "group 3-1-g0 · 4 samples" in text
    assert "the answer was" in text
    assert "Think, then give the sum" in text
    assert re.search(
        r"learned from in\n  step 3 · loss rank 1 micro-batch [01] · loss 0.0[12] · with 3 more", text
    )
    document = json.loads(show("--run", "sums-7", "--rollout", "3-1-2", "--json"))
    (one,) = document["attempts"]
    assert [turn["role"] for turn in one["conversation"]] == ["system", "user", "assistant"]
    assert one["consumers"][0]["kind"] == "loss"


def test_a_rollout_is_found_by_its_span_and_by_its_step_alone(show, run):
    span = next(s for s in run.all_spans() if s.attributes.get(sc.SAMPLE_ID) == "2-0-1")
    assert show("--run", "sums-7", "--rollout", span.span_id).startswith("rollout 2-0-1\n")
    assert show("--run", "sums-7", "--step", "2", "--rollout", "2-0-1").startswith("rollout 2-0-1\n")


@pytest.mark.parametrize("tells_prompt", [False, True])
def test_calls_below_a_rollout_are_shown_and_tell_what_was_said(invoke, tmp_path, tells_prompt):
    made = Run(steps=1, ranks=1, groups=1, size=2, content=False).train()
    parent = next(s for s in made.all_spans() if s.name == "rollout")
    said = '[{"role":"%s","parts":[{"type":"text","content":"%s"}]}]'
    made.spans[0].append(
        call(77, parent=None, trace_id=parent.trace_id, more={
            sc.RUN_ID: made.id, sc.INPUT_MESSAGES: said % ("user", "how much?"), sc.OUTPUT_MESSAGES: said % ("assistant", "forty"),
        })
    )  # fmt: skip
    made.spans[0][-1].parent_id = parent.span_id
    if tells_prompt:
        parent.attributes[sc.INPUT_MESSAGES] = said % ("user", "how much?")
    where = made.write(tmp_path)
    result = invoke("show", "--store", where, "--run", made.id, "--rollout", parent.attributes[sc.SAMPLE_ID])
    assert "user\n  how much?\nassistant\n  forty\n" in result.output
    assert "chat gpt-5" in result.output


def test_a_rollout_without_words_says_how_they_are_kept(invoke, tmp_path):
    made = Run(steps=1, ranks=1, groups=1, size=2, content=False).train()
    where = made.write(tmp_path / "none")
    first = next(s for s in made.all_spans() if s.name == "rollout").attributes[sc.SAMPLE_ID]
    told = " ".join(invoke("show", "--store", where, "--run", made.id, "--rollout", first).output.split())
    assert "what was said was not kept; OTEL_LLM_STORE_CONTENT=full keeps it from now on" in told
    assert "OTEL_LLM_TRL_TRAJECTORY_SAMPLES=0 (--log-trajectory-samples 0)" in told


def test_a_rollout_without_words_among_others_with_words_is_told_apart(invoke, tmp_path):
    made = Run(steps=1, ranks=1, groups=1, size=2).train()
    one = next(s for s in made.all_spans() if s.name == "rollout")
    for key in (sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES):
        del one.attributes[key]
    where = made.write(tmp_path)
    text = invoke(
        "show", "--store", where, "--run", made.id, "--rollout", one.attributes[sc.SAMPLE_ID], COLUMNS="60"
    ).output
    told = " ".join(text.split())
    assert "what was said was kept of other rollouts, not of this one" in told
    assert "OTEL_LLM_TRL_TRAJECTORY_SAMPLES=0 (--log-trajectory-samples 0) keeps it of all" in told
    assert "STORE_CONTENT" not in told
    assert max(map(len, text.splitlines())) <= 60


def test_the_update_that_a_loss_and_the_optimizer_belong_to_is_shown(invoke, tmp_path):
    made = Run(steps=1, ranks=1, groups=1, size=2, micro=2).train()
    losses = [s for s in made.all_spans() if s.name == "loss"]
    for update, span in enumerate([*losses, *(s for s in made.all_spans() if s.name == "optimizer")], 7):
        span.attributes[sc.TRAIN_UPDATE] = update
    where = made.write(tmp_path)
    tree = invoke("show", "--store", where, "--run", made.id, "--step", "1", COLUMNS="200").output
    assert re.search(r"─ loss  150 ms  loss 0.01  micro-batch 0  update 7  learned from 1", tree)
    assert re.search(r"─ optimizer  60 ms  update 9", tree)
    assert "loss rank 0 micro-batch 1 update 8" in tree
    document = json.loads(invoke("show", "--store", where, "--run", made.id, "--step", "1", "--json").stdout)
    parts = document["attempts"][0]["ranks"][0]["parts"]
    assert [part["update"] for part in parts if part["kind"] in {"loss", "optimizer"}] == [7, 8, 9]


# --- mistakes, and what is hostile ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--run", "nothing"],
            "there is no training run nothing in the store; `otel-llm show --runs` lists them",
        ),
        (["--run", "sums-7", "--step", "99"], "the run has no step 99; its last one is 16"),
        (["--run", "sums-7", "--rollout", "9-9-9"], "the run has no rollout 9-9-9;"),
        (["--step", "3"], "--step is of a training run: name it with --run ID"),
        (["--rollout", "3"], "--rollout is of a training run: name it with --run ID"),
        (["--runs", "--run", "x"], "--run does not go with --runs"),
        (["--runs", "--games"], "--runs does not go with --games"),
        (["--run", "x", "--game", "y", "--stats"], "--run does not go with --game or --stats"),
        (["--game", "x", "--step", "1"], "--game does not go with --step"),
        (["--run", "x", "--errors"], "--run does not go with --errors"),
    ],
)
def test_a_mistake_is_one_clear_line(invoke, store, arguments, message):
    result = invoke("show", "--store", store, *arguments)
    assert result.exit_code in {1, 2}
    assert result.output.startswith(f"otel-llm: {message}")
    assert result.output.count("\n") == 1


def test_two_runs_that_begin_alike_must_be_told_apart(invoke, tmp_path):
    for name in ("sums-7", "sums-8"):
        Run(id=name, steps=1, ranks=1).train().write(tmp_path)
    result = invoke("show", "--store", tmp_path, "--run", "sums")
    assert result.output == "otel-llm: several runs begin with sums: sums-7, sums-8\n"
    assert len(invoke("show", "--store", tmp_path, "--runs").output.splitlines()) == 3


def test_words_of_models_and_programs_cannot_act_upon_the_terminal(invoke, tmp_path):
    evil = "\x1b]0;owned\x07\u202eevil\nline"
    made = Run(id=f"run{evil}", steps=2, ranks=1, name=evil).train()
    for span in made.all_spans():
        span.attributes |= {sc.HOST_NAME: evil, sc.DEVICE: evil}
        if span.name == "rollout":
            span.attributes |= {
                sc.SAMPLE_ID: evil, sc.SAMPLE_GROUP: evil, sc.SAMPLE_REWARDS_PREFIX + evil: 1.0, sc.SAMPLE_PROBLEMS: (evil,),
                sc.ERROR_TYPE: evil, sc.ERROR_MESSAGE: evil, sc.SAMPLE_POLICY_VERSION: evil,
                sc.OUTPUT_MESSAGES: json.dumps([{"role": evil, "parts": [{"type": "text", "content": evil}]}]),
            }  # fmt: skip
        if span.name == "training_step":
            span.attributes |= {
                sc.TRAIN_METRICS_PREFIX + evil: 1.0,
                sc.TRAIN_TIME_PREFIX + evil: 1.0,
                sc.TRAIN_PROBLEMS: (evil,),
            }
    where = made.write(tmp_path)
    for arguments in (
        ["--runs"],
        ["--run", "run"],
        ["--run", "run", "--step", "1", "--full"],
        ["--run", "run", "--rollout", evil],
    ):
        text = invoke("show", "--store", where, *arguments).output
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text), arguments
        assert "\\x1b]0;owned" in text
