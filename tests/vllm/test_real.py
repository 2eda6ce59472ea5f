"""The real vLLM, in process and with its engine in another, on a CPU with a tiny random model."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm_vllm import semconv as vc

pytestmark = pytest.mark.vllm

PROGRAMS = Path(__file__).parent / "programs"
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "2",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "60000",  # ms: vLLM's exporter draws a random number whenever it sends
}


def run(program: str, folder: Path, runs: int = 1) -> list[dict[str, Any]]:
    """What a program prints last, run by the interpreter of vLLM's environment."""
    environment = os.environ.get("OTEL_LLM_TEST_VLLM")
    if not environment:
        pytest.skip("OTEL_LLM_TEST_VLLM is not set: OTEL_LLM_TEST_VLLM=$(tests/components/vllm.sh)")
    found = []
    for _ in range(runs):
        done = subprocess.run(
            [
                Path(environment) / "bin/python",
                PROGRAMS / program,
                Path(environment) / "tiny-model",
                sysconfig.get_path("purelib"),
            ],
            cwd=folder,
            env={**{k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "VLLM_"))}, **QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The same program twice: vLLM seeds `random` the same way each time."""
    return run("offline.py", tmp_path_factory.mktemp("offline"), runs=2)


@pytest.fixture(scope="module")
def offline(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return runs[0]


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run("streaming.py", tmp_path_factory.mktemp("streaming"))[0]


def named(told: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [span for span in told["spans"] if span["name"] == name]


def below(told: dict[str, Any], span: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [other for other in named(told, name) if other["parent"] == span["id"]]


def test_a_batch_is_one_call_with_a_sample_an_answer(offline: dict[str, Any]) -> None:
    [step] = [span for span in offline["spans"] if span["attributes"].get(sc.SCOPE_KIND) == "step"]
    [call, _] = named(offline, "text_completion tiny-model")
    assert (call["parent"], call["trace"], call["attributes"][sc.TRAIN_STEP]) == (
        step["id"],
        step["trace"],
        3,
    )
    told = call["attributes"]
    assert (told[vc.PROMPTS], told[vc.SAMPLES], told[sc.REQUEST_CHOICE_COUNT]) == (2, 4, 2)
    assert (told[sc.USAGE_INPUT_TOKENS], told[sc.USAGE_OUTPUT_TOKENS]) == (3 + len("Once"), 4 * 8)
    samples = below(offline, call, vc.SPAN_SAMPLE)
    assert [(s["attributes"][vc.PROMPT_INDEX], s["attributes"][vc.SAMPLE_INDEX]) for s in samples] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert [s["attributes"][vc.OUTPUT_TOKENS] for s in samples] == [
        len(t) for out in offline["ours"] for t in out
    ]
    assert {s["attributes"][vc.FINISH_REASON] for s in samples} == {"length"}


def test_each_sample_has_times_within_its_call(offline: dict[str, Any]) -> None:
    for call in [*named(offline, "text_completion tiny-model")[:1], *named(offline, "chat tiny-model")]:
        for sample in below(offline, call, vc.SPAN_SAMPLE):
            told = sample["attributes"]
            assert sc.UNTIMED not in told
            assert call["start"] <= sample["start"] < sample["end"] <= call["end"]
            parts = (told[vc.TIME_IN_QUEUE], told[vc.TIME_IN_PREFILL])
            assert 0 <= sum(parts) <= told[vc.TIME_TO_FIRST_TOKEN]
            assert told[vc.TIME_IN_DECODE] > 0


def test_the_weights_that_made_a_completion(offline: dict[str, Any]) -> None:
    assert [s["attributes"][sc.SAMPLE_POLICY_VERSION] for s in named(offline, vc.SPAN_SAMPLE)] == [
        "default"
    ] * 4 + ["step-7"]


def test_vllm_s_own_spans_are_children_of_the_call(offline: dict[str, Any]) -> None:
    [call, failed] = named(offline, "text_completion tiny-model")
    [chat] = named(offline, "chat tiny-model")
    requests = {span["id"]: below(offline, span, "llm_request") for span in (call, chat, failed)}
    assert [len(found) for found in requests.values()] == [4, 1, 0]
    for found in requests.values():
        for request in found:
            [sample] = [
                s
                for s in below(offline, call if request["parent"] == call["id"] else chat, vc.SPAN_SAMPLE)
                if s["attributes"][vc.TIME_IN_QUEUE] == request["attributes"]["gen_ai.latency.time_in_queue"]
            ]
            # What vLLM told of a sample, and what its own span says of it, are the same figures.
            theirs = request["attributes"]
            ours = sample["attributes"]
            assert theirs["gen_ai.usage.prompt_tokens"] == ours[vc.INPUT_TOKENS]
            assert theirs["gen_ai.usage.completion_tokens"] == ours[vc.OUTPUT_TOKENS]
            for key, name in (
                ("time_to_first_token", vc.TIME_TO_FIRST_TOKEN),
                ("time_in_model_prefill", vc.TIME_IN_PREFILL),
                ("time_in_model_decode", vc.TIME_IN_DECODE),
            ):
                assert theirs[f"gen_ai.latency.{key}"] == pytest.approx(ours[name])


def test_vllm_s_exporter_gets_what_it_would_have_got(offline: dict[str, Any]) -> None:
    assert offline["exported"].count("llm_request") == 6  # the warm-up's too
    assert not {vc.SPAN_SAMPLE, "chat tiny-model"} & set(offline["exported"])


def test_a_refused_prompt_is_an_error_of_the_program_and_of_the_span(offline: dict[str, Any]) -> None:
    [_, failed] = named(offline, "text_completion tiny-model")
    assert "maximum context length" in offline["error"]
    assert (failed["status"], failed["attributes"][sc.ERROR_TYPE]) == ("ERROR", "context_length")


def test_answers_and_random_numbers_are_those_without_us(offline: dict[str, Any]) -> None:
    assert offline["ours"] == offline["plain"]
    assert offline["random"] is True
    assert offline["dropped"] == []


def test_ids_of_two_runs_are_different_though_vllm_seeds_random(runs: list[dict[str, Any]]) -> None:
    first, second = ({span["id"] for span in told["spans"]} for told in runs)
    assert not first & second
    assert len(first) == len(runs[0]["spans"])


def test_every_seam_is_where_it_is_looked_for(offline: dict[str, Any]) -> None:
    assert {seam for seam, found in offline["seams"].items() if found not in {"patched", "not imported"}} == {
        "vllm.tracing.set_tracer_provider"
    }  # where older releases have it


def calls(streaming: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = named(streaming, "text_completion tiny")
    return {
        span["attributes"][sc.RESPONSE_ID]: span for span in found if sc.RESPONSE_ID in span["attributes"]
    }


def test_a_stream_is_told_as_it_was_read(streaming: dict[str, Any]) -> None:
    call = calls(streaming)["delta"]
    told = call["attributes"]
    assert (told[sc.USAGE_OUTPUT_TOKENS], told[sc.STREAM_CHUNKS]) == (6, streaming["delta"]["outputs"])
    assert (call["status"], told[sc.REQUEST_STREAM]) == ("UNSET", True)
    [sample] = below(streaming, call, vc.SPAN_SAMPLE)
    [answer] = json.loads(sample["attributes"][sc.OUTPUT_MESSAGES])
    assert answer["parts"][0]["content"] == streaming["delta"]["text"]
    assert 0 < sample["attributes"][vc.TIME_TO_FIRST_TOKEN] <= told[sc.RESPONSE_TIME_TO_FIRST_CHUNK]
    assert len(below(streaming, call, "llm_request")) == 1


def test_streams_that_are_left_are_cancelled_and_vllm_lets_go_of_them(streaming: dict[str, Any]) -> None:
    cut = [span for span in named(streaming, "text_completion tiny") if span["status"] == "ERROR"]
    assert [span["attributes"][sc.ERROR_TYPE] for span in cut] == ["cancelled", "cancelled"]
    assert calls(streaming)["closed"]["attributes"][sc.USAGE_OUTPUT_TOKENS] == streaming["closed"]["tokens"]
    assert streaming["unfinished"] == 0


def test_two_final_answers_are_one_call_that_did_not_stream(streaming: dict[str, Any]) -> None:
    call = calls(streaming)["final"]
    assert sc.REQUEST_STREAM not in call["attributes"]
    assert call["attributes"][sc.USAGE_OUTPUT_TOKENS] == 10
    samples = below(streaming, call, vc.SPAN_SAMPLE)
    assert len(samples) == len(below(streaming, call, "llm_request")) == 2
    assert all(sample["attributes"][vc.TIME_TO_FIRST_TOKEN] > 0 for sample in samples)
    assert streaming["dropped"] == []
