"""Rollouts that a program sampled together, through the public face."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import baggage, context

import otel_llm
from otel_llm import drops, testing
from otel_llm import semconv as sc
from otel_llm.store import StoreReader
from otel_llm.testing import Captured


@pytest.fixture
def captured() -> Iterator[Captured]:
    with testing.capture(metrics=False, content="full") as found:
        yield found


def named(captured: Captured, name: str) -> list[Any]:
    return [span for span in captured.spans() if span.name == name]


def rollouts(captured: Captured) -> list[Any]:
    return named(captured, "rollout")


def told(span: Any) -> dict[str, Any]:
    return {key: value for key, value in span.attributes.items() if key.startswith("rl.sample.")}


def linked(span: Any) -> set[int]:
    return {link.context.span_id for link in span.links if link.attributes[sc.LINK_KIND] == sc.LINK_CONSUMED}


class Tensor:
    """Stands in for a tensor on a device: reading it on the caller's thread is what must not happen."""

    def __init__(self, values: list[Any], shape: tuple[int, ...] | None = None) -> None:
        self.values = values
        self.shape = (len(values),) if shape is None else shape
        self.dtype, self.device, self.is_copy = "float32", SimpleNamespace(type="fake"), False

    def reshape(self, shape: Any) -> Tensor:
        return Tensor(self.values, () if shape == () else None)

    def detach(self) -> Tensor:
        return self

    def clone(self) -> Tensor:
        made = Tensor(list(self.values), self.shape)
        made.is_copy = True
        return made

    def numel(self) -> int:
        return len(self.values)

    def element_size(self) -> int:
        return 4

    def tolist(self) -> list[Any]:
        assert self.is_copy, "waited for the device"
        return self.values if self.shape else self.values[0]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        raise AssertionError("looked into a tensor")


def test_completions_of_groups_as_whole_spans(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(3) as step:
        with otel_llm.part("generation") as sampling:
            pass
        otel_llm.rollouts(
            prompts=["2+2", "3+3"],
            completions=["4", "5", "6", ""],
            rewards={"correct": Tensor([1.0, 0.0, 1.0, 0.0], (2, 2)), "short": [0.5, None, 0.5, 0.5]},
            weights={"correct": 2},
            advantages=Tensor([1.0, -1.0, 1.0, -1.0]),
            group_size=2,
            input_tokens=3,
            output_tokens=[1, 1, 1, 0],
            truncated=[False, False, True, False],
            policy_step=2,
            during=sampling,
            attributes={"exact.name": "x"},
            difficulty=[1, 1, 2, 2],
        )
    spans = rollouts(captured)
    common = {
        sc.SAMPLE_INPUT_TOKENS: 3,
        sc.SAMPLE_POLICY_STEP: 2,
        sc.SAMPLE_STATUS: "scored",
        sc.SAMPLE_WEIGHTS_PREFIX + "correct": 2.0,
    }
    assert [told(span) for span in spans] == [
        {
            **common,
            sc.SAMPLE_ID: f"3-{group}-{index}",
            sc.SAMPLE_GROUP: f"3-{group}",
            sc.SAMPLE_INDEX: index,
            sc.SAMPLE_OUTPUT_TOKENS: tokens,
            sc.SAMPLE_TRUNCATED: (group, index) == (1, 0),
            sc.SAMPLE_REWARDS_PREFIX + "correct": 1.0 - index,
            **({} if short is None else {sc.SAMPLE_REWARDS_PREFIX + "short": short}),
            sc.SAMPLE_REWARD: 2.0 * (1.0 - index) + (short or 0.0),
            sc.SAMPLE_ADVANTAGE: 1.0 - 2 * index,
            **problems,
        }
        for group, index, tokens, short, problems in (
            (0, 0, 1, 0.5, {}),
            (0, 1, 1, None, {sc.SAMPLE_PROBLEMS: ("reward_missing",)}),
            (1, 0, 1, 0.5, {}),
            (1, 1, 0, 0.5, {sc.SAMPLE_PROBLEMS: ("empty",)}),
        )
    ]
    generation = named(captured, "generation")[0]
    for index, span in enumerate(spans):
        assert span.parent.span_id == step.span.get_span_context().span_id
        assert (span.start_time, span.end_time) == (generation.start_time, generation.end_time)
        assert span.attributes["exact.name"] == "x"
        assert span.attributes[sc.CUSTOM_PREFIX + "difficulty"] == 1 + index // 2
        assert span.attributes[sc.RUN_ID] == "exp"
        assert sc.INVALID_FIELDS not in span.attributes
        assert ("2+2", "3+3")[index // 2] in span.attributes[sc.INPUT_MESSAGES]
        assert '"4"5"6"'[1 + 2 * index : 2 + 2 * index] in span.attributes[sc.OUTPUT_MESSAGES]


def test_a_loss_links_those_that_it_was_given_in_any_order_and_mixed_with_others(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        first = otel_llm.rollouts(completions=["a", "b", "c"], advantages=[1, 2, 3])
        second = otel_llm.rollouts(completions=["d", "e"], advantages=[1, 2])
        with otel_llm.rollout("own") as own:
            pass
        with otel_llm.loss([second[1], first[0], own, first[-1], first[0]]):
            pass
        with otel_llm.loss(first[1:]):
            pass
        with otel_llm.loss(second, indices=Tensor([0])):
            pass
        with otel_llm.loss(first):
            pass
        with otel_llm.loss() as later:
            later.consumes([first[0]])
    by_id = {span.attributes[sc.SAMPLE_ID]: span.context.span_id for span in rollouts(captured)}
    assert sorted(by_id) == ["1-0", "1-1", "1-2", "1-3", "1-4", "own"]

    def ids(*names: str) -> set[int]:
        return {by_id[name] for name in names}

    assert [linked(span) for span in named(captured, "loss")] == [
        ids("1-4", "1-0", "own", "1-2"),
        ids("1-1", "1-2"),
        ids("1-3"),
        ids("1-0", "1-1", "1-2"),
        ids("1-0"),
    ]
    assert [span.attributes[sc.TRAIN_CONSUMED] for span in named(captured, "loss")] == [4, 2, 1, 3, 1]
    assert linked(named(captured, "training_step")[0]) == set(by_id.values())


def test_a_step_without_a_loss_says_itself_what_it_learned_from(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        sampled = otel_llm.rollouts(completions=["a", "b", "c"], advantages=[1, 2, 3])
        step.consumes([sampled[2], sampled[0]])
    by_id = {span.attributes[sc.SAMPLE_ID]: span.context.span_id for span in rollouts(captured)}
    assert linked(named(captured, "training_step")[0]) == {by_id["1-0"], by_id["1-2"]}


def test_they_wait_for_their_advantages_however_these_are_told(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        one = otel_llm.rollouts(completions=["a", "b"])
        for number, sampled in enumerate(one):
            sampled.advantage(Tensor([number + 0.5], ((), (1,))[number]))
        other = otel_llm.rollouts(completions=["c"]).reward("correct", [1.0]).total_reward([0.25])
        other.advantages([0.75])
        with otel_llm.loss([*one, *other]):
            pass
    spans = rollouts(captured)
    assert [span.attributes[sc.SAMPLE_ADVANTAGE] for span in spans] == [0.5, 1.5, 0.75]
    assert spans[2].attributes[sc.SAMPLE_REWARD] == 0.25
    assert spans[2].attributes[sc.SAMPLE_REWARDS_PREFIX + "correct"] == 1.0
    assert len(linked(named(captured, "loss")[0])) == 3


def test_without_advantages_they_end_with_the_loss_that_learned_from_them_or_with_their_step(
    captured: Captured,
) -> None:
    with otel_llm.training_run("exp"):
        with otel_llm.step(1):
            learned = otel_llm.rollouts(completions=["a", "b"])
            learned[0].advantage(0.5)
            with otel_llm.loss([learned[1]]):
                pass
        with otel_llm.step(2):
            otel_llm.rollouts(completions=["c"])
        otel_llm.rollouts(completions=["d"], ids=["outside"])
        otel_llm.force_flush()
        assert {span.attributes[sc.SAMPLE_ID] for span in rollouts(captured)} == {
            "1-0",
            "1-1",
            "2-0",
            "outside",
        }
    first, second, third, outside = rollouts(captured)
    assert first.attributes[sc.SAMPLE_ADVANTAGE] == 0.5
    assert sc.SAMPLE_ADVANTAGE not in second.attributes
    assert linked(named(captured, "loss")[0]) == {second.context.span_id}
    assert third.attributes[sc.SAMPLE_STATUS] == "unscored"
    assert outside.parent is None
    assert outside.attributes[sc.RUN_ID] == "exp"


def test_names_are_unique_in_a_step_over_calls_and_ranks(
    captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with otel_llm.training_run("exp"), otel_llm.step(1):
        otel_llm.rollouts(completions=list("abcd"), group_size=2, advantages=[0] * 4)
        otel_llm.rollouts(completions=list("ef"), group_size=2, advantages=[0] * 2)
        otel_llm.rollouts(completions=list("gh"), groups=["own", 7], advantages=[0] * 2)
        with otel_llm.evaluation():
            otel_llm.rollouts(completions=["i"], group_size=1, mode="eval", advantages=0)
    assert [
        (span.attributes[sc.SAMPLE_ID], span.attributes[sc.SAMPLE_GROUP]) for span in rollouts(captured)
    ] == [
        ("1-1-0-0", "1-1-0"),
        ("1-1-0-1", "1-1-0"),
        ("1-1-1-0", "1-1-1"),
        ("1-1-1-1", "1-1-1"),
        ("1-1-2-0", "1-1-2"),
        ("1-1-2-1", "1-1-2"),
        ("own-0", "own"),
        ("7-0", "7"),
        ("eval-1-1-0-0", "eval-1-1-0"),
    ]
    assert rollouts(captured)[-1].attributes[sc.SAMPLE_MODE] == "eval"


def test_what_does_not_fit_is_left_out_and_named(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        otel_llm.rollouts(
            prompts=["one", "too", "many"],
            completions=["a", "b"],
            rewards={"correct": [1.0], "other": (i for i in (1.0, 2.0)), "fine": {0: 1.0, 1: 0.5}.values()},
            weights={"fine": "heavy"},
            group_size=0,
            output_tokens=[1, 2, 3],
            turns={1, 2},
            own=Tensor([1.0] * 6, (2, 3)),
            structured=[{"a": 1}, object],
            advantages=[1.0, 2.0, 3.0],
        )
        otel_llm.rollouts(completions=["c"], rewards=[1.0], weights=3, groups=Tensor([1]))  # type: ignore[arg-type]
        otel_llm.rollouts(completions=Tensor([5] * 6, (1, 6)), output_tokens=[6])
    first, second, third, fourth = rollouts(captured)
    assert set(first.attributes[sc.INVALID_FIELDS]) == {
        *(
            "prompts",
            "correct",
            "other",
            "weights",
            "group_size",
            "output_tokens",
            "turns",
            "own",
            "advantages",
        )
    }
    assert second.attributes[sc.SAMPLE_REWARD] == 0.5
    assert first.attributes[sc.CUSTOM_PREFIX + "structured"] == '{"a":1}'
    assert second.attributes[sc.SAMPLE_ID] == "1-1"
    assert set(third.attributes[sc.INVALID_FIELDS]) == {"rewards", "weights", "groups"}
    assert fourth.attributes[sc.INVALID_FIELDS] == ("completions",)


ARGUMENTS = (
    *("prompts", "completions", "rewards", "weights", "total_reward", "advantages", "groups", "ids"),
    *("group_size", "turns", "mode", "during", "keep_texts", "parent", "attributes", "own"),
)


@pytest.mark.parametrize("strange", [None, 7, "text", object(), [], iter("ab"), {"a": 1}])
def test_strange_arguments_hurt_nobody(captured: Captured, strange: Any) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        for argument in ARGUMENTS:
            found = otel_llm.rollouts(**{argument: strange})
            found.advantages(strange).reward(strange, strange).total_reward(strange)
            otel_llm.rollouts(**{"completions": ["a"], argument: strange}).advantages(strange)
        assert [what for what in drops.counts() if what[0] == "internal_error"] == []
        with otel_llm.loss(strange), otel_llm.loss([strange]):
            pass
    assert len(named(captured, "training_step")) == 1
    assert len(rollouts(captured)) >= len(ARGUMENTS) - 1, "one each, but where nothing was told"


def test_what_is_told_too_late_is_counted(captured: Captured) -> None:
    with otel_llm.training_run("exp"):
        with otel_llm.step(1):
            one = otel_llm.rollouts(completions=["a"])
        one.advantages([1.0])
        one[0].advantage(1.0)
        one.reward("correct", [1.0])
    assert drops.counts() == {("rollout", "late"): 3}
    assert sc.SAMPLE_ADVANTAGE not in rollouts(captured)[0].attributes


def test_they_are_a_sequence_also_where_nothing_is_instrumented() -> None:
    one = otel_llm.rollouts(completions=["a", "b", "c"], rewards={"correct": Tensor([1, 2, 3])})
    assert [sampled.index for sampled in one] == [0, 1, 2]
    assert [sampled.index for sampled in one[::2]] == [0, 2]
    assert one[-1] == one[2]
    with pytest.raises(IndexError):
        one[3]
    with otel_llm.loss([one[0]]):
        pass
    assert len(one.advantages([1, 2, 3])) == 3


def test_messages_are_kept_as_they_were(captured: Captured) -> None:
    asked = [{"role": "user", "content": "2+2"}]
    with otel_llm.training_run("exp"), otel_llm.step(1):
        one = otel_llm.rollouts(prompts=[asked], completions=[[{"role": "assistant", "content": "4"}]])
        asked.append({"role": "user", "content": "later"})
        one.advantages([0.0])
    (span,) = rollouts(captured)
    assert span.attributes[sc.INPUT_MESSAGES] == (
        '[{"role":"user","parts":[{"type":"text","content":"2+2"}]}]'
    )
    assert '"role":"assistant"' in span.attributes[sc.OUTPUT_MESSAGES]


def test_texts_of_some_are_kept(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        otel_llm.rollouts(
            completions=["a", "b", "c"],
            rewards={"correct": [0.5, 1.0, 0.0]},
            keep_texts=2,
            advantages=[0.0, 0.1, 0.0],
        )
    kept = [sc.OUTPUT_MESSAGES in span.attributes for span in rollouts(captured)]
    assert kept == [False, True, True]


def test_a_step_of_another_process_is_known_by_its_baggage(captured: Captured) -> None:
    token = context.attach(baggage.set_baggage(sc.RUN_ID, "exp"))
    try:
        otel_llm.rollouts(completions=["a"], advantages=[1.0])
    finally:
        context.detach(token)
    (span,) = rollouts(captured)
    assert span.attributes[sc.RUN_ID] == "exp"


def test_the_page_on_loops_shows_code_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "training-loops.md"
    section = page.read_text(encoding="utf-8").partition("## Completions sampled together")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    exec(
        code[1],
        {
            "batches": [["a", "b"], ["c", "d"]],
            "group_size": 2,
            "generate": lambda prompts, size: [prompt + "!" for prompt in prompts for _ in range(size)],
            "count": len,
            "grade": lambda prompts, completions: [float(i % 2) for i in range(len(completions))],
            "advantages": lambda scores: [score - 0.5 for score in scores],
            "minibatches": lambda size: [range(0, size, 2), range(1, size, 2)],
            "compute": lambda chosen: 0.25,
        },
    )
    otel_llm.shutdown()
    reader = StoreReader(tmp_path / ".otel_llm")
    spans = list(reader.spans())
    assert reader.open_spans() == []
    for step in (1, 2):
        of_step = [span for span in spans if span.attributes.get(sc.TRAIN_STEP) == step]
        ids = {
            span.attributes[sc.SAMPLE_ID]: span.span_id
            for span in sorted(of_step, key=lambda span: span.start_ns)
            if span.name == "rollout"
        }
        assert set(ids) == {f"{step}-{group}-{index}" for group in (0, 1) for index in (0, 1)}
        losses = {span.attributes[sc.TRAIN_UPDATE]: span for span in of_step if span.name == "loss"}
        assert sorted(losses) == [2 * step - 1, 2 * step]
        for index, update in enumerate(sorted(losses)):
            assert {link.span_id for link in losses[update].links} == {
                ids[f"{step}-{group}-{index}"] for group in (0, 1)
            }
        (generation,) = (span for span in of_step if span.name == "generation")
        assert generation.attributes[sc.USAGE_OUTPUT_TOKENS] == 4


@pytest.mark.trl
def test_tensors_of_torch_are_taken_as_they_were_and_not_waited_for(captured: Captured) -> None:
    torch = pytest.importorskip("torch", reason="needs torch, as a stage has it")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rewards = torch.tensor([[1.0, 0.0], [0.0, 0.5]], device=device)
    better = rewards - rewards.mean(dim=1, keepdim=True)
    lengths = torch.tensor([3, 4, 5, 6], device=device)
    indices = torch.tensor([3, 0], device=device)
    error = torch.nn.Parameter(torch.tensor(0.75, device=device)) * 1
    metrics = otel_llm.TrainingMetrics()
    torch.cuda.set_sync_debug_mode("error") if device == "cuda" else None
    try:
        with otel_llm.training_run("exp"), otel_llm.step(1) as step:
            one = otel_llm.rollouts(
                completions=list("abcd"), rewards={"correct": rewards}, output_tokens=lengths, group_size=2
            )
            rewards.zero_()
            for index, sampled in enumerate(one):
                sampled.advantage(better.view(-1)[index : index + 1])
            with otel_llm.loss(one, indices=indices) as part:
                part.set(loss=error)
            metrics.training_step(error, grad_norm=error.detach(), learning_rate=[0.1])
            assert step.attributes == {}, "read on the worker"
    finally:
        torch.cuda.set_sync_debug_mode("default") if device == "cuda" else None
    spans = rollouts(captured)
    assert [span.attributes[sc.SAMPLE_REWARD] for span in spans] == [1.0, 0.0, 0.0, 0.5]
    assert [span.attributes[sc.SAMPLE_ADVANTAGE] for span in spans] == [0.5, -0.5, -0.25, 0.25]
    assert [span.attributes[sc.SAMPLE_OUTPUT_TOKENS] for span in spans] == [3, 4, 5, 6]
    assert linked(named(captured, "loss")[0]) == {spans[3].context.span_id, spans[0].context.span_id}
    (at,) = named(captured, "training_step")
    assert (at.attributes[sc.TRAIN_LOSS], at.attributes[sc.TRAIN_GRAD_NORM]) == (0.75, 0.75)
    assert at.attributes[sc.TRAIN_LEARNING_RATE] == 0.1
