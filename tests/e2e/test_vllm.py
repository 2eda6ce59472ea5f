"""A real vLLM serves a real (tiny, random) model: its spans and ours are one trace, and both count the same."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT, RunProgram, clean_environment, serving_vllm, vllm_command
from received import CLIENT, ERROR, SERVER, UNSET, Received, eventually, otlp_sink

pytestmark = pytest.mark.vllm

# Every protocol that vLLM speaks. The tokenizer of the model has a token for every byte, so counts are known before.
PROGRAM = """
import asyncio, json, sys

import openai
import otel_llm
import requests

otel_llm.instrument(content="full", service_name="program")
url = sys.argv[1]
gpt = openai.OpenAI(base_url=f"{url}/v1", api_key="no-key")
told = {}


def tell(name, answer, input_tokens, output_tokens, text=None):
    told[name] = {"id": answer.id, "input": input_tokens, "output": output_tokens, "text": text}


def tell_chat(name, answer, text=None):
    tell(name, answer, answer.usage.prompt_tokens, answer.usage.completion_tokens, text)


def ask(text, **more):
    more = {"max_tokens": 12, "temperature": 0.7, "seed": 1, "extra_body": {"ignore_eos": True}} | more
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **more}


STREAM = {"stream": True, "stream_options": {"include_usage": True}}

answer = gpt.chat.completions.create(**ask("hi"))
tell_chat("chat", answer, answer.choices[0].message.content)

text = ""
for chunk in gpt.chat.completions.create(**ask("stream", **STREAM)):
    text += "".join(choice.delta.content or "" for choice in chunk.choices)
tell_chat("chat stream", chunk, text)


async def others():
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="no-key") as gpt:
        tell_chat("async chat", await gpt.chat.completions.create(**ask("async")))
        async for chunk in await gpt.chat.completions.create(**ask("async stream", **STREAM)):
            pass
        tell_chat("async chat stream", chunk)


asyncio.run(others())

tell_chat("two choices", gpt.chat.completions.create(**ask("twice", n=2)))

complete = {"model": "tiny", "prompt": "Once", "max_tokens": 5, "temperature": 0.7}
answer = gpt.completions.create(**complete, extra_body={"ignore_eos": True})
tell_chat("completion", answer, answer.choices[0].text)

respond = {"model": "tiny", "input": "respond", "max_output_tokens": 7, "temperature": 0.7}
respond["extra_body"] = {"ignore_eos": True}
answer = gpt.responses.create(**respond)
tell("response", answer, answer.usage.input_tokens, answer.usage.output_tokens, answer.output_text)
for event in gpt.responses.create(**respond, stream=True):
    pass
answer = event.response
tell("response stream", answer, answer.usage.input_tokens, answer.usage.output_tokens, answer.output_text)


def post(path, **body):
    answer = requests.post(url + path, json={"model": "tiny", **body}, stream=body.get("stream", False))
    answer.raise_for_status()
    return answer


def tell_raw(name, answer_id, usage, kinds, text=None):
    told[name] = {"id": answer_id, "input": usage[kinds[0]], "output": usage[kinds[1]], "text": text}


# Greedy, since this protocol has no way to say that the answer must not be empty.
message = {"messages": [{"role": "user", "content": "claude"}], "max_tokens": 7, "temperature": 0}
answer = post("/v1/messages", **message).json()
tell_raw("message", answer["id"], answer["usage"], ("input_tokens", "output_tokens"), answer["content"][0]["text"])
lines = post("/v1/messages", **message, stream=True).iter_lines()
events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
[begun] = [event["message"] for event in events if event["type"] == "message_start"]
[done] = [event for event in events if event["type"] == "message_delta"]
text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
tell_raw("message stream", begun["id"], done["usage"], ("input_tokens", "output_tokens"), text)

sampling = {"max_tokens": 4, "temperature": 0.7, "ignore_eos": True}
answer = post("/inference/v1/generate", token_ids=[5, 6, 7], sampling_params=sampling).json()
tell_raw("tokens", answer["request_id"], answer["usage"], ("prompt_tokens", "completion_tokens"))

post("/tokenize", prompt="hi")  # no model call, so no span

try:
    gpt.chat.completions.create(**ask("too long " * 100))
except openai.BadRequestError as error:
    told["too long"] = {"status": error.status_code}

print(json.dumps(told))
"""


def chat_tokens(text: str) -> int:
    """Tokens of a chat with one message of the user: `<start>user\\n…<end>\\n<start>assistant\\n`."""
    return 1 + len("user\n") + len(text) + 1 + len("\n") + 1 + len("assistant\n")


# In the order of the calls: the operation, and how many tokens its prompt has.
ANSWERED = {
    "chat": ("chat", chat_tokens("hi")),
    "chat stream": ("chat", chat_tokens("stream")),
    "async chat": ("chat", chat_tokens("async")),
    "async chat stream": ("chat", chat_tokens("async stream")),
    "two choices": ("chat", chat_tokens("twice")),
    "completion": ("text_completion", len("Once")),
    "response": ("chat", chat_tokens("respond")),
    "response stream": ("chat", chat_tokens("respond")),
    "message": ("chat", chat_tokens("claude")),
    "message stream": ("chat", chat_tokens("claude")),
    "tokens": ("text_completion", 3),
}
ORDER = [*ANSWERED, "too long"]
STREAMS = [name for name in ANSWERED if name.endswith("stream")]


def choices(name: str) -> int:
    return 2 if name == "two choices" else 1


@dataclass(frozen=True)
class Call:
    """One call as the SDK, our span, and vLLM's spans (one a choice) tell it."""

    sdk: dict[str, Any]
    ours: Received
    theirs: list[Received]


@pytest.fixture(scope="module")
def vllm() -> Path:
    """The `vllm` command of the environment that is named, or else of the one that the tests run in."""
    found = vllm_command()
    if found is None:
        pytest.skip("vLLM is neither installed nor named: OTEL_LLM_TEST_VLLM=$(tests/components/vllm.sh)")
    return found


@pytest.fixture(scope="module")
def calls(vllm: Path, run_program: RunProgram, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    folder = tmp_path_factory.mktemp("vllm")
    subprocess.run(
        [vllm.with_name("python"), ROOT / "tests/components/tiny_model.py", folder / "model"],
        check=True,
        capture_output=True,
        env=clean_environment({"HF_HUB_OFFLINE": "1"}),
    )
    options = "--max-model-len 512 --max-num-seqs 4 --enable-scale-out"  # the last for /inference/v1/generate
    with otlp_sink() as sink, serving_vllm(vllm, folder / "model", sink, options) as url:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        sdk = run_program(PROGRAM, url, env=env)

        def ours() -> list[Received]:
            spans = [span for span in list(sink.spans) if span.service == "program"]
            return sorted(spans, key=lambda span: span.start_ns)

        def theirs() -> list[Received]:
            return [span for span in list(sink.spans) if span.name == "llm_request"]

        # vLLM makes a span for every choice, and none for a request that it refuses.
        answers = sum(map(choices, ANSWERED))
        eventually(lambda: len(ours()) >= len(ORDER) and len(theirs()) >= answers)
        assert len(ours()) == len(ORDER), [span.name for span in ours()]
        assert len(theirs()) == answers, [span.attributes for span in theirs()]
        of = {span.trace_id: [each for each in theirs() if each.trace_id == span.trace_id] for span in ours()}
        told = zip(ORDER, ours(), strict=True)
        return {name: Call(sdk[name], span, of[span.trace_id]) for name, span in told}


@pytest.mark.parametrize("name", ANSWERED)
def test_our_span_and_vllm_s_are_one_trace(calls: dict[str, Call], name: str) -> None:
    call = calls[name]
    assert (call.ours.kind, call.ours.parent_id, call.ours.status) == (CLIENT, "", UNSET)
    assert len(call.theirs) == choices(name)
    for span in call.theirs:
        assert (span.kind, span.service, span.scope) == (SERVER, "vllm", "vllm.tracing.otel")
        assert (span.trace_id, span.parent_id) == (call.ours.trace_id, call.ours.span_id)
        # Its end is not compared: vLLM may end a span when the answer is already on its way.
        assert call.ours.start_ns <= span.start_ns < call.ours.end_ns


@pytest.mark.parametrize("name", ANSWERED)
def test_tokens_are_equal_on_both_sides(calls: dict[str, Call], name: str) -> None:
    call = calls[name]
    ours = [call.ours.attributes[f"gen_ai.usage.{side}_tokens"] for side in ("input", "output")]
    assert ours == [call.sdk["input"], call.sdk["output"]]
    assert {span.attributes["gen_ai.usage.prompt_tokens"] for span in call.theirs} == {ours[0]}
    assert sum(span.attributes["gen_ai.usage.completion_tokens"] for span in call.theirs) == ours[1]


@pytest.mark.parametrize("name", ANSWERED)
def test_both_tell_of_the_same_request(calls: dict[str, Call], name: str) -> None:
    call = calls[name]
    operation, prompt_tokens = ANSWERED[name]
    ours = call.ours.attributes
    assert call.ours.name == f"{operation} tiny"
    assert (ours["gen_ai.operation.name"], ours["gen_ai.request.model"]) == (operation, "tiny")
    assert ours["gen_ai.usage.input_tokens"] == prompt_tokens
    assert ours["gen_ai.response.id"] == call.sdk["id"]
    assert len(ours["gen_ai.response.finish_reasons"]) == len(call.theirs)
    for span in call.theirs:
        assert str(call.sdk["id"]) in span.attributes["gen_ai.request.id"]
        assert span.attributes["gen_ai.request.max_tokens"] == ours["gen_ai.request.max_tokens"]
        # vLLM leaves a temperature of 0 out.
        assert span.attributes.get("gen_ai.request.temperature", 0) == ours["gen_ai.request.temperature"]


@pytest.mark.parametrize(
    "name", ["chat", "chat stream", "completion", "response", "response stream", "message"]
)
def test_what_the_model_said_is_on_our_span(calls: dict[str, Call], name: str) -> None:
    [message] = calls[name].ours.messages("gen_ai.output.messages")
    said = "".join(part["content"] for part in message["parts"] if part["type"] == "text")
    assert (message["role"], said) == ("assistant", calls[name].sdk["text"])


@pytest.mark.parametrize("name", STREAMS)
def test_the_first_chunk_comes_after_vllm_s_first_token(calls: dict[str, Call], name: str) -> None:
    call = calls[name]
    first = call.ours.attributes["gen_ai.response.time_to_first_chunk"]
    assert 0 < first < (call.ours.end_ns - call.ours.start_ns) / 1e9
    assert call.ours.attributes["gen_ai.request.stream"] is True
    if name.endswith("chat stream"):  # others begin with an event that says only that it has begun
        assert call.theirs[0].attributes["gen_ai.latency.time_to_first_token"] <= first


def test_a_prompt_that_is_too_long_is_refused_as_such(calls: dict[str, Call]) -> None:
    call = calls["too long"]
    assert call.sdk["status"] == call.ours.attributes["http.response.status_code"] == 400
    assert (call.ours.status, call.ours.attributes["error.type"]) == (ERROR, "context_length")
    assert call.theirs == []
