"""Together's SDK."""

import harness
import together
from harness import PROMPT, TOOL, scenario

from otel_llm.loopback import plans

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
CHAT = {"operation": "chat", "provider": "together", "model": MODEL}
ASK = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
TOOLS = [{"type": "function", "function": TOOL}]


def client(**options):
    return together.Together(api_key="none", base_url="http://api.together.ai/v1", **options)


def aclient(**options):
    return together.AsyncTogether(api_key="none", base_url="http://api.together.ai/v1", **options)


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


@scenario(plans.overloaded(0.01), plans.answer(), calls=2, **CHAT)
def retries():
    return client().chat.completions.create(**ASK).to_dict()


@scenario(operation="text_completion", provider="together", model=MODEL)
def completions():
    return client().completions.create(model=MODEL, prompt=PROMPT).to_dict()


@scenario(operation="embeddings", provider="together", model="e5")
def embeddings():
    return client().embeddings.create(model="e5", input="one two").to_dict()


if __name__ == "__main__":
    harness.main()
