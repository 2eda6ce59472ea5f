"""Mistral's SDK, which traces itself."""

import harness
from harness import PROMPT, TOOL, scenario
from mistralai.client import Mistral
from mistralai.client.utils import BackoffStrategy, RetryConfig

from otel_llm.loopback import plans

MODEL = "mistral-small-latest"
CHAT = {"operation": "chat", "provider": "mistral_ai", "model": MODEL}
ASK = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
TOOLS = [{"type": "function", "function": TOOL}]


def client(**options):
    return Mistral(api_key="none", server_url="http://api.mistral.ai", **options)


def dump(answer):
    return answer.model_dump(mode="json")


@scenario(**CHAT)
def chat():
    return dump(client().chat.complete(**ASK))


@scenario(**CHAT)
async def chat_async():
    return dump(await client().chat.complete_async(**ASK))


@scenario(**CHAT)
def stream():
    return [dump(event.data) for event in client().chat.stream(**ASK)]


@scenario(**CHAT)
async def stream_async():
    return [dump(event.data) async for event in await client().chat.stream_async(**ASK)]


@scenario(**CHAT)
def tools():
    return dump(client().chat.complete(**ASK, tools=TOOLS))


@scenario(**CHAT)
async def tools_in_a_stream_async():
    return [dump(event.data) async for event in await client().chat.stream_async(**ASK, tools=TOOLS)]


@scenario(plans.rate_limited(0.01), plans.answer(), calls=2, **CHAT)
def retries():
    again = RetryConfig("backoff", BackoffStrategy(10, 20, 1.0, 1000), retry_connection_errors=True)
    return dump(client().chat.complete(**ASK, retries=again))


@scenario(plans.context_length(), **CHAT)
def context_too_long():
    return harness.raised(lambda: client().chat.complete(**ASK))


@scenario(operation="embeddings", provider="mistral_ai", model="mistral-embed")
def embeddings():
    return dump(client().embeddings.create(model="mistral-embed", inputs=["one", "two three"]))


@scenario(operation="embeddings", provider="mistral_ai", model="mistral-embed")
async def embeddings_async():
    return dump(await client().embeddings.create_async(model="mistral-embed", inputs=["one"]))


if __name__ == "__main__":
    harness.main()
