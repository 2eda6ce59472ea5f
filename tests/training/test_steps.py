"""Runs, steps, parts and losses through the public face."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

import otel_llm
from otel_llm import semconv as sc
from otel_llm import testing
from otel_llm.testing import Captured
from otel_llm.training.runs import derived_ids


@pytest.fixture
def captured() -> Iterator[Captured]:
    with testing.capture(metrics=False, content="full") as found:
        yield found


def spans(captured: Captured, name: str) -> list[Any]:
    return [span for span in captured.spans() if span.name == name]


_PLACE = {sc.RANK: 0, sc.LOCAL_RANK: 0, sc.WORLD_SIZE: 1}


def test_a_run_of_one_step_as_whole_spans(captured: Captured) -> None:
    with otel_llm.training_run("exp", algorithm="grpo", attempt=0, config={"lr": 0.5, "odd": object()}):
        with otel_llm.step(1, epoch=0.25) as step:
            with otel_llm.part("generation"), otel_llm.rollout("a", group="g", index=0) as one:
                one.content(prompt="2+2", response="4")
            one.reward("correct", 1.0, explanation="it is").total_reward(1.0).advantage(0.5)
            with otel_llm.loss([one], micro_step=0) as loss:
                loss.set(loss=0.75)
            step.set(loss=0.75, grad_norm=2.0, learning_rate=0.1)
    host = captured.spans()[0].attributes[sc.HOST_NAME]
    handed = {sc.RUN_ID: "exp", sc.RUN_ATTEMPT: 0, sc.HOST_NAME: host, **_PLACE}
    in_step = {**handed, sc.TRAIN_STEP: 1}
    times = frozenset(
        key for span in captured.spans() for key in span.attributes if key.startswith(sc.TRAIN_TIME_PREFIX)
    )
    assert times == {sc.TRAIN_TIME_PREFIX + part for part in ("generation", "loss", "other")}
    assert captured.shape(without=testing.VOLATILE | times) == [
        {
            "name": "training_run",
            "kind": "INTERNAL",
            "parent": None,
            "status": "UNSET",
            "attributes": {
                **handed,
                sc.SCOPE_KIND: "training_run",
                sc.RL_ALGORITHM: "grpo",
                sc.TRAIN_CONFIG_PREFIX + "lr": 0.5,
            },
            "links": [],
            "events": [],
        },
        {
            "name": "training_step",
            "kind": "INTERNAL",
            "parent": None,
            "status": "UNSET",
            "attributes": {
                **in_step,
                sc.SCOPE_KIND: "step",
                sc.TRAIN_EPOCH: 0.25,
                sc.TRAIN_LOSS: 0.75,
                sc.TRAIN_GRAD_NORM: 2.0,
                sc.TRAIN_LEARNING_RATE: 0.1,
                sc.TRAIN_CONSUMED: 1,
            },
            "links": ["training_run", "rollout"],
            "events": [],
        },
        {
            "name": "generation",
            "kind": "INTERNAL",
            "parent": "training_step",
            "status": "UNSET",
            "attributes": {**in_step, sc.SCOPE_KIND: "generation", sc.TRAIN_PART: "generation"},
            "links": [],
            "events": [],
        },
        {
            "name": "rollout",
            "kind": "INTERNAL",
            "parent": None,
            "status": "UNSET",
            "attributes": {
                **in_step,
                sc.SCOPE_KIND: "rollout",
                sc.SAMPLE_ID: "a",
                sc.SAMPLE_GROUP: "g",
                sc.SAMPLE_INDEX: 0,
                sc.SAMPLE_STATUS: "scored",
                sc.SAMPLE_REWARD: 1.0,
                sc.SAMPLE_REWARDS_PREFIX + "correct": 1.0,
                sc.SAMPLE_ADVANTAGE: 0.5,
                sc.INPUT_MESSAGES: '[{"role":"user","parts":[{"type":"text","content":"2+2"}]}]',
                sc.OUTPUT_MESSAGES: '[{"role":"assistant","parts":[{"type":"text","content":"4"}]}]',
                sc.INPUT_LENGTH: 3,
                sc.OUTPUT_LENGTH: 1,
                sc.INPUT_MESSAGE_COUNT: 1,
            },
            "links": ["training_step", "generation"],
            "events": [sc.EVENT_EVALUATION_RESULT],
        },
        {
            "name": "loss",
            "kind": "INTERNAL",
            "parent": "training_step",
            "status": "UNSET",
            "attributes": {
                **in_step,
                sc.SCOPE_KIND: "loss",
                sc.TRAIN_PART: "loss",
                sc.TRAIN_MICRO_STEP: 0,
                sc.TRAIN_LOSS: 0.75,
                sc.TRAIN_CONSUMED: 1,
            },
            "links": ["rollout"],
            "events": [],
        },
    ]


def test_a_step_is_one_trace_with_ids_that_every_rank_derives(captured: Captured) -> None:
    with otel_llm.training_run("exp", attempt=3), otel_llm.step(7), otel_llm.part("loss"):
        pass
    step, loss = spans(captured, "training_step")[0], spans(captured, "loss")[0]
    ids = derived_ids("exp", 3, "step", 7)
    assert (step.context.trace_id, step.context.span_id) == ids
    assert step.parent is None
    assert (loss.context.trace_id, loss.parent.span_id) == ids
    run = spans(captured, "training_run")[0]
    assert (run.context.trace_id, run.context.span_id) == derived_ids("exp", 3, "run", 0)


def test_another_ranks_step_is_a_child_of_rank_0s(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with testing.capture(metrics=False) as captured:
        with otel_llm.training_run("exp", attempt=0), otel_llm.step(7):
            pass
        step = spans(captured, "training_step")[0]
    ids = derived_ids("exp", 0, "step", 7)
    assert (step.context.trace_id, step.parent.span_id) == ids
    assert step.parent.is_remote
    assert step.context.span_id != ids.root_id
    assert (step.attributes[sc.RANK], step.attributes[sc.WORLD_SIZE]) == (1, 2)


def test_on_a_provider_of_the_program_every_rank_is_a_child_of_the_same_root() -> None:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    otel_llm.instrument(store=None, metrics=False)
    with otel_llm.training_run("exp", attempt=0), otel_llm.step(7):
        pass
    otel_llm.force_flush()
    step = next(span for span in exporter.get_finished_spans() if span.name == "training_step")
    assert (step.context.trace_id, step.parent.span_id) == derived_ids("exp", 0, "step", 7)


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_sample_the_same_steps(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    with testing.capture(metrics=False) as captured:
        with otel_llm.training_run("exp", attempt=0):
            for number in range(1, 41):
                with otel_llm.step(number):
                    pass
        kept = [span.attributes[sc.TRAIN_STEP] for span in spans(captured, "training_step")]
    sampler = ParentBased(TraceIdRatioBased(0.5))
    expected = [
        number
        for number in range(1, 41)
        if sampler.should_sample(
            None, derived_ids("exp", 0, "step", number).trace_id, "training_step"
        ).decision.is_sampled()
    ]
    assert kept == expected
    assert 0 < len(kept) < 40


def test_the_loop_over_steps_numbers_them_and_ends_each(captured: Captured) -> None:
    seen = []
    with otel_llm.training_run("exp"):
        for batch in otel_llm.steps(["a", "b", "c"], start=5, epoch=1):
            scope = otel_llm.current_scope()
            assert scope is not None
            assert scope.kind == "step"
            seen.append(batch)
        assert otel_llm.current_scope().kind == "training_run"  # type: ignore[union-attr]
    found = spans(captured, "training_step")
    assert seen == ["a", "b", "c"]
    assert [span.attributes[sc.TRAIN_STEP] for span in found] == [5, 6, 7]
    assert all(span.attributes[sc.TRAIN_TIME_PREFIX + "data"] >= 0 for span in found)
    assert sc.LEFT_OPEN not in found[-1].attributes


def test_a_loop_that_is_left_early_ends_its_step(captured: Captured) -> None:
    def train() -> None:
        for _ in otel_llm.steps(range(10)):
            break

    train()
    assert otel_llm.current_scope() is None
    assert len(spans(captured, "training_step")) == 1


def test_what_batches_raise_reaches_the_program() -> None:
    def batches() -> Iterator[int]:
        yield 1
        raise OSError("no such shard")

    with testing.capture(metrics=False), pytest.raises(OSError, match="no such shard"):
        for _ in otel_llm.steps(batches()):
            pass


def test_parts_within_parts_are_not_counted_twice(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.part("sampling"):
            with otel_llm.part("generation"):
                pass
            with otel_llm.part("my own"):
                pass
    step = spans(captured, "training_step")[0]
    took = (step.end_time - step.start_time) / 1e9
    times = {k: v for k, v in step.attributes.items() if k.startswith(sc.TRAIN_TIME_PREFIX)}
    assert set(times) == {sc.TRAIN_TIME_PREFIX + p for p in ("sampling", "generation", "my own", "other")}
    assert sum(times.values()) == pytest.approx(took, abs=1e-6)
    own = spans(captured, "my own")[0]
    assert own.attributes[sc.SCOPE_KIND] == "part"
    assert own.attributes[sc.TRAIN_PART] == "my own"


def test_parts_say_which_update_of_the_weights_they_are_for(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        for update in (1, 2):
            with otel_llm.loss(update=update, micro_step=update - 1):
                pass
            with otel_llm.part("backward", update=update), otel_llm.part("optimizer", update=str(update)):  # type: ignore[arg-type]
                pass
        with otel_llm.loss(update="next", micro_step=-1), otel_llm.part("optimizer", update=object()):  # type: ignore[arg-type]
            pass
    for name in ("loss", "backward", "optimizer"):
        found = [span.attributes.get(sc.TRAIN_UPDATE) for span in spans(captured, name)]
        assert found[:2] == [1, 2], name
        assert found[2:] in ([], [None]), name
    assert spans(captured, "loss")[2].attributes[sc.INVALID_FIELDS] == ("micro_step", "update")
    assert spans(captured, "optimizer")[2].attributes[sc.INVALID_FIELDS] == ("update",)


def test_generating_in_the_process_says_what_model_calls_say(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        with otel_llm.part(
            "generation", model="tiny", temperature=0.7, max_tokens=8, input_tokens=12
        ) as part:
            part.set(output_tokens=[3, 4, None, 5], batches=2)
        with otel_llm.part("sampling", model="tiny", output_tokens="many", top_p=None):
            pass
        with otel_llm.part("own", output_tokens=3):
            pass
    (generation,) = spans(captured, "generation")
    wanted = {
        sc.REQUEST_MODEL: "tiny",
        sc.REQUEST_TEMPERATURE: 0.7,
        sc.REQUEST_MAX_TOKENS: 8,
        sc.USAGE_INPUT_TOKENS: 12,
        sc.USAGE_OUTPUT_TOKENS: 12,
        sc.CUSTOM_PREFIX + "batches": 2,
    }
    assert {key: generation.attributes.get(key) for key in wanted} == wanted
    assert sc.OPERATION_NAME not in generation.attributes, "it is not counted as a call"
    (sampling,) = spans(captured, "sampling")
    assert sampling.attributes[sc.REQUEST_MODEL] == "tiny"
    assert sc.USAGE_OUTPUT_TOKENS not in sampling.attributes
    (own,) = spans(captured, "own")
    assert own.attributes[sc.CUSTOM_PREFIX + "output_tokens"] == 3


def test_an_evaluation_is_a_trace_of_its_own_that_links_its_step(captured: Captured) -> None:
    with otel_llm.training_run("exp", attempt=0), otel_llm.step(4), otel_llm.evaluation():
        pass
    found = spans(captured, "evaluation")[0]
    assert (found.context.trace_id, found.context.span_id) == derived_ids("exp", 0, "evaluation", 4)
    assert found.attributes[sc.TRAIN_STEP] == 4
    assert [link.attributes[sc.LINK_KIND] for link in found.links] == [sc.LINK_STEP]


def test_a_step_that_fails_says_so_and_the_program_sees_its_exception(captured: Captured) -> None:
    with pytest.raises(ZeroDivisionError), otel_llm.training_run("exp"), otel_llm.step(1):
        _ = 1 / 0
    step = spans(captured, "training_step")[0]
    assert step.status.status_code.name == "ERROR"
    assert step.attributes[sc.ERROR_TYPE] == "ZeroDivisionError"


def test_a_program_that_is_not_instrumented_runs_the_same() -> None:
    with otel_llm.training_run("exp") as run, otel_llm.step(1) as step:
        with otel_llm.rollout("a") as one, otel_llm.part("generation"):
            pass
        one.reward("x", 1).advantage(2)
        with otel_llm.loss([one]) as loss:
            loss.set(loss=1.0)
        step.metrics({"kl": 0.5})
    assert list(otel_llm.steps([1, 2])) == [1, 2]
    assert run.identity is not None
    assert not step.span.is_recording()


def test_steps_in_tasks_keep_to_themselves(captured: Captured) -> None:
    async def train(run: str) -> None:
        with otel_llm.training_run(run, attempt=0):
            for number in (1, 2):
                async with otel_llm.step(number):
                    await asyncio.sleep(0)
                    with otel_llm.part("loss"):
                        await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(train("a"), train("b"))

    asyncio.run(both())
    for loss in spans(captured, "loss"):
        run, number = loss.attributes[sc.RUN_ID], loss.attributes[sc.TRAIN_STEP]
        assert loss.context.trace_id == derived_ids(run, 0, "step", number).trace_id


class Tensor:
    """As much of a tensor as is looked at."""

    def __init__(self, values: list[float], device: str = "cpu") -> None:
        self.values = values
        self.device = SimpleNamespace(type=device)
        self.dtype = "float32"
        self.read = 0

    def detach(self) -> Tensor:
        return self

    def clone(self) -> Tensor:
        return Tensor(list(self.values), self.device.type)

    def numel(self) -> int:
        return len(self.values)

    def element_size(self) -> int:
        return 4

    def item(self) -> float:
        raise AssertionError("waits for the device")

    def __float__(self) -> float:
        raise AssertionError("waits for the device")

    def tolist(self) -> Any:
        return self.values if len(self.values) > 1 else self.values[0]


def test_tensors_are_kept_as_they_were_and_read_later(captured: Captured) -> None:
    loss = Tensor([0.5])
    with otel_llm.training_run("exp"), otel_llm.step(1) as step:
        step.set(loss=loss, mine=Tensor([2.0]), none=None)
        step.metrics({"completions/mean_length": Tensor([7.0]), "text": "no number"})
        loss.values[0] = 9.0  # as an optimiser would
    found = spans(captured, "training_step")[0].attributes
    assert found[sc.TRAIN_LOSS] == 0.5
    assert found[sc.CUSTOM_PREFIX + "mine"] == 2.0
    assert found[sc.TRAIN_METRICS_PREFIX + "completions/mean_length"] == 7.0
    assert sc.TRAIN_METRICS_PREFIX + "text" not in found


def test_links_reach_beyond_the_sdks_limit(captured: Captured) -> None:
    with otel_llm.training_run("exp"), otel_llm.step(1):
        rollouts = []
        for number in range(300):
            with otel_llm.rollout(str(number)) as one:
                pass
            rollouts.append(one.advantage(0.0))
        with otel_llm.loss(rollouts):
            pass
    loss, step = spans(captured, "loss")[0], spans(captured, "training_step")[0]
    expected = {span.context.span_id for span in spans(captured, "rollout")}
    assert {link.context.span_id for link in loss.links} == expected
    assert {
        link.context.span_id for link in step.links if link.attributes[sc.LINK_KIND] == "consumed"
    } == expected


def test_on_a_provider_that_keeps_few_links_groups_are_linked() -> None:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    otel_llm.instrument(store=None, metrics=False)
    with otel_llm.training_run("exp"), otel_llm.step(1):
        rollouts = []
        for number in range(200):
            with otel_llm.rollout(str(number), group=f"g{number % 10}") as one:
                pass
            rollouts.append(one.advantage(0.0))
        with otel_llm.loss(rollouts):
            pass
    otel_llm.force_flush()
    loss = next(span for span in exporter.get_finished_spans() if span.name == "loss")
    assert loss.attributes is not None
    assert loss.attributes[sc.TRAIN_CONSUMED] == 200
    assert {link.attributes[sc.SAMPLE_GROUP] for link in loss.links if link.attributes} == {
        f"g{n}" for n in range(10)
    }
