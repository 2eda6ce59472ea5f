"""Ollama's SDK, at an address of its own."""

import harness
import ollama
from harness import PROMPT, TOOL, scenario

from otel_llm.loopback import plans

CHAT = {"operation": "chat", "provider": "ollama", "model": "llama3.2"}
GENERATE = {**CHAT, "operation": "text_completion"}
ASK = {"model": "llama3.2", "messages": [{"role": "user", "content": PROMPT}]}
TOOLS = [{"type": "function", "function": TOOL}]


def dump(answer):
    return answer.model_dump(mode="json", exclude_none=True)


def client():
    return ollama.Client(host=harness.url())


def aclient():
    return ollama.AsyncClient(host=harness.url())


@scenario(**CHAT)
def chat():
    return dump(client().chat(**ASK))


@scenario(**CHAT)
async def chat_async():
    return dump(await aclient().chat(**ASK))


@scenario(**CHAT)
def stream():
    return [dump(part) for part in client().chat(**ASK, stream=True)]


@scenario(**CHAT)
async def stream_async():
    return [dump(part) async for part in await aclient().chat(**ASK, stream=True)]


@scenario(**CHAT)
def tools():
    return dump(client().chat(**ASK, tools=TOOLS))


@scenario(**CHAT)
def thinking_in_a_stream():
    return [dump(part) for part in client().chat(**ASK, think=True, stream=True)]


@scenario(**GENERATE)
def generate():
    return dump(client().generate(model="llama3.2", prompt=PROMPT, system="Be brief."))


@scenario(**GENERATE)
async def generate_stream_async():
    return [
        dump(part) async for part in await aclient().generate(model="llama3.2", prompt=PROMPT, stream=True)
    ]


@scenario(operation="embeddings", provider="ollama", model="nomic-embed-text")
def embed():
    return dump(client().embed(model="nomic-embed-text", input=["one", "two three"]))


@scenario(plans.server_error(), **CHAT)
def server_error():
    return harness.raised(lambda: client().chat(**ASK))


if __name__ == "__main__":
    harness.main()
