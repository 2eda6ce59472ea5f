"""LiteLLM: sync over the OpenAI SDK or httpx, async over its own aiohttp transport below httpx.

No tools here: with them it wants a package of its own.
"""

import os

import harness

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it calls the network

import litellm
from harness import PROMPT, scenario

from otel_llm.loopback import plans

litellm.telemetry = False
CHAT = {"operation": "chat", "provider": "openai", "model": "gpt-4o-mini"}
ANTHROPIC = {"operation": "chat", "provider": "anthropic", "model": "claude-sonnet-4-5"}
MESSAGES = [{"role": "user", "content": PROMPT}]
OPENAI = {"model": "openai/gpt-4o-mini", "api_base": "http://api.openai.com/v1", "api_key": "none"}
CLAUDE = {"model": "anthropic/claude-sonnet-4-5", "api_base": "http://api.anthropic.com", "api_key": "none"}
ASK = {**OPENAI, "messages": MESSAGES, "max_retries": 0}
ASK_CLAUDE = {**CLAUDE, "messages": MESSAGES, "max_retries": 0}
USAGE = {"stream_options": {"include_usage": True}}


def text(answer):
    return [answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage.total_tokens]


def delta(chunk):
    return chunk.choices[0].delta.content if chunk.choices else None


@scenario(**CHAT)
def chat():
    return text(litellm.completion(**ASK))


@scenario(**CHAT)
async def chat_async():
    return text(await litellm.acompletion(**ASK))


@scenario(**CHAT)
def stream():
    return [delta(chunk) for chunk in litellm.completion(**ASK, stream=True, **USAGE)]


@scenario(**CHAT)
async def stream_async():
    return [delta(chunk) async for chunk in await litellm.acompletion(**ASK, stream=True, **USAGE)]


@scenario(**ANTHROPIC)
def anthropic():
    return text(litellm.completion(**ASK_CLAUDE))


@scenario(**ANTHROPIC)
async def anthropic_async():
    return text(await litellm.acompletion(**ASK_CLAUDE))


@scenario(**ANTHROPIC)
def anthropic_stream():
    return [delta(chunk) for chunk in litellm.completion(**ASK_CLAUDE, stream=True)]


@scenario(**ANTHROPIC)
async def anthropic_stream_async():
    return [delta(chunk) async for chunk in await litellm.acompletion(**ASK_CLAUDE, stream=True)]


@scenario(plans.rate_limited(0.01), **CHAT)
def rate_limited():
    return harness.raised(lambda: litellm.completion(**ASK))


@scenario(operation="embeddings", provider="openai", model="text-embedding-3-small")
def embeddings():
    wanted = {**OPENAI, "model": "openai/text-embedding-3-small"}
    return litellm.embedding(**wanted, input=["one two"]).data[0]["embedding"]


@scenario(operation="embeddings", provider="openai", model="text-embedding-3-small")
async def embeddings_async():
    wanted = {**OPENAI, "model": "openai/text-embedding-3-small"}
    return (await litellm.aembedding(**wanted, input=["one two"])).data[0]["embedding"]


if __name__ == "__main__":
    harness.main()
