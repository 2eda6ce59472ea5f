"""The report on a training run as a file: what is in it, what was left out, and that nothing in it can act."""

import json
import math

import pytest

from otel_llm import semconv as sc
from otel_llm.report import NothingToReportError
from otel_llm.report.page import TRAINING, Assets
from otel_llm.report.training import write_run
from otel_llm.report.training.choosing import choose, levels
from otel_llm.report.training.gathering import EVALUATION, NO_SPREAD, UNCONSUMED, UNSCORED, Sample
from otel_llm.store import StoreReader
from tests.cli.spans import call
from tests.report.document import Page
from tests.report.test_untrusted import HOSTILE
from tests.report.training import COMPONENTS, Run

EVERYTHING = frozenset({"nan_loss", "unscored", "no_spread", "died", "raised"})


@pytest.fixture(scope="module")
def run():
    """A resumed run with every fault; nobody changes it."""
    return Run(steps=8, attempts=2, resumed_at=3, faults=EVERYTHING).train()


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    where = tmp_path_factory.mktemp("report")
    made = write_run(StoreReader(run.write(where / "store")), run.id, where / "run.html")
    return made, Page(made.path)


@pytest.fixture
def report(tmp_path):
    """Write a run's report; returns the page as tests read it, and what was written."""

    def make(run, **options):
        made = write_run(StoreReader(run.write(tmp_path / "store")), run.id, tmp_path / "run.html", **options)
        return Page(made.path), made

    return make


def rollouts(page):
    """Return the details of the rollouts; the steps' are before them."""
    return page.details()[page.data["steps"]["rows"] :]


# --- what is in it --------------------------------------------------------------------------------


def test_the_document_has_every_step_of_every_attempt_and_says_which_count(written):
    made, page = written
    steps = page.data["steps"]
    assert list(zip(steps["attempt"], steps["number"], strict=True)) == [
        *((0, n) for n in range(1, 6)), *((1, n) for n in range(4, 9)),
    ]  # fmt: skip
    assert steps["current"] == [True] * 3 + [False] * 2 + [True] * 5
    assert (made.steps, made.rollouts, page.data["rollouts"]["n"]) == (10, 160, 160)
    assert page.data["run"]["state"] == "killed"


def test_a_steps_reward_is_that_of_its_rollouts(written, run):
    _, page = written
    scores = [
        s.attributes[sc.SAMPLE_REWARD]
        for s in run.all_spans()
        if s.name == "rollout" and s.attributes[sc.TRAIN_STEP] == 2 and sc.SAMPLE_REWARD in s.attributes
    ]
    steps = page.data["steps"]
    assert steps["reward_mean"][1] == pytest.approx(sum(scores) / len(scores), rel=1e-5)
    assert (steps["reward_min"][1], steps["reward_max"][1]) == (min(scores), max(scores))
    assert steps["unscored"][1] == 1
    assert (steps["groups"][1], steps["flat"][1]) == (4, 2)
    assert page.data["components"] == list(COMPONENTS)


def test_numbers_that_are_not_finite_are_told_and_no_curve_has_them(written):
    _, page = written
    loss = next(curve for curve in page.data["curves"] if curve["name"] == "loss")
    row = page.data["steps"]["number"].index(7)
    assert loss["odd"] == [[row, "nan"]]
    assert loss["values"][row] is None
    assert page.data["roles"]["loss"] == "loss"


def test_a_number_that_differs_over_ranks_has_a_line_for_each_and_others_have_one(written):
    _, page = written
    curves = {curve["name"]: curve for curve in page.data["curves"]}
    assert [rank for rank, _ in curves["gpu/memory"]["ranks"]] == [0, 1]
    assert "ranks" not in curves["entropy"]


def test_of_many_ranks_only_the_lowest_and_highest_values_are_drawn(report):
    page, _ = report(Run(steps=1, ranks=12, groups=1, size=2).train())
    memory = next(curve for curve in page.data["curves"] if curve["name"] == "gpu/memory")
    assert "ranks" not in memory
    assert (memory["low"], memory["high"]) == ([31.0], [53.0])


def test_details_of_steps_come_first_and_say_what_each_rank_did(written):
    _, page = written
    steps = [one["about"] for one in page.details()[: page.data["steps"]["rows"]]]
    assert [rank["rank"] for rank in steps[0]["ranks"]] == [0, 1]
    assert steps[0]["ranks"][1]["times"]["generation"] > 0
    assert [loss[3] for loss in steps[0]["ranks"][0]["losses"]] == [4, 4]
    died = steps[-1]["ranks"][1]
    assert (died["died"], died["unfinished"]) == (True, ["logprobs"])
    assert steps[0]["groups"] == ["1-0-g0", "1-0-g1", "1-1-g0", "1-1-g1"]


def test_losses_say_which_update_they_belong_to(report):
    run = Run(steps=1, ranks=1, groups=1, size=2, micro=2).train()
    for update, loss in enumerate((s for s in run.all_spans() if s.name == "loss"), 7):
        loss.attributes[sc.TRAIN_UPDATE] = update
    page, _ = report(run)
    assert [loss[6] for loss in page.details()[0]["about"]["ranks"][0]["losses"]] == [7, 8]
    assert {one["about"]["consumers"][0][10] for one in rollouts(page)} == {7, 8}


def test_each_rollout_leads_to_the_losses_that_learned_from_it(written, run):
    _, page = written
    learned = {}
    for one in rollouts(page):
        for consumer in one["about"].get("consumers", ()):
            learned.setdefault(consumer[9], set()).add(one["about"]["span"])
    assert learned == run.consumed


def test_a_rollouts_row_and_its_details_are_of_the_same_rollout(written, run):
    _, page = written
    columns, details = page.data["rollouts"], rollouts(page)
    spans = {s.span_id: s for s in run.all_spans() if s.name == "rollout"}
    for number, one in enumerate(details):
        a = spans[one["about"]["span"]].attributes
        assert columns["name"][number] == a[sc.SAMPLE_ID]
        assert columns["tokens"][number] == a[sc.SAMPLE_OUTPUT_TOKENS]
        assert columns["reward"][number] == a.get(sc.SAMPLE_REWARD)
        assert page.data["steps"]["number"][columns["row"][number]] == a[sc.TRAIN_STEP]
        first = page.data["steps"]["first"][columns["row"][number]]
        assert first <= number < first + page.data["steps"]["n"][columns["row"][number]]
        step = page.details()[columns["row"][number]]["about"] if number % 40 == 0 else None
        if step is not None:
            assert step["groups"][columns["group"][number]] == a[sc.SAMPLE_GROUP]


def test_flags_say_what_is_special_about_a_rollout(written):
    _, page = written
    flags = page.data["rollouts"]["flags"]
    assert sum(bool(flag & UNSCORED) for flag in flags) == 10
    assert sum(bool(flag & NO_SPREAD) for flag in flags) == 10 * 2 * 4
    assert sum(bool(flag & UNCONSUMED) for flag in flags) == 8
    assert page.data["flat"]["n"] == 20


def test_what_went_wrong_is_in_it(written):
    _, page = written
    assert {"rank died", "ended early", "failed", "not finite", "reward missing", "no spread"} <= {
        row["kind"] for row in page.data["trouble"]
    }


def test_rollouts_of_an_evaluation_are_listed_but_not_counted_in_the_step(report):
    made = Run(steps=2, ranks=1).train()
    for span in made.all_spans():
        if span.name == "rollout" and span.attributes[sc.SAMPLE_GROUP].endswith("g1"):
            span.attributes |= {sc.SAMPLE_MODE: "eval", sc.SAMPLE_REWARD: 100.0}
    page, _ = report(made)
    assert page.data["steps"]["reward_max"][0] < 2
    assert page.data["steps"]["groups"] == [1, 1]
    assert sum(bool(flag & EVALUATION) for flag in page.data["rollouts"]["flags"]) == 8


def test_a_rollout_outside_any_step_is_there(report):
    made = Run(steps=1, ranks=1).train()
    next(s for s in made.all_spans() if s.name == "rollout").attributes.pop(sc.TRAIN_STEP)
    page, _ = report(made)
    assert page.data["rollouts"]["row"].count(-1) == 1
    assert page.data["steps"]["n"] == [7]
    assert rollouts(page)[0]["about"]["group"]


def test_a_run_without_rollouts_and_one_without_steps_have_a_report_too(report, tmp_path):
    made = Run(steps=2).train()
    for rank in made.spans:
        made.spans[rank] = [s for s in made.spans[rank] if s.name != "rollout"]
    page, _ = report(made)
    assert (page.data["rollouts"]["n"], page.data["steps"]["reward_mean"]) == (0, [None, None])
    empty = Run(id="empty", steps=0).train()
    written = write_run(StoreReader(empty.write(tmp_path / "empty")), "empty", tmp_path / "empty.html")
    assert Page(written.path).data["steps"]["rows"] == 0


def test_a_run_that_is_not_there_has_no_report(tmp_path):
    with pytest.raises(NothingToReportError):
        write_run(StoreReader(tmp_path), "nothing", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


# --- what was said --------------------------------------------------------------------------------


def said(one):
    return [text for _, text in one["said"]]


def test_conversations_are_in_it_unless_they_are_not_wanted(report):
    made = Run(steps=2, ranks=1).train()
    page, written = report(made)
    assert written.with_content == page.data["kept"] == 16
    assert all([role for role, _ in one["said"]] == ["system", "user", "assistant"] for one in rollouts(page))
    page, written = report(made, content=False)
    assert written.with_content == 0
    assert not any(one["said"] for one in rollouts(page))


def test_of_too_much_the_best_worst_and_most_surprising_of_every_step_are_kept_and_the_rest_counted(report):
    made = Run(steps=6, ranks=1, groups=2, size=8).train()
    lengths = [
        len(s.attributes[sc.INPUT_MESSAGES]) + len(s.attributes[sc.OUTPUT_MESSAGES])
        for s in made.all_spans()
        if s.name == "rollout"
    ]
    page, written = report(made, max_characters=int(max(lengths) * 3 * 6 * 1.02))
    assert 0 < written.with_content < 96
    assert written.with_content + written.left_out == 96
    assert page.data["left_out"] == written.left_out
    details, columns, steps = rollouts(page), page.data["rollouts"], page.data["steps"]
    for row in range(6):
        mine = range(steps["first"][row], steps["first"][row] + steps["n"][row])
        best = max(mine, key=lambda n: columns["reward"][n])
        worst = min(mine, key=lambda n: columns["reward"][n])
        surprising = max(mine, key=lambda n: abs(columns["surprise"][n]))
        for number in (best, worst, surprising):
            assert details[number]["said"], (row, number)


def test_levels_take_the_extremes_by_turns():
    def sample(reward, surprise):
        return Sample(0, 0, "", None, None, reward, {}, None, None, 0, ("", ""), 0, 10, surprise)

    samples = [sample(0.5, 0.0), sample(0.9, 0.2), sample(0.1, -0.3), sample(0.4, 2.0), sample(None, None)]
    assert levels(samples) == [1, 0, 0, 0, 4]
    assert choose(samples, [(0, 5)], 30) == ({1, 2, 3}, 2)
    assert choose(samples, [(0, 5)], 10_000) == ({0, 1, 2, 3, 4}, 0)


def test_a_very_long_answer_is_cut_and_says_so(report):
    made = Run(steps=1, ranks=1, groups=1, size=2).train()
    span = next(s for s in made.all_spans() if s.name == "rollout")
    span.attributes[sc.OUTPUT_MESSAGES] = json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "x" * 300_000}]}]
    )
    page, _ = report(made)
    longest = max((text for one in rollouts(page) for text in said(one)), key=len)
    assert 200_000 < len(longest) < 200_100
    assert longest.endswith("[the report leaves out 100,000 more characters]")


def test_a_rollout_with_a_trace_of_its_own_is_told_by_its_calls(report):
    made = Run(steps=1, ranks=1, groups=1, size=2, content=False).train()
    one = next(s for s in made.all_spans() if s.name == "rollout")
    one.trace_id, one.parent_id = "c" * 32, None
    words = '[{"role":"%s","parts":[{"type":"text","content":"%s"}]}]'
    asked = {
        sc.INPUT_MESSAGES: words % ("user", "how much?"),
        sc.OUTPUT_MESSAGES: words % ("assistant", "forty"),
    }
    made.spans[0].append(call(77, trace_id=one.trace_id, more=asked))
    made.spans[0][-1].parent_id = one.span_id
    page, written = report(made)
    assert written.with_content == 1
    assert [one["said"] for one in rollouts(page) if one["said"]] == [
        [("user", "how much?"), ("assistant", "forty")]
    ]


def test_token_details_are_there_where_they_were_kept(report):
    made = Run(steps=1, ranks=1, groups=1, size=2).train()
    span = next(s for s in made.all_spans() if s.name == "rollout")
    span.attributes |= {
        sc.SAMPLE_TOKEN_IDS: (5, 6), sc.SAMPLE_TOKEN_LOGPROBS: (-0.5, -math.inf), sc.SAMPLE_TOKEN_RATIOS: (1.0,)
    }  # fmt: skip
    page, _ = report(made)
    found = [one["about"]["tokens"] for one in rollouts(page) if "tokens" in one["about"]]
    assert found == [[[5, -0.5, 1.0], [6, "-inf", None]]]


# --- untrusted ------------------------------------------------------------------------------------


def hostile_run(steps=2):
    """A run in which everything that is a text is hostile."""
    made = Run(id=HOSTILE[0], name=HOSTILE[4], steps=steps, faults=frozenset({"raised", "no_spread"})).train()
    for number, span in enumerate(made.all_spans()):
        evil = HOSTILE[number % len(HOSTILE)]
        span.attributes |= {
            sc.HOST_NAME: evil,
            sc.DEVICE: evil,
            sc.RL_MODEL: evil,
            sc.TRAIN_CONFIG_PREFIX + evil: evil,
        }
        if span.name == "rollout":
            span.attributes |= {
                sc.SAMPLE_ID: f"{evil}{number}", sc.SAMPLE_GROUP: span.attributes[sc.SAMPLE_GROUP] + evil,
                sc.SAMPLE_REWARDS_PREFIX + evil: 1.0, sc.SAMPLE_POLICY_VERSION: evil, sc.SAMPLE_PROBLEMS: (evil,),
                sc.SAMPLE_TASK: evil, sc.INPUT_MESSAGES: json.dumps([{"role": evil, "parts": [{"type": "text", "content": evil}]}]),
            }  # fmt: skip
            for event in span.events:
                event.attributes[sc.EVALUATION_EXPLANATION] = evil
        elif span.name == "training_step":
            span.attributes |= {
                sc.TRAIN_METRICS_PREFIX + evil: math.inf, sc.TRAIN_TIME_PREFIX + evil: 0.1, sc.TRAIN_PROBLEMS: (evil,),
                sc.ERROR_TYPE: evil, sc.ERROR_MESSAGE: evil,
            }  # fmt: skip
            span.status = "error"
        elif span.name == "loss":
            span.name = evil
            span.attributes[sc.ERROR_TYPE] = evil
    return made


def test_no_text_can_end_the_element_it_stands_in(report):
    page, _ = report(hostile_run())
    kinds = [a.get("id") or a.get("class") or a.get("type") for a, _ in page.scripts]
    assert kinds[:3] == ["report-data", None, None]
    assert set(kinds[3:]) == {"chunk"}
    assert [tag for tag, _ in page.tags if tag not in {"script", "meta"}] == [
        "html", "head", "title", "style", "body", "a", "div", "noscript", "p",
    ]  # fmt: skip
    assert page.data["run"]["id"] == HOSTILE[0]


def test_half_a_surrogate_pair_is_no_reason_to_fail(report):
    made = Run(steps=1, ranks=1, groups=1, size=2).train()
    for span in made.all_spans():
        if span.name == "rollout":
            span.attributes |= {
                sc.SAMPLE_ID: "\ud800",
                sc.SAMPLE_GROUP: "\udfff",
                sc.SAMPLE_REWARDS_PREFIX + "\ud800": 1.0,
            }
            span.attributes[sc.INPUT_MESSAGES] = (
                '[{"role":"user","parts":[{"type":"text","content":"\\ud800"}]}]'
            )
    page, _ = report(made)
    assert rollouts(page)[0]["said"]


def test_our_scripts_have_no_way_to_make_markup_of_text():
    script = Assets(TRAINING).script
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
    ):
        assert sink not in script, sink
