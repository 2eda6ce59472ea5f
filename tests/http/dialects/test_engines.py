"""Engines' own ways to generate: vLLM, SGLang, TGI, llama.cpp, TRL's server."""

from __future__ import annotations

from otel_llm import semconv as sc
from otel_llm.llm import CallError, LLMCall, Usage
from tests.http.dialects.exchanges import call, lines, sse, text

TOKENS = "http://10.0.0.7:8000/inference/v1/generate"
GENERATE = "http://10.0.0.7:8000/generate"


def ids(size: int) -> dict[str, object]:
    return {"type": "token_ids", "size": size}


def test_tokens_in_tokens_out() -> None:
    asked = {
        "model": "q",
        "token_ids": [1, 2, 3],
        "sampling_params": {
            "n": 2,
            "max_tokens": 8,
            "temperature": 1.0,
            "top_k": -1,
            "seed": 7,
            "logprobs": 1,
        },
    }
    answer = {
        "request_id": "r1",
        "choices": [
            {"index": 0, "token_ids": [4, 5], "finish_reason": "stop", "logprobs": None},
            {"index": 1, "token_ids": [6, 7, 8], "finish_reason": "length"},
        ],
    }
    expected = LLMCall(
        "text_completion",
        "vllm",
        request_model="q",
        request={
            sc.REQUEST_CHOICE_COUNT: 2,
            sc.REQUEST_MAX_TOKENS: 8,
            sc.REQUEST_TEMPERATURE: 1.0,
            sc.REQUEST_TOP_K: -1,
            sc.REQUEST_SEED: 7,
        },
        input_messages=[{"role": "user", "parts": [ids(3)]}],
        output_messages=[
            {"role": "assistant", "finish_reason": "stop", "parts": [ids(2)]},
            {"role": "assistant", "finish_reason": "length", "parts": [ids(3)]},
        ],
        response_id="r1",
        finish_reasons=["stop", "length"],
        usage=Usage(3, 5),
        complete=True,
    )
    assert call(TOKENS, asked, answer) == expected


def test_a_stream_of_tokens() -> None:
    events = [
        {"request_id": "r1", "choices": [{"index": 0, "token_ids": [4], "finish_reason": None}]},
        {"request_id": "r1", "choices": [{"index": 0, "token_ids": [5, 6], "finish_reason": "stop"}]},
        {
            "request_id": "r1",
            "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        },
    ]
    got = call(TOKENS, {"token_ids": [1] * 9, "stream": True}, sse(*events, done=True))
    assert (got.usage, got.finish_reasons, got.complete, got.stream) == (Usage(9, 3), ["stop"], True, True)
    assert got.output_messages[0]["parts"] == [ids(3)]
    broken = call(TOKENS, {"token_ids": [1] * 9, "stream": True}, sse(*events[:1]))
    assert (broken.usage, broken.finish_reasons, broken.complete) == (Usage(9, 1), ["error"], False)


def test_vllms_plain_server() -> None:
    got = call(GENERATE, {"prompt": "Once", "n": 2, "max_tokens": 4}, {"text": ["Once upon", "Once more"]})
    assert got == LLMCall(
        "text_completion",
        "vllm",
        request={sc.REQUEST_CHOICE_COUNT: 2, sc.REQUEST_MAX_TOKENS: 4},
        input_messages=[{"role": "user", "parts": [text("Once")]}],
        output_messages=[
            {"role": "assistant", "parts": [text("Once upon")]},
            {"role": "assistant", "parts": [text("Once more")]},
        ],
        complete=True,
    )


def test_vllms_plain_server_repeats_what_came_before() -> None:
    pieces = lines({"text": ["Once"]}, {"text": ["Once upon"]}, {"text": ["Once upon a"]})
    got = call(
        GENERATE, {"prompt": "Once", "stream": True}, pieces, headers={"content-type": "application/x-ndjson"}
    )
    assert [message["parts"] for message in got.output_messages] == [[text("Once upon a")]]


def test_sglang() -> None:
    asked = {"text": "Once", "sampling_params": {"max_new_tokens": 4, "temperature": 0}}
    meta = {
        "id": "r1",
        "finish_reason": {"type": "length", "length": 4},
        "prompt_tokens": 2,
        "completion_tokens": 4,
        "cached_tokens": 1,
    }
    expected = LLMCall(
        "text_completion",
        "sglang",
        request={sc.REQUEST_TEMPERATURE: 0.0, sc.REQUEST_MAX_TOKENS: 4},
        input_messages=[{"role": "user", "parts": [text("Once")]}],
        output_messages=[{"role": "assistant", "finish_reason": "length", "parts": [text(" upon a")]}],
        response_id="r1",
        finish_reasons=["length"],
        usage=Usage(2, 4, cache_read_tokens=1),
        complete=True,
    )
    assert call(GENERATE, asked, {"text": " upon a", "meta_info": meta}) == expected
    expected.stream = True
    events = sse(
        {"text": " upon", "meta_info": {**meta, "finish_reason": None, "completion_tokens": 2}},
        {"text": " upon a", "meta_info": meta},
        done=True,
    )
    assert call(GENERATE, {**asked, "stream": True}, events) == expected


def test_text_generation_inference() -> None:
    asked = {"inputs": "Once", "parameters": {"max_new_tokens": 3, "details": True}}
    details = {"finish_reason": "length", "generated_tokens": 3}
    got = call(GENERATE, asked, {"generated_text": " upon a", "details": details})
    assert (got.provider, got.request) == ("huggingface", {sc.REQUEST_MAX_TOKENS: 3})
    assert got.output_messages == [
        {"role": "assistant", "finish_reason": "length", "parts": [text(" upon a")]}
    ]
    assert got.usage == Usage(None, 3)


def test_llama_cpp() -> None:
    events = sse(
        {"content": " upon", "stop": False},
        {"content": " a", "stop": False},
        {"content": "", "stop": True, "stop_type": "limit", "tokens_evaluated": 2, "tokens_predicted": 3},
    )
    got = call("http://10.0.0.7:8080/completion", {"prompt": "Once", "n_predict": 3, "stream": True}, events)
    assert (got.provider, got.usage, got.complete) == ("llama_cpp", Usage(2, 3), True)
    assert got.output_messages == [
        {"role": "assistant", "finish_reason": "limit", "parts": [text(" upon a")]}
    ]


def test_trls_server() -> None:
    asked = {"prompts": ["a", "b"], "n": 1, "temperature": 1.0, "max_tokens": 4}
    answer = {"prompt_ids": [[1, 2], [3]], "completion_ids": [[4, 5, 6], [7]], "logprobs": [[0.1], [0.2]]}
    got = call(f"{GENERATE}/", asked, answer)
    assert [message["parts"] for message in got.output_messages] == [[ids(3)], [ids(1)]]
    assert (got.usage, got.complete) == (Usage(3, 4), True)


def test_an_engines_error() -> None:
    got = call(GENERATE, {"prompt": "a"}, {"detail": "prompt is too long"}, status=400)
    assert got.error == CallError("context_length", "prompt is too long")
