"""Groq's SDK."""

import groq
import harness
from harness import PROMPT, TOOL, scenario

from otel_llm.loopback import plans

MODEL = "llama-3.3-70b-versatile"
CHAT = {"operation": "chat", "provider": "groq", "model": MODEL}
ASK = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
TOOLS = [{"type": "function", "function": TOOL}]


def client(**options):
    return groq.Groq(api_key="none", base_url="http://api.groq.com", **options)


def aclient(**options):
    return groq.AsyncGroq(api_key="none", base_url="http://api.groq.com", **options)


@scenario(**CHAT)
def chat():
    return client().chat.completions.create(**ASK).to_dict()


@scenario(**CHAT)
async def chat_async():
    return (await aclient().chat.completions.create(**ASK)).to_dict()


@scenario(**CHAT)
def stream():
    return [chunk.to_dict() for chunk in client().chat.completions.create(**ASK, stream=True)]


@scenario(**CHAT)
async def stream_async():
    return [chunk.to_dict() async for chunk in await aclient().chat.completions.create(**ASK, stream=True)]


@scenario(**CHAT)
def tools():
    return client().chat.completions.create(**ASK, tools=TOOLS).to_dict()


@scenario(**CHAT)
def reasoning_in_a_stream():
    chunks = client().chat.completions.create(**ASK, reasoning_effort="low", stream=True)
    return [chunk.to_dict() for chunk in chunks]


@scenario(plans.rate_limited(0.01), plans.answer(), calls=2, **CHAT)
def retries():
    return client().chat.completions.create(**ASK).to_dict()


@scenario(plans.unauthorized(), **CHAT)
async def unauthorized_async():
    return await harness.raised_async(aclient().chat.completions.create(**ASK))


@scenario(operation="embeddings", provider="groq", model="nomic-embed")
def embeddings():
    return client().embeddings.create(model="nomic-embed", input="one two", encoding_format="float").to_dict()


if __name__ == "__main__":
    harness.main()
