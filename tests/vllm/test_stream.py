"""`AsyncLLM.generate` in process: the span is the stream's, from its first step to however it ends."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Sequence
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.testing import Captured
from otel_llm_vllm import semconv as vc
from tests.vllm.fakes import (
    AsyncLLM,
    CompletionOutput,
    OutputProcessor,
    Parent,
    RequestOutput,
    RequestOutputKind,
    RequestState,
    SamplingParams,
    Stats,
    tokens,
)

DELTA = SamplingParams(output_kind=RequestOutputKind.DELTA)
CUMULATIVE = SamplingParams(output_kind=RequestOutputKind.CUMULATIVE)
FINAL = SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY)


def output(*texts: str, last: bool = False, first_index: int = 0) -> RequestOutput:
    reason = "stop" if last else None
    made = [
        CompletionOutput(first_index + i, t, tokens(t), finish_reason=reason) for i, t in enumerate(texts)
    ]
    stats = Stats(1.0, 5.0, 5.25, 5.5, 7.5, 0.125)
    return RequestOutput("r", "Once", tokens("Once"), made, finished=last, metrics=stats)


async def read(engine: AsyncLLM, params: Any, request_id: str = "r") -> Sequence[RequestOutput]:
    return [out async for out in engine.generate("Once", params, request_id)]


def only(captured: Captured) -> tuple[Any, list[Any]]:
    [call] = captured.calls()
    return call, [span for span in captured.spans() if span.name == vc.SPAN_SAMPLE]


@pytest.mark.parametrize(
    ("params", "texts"),
    [(DELTA, ["he", "l", "lo"]), (CUMULATIVE, ["he", "hel", "hello"]), (FINAL, ["hello"])],
)
async def test_a_stream_that_was_read_to_its_end(captured: Captured, params: Any, texts: list[str]) -> None:
    engine = AsyncLLM()
    engine.outputs = [output(text, last=text is texts[-1]) for text in texts]
    assert await read(engine, params) == engine.outputs
    call, [sample] = only(captured)
    assert call.name == "text_completion served"
    assert (call.kind.name, call.status.status_code.name) == ("INTERNAL", "UNSET")
    assert call.attributes[sc.RESPONSE_ID] == "r"
    assert (call.attributes[sc.USAGE_INPUT_TOKENS], call.attributes[sc.USAGE_OUTPUT_TOKENS]) == (4, 5)
    assert '"hello"' in sample.attributes[sc.OUTPUT_MESSAGES]
    assert (sample.attributes[vc.TIME_TO_FIRST_TOKEN], sample.attributes[vc.TIME_IN_DECODE]) == (0.125, 2.0)
    streamed = params is not FINAL
    assert (call.attributes.get(sc.REQUEST_STREAM) is True) == streamed
    assert (sc.RESPONSE_TIME_TO_FIRST_CHUNK in call.attributes) == streamed
    if streamed:
        assert call.attributes[sc.STREAM_CHUNKS] == 3


async def test_several_samples_in_one_stream(captured: Captured) -> None:
    engine = AsyncLLM()
    engine.outputs = [
        output("a"),
        output("b", first_index=1),
        output("c", last=True),
        output("d", last=True, first_index=1),
    ]
    await read(engine, DELTA)
    call, samples = only(captured)
    assert [s.attributes[vc.SAMPLE_INDEX] for s in samples] == [0, 1]
    assert [
        '"ac"' in samples[0].attributes[sc.OUTPUT_MESSAGES],
        '"bd"' in samples[1].attributes[sc.OUTPUT_MESSAGES],
    ] == [
        True,
        True,
    ]
    assert call.attributes[sc.RESPONSE_FINISH_REASONS] == ("stop", "stop")


async def test_each_of_several_final_answers_has_its_own_times(captured: Captured) -> None:
    """vLLM measures them in a task that serves all streams, and hands out only those of the last."""
    engine, processor = AsyncLLM(), OutputProcessor()
    engine.outputs = [output("a", "b", last=True)]

    async def measured(*_: Any, **__: Any) -> Sequence[RequestOutput]:
        def elsewhere() -> None:
            for index in range(2):
                stats = Stats(1.0, 5.0, 5.25, 5.5, 7.5, first_token_latency=index + 1.0)
                processor._update_stats_from_finished(RequestState(Parent("r"), index, stats), "stop", None)

        contextvars.Context().run(elsewhere)
        return engine.outputs

    engine.add_request = measured  # type: ignore[method-assign]
    await read(engine, FINAL)
    _, samples = only(captured)
    assert [sample.attributes[vc.TIME_TO_FIRST_TOKEN] for sample in samples] == [1.0, 2.0]


@pytest.mark.parametrize("params", [DELTA, FINAL])
async def test_a_stream_that_was_closed_early_is_cancelled_and_vllm_knows_at_once(
    captured: Captured, params: Any
) -> None:
    engine = AsyncLLM()
    engine.outputs = [output("he"), output("llo", last=True)]
    stream = engine.generate("Once", params, "r")
    assert (await anext(stream)).outputs[0].text == "he"
    await stream.aclose()
    assert engine.aborted == 1
    call, [sample] = only(captured)
    assert (call.status.status_code.name, call.attributes[sc.ERROR_TYPE]) == ("ERROR", "cancelled")
    assert call.attributes[sc.RESPONSE_FINISH_REASONS] == ("error",)
    assert sample.attributes[vc.OUTPUT_TOKENS] == 2


async def test_a_stream_that_is_closed_after_its_last_output_is_no_failure(captured: Captured) -> None:
    engine = AsyncLLM()
    engine.outputs = [output("hello", last=True)]
    stream = engine.generate("Once", DELTA, "r")
    await anext(stream)
    await stream.aclose()
    call, _ = only(captured)
    assert call.status.status_code.name == "UNSET"


async def test_a_task_that_is_cancelled(captured: Captured) -> None:
    engine = AsyncLLM()
    engine.outputs = [output("he")]

    async def forever(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(3600)

    engine.add_request = forever  # type: ignore[method-assign]
    task = asyncio.ensure_future(read(engine, DELTA))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.aborted == 1
    call, samples = only(captured)
    assert (call.attributes[sc.ERROR_TYPE], samples) == ("cancelled", [])


async def test_a_stream_that_fails(captured: Captured) -> None:
    engine = AsyncLLM()
    engine.outputs = [output("he")]
    engine.error = RuntimeError("the engine is gone")
    with pytest.raises(RuntimeError) as raised:
        await read(engine, DELTA)
    assert raised.value is engine.error
    call, _ = only(captured)
    assert (call.attributes[sc.ERROR_TYPE], call.attributes[sc.ERROR_MESSAGE]) == (
        "overloaded",
        "the engine is gone",
    )


async def test_a_stream_that_nobody_reads_on_ends_when_it_is_collected(captured: Captured) -> None:
    engine = AsyncLLM()
    engine.outputs = [output("he"), output("llo", last=True)]
    stream = engine.generate("Once", DELTA, "r")
    await anext(stream)
    del stream
    gc.collect()
    await asyncio.sleep(0.01)  # the loop closes what was collected
    assert engine.aborted == 1
    call, _ = only(captured)
    assert call.attributes[sc.ERROR_TYPE] == "cancelled"


async def test_nothing_is_told_of_a_stream_that_is_never_begun(captured: Captured) -> None:
    AsyncLLM().generate("Once", DELTA, "r")
    gc.collect()
    assert captured.spans() == ()


async def test_streams_side_by_side_are_children_of_their_own_tasks(captured: Captured) -> None:
    import otel_llm

    async def one(number: int) -> str:
        engine = AsyncLLM()
        engine.outputs = [output("he"), output("llo", last=True)]
        with otel_llm.step(number) as step:
            await read(engine, DELTA, f"r{number}")
        return format(step.span.get_span_context().span_id, "016x")

    steps = await asyncio.gather(*(one(number) for number in range(1, 6)))
    parents = {
        call.attributes[sc.TRAIN_STEP]: format(call.parent.span_id, "016x") for call in captured.calls()
    }
    assert parents == dict(enumerate(steps, 1))
