"""vLLM works as it would have, whatever fails in us; and nothing is left behind."""

from __future__ import annotations

import copy
import inspect
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_llm_vllm
from otel_llm import drops, runtime, testing
from otel_llm.settings import SettingsError
from otel_llm.testing import Captured
from otel_llm_vllm import VLLMInstrumentor, VLLMSettings
from otel_llm_vllm import semconv as vc
from tests.vllm.fakes import LLM, AsyncLLM, LLMEngine, SamplingParams
from tests.vllm.test_stream import CUMULATIVE, DELTA, output

ENDPOINT = "http://127.0.0.1:4318/v1/traces"


class Broken(Exception):
    pass


def broken(*_: Any, **__: Any) -> Any:
    raise Broken


BREAKABLE = [
    "otel_llm_vllm.hooks._covered",
    "otel_llm_vllm.hooks._speaks",
    "otel_llm_vllm.hooks.begin",
    "otel_llm_vllm.hooks.model_of",
    "otel_llm_vllm.hooks.asked_of",
    "otel_llm_vllm.hooks.joining.makes_spans",
    "otel_llm_vllm.hooks.joining.headers_of",
    "otel_llm_vllm.hooks.joining.warn_of_crash",
    "otel_llm_vllm.hooks.joining.keeps_provider",
    "otel_llm_vllm.hooks._with_stats",
    "otel_llm_vllm.hooks.context_api.set_value",
    "otel_llm_vllm.hooks.context_api.get_value",
    "otel_llm_vllm.generation.Generation.__init__",
    "otel_llm_vllm.generation.Generation.said",
    "otel_llm_vllm.generation.Generation.stream",
    "otel_llm_vllm.generation.Generation.saw",
    "otel_llm_vllm.generation.Generation.returned",
    "otel_llm_vllm.generation.Generation.failed",
    "otel_llm_vllm.generation.Generation.end",
    "otel_llm_vllm.generation.Generation._kept_bytes",
    "otel_llm_vllm.generation.Generation._parsed",
    "otel_llm_vllm.generation.Generation._record",
    "otel_llm_vllm.generation.finished_samples",
    "otel_llm_vllm.generation._figures",
    "otel_llm_vllm.samples.times_of",
    "otel_llm_vllm.samples.Streamed.samples",
]


@pytest.mark.parametrize("path", BREAKABLE)
async def test_vllm_answers_whatever_of_ours_is_broken(
    captured: Captured, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(path, broken)
    llm = LLM(otlp_traces_endpoint=ENDPOINT)
    assert [out.outputs[0].text for out in llm.generate(["a", "b"], SamplingParams(n=2))] == ["yes", "yes"]
    assert llm.chat([{"role": "user", "content": "c"}]) == llm.seen[-1:]
    llm.error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        llm.generate("d")
    engine = AsyncLLM(ENDPOINT)
    engine.outputs = [output("he"), output("llo", last=True)]
    assert [out async for out in engine.generate("p", DELTA, "r")] == engine.outputs
    LLMEngine(ENDPOINT).add_request("r", "p", None)
    sys.modules["vllm.tracing.otel"].set_tracer_provider(TracerProvider())  # type: ignore[attr-defined]
    captured.spans()
    assert any(what == "internal_error" for what, _ in drops.counts()), "nothing was broken"


def test_nothing_of_the_program_s_is_changed(captured: Captured) -> None:
    params, prompts = SamplingParams(n=2, stop=["."]), ["a", {"prompt_token_ids": [1]}]
    before = copy.deepcopy((params, prompts))
    llm = LLM(disable_log_stats=False)
    outputs = llm.generate(prompts, params)
    kept = copy.deepcopy(outputs)
    captured.spans()
    assert (params, prompts) == before
    assert outputs == kept
    assert all(ours is theirs for ours, theirs in zip(outputs, llm.seen, strict=True))


def test_outputs_of_a_shape_that_nobody_knows_end_the_span_all_the_same(captured: Captured) -> None:
    llm = LLM()
    llm._run = lambda *_: object()  # type: ignore[assignment]
    assert len(llm.generate(["a", "b"])) == 2
    [call] = captured.spans()
    assert (call.name, call.status.status_code.name) == ("text_completion tiny", "UNSET")
    assert any(what == "internal_error" for what, _ in drops.counts())


def test_outputs_are_let_go(captured: Captured) -> None:
    import gc
    import weakref

    [output] = LLM().generate("a")
    captured.spans()
    gone = weakref.ref(output)
    del output
    gc.collect()
    assert gone() is None


def test_a_queue_that_is_full_keeps_the_call_and_lets_the_outputs_go(vllm: Any) -> None:
    with testing.capture(instrumentations=("otel_llm_vllm",), max_queue_bytes=1024) as captured:
        LLM().generate(["a"] * 50)
        [call] = captured.spans()
    assert call.name == "text_completion tiny"
    assert vc.SAMPLES not in (call.attributes or {})


async def test_a_stream_counts_in_the_queue_by_what_it_keeps(vllm: Any) -> None:
    for params in (DELTA, CUMULATIVE):
        with testing.capture(instrumentations=("otel_llm_vllm",), max_queue_bytes=20_000) as captured:
            engine = AsyncLLM()
            engine.outputs = [output("long " * 5000, last=True)]
            assert [out async for out in engine.generate("p", params, "r")] == engine.outputs
            [call] = captured.spans()
        assert call.name == "text_completion served"
        assert vc.SAMPLES not in (call.attributes or {})


def test_members_keep_their_names_and_signatures(captured: Captured) -> None:
    assert (LLM.generate.__name__, LLM.__init__.__name__) == ("generate", "__init__")
    assert list(inspect.signature(LLM.generate).parameters) == [
        "self",
        "prompts",
        "sampling_params",
        "use_tqdm",
    ]
    assert inspect.isasyncgenfunction(AsyncLLM.generate)
    assert inspect.iscoroutinefunction(AsyncLLM.add_request)
    assert LLM.generate.__doc__ == "Answer each prompt."


def test_everything_is_put_back(vllm: Any) -> None:
    owners = [
        (LLM, "generate"),
        (LLM, "chat"),
        (LLM, "__init__"),
        (LLMEngine, "add_request"),
        (AsyncLLM, "generate"),
    ]
    before = [owner.__dict__[name] for owner, name in owners]
    with testing.capture(instrumentations=("otel_llm_vllm",)):
        assert all(owner.__dict__[name] is not was for (owner, name), was in zip(owners, before, strict=True))
    assert [owner.__dict__[name] for owner, name in owners] == before


def test_a_seam_that_is_missing_switches_off_only_itself(vllm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(LLM, "chat")
    monkeypatch.setattr(LLMEngine, "add_request", lambda self, request_id, prompt, params: request_id)
    with testing.capture(instrumentations=("otel_llm_vllm",)):
        active = runtime.current()
        assert active is not None
        seams = active.instrumentors["otel_llm_vllm"].seams()
        assert len(LLM().generate("a")) == 1
    assert seams["vllm.entrypoints.llm.LLM.generate"] == "patched"
    assert seams["vllm.entrypoints.llm.LLM.chat"] == "not in this vLLM"
    assert seams["vllm.v1.engine.llm_engine.LLMEngine.add_request"].startswith("failed: TypeError")


def test_nothing_of_vllm_is_imported() -> None:
    import subprocess

    code = (
        "import sys; import otel_llm; otel_llm.instrument(store=None);"
        "print([name for name in sys.modules if name.partition('.')[0] in {'vllm', 'torch'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_come_from_the_argument_then_the_environment() -> None:
    environ = {"OTEL_LLM_VLLM_SAMPLES": "7", "OTEL_LLM_VLLM_STATS": "ON"}
    assert VLLMSettings.resolve(environ=environ) == VLLMSettings(samples=7, stats="on")
    assert VLLMSettings.resolve({"samples": 0}, environ) == VLLMSettings(samples=0, stats="on")
    assert VLLMSettings.resolve(environ={}) == VLLMSettings()
    for wrong in ({"samples": -1}, {"samples": True}, {"stats": "maybe"}):
        with pytest.raises(SettingsError, match="accepts"):
            VLLMSettings.resolve(wrong)
    with pytest.raises(TypeError, match="no setting"):
        otel_llm_vllm.configure(sample=1)
    assert VLLMInstrumentor().instrumentation_dependencies() == ()
