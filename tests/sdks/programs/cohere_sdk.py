"""Cohere's SDK, versions 1 and 2 of its protocol."""

import cohere
import harness
from harness import PROMPT, TOOL, scenario

from otel_llm.loopback import plans

MODEL = "command-a-03-2025"
CHAT = {"operation": "chat", "provider": "cohere", "model": MODEL}
EMBED = {"operation": "embeddings", "provider": "cohere", "model": "embed-v4.0"}
ASK = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
ASK_V1 = {"model": MODEL, "message": PROMPT, "preamble": "Be brief."}
TOOLS = [{"type": "function", "function": TOOL}]
HOST = {"api_key": "none", "base_url": "http://api.cohere.com"}
NEVER = {"max_retries": 0}


def dump(answer):
    return answer.model_dump(mode="json", exclude_none=True)


@scenario(**CHAT)
def chat():
    return dump(cohere.ClientV2(**HOST).chat(**ASK))


@scenario(**CHAT)
async def chat_async():
    return dump(await cohere.AsyncClientV2(**HOST).chat(**ASK))


@scenario(**CHAT)
def stream():
    return [dump(event) for event in cohere.ClientV2(**HOST).chat_stream(**ASK)]


@scenario(**CHAT)
async def stream_async():
    return [dump(event) async for event in cohere.AsyncClientV2(**HOST).chat_stream(**ASK)]


@scenario(**CHAT)
def tools():
    return dump(cohere.ClientV2(**HOST).chat(**ASK, tools=TOOLS))


@scenario(**CHAT)
def tools_in_a_stream():
    return [dump(event) for event in cohere.ClientV2(**HOST).chat_stream(**ASK, tools=TOOLS)]


@scenario(**CHAT)
def v1_chat():
    return dump(cohere.Client(**HOST).chat(**ASK_V1))


@scenario(**CHAT)
async def v1_chat_async():
    return dump(await cohere.AsyncClient(**HOST).chat(**ASK_V1))


@scenario(**CHAT)
def v1_stream():
    return [dump(event) for event in cohere.Client(**HOST).chat_stream(**ASK_V1)]


@scenario(**CHAT)
async def v1_stream_async():
    return [dump(event) async for event in cohere.AsyncClient(**HOST).chat_stream(**ASK_V1)]


@scenario(plans.rate_limited(0.01), plans.answer(), calls=2, **CHAT)
def retries():
    return dump(cohere.ClientV2(**HOST).chat(**ASK))


@scenario(plans.unauthorized(), **CHAT)
def unauthorized():
    return harness.raised(lambda: cohere.ClientV2(**HOST).chat(**ASK, request_options=NEVER))


@scenario(**EMBED)
def embed():
    wanted = {"model": "embed-v4.0", "input_type": "search_query", "embedding_types": ["float"]}
    return dump(cohere.ClientV2(**HOST).embed(texts=["one", "two three"], **wanted))


@scenario(**EMBED)
async def v1_embed_async():
    wanted = {"model": "embed-v4.0", "input_type": "search_query"}
    return dump(await cohere.AsyncClient(**HOST).embed(texts=["one"], **wanted))


if __name__ == "__main__":
    harness.main()
