"""OpenAI's SDK: versions 2 and 3 alike."""

import asyncio

import harness
import openai
from harness import PROMPT, TOOL, scenario
from pydantic import BaseModel

from otel_llm.loopback import plans

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
CHAT = {"operation": "chat", "provider": "openai", "model": "gpt-4o-mini"}
EMBED = {"operation": "embeddings", "provider": "openai", "model": "text-embedding-3-small"}
ASK = {"model": "gpt-4o-mini", "messages": MESSAGES}
USAGE = {"stream_options": {"include_usage": True}}
TOOLS = [{"type": "function", "function": TOOL}]


class Move(BaseModel):
    unit: str
    to: str


def client(**options):
    return openai.OpenAI(api_key="none", base_url="http://api.openai.com/v1", **options)


def aclient(**options):
    return openai.AsyncOpenAI(api_key="none", base_url="http://api.openai.com/v1", **options)


@scenario(**CHAT)
def chat():
    return client().chat.completions.create(**ASK).to_dict()


@scenario(**CHAT)
async def chat_async():
    return (await aclient().chat.completions.create(**ASK)).to_dict()


@scenario(**CHAT)
def stream():
    return [chunk.to_dict() for chunk in client().chat.completions.create(**ASK, stream=True, **USAGE)]


@scenario(**CHAT)
async def stream_async():
    chunks = await aclient().chat.completions.create(**ASK, stream=True, **USAGE)
    return [chunk.to_dict() async for chunk in chunks]


@scenario(**CHAT)
def stream_without_usage():
    return [chunk.to_dict() for chunk in client().chat.completions.create(**ASK, stream=True)]


@scenario(plans.stream(20).compressed("gzip").split(5), **CHAT)
def stream_compressed_and_split():
    return [chunk.to_dict() for chunk in client().chat.completions.create(**ASK, stream=True, **USAGE)]


@scenario(**CHAT)
def stream_helper():
    with client().chat.completions.stream(**ASK, **USAGE) as events:
        kinds = [event.type for event in events]
        return [kinds, events.get_final_completion().choices[0].message.content]


@scenario(**CHAT)
async def stream_helper_async():
    async with aclient().chat.completions.stream(**ASK, **USAGE) as events:
        kinds = [event.type async for event in events]
        return [kinds, (await events.get_final_completion()).choices[0].message.content]


@scenario(plans.stream(50, delay=0.002), broken_off=True, **CHAT)
def stream_broken_off():
    with client().chat.completions.create(**ASK, stream=True, **USAGE) as chunks:
        for _, chunk in zip(range(5), chunks, strict=False):
            last = chunk.choices[0].delta.content
    return last


@scenario(plans.stream(50, delay=0.002), broken_off=True, **CHAT)
async def stream_broken_off_async():
    chunks = await aclient().chat.completions.create(**ASK, stream=True, **USAGE)
    async for chunk in chunks:
        if chunk.choices[0].delta.content:
            break
    await chunks.close()
    return chunk.choices[0].delta.content


@scenario(calls=2, **CHAT)
def tools():
    first = client().chat.completions.create(**ASK, tools=TOOLS).choices[0].message
    answer = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "A port."}
    messages = [*MESSAGES, first.to_dict(), answer]
    second = client().chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    return [first.to_dict(), second.to_dict()]


@scenario(**CHAT)
def tools_in_a_stream():
    chunks = client().chat.completions.create(**ASK, tools=TOOLS, stream=True, **USAGE)
    return [chunk.to_dict() for chunk in chunks]


@scenario(**CHAT)
def parsed():
    return client().chat.completions.parse(**ASK, response_format=Move).choices[0].message.parsed.model_dump()


@scenario(**CHAT)
def several_choices():
    return client().chat.completions.create(**ASK, n=3).to_dict()


@scenario(operation="chat", provider="openai", model="o4-mini")
def reasoning():
    return (
        client().chat.completions.create(model="o4-mini", messages=MESSAGES, reasoning_effort="low").to_dict()
    )


@scenario(calls=2, **CHAT)
def cached():
    return [
        client().chat.completions.create(**ASK, prompt_cache_key="k").to_dict()["usage"] for _ in range(2)
    ]


@scenario(**CHAT)
def raw_response():
    raw = client().chat.completions.with_raw_response.create(**ASK)
    return [raw.headers["x-request-id"], raw.parse().to_dict()]


@scenario(**CHAT)
async def raw_response_async():
    raw = await aclient().chat.completions.with_raw_response.create(**ASK)
    return [raw.headers["x-request-id"], raw.parse().to_dict()]


@scenario(**CHAT)
def streaming_response():
    with client().chat.completions.with_streaming_response.create(**ASK) as response:
        return [response.status_code, response.parse().to_dict()]


@scenario(**CHAT)
def streaming_response_by_line():
    with client().chat.completions.with_streaming_response.create(**ASK, stream=True, **USAGE) as response:
        return list(response.iter_lines())


@scenario(**CHAT)
async def streaming_response_async():
    async with aclient().chat.completions.with_streaming_response.create(**ASK) as response:
        return [response.status_code, (await response.parse()).to_dict()]


@scenario(plans.rate_limited(0.01), plans.server_error(), plans.answer(), calls=3, **CHAT)
def retries():
    return client(max_retries=2).chat.completions.create(**ASK).to_dict()


@scenario(plans.overloaded(0.01), plans.answer(), calls=2, **CHAT)
async def retries_async():
    return (await aclient().chat.completions.create(**ASK)).to_dict()


@scenario(plans.rate_limited(0.01), plans.rate_limited(0.01), calls=2, **CHAT)
def retries_that_do_not_help():
    return harness.raised(lambda: client(max_retries=1).chat.completions.create(**ASK))


@scenario(plans.context_length(), **CHAT)
def context_too_long():
    return harness.raised(lambda: client().chat.completions.create(**ASK))


@scenario(plans.unauthorized(), **CHAT)
async def unauthorized():
    return await harness.raised_async(aclient().chat.completions.create(**ASK))


@scenario(plans.hang(), sent_error="timeout", **CHAT)
def timeout():
    return harness.raised(lambda: client(timeout=0.2, max_retries=0).chat.completions.create(**ASK))


@scenario(plans.reset(4), sent_error="connection", **CHAT)
def reset_in_a_stream():
    return harness.raised(lambda: list(client().chat.completions.create(**ASK, stream=True)))


@scenario(calls=10, concurrent=True, **CHAT)
async def many_at_once():
    one = aclient()
    asked = (
        one.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": f"{i}"}])
        for i in range(10)
    )
    return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]


@scenario(**CHAT)
def responses():
    return client().responses.create(model="gpt-4o-mini", input=PROMPT, instructions="Be brief.").to_dict()


@scenario(**CHAT)
async def responses_async():
    return (await aclient().responses.create(model="gpt-4o-mini", input=PROMPT)).to_dict()


@scenario(**CHAT)
def responses_stream():
    events = client().responses.create(model="gpt-4o-mini", input=PROMPT, stream=True)
    return [event.to_dict() for event in events]


@scenario(**CHAT)
async def responses_stream_async():
    events = await aclient().responses.create(model="gpt-4o-mini", input=PROMPT, stream=True)
    return [event.to_dict() async for event in events]


@scenario(**CHAT)
def responses_tools():
    tool = {"type": "function", "strict": False, **TOOL}
    return client().responses.create(model="gpt-4o-mini", input=PROMPT, tools=[tool]).to_dict()


@scenario(**CHAT)
def responses_tools_stream():
    tool = {"type": "function", "strict": False, **TOOL}
    events = client().responses.create(model="gpt-4o-mini", input=PROMPT, tools=[tool], stream=True)
    return [event.to_dict() for event in events]


@scenario(**CHAT)
def responses_parsed():
    answer = client().responses.parse(model="gpt-4o-mini", input=PROMPT, text_format=Move)
    return answer.output_parsed.model_dump()


@scenario(operation="fetch_response", provider="openai")
def responses_retrieve():
    return client().responses.retrieve("resp_42").to_dict()


@scenario(**EMBED)
def embeddings():
    return client().embeddings.create(model="text-embedding-3-small", input=["one", "two three"]).to_dict()


@scenario(**EMBED)
async def embeddings_async():
    return (await aclient().embeddings.create(model="text-embedding-3-small", input="one two")).to_dict()


@scenario(operation="text_completion", provider="openai", model="gpt-3.5-turbo-instruct")
def completions():
    return client().completions.create(model="gpt-3.5-turbo-instruct", prompt=PROMPT).to_dict()


@scenario(operation="text_completion", provider="openai", model="gpt-3.5-turbo-instruct")
def completions_stream():
    chunks = client().completions.create(model="gpt-3.5-turbo-instruct", prompt=PROMPT, stream=True)
    return [chunk.to_dict() for chunk in chunks]


@scenario(calls=0)
def models_are_no_call():
    return [model.id for model in client().models.list()]


if __name__ == "__main__":
    harness.main()
