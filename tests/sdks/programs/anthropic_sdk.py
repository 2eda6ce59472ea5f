"""Anthropic's SDK. It traces itself, unless the environment says `ANTHROPIC_OPEN_TELEMETRY=false`."""

import anthropic
import harness
from harness import PROMPT, TOOL, scenario
from pydantic import BaseModel

from otel_llm.loopback import plans

MODEL = "claude-sonnet-4-5"
CHAT = {"operation": "chat", "provider": "anthropic", "model": MODEL}
ASK = {
    "model": MODEL,
    "max_tokens": 500,
    "messages": [{"role": "user", "content": PROMPT}],
    "system": "Be brief.",
}
TOOLS = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}]


class Move(BaseModel):
    unit: str
    to: str


def client(**options):
    return anthropic.Anthropic(api_key="none", base_url="http://api.anthropic.com", **options)


def aclient(**options):
    return anthropic.AsyncAnthropic(api_key="none", base_url="http://api.anthropic.com", **options)


@scenario(**CHAT)
def messages():
    return client().messages.create(**ASK).to_dict()


@scenario(**CHAT)
async def messages_async():
    return (await aclient().messages.create(**ASK)).to_dict()


@scenario(**CHAT)
def stream():
    return [event.to_dict() for event in client().messages.create(**ASK, stream=True)]


@scenario(**CHAT)
async def stream_async():
    return [event.to_dict() async for event in await aclient().messages.create(**ASK, stream=True)]


@scenario(**CHAT)
def stream_helper():
    with client().messages.stream(**ASK) as events:
        return ["".join(events.text_stream), events.get_final_message().to_dict()]


@scenario(**CHAT)
async def stream_helper_async():
    async with aclient().messages.stream(**ASK) as events:
        text = "".join([piece async for piece in events.text_stream])
        return [text, (await events.get_final_message()).to_dict()]


@scenario(plans.stream(50, delay=0.002), broken_off=True, **CHAT)
def stream_broken_off():
    with client().messages.stream(**ASK) as events:
        for piece in events.text_stream:
            return piece


@scenario(**CHAT)
def tools():
    return client().messages.create(**ASK, tools=TOOLS).to_dict()


@scenario(**CHAT)
def tools_in_a_stream():
    return [event.to_dict() for event in client().messages.create(**ASK, tools=TOOLS, stream=True)]


@scenario(**CHAT)
def thinking():
    return client().messages.create(**ASK, thinking={"type": "adaptive"}).to_dict()


@scenario(**CHAT)
def thinking_in_a_stream():
    return [e.to_dict() for e in client().messages.create(**ASK, thinking={"type": "adaptive"}, stream=True)]


@scenario(calls=2, **CHAT)
def cached():
    system = [{"type": "text", "text": "Be brief. Be right.", "cache_control": {"type": "ephemeral"}}]
    return [client().messages.create(**{**ASK, "system": system}).usage.to_dict() for _ in range(2)]


@scenario(**CHAT)
def cut_at_max_tokens():
    return client().messages.create(**{**ASK, "max_tokens": 3}).to_dict()


@scenario(**CHAT)
def parsed():
    return client().messages.parse(**ASK, output_format=Move).parsed_output.model_dump()


@scenario(**CHAT)
def raw_response():
    raw = client().messages.with_raw_response.create(**ASK)
    return [raw.headers["request-id"], raw.parse().to_dict()]


@scenario(**CHAT)
def streaming_response():
    with client().messages.with_streaming_response.create(**ASK) as response:
        return response.parse().to_dict()


@scenario(plans.overloaded(0.01), plans.answer(), calls=2, **CHAT)
def retries():
    return client().messages.create(**ASK).to_dict()


@scenario(plans.rate_limited(0.01), plans.answer(), calls=2, **CHAT)
async def retries_async():
    return (await aclient().messages.create(**ASK)).to_dict()


@scenario(plans.stream_error(3), **CHAT)
def error_in_a_stream():
    return harness.raised(lambda: list(client(max_retries=0).messages.create(**ASK, stream=True)))


@scenario(plans.context_length(), **CHAT)
def context_too_long():
    return harness.raised(lambda: client().messages.create(**ASK))


@scenario(calls=0)
def counting_tokens_is_no_call():
    return client().messages.count_tokens(model=MODEL, messages=ASK["messages"]).to_dict()


if __name__ == "__main__":
    harness.main()
