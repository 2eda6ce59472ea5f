"""`LLM.generate` and `LLM.chat` in process: a span a call, one a sample below it, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry import trace

import otel_llm
import otel_llm_vllm
from otel_llm import semconv as sc
from otel_llm import testing
from otel_llm.testing import Captured
from otel_llm_vllm import semconv as vc
from tests.vllm.fakes import (
    LLM,
    CompletionOutput,
    OldCompletionOutput,
    RequestOutput,
    SamplingParams,
    WeightVersionSpan,
)

TIMES = testing.VOLATILE | {vc.TIME_TO_FIRST_TOKEN, vc.FIRST_TOKEN_MEAN, vc.FIRST_TOKEN_MOST}


def samples(captured: Captured) -> list[dict[str, Any]]:
    return [dict(s.attributes or {}) for s in captured.spans() if s.name == vc.SPAN_SAMPLE]


def call_of(captured: Captured) -> Any:
    [call] = captured.calls()
    return call


def test_a_call_and_its_one_sample(captured: Captured) -> None:
    llm = LLM()
    [output] = llm.generate("Once", SamplingParams(temperature=0.5, max_tokens=9, stop=["."]), use_tqdm=False)
    assert output is llm.seen[0]
    asked = {"role": "user", "parts": [{"type": "text", "content": "Once"}]}
    said = {"role": "assistant", "parts": [{"type": "text", "content": "yes"}], "finish_reason": "stop"}
    answers = json.dumps([said], separators=(",", ":"))
    assert sorted(captured.shape(), key=lambda span: str(span["name"])) == [
        {
            "name": "text_completion tiny",
            "kind": "INTERNAL",
            "parent": None,
            "status": "UNSET",
            "attributes": {
                sc.OPERATION_NAME: "text_completion",
                sc.PROVIDER_NAME: "vllm",
                sc.REQUEST_MODEL: "tiny",  # no directory
                sc.REQUEST_TEMPERATURE: 0.5,
                sc.REQUEST_TOP_P: 1.0,
                sc.REQUEST_MAX_TOKENS: 9,
                sc.REQUEST_STOP_SEQUENCES: (".",),
                sc.RESPONSE_ID: "0",
                sc.RESPONSE_FINISH_REASONS: ("stop",),
                sc.USAGE_INPUT_TOKENS: 4,
                sc.USAGE_OUTPUT_TOKENS: 3,
                sc.INPUT_MESSAGES: json.dumps([asked], separators=(",", ":")),
                sc.OUTPUT_MESSAGES: answers,
                sc.INPUT_LENGTH: 4,
                sc.INPUT_MESSAGE_COUNT: 1,
                sc.OUTPUT_LENGTH: 3,
                vc.PROMPTS: 1,
                vc.SAMPLES: 1,
                vc.OUTPUT_TOKENS_LEAST: 3,
                vc.OUTPUT_TOKENS_MOST: 3,
                vc.FINISHED_PREFIX + "stop": 1,
            },
            "links": [],
            "events": [],
        },
        {
            "name": "vllm sample",
            "kind": "INTERNAL",
            "parent": "text_completion tiny",
            "status": "UNSET",
            "attributes": {
                vc.PROMPT_INDEX: 0,
                vc.SAMPLE_INDEX: 0,
                vc.REQUEST_ID: "0",
                vc.INPUT_TOKENS: 4,
                vc.OUTPUT_TOKENS: 3,
                vc.FINISH_REASON: "stop",
                sc.OUTPUT_MESSAGES: answers,
                sc.OUTPUT_LENGTH: 3,
                sc.UNTIMED: True,  # vLLM measured nothing, so it has the times of its call
            },
            "links": [],
            "events": [],
        },
    ]


def test_two_prompts_with_two_samples_each_are_four_samples(captured: Captured) -> None:
    llm = LLM()
    llm.answers = ["a", "bcd"]
    llm.generate([{"prompt_token_ids": [1, 2, 3]}, "hi"], SamplingParams(n=2))
    told = samples(captured)
    assert [(s[vc.PROMPT_INDEX], s[vc.SAMPLE_INDEX], s[vc.OUTPUT_TOKENS]) for s in told] == [
        (0, 0, 1),
        (0, 1, 3),
        (1, 0, 1),
        (1, 1, 3),
    ]
    # Each has its own prompt, since the call has several: of tokens alone, how many.
    assert [json.loads(s[sc.INPUT_MESSAGES])[0]["parts"] for s in told[1:3]] == [
        [{"type": "token_ids", "size": 3}],
        [{"type": "text", "content": "hi"}],
    ]
    call = dict(call_of(captured).attributes)
    # A prompt's tokens count once, however many samples it has.
    assert (call[sc.USAGE_INPUT_TOKENS], call[sc.USAGE_OUTPUT_TOKENS]) == (5, 8)
    assert (call[vc.PROMPTS], call[vc.SAMPLES], call[sc.REQUEST_CHOICE_COUNT]) == (2, 4, 2)
    assert call[sc.RESPONSE_FINISH_REASONS] == ("stop",) * 4
    assert call[sc.UNTIMED] is True  # a batch is no latency
    assert sc.RESPONSE_ID not in call


def test_usage_is_nowhere_twice(captured: Captured) -> None:
    LLM().generate(["a", "b"], SamplingParams(n=3))
    assert not any(key.startswith("gen_ai.usage") for told in samples(captured) for key in told)
    assert not any(sc.PROVIDER_NAME in told or sc.OPERATION_NAME in told for told in samples(captured))


def test_a_chat_is_one_call_though_it_generates_inside(captured: Captured) -> None:
    said = [
        {"role": "system", "content": "short"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    ]
    LLM().chat(said)
    said.append({"role": "assistant", "content": "later"})  # programs go on with theirs
    call = call_of(captured)
    assert call.name == "chat tiny"
    assert json.loads(call.attributes[sc.INPUT_MESSAGES]) == [
        {"role": "system", "parts": [{"type": "text", "content": "short"}]},
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
    ]
    assert len(samples(captured)) == 1


def test_tool_messages_and_pictures_are_described() -> None:
    from otel_llm_vllm.reading import messages_of

    call = {"id": "1", "function": {"name": "add", "arguments": "{}"}}
    assert messages_of(
        [
            {"role": "user", "content": ["look", {"type": "image_url", "image_url": {"url": "data:..."}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "3"},
        ]
    ) == [
        {"role": "user", "parts": [{"type": "text", "content": "look"}, {"type": "image_url"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "add", "arguments": "{}"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": "3"}]},
    ]


def test_no_content_is_kept_by_default(vllm: Any) -> None:
    with testing.capture(instrumentations=("otel_llm_vllm",)) as captured:
        LLM().chat([{"role": "user", "content": "a secret"}])
        told = repr([dict(span.attributes or {}) for span in captured.spans()])
    assert "secret" not in told
    assert "'yes'" not in told
    assert call_of(captured).attributes[sc.INPUT_LENGTH] == len("a secret")


def test_the_store_may_keep_more_than_spans_carry(vllm: Any, tmp_path: Any) -> None:
    from otel_llm.store import StoreReader

    with testing.capture(
        store=tmp_path / "store", store_content="full", instrumentations=("otel_llm_vllm",)
    ) as captured:
        LLM().generate(["one", "two"])
        assert not any(sc.OUTPUT_MESSAGES in told for told in samples(captured))
    stored = [span for span in StoreReader(tmp_path / "store").spans() if span.name == vc.SPAN_SAMPLE]
    assert ["yes" in str(span.attributes[sc.OUTPUT_MESSAGES]) for span in stored] == [True, True]


def test_samples_have_the_times_that_vllm_measured(captured: Captured) -> None:
    LLM(disable_log_stats=False).generate("Once")
    [told] = samples(captured)
    assert (
        told[vc.TIME_TO_FIRST_TOKEN],
        told[vc.TIME_IN_QUEUE],
        told[vc.TIME_IN_PREFILL],
        told[vc.TIME_IN_DECODE],
    ) == (
        0.001,
        0.25,
        0.25,
        2.0,
    )
    assert sc.UNTIMED not in told
    call = call_of(captured)
    assert (call.attributes[vc.FIRST_TOKEN_MEAN], call.attributes[vc.FIRST_TOKEN_MOST]) == (0.001, 0.001)
    [sample] = [span for span in captured.spans() if span.name == vc.SPAN_SAMPLE]
    assert call.start_time <= sample.start_time <= sample.end_time <= call.end_time


def test_each_of_several_samples_has_its_own_times(captured: Captured) -> None:
    """The output of all has only those of the last."""
    LLM(disable_log_stats=False).generate(["one", "two"], SamplingParams(n=3))
    told = [s[vc.TIME_TO_FIRST_TOKEN] for s in samples(captured)]
    assert told == [0.001, 0.002, 0.003] * 2


def test_the_weights_that_made_a_sample(captured: Captured) -> None:
    one = CompletionOutput(0, "ab", [1, 2], weight_versions=[WeightVersionSpan("step-7", 0, 2)])
    spans = [WeightVersionSpan("step-7", 0, 1), WeightVersionSpan("step-8", 1, 2)]
    two = CompletionOutput(1, "cd", [3, 4], weight_versions=spans, cumulative_logprob=-1.5)
    answers(one, two)
    first, second = samples(captured)
    assert first[sc.SAMPLE_POLICY_VERSION] == "step-7"
    assert vc.SAMPLE_WEIGHT_VERSIONS not in first
    assert second[sc.SAMPLE_POLICY_VERSION] == "step-8"
    assert (second[vc.SAMPLE_WEIGHT_VERSIONS], second[vc.SAMPLE_WEIGHT_ENDS]) == (
        ("step-7", "step-8"),
        (1, 2),
    )
    assert second[vc.LOGPROB] == -1.5
    assert call_of(captured).attributes[vc.WEIGHT_VERSIONS] == ("step-7", "step-8")


def answers(*completions: Any) -> None:
    """Let vLLM give these to one prompt."""
    llm = LLM()
    llm._run = lambda *_: RequestOutput("9", "p", [1], completions)  # type: ignore[assignment]
    llm.generate("p")


def test_an_older_vllm_tells_less(captured: Captured) -> None:
    answers(OldCompletionOutput(0, "ab", (1, 2)))
    [told] = samples(captured)
    assert (told[vc.OUTPUT_TOKENS], told[vc.FINISH_REASON]) == (2, "stop")
    assert sc.SAMPLE_POLICY_VERSION not in told


def test_spans_of_samples_are_bounded_and_figures_are_of_all(captured: Captured) -> None:
    otel_llm_vllm.configure(samples=3)
    llm = LLM()
    llm.answers = ["a", "bcd"]
    llm.generate(["x"] * 5, SamplingParams(n=2))
    assert len(samples(captured)) == 3
    call = dict(call_of(captured).attributes)
    assert call[vc.SAMPLES_WITHOUT_SPAN] == 7
    assert (call[vc.SAMPLES], call[sc.USAGE_OUTPUT_TOKENS], call[vc.FINISHED_PREFIX + "stop"]) == (10, 20, 10)
    assert (call[vc.OUTPUT_TOKENS_LEAST], call[vc.OUTPUT_TOKENS_MOST]) == (1, 3)


def test_a_call_belongs_to_the_step_that_it_is_made_in(captured: Captured) -> None:
    with otel_llm.step(3) as step:
        LLM().generate(["a", "b"])
    spans = captured.spans()
    [call] = captured.calls()
    assert call.parent.span_id == step.span.get_span_context().span_id
    inside = [span for span in spans if span.name in {call.name, vc.SPAN_SAMPLE}]
    assert [span.attributes[sc.TRAIN_STEP] for span in inside] == [3] * 3
    assert len({span.context.trace_id for span in spans}) == 1


def test_what_ends_inside_ends_before(captured: Captured) -> None:
    LLM(disable_log_stats=False).generate(["a", "b"], SamplingParams(n=2))
    names = [span.name for span in captured.spans()]
    assert names == [vc.SPAN_SAMPLE] * 4 + ["text_completion tiny"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            ValueError("The decoder prompt (length 600) is longer than the maximum model length of 256."),
            "context_length",
        ),
        (ValueError("temperature must be non-negative"), "invalid_request"),
        (RuntimeError("the engine is gone"), "overloaded"),
        (KeyboardInterrupt(), "cancelled"),
        (TimeoutError("too slow"), "timeout"),
    ],
)
def test_a_failure_is_the_program_s_and_marks_the_span(
    captured: Captured, error: BaseException, kind: str
) -> None:
    llm = LLM()
    llm.error = error
    with pytest.raises(type(error)) as raised:
        llm.generate("p")
    assert raised.value is error
    call = call_of(captured)
    assert call.status.status_code.name == "ERROR"
    assert (call.attributes[sc.ERROR_TYPE], call.attributes[sc.EXCEPTION_TYPE]) == (
        kind,
        type(error).__name__,
    )
    assert samples(captured) == []


def test_a_span_of_somebody_else_for_the_same_call_is_enough(captured: Captured) -> None:
    tracer = trace.get_tracer("other")
    with tracer.start_as_current_span("their generation", attributes={sc.OPERATION_NAME: "text_completion"}):
        LLM().generate("p")
    assert [span.name for span in captured.spans()] == ["their generation"]


@pytest.mark.parametrize(("rank", "told"), [("0", 1), ("1", 0), ("2", 1), ("3", 0), ("", 1)])
def test_of_a_tensor_parallel_group_the_first_rank_tells(
    captured: Captured, monkeypatch: pytest.MonkeyPatch, rank: str, told: int
) -> None:
    monkeypatch.setenv("RANK", rank)
    llm = LLM()
    config = llm.llm_engine.vllm_config.parallel_config
    config.distributed_executor_backend, config.world_size = "external_launcher", 2
    assert len(llm.generate("p")) == 1
    assert len(captured.calls()) == told


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/srv/private/qwen-7b/", "qwen-7b"),
        ("./runs/checkpoint-100", "checkpoint-100"),
        ("~/models/mine", "mine"),
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("/cache/hub/models--Qwen--Qwen3-0.6B/snapshots/0a1b2c", "Qwen/Qwen3-0.6B"),
        ("s3://bucket/team/model", "model"),
        ("gpt2", "gpt2"),
        ("/", "/"),
    ],
)
def test_a_model_s_name_has_no_private_path(given: str, name: str) -> None:
    from otel_llm_vllm.reading import plain_name

    assert plain_name(given) == name


def test_a_relative_directory_is_no_name_on_the_hub(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_llm_vllm.reading import plain_name

    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "step-5").mkdir(parents=True)
    assert plain_name("out/step-5") == "step-5"


def test_sampling_that_differs_by_prompt_is_told_where_it_is_the_same() -> None:
    from otel_llm_vllm.reading import asked_of

    same = SamplingParams(temperature=0.5)
    assert asked_of([same, same]) == asked_of(same)
    assert asked_of([same, SamplingParams(temperature=0.9, n=2)]) == {
        sc.REQUEST_TOP_P: 1.0,
        sc.REQUEST_MAX_TOKENS: 16,
    }
    assert asked_of([]) == asked_of(None) == {}
