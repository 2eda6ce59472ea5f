"""OpenAI chat completions and completions, and how others speak them."""

from __future__ import annotations

from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.llm import CallError, LLMCall, Usage
from otel_llm_http.dialects import Limits
from tests.http.dialects.exchanges import JSON, call, sse, text

URL = "https://api.openai.com/v1/chat/completions"
ASKED = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "name": "austria",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AAAAAAA=", "detail": "low"},
                },
                {"type": "image_url", "image_url": {"url": "https://pictures.example/map.png"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c0", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {
            "role": "tool",
            "tool_call_id": "c0",
            "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "map"}],
        },
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "look", "description": "looks", "parameters": {"type": "object"}},
        },
        {"type": "web_search"},
    ],
    "temperature": 0.5,
    "top_p": 1,
    "n": 2,
    "max_completion_tokens": 99,
    "stop": "END",
    "seed": 7,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    "reasoning_effort": "low",
    "service_tier": "flex",
    "logit_bias": {"1": 2},
}
INPUT = [
    {"role": "system", "parts": [text("Be brief.")]},
    {
        "role": "user",
        "name": "austria",
        "parts": [
            text("What is this?"),
            {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 5},
            {"type": "uri", "modality": "image", "uri": "https://pictures.example/map.png"},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "size": 3},
            {"type": "file", "modality": "document", "file_id": "file-1"},
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "size": 3},
        ],
    },
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c0", "name": "look", "arguments": {}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c0", "response": "a map"}]},
]
TOOLS = [
    {"type": "function", "name": "look", "description": "looks", "parameters": {"type": "object"}},
    {"type": "web_search", "name": "web_search"},
]
REQUEST = {
    sc.REQUEST_TEMPERATURE: 0.5,
    sc.REQUEST_TOP_P: 1.0,
    sc.REQUEST_CHOICE_COUNT: 2,
    sc.REQUEST_MAX_TOKENS: 99,
    sc.REQUEST_STOP_SEQUENCES: ("END",),
    sc.REQUEST_SEED: 7,
    sc.REQUEST_FREQUENCY_PENALTY: 0.1,
    sc.REQUEST_PRESENCE_PENALTY: -0.1,
    sc.OUTPUT_TYPE: "json",
    sc.REQUEST_REASONING_LEVEL: "low",
    sc.OPENAI_REQUEST_SERVICE_TIER: "flex",
}
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 12, "audio_tokens": 0},
}
COUNTED = Usage(100, 30, cache_read_tokens=40, reasoning_tokens=12, by_modality={"audio.input_tokens": 5})


def test_a_whole_answer() -> None:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m-2026",
        "service_tier": "default",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "reasoning_content": "Let me look.",
                    "content": "Looking.",
                    "refusal": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "look", "arguments": '{"at": [1, 2]}'},
                        },
                        {
                            "id": "c2",
                            "type": "function",
                            "function": {"name": "look", "arguments": "{broken"},
                        },
                    ],
                },
            },
            {
                "index": 1,
                "finish_reason": "content_filter",
                "message": {"role": "assistant", "refusal": "No."},
            },
        ],
        "usage": USAGE,
    }
    assert call(URL, ASKED, answer, headers={**JSON, "x-request-id": "req-1"}) == LLMCall(
        "chat",
        "openai",
        request_model="m",
        request=REQUEST,
        input_messages=INPUT,
        tool_definitions=TOOLS,
        output_messages=[
            {
                "role": "assistant",
                "finish_reason": "tool_calls",
                "parts": [
                    {"type": "reasoning", "content": "Let me look."},
                    text("Looking."),
                    {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": [1, 2]}},
                    {"type": "tool_call", "id": "c2", "name": "look", "arguments": "{broken"},
                ],
            },
            {
                "role": "assistant",
                "finish_reason": "content_filter",
                "parts": [{"type": "refusal", "content": "No."}],
            },
        ],
        response_id="chatcmpl-1",
        response_model="m-2026",
        response={
            sc.OPENAI_RESPONSE_SERVICE_TIER: "default",
            sc.OPENAI_RESPONSE_SYSTEM_FINGERPRINT: "fp",
            sc.REQUEST_ID: "req-1",
        },
        finish_reasons=["tool_calls", "content_filter"],
        usage=COUNTED,
        complete=True,
    )


def chunk(delta: dict[str, Any], reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "m-2026",
        "choices": [choice],
        **more,
    }


STREAM = [
    chunk({"role": "assistant", "content": "", "refusal": None}),
    chunk({"reasoning_content": "Let "}),
    chunk({"reasoning_content": "me."}),
    *(chunk({"content": piece}) for piece in ("Look", 'ing "', "far\\", "\n—é", "\U0001f600.")),
    chunk({"content": "B"}, index=1),
    chunk(
        {
            "tool_calls": [
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}
            ]
        }
    ),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at"'}}]}),
    chunk({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "move", "arguments": "{}"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
    chunk({}, "tool_calls"),
    chunk({}, "stop", index=1),
    {"id": "chatcmpl-1", "choices": [], "usage": USAGE},
]
STREAMED = LLMCall(
    "chat",
    "openai",
    request_model="m",
    request={sc.REQUEST_CHOICE_COUNT: 2},
    input_messages=[{"role": "user", "parts": [text("hi")]}],
    output_messages=[
        {
            "role": "assistant",
            "finish_reason": "tool_calls",
            "parts": [
                {"type": "reasoning", "content": "Let me."},
                text('Looking "far\\\n—é\U0001f600.'),
                {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
                {"type": "tool_call", "id": "c2", "name": "move", "arguments": {}},
            ],
        },
        {"role": "assistant", "finish_reason": "stop", "parts": [text("B")]},
    ],
    response_id="chatcmpl-1",
    response_model="m-2026",
    finish_reasons=["tool_calls", "stop"],
    usage=COUNTED,
    complete=True,
    stream=True,
)
ASKED_STREAM = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, "n": 2}


def test_a_stream() -> None:
    assert call(URL, ASKED_STREAM, sse(*STREAM, done=True)) == STREAMED


def test_a_stream_whose_reader_left_before_the_done_marker_is_complete_all_the_same() -> None:
    assert call(URL, ASKED_STREAM, sse(*STREAM)) == STREAMED


def test_a_stream_that_broke_off_keeps_what_came_and_says_so() -> None:
    broken = call(URL, ASKED_STREAM, [*sse(*STREAM[:6]), b'data: {"id":"chatcmpl-1","choi'])
    assert not broken.complete
    assert broken.error is None, "who broke it off is known to the client, not to the payload"
    assert broken.finish_reasons == ["error"]
    assert broken.output_messages == [
        {
            "role": "assistant",
            "finish_reason": "error",
            "parts": [{"type": "reasoning", "content": "Let me."}, text('Looking "far\\')],
        }
    ]


def test_one_of_two_choices_without_a_reason_is_not_complete() -> None:
    assert not call(URL, ASKED_STREAM, sse(*STREAM[:-2])).complete


def test_an_error_within_a_stream_is_the_calls_error() -> None:
    failed = call(
        URL,
        ASKED_STREAM,
        sse(
            STREAM[3],
            {"error": {"message": "Too much.", "type": "server_error", "code": "rate_limit_exceeded"}},
        ),
    )
    assert failed.error == CallError("rate_limit", "Too much.", "rate_limit_exceeded")
    assert not failed.complete
    assert failed.finish_reasons == ["error"]


def test_an_answer_with_a_good_status_and_an_error_is_an_error() -> None:
    failed = call(URL, ASKED, {"error": {"message": "No such model", "code": 404}})
    assert failed.error == CallError("invalid_request", "No such model", "404")
    assert not failed.complete


@pytest.mark.parametrize(
    "answer", [b"", b"<html>hi</html>", b'{"choices": 3}', b"[]", b"null", b'{"choices": [', b"data"]
)
def test_an_answer_that_is_none_is_malformed(answer: bytes) -> None:
    failed = call(URL, {"model": "m", "messages": []}, answer, headers={"content-type": "text/html"})
    assert failed.error is not None
    assert failed.error.type == "malformed_response"
    assert failed.finish_reasons == ["error"]
    assert not failed.complete


def test_events_that_cannot_be_read_do_not_spoil_a_stream_that_ends_well() -> None:
    pieces = sse(*STREAM, done=True)
    pieces[5:5] = [b"data: {nonsense\n\n", b"data: 7\n\n", b": keep-alive\n\n", b"event: x\n\n"]
    assert call(URL, ASKED_STREAM, pieces) == STREAMED


def test_a_request_that_cannot_be_read_costs_only_what_it_would_have_told() -> None:
    for asked in (b"\x00", b"[]", b'{"messages": {"role": 1}, "model": ["m"], "n": "2"}'):
        got = call(URL, asked, {"choices": [{"finish_reason": "stop", "message": {"content": "hi"}}]})
        assert (got.request_model, got.input_messages, got.request) == (None, [], {})
        assert got.complete


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # x.ai leaves reasoning out of the output
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(10, 105, reasoning_tokens=100),
        ),
        # DeepSeek
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_cache_hit_tokens": 8,
                "prompt_cache_miss_tokens": 2,
            },
            Usage(10, 5, cache_read_tokens=8),
        ),
        # OpenRouter
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 9},
            },
            Usage(10, 5, cache_read_tokens=0, cache_write_tokens=9),
        ),
        ({"prompt_tokens": "10", "completion_tokens": -5, "prompt_tokens_details": [1]}, Usage()),
        ({"prompt_tokens": 10.0, "completion_tokens": True}, Usage(10)),
    ],
)
def test_tokens_are_counted_as_the_conventions_count_them(usage: dict[str, Any], expected: Usage) -> None:
    assert call(URL, ASKED, {"choices": [], "usage": usage}).usage == expected


def test_groq_tells_its_usage_apart() -> None:
    events = [chunk({"content": "a"}), chunk({}, "stop", x_groq={"id": "q", "usage": USAGE})]
    assert call("https://api.groq.com/openai/v1/chat/completions", ASKED, sse(*events)).usage == COUNTED


def test_moonshot_tells_its_usage_within_the_choice() -> None:
    last = chunk({}, "stop")
    last["choices"][0]["usage"] = USAGE
    assert call("https://api.moonshot.ai/v1/chat/completions", ASKED, sse(last)).usage == COUNTED


def test_mistral_thinks_in_parts() -> None:
    events = [
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
        chunk({"content": [{"type": "text", "text": "so"}]}),
        chunk({"content": "!"}, "stop"),
    ]
    got = call("https://api.mistral.ai/v1/chat/completions", {"model": "m", "messages": []}, sse(*events))
    assert got.output_messages[0]["parts"] == [{"type": "reasoning", "content": "hm"}, text("so!")]


def test_spoken_answers_are_described() -> None:
    audio = {"id": "audio-1", "data": "A" * 400, "transcript": "Hello.", "expires_at": 1}
    whole = call(URL, {"modalities": ["text", "audio"]}, {"choices": [{"message": {"audio": audio}}]})
    assert whole.request == {sc.OUTPUT_TYPE: "speech"}
    parts = [text("Hello."), {"type": "blob", "modality": "audio", "size": 300}]
    assert whole.output_messages[0]["parts"] == parts
    pieces = [chunk({"audio": {"id": "audio-1", "transcript": "Hel"}}), chunk({"audio": {"data": "A" * 200}})]
    pieces += [chunk({"audio": {"data": "A" * 200, "transcript": "lo."}}, "stop")]
    assert call(URL, None, sse(*pieces)).output_messages[0]["parts"] == parts


def test_azure_names_the_model_in_the_path() -> None:
    url = "https://r.openai.azure.com/openai/deployments/mine/chat/completions"
    got = call(
        url,
        {"model": "other", "messages": []},
        {"choices": [{"finish_reason": "stop", "message": {"content": "x"}}]},
    )
    assert (got.provider, got.request_model, got.finish_reasons) == ("azure.ai.openai", "mine", ["stop"])


def test_a_completion() -> None:
    url = "http://127.0.0.1:8000/v1/completions"
    got = call(
        url,
        {"model": "m", "prompt": ["once", [1, 2, 3]], "max_tokens": 5, "top_k": 20},
        {
            "id": "cmpl-1",
            "model": "m",
            "choices": [
                {"index": 0, "text": " upon", "finish_reason": "length"},
                {"index": 1, "text": "", "finish_reason": "stop"},
            ],
            "usage": {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10},
        },
    )
    assert got == LLMCall(
        "text_completion",
        "openai",
        request_model="m",
        request={sc.REQUEST_MAX_TOKENS: 5, sc.REQUEST_TOP_K: 20},
        input_messages=[
            {"role": "user", "parts": [text("once")]},
            {"role": "user", "parts": [{"type": "token_ids", "size": 3}]},
        ],
        output_messages=[
            {"role": "assistant", "finish_reason": "length", "parts": [text(" upon")]},
            {"role": "assistant", "finish_reason": "stop", "parts": []},
        ],
        response_id="cmpl-1",
        response_model="m",
        finish_reasons=["length", "stop"],
        usage=Usage(4, 6),
        complete=True,
    )


def test_a_streamed_completion() -> None:
    events = [
        {"id": "cmpl-1", "model": "m", "choices": [{"index": 0, "text": piece, "finish_reason": None}]}
        for piece in ("once", " upon", " a")
    ]
    events.append({"id": "cmpl-1", "choices": [{"index": 0, "text": " time", "finish_reason": "stop"}]})
    got = call(
        "https://api.openai.com/v1/completions",
        {"model": "m", "prompt": "", "stream": True},
        sse(*events, done=True),
    )
    assert got.output_messages == [
        {"role": "assistant", "finish_reason": "stop", "parts": [text("once upon a time")]}
    ]
    assert got.complete


def test_a_gateway_that_answers_a_request_for_a_stream_with_plain_json_is_understood() -> None:
    answer = b'{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}]}'
    got = call(URL, {"stream": True}, answer, headers={"content-type": "text/event-stream"})
    assert (got.complete, got.finish_reasons, got.stream) == (True, ["stop"], True)


def test_a_server_that_does_not_name_the_type_of_its_stream_is_understood() -> None:
    got = call(URL, ASKED_STREAM, sse(*STREAM, done=True), headers={})
    assert got == STREAMED


def test_content_beyond_the_limit_is_cut_and_counts_are_not() -> None:
    limits = Limits(max_text=10)
    events = [chunk({"content": "x" * 4}) for _ in range(9)] + [
        chunk({}, "stop"),
        {"choices": [], "usage": USAGE},
    ]
    got = call(
        URL,
        {"model": "m", "messages": [{"role": "user", "content": "y" * 50}]},
        sse(*events, done=True),
        limits=limits,
    )
    assert got.truncated
    assert got.output_messages[0]["parts"] == [text("x" * 10)]
    assert got.input_messages[0]["parts"] == [text("y" * 10)]
    assert (got.usage, got.finish_reasons, got.complete) == (COUNTED, ["stop"], True)
    whole = call(
        URL, None, {"choices": [{"finish_reason": "stop", "message": {"content": "x" * 99}}]}, limits=limits
    )
    assert whole.truncated
    assert whole.output_messages[0]["parts"] == [text("x" * 10)]


def test_a_body_beyond_the_limit_is_not_parsed() -> None:
    limits = Limits(max_body=200)
    got = call(
        URL,
        {"messages": [{"role": "user", "content": "y" * 500}], "model": "m"},
        b" " * 300 + b"{}",
        limits=limits,
    )
    assert (got.truncated, got.request_model, got.input_messages, got.error) == (True, "m", [], None)
    events = [chunk({"content": "a"}), chunk({"content": "b" * 300}), chunk({"content": "c"}, "stop")]
    got = call(URL, None, sse(*events, done=True), limits=limits)
    assert got.truncated
    assert got.output_messages[0]["parts"] == [text("ac")]
    assert got.complete
