"""Google's SDK: the Developer API and Vertex; async over aiohttp where that is installed, else over httpx2."""

import harness
from google import genai
from google.genai import types
from harness import PROMPT, scenario
from pydantic import BaseModel

from otel_llm.loopback import plans

MODEL = "gemini-2.5-flash"
CHAT = {"operation": "generate_content", "provider": "gcp.gemini", "model": MODEL}
VERTEX = {**CHAT, "provider": "gcp.vertex_ai"}
EMBED = {"operation": "embeddings", "provider": "gcp.gemini", "model": "gemini-embedding-001"}
ASK = {"model": MODEL, "contents": PROMPT}


class Move(BaseModel):
    unit: str
    to: str


_kept = []  # a client that is collected closes its connections under the request that is under way


def client(**options):
    http = types.HttpOptions(base_url="http://generativelanguage.googleapis.com", **options)
    _kept.append(genai.Client(api_key="none", http_options=http))
    return _kept[-1]


def vertex():
    http = types.HttpOptions(base_url="http://aiplatform.googleapis.com")
    _kept.append(genai.Client(vertexai=True, api_key="none", http_options=http))
    return _kept[-1]


def dump(answer):
    return answer.model_dump(mode="json", exclude={"sdk_http_response"}, exclude_none=True)


def look_up(province: str) -> str:
    """Looks a province up."""
    return f"{province} is a port."


@scenario(**CHAT)
def generate():
    return dump(client().models.generate_content(**ASK))


@scenario(**CHAT)
async def generate_async():
    return dump(await client().aio.models.generate_content(**ASK))


@scenario(**CHAT)
def stream():
    return [dump(chunk) for chunk in client().models.generate_content_stream(**ASK)]


@scenario(**CHAT)
async def stream_async():
    return [dump(chunk) async for chunk in await client().aio.models.generate_content_stream(**ASK)]


@scenario(plans.stream(50, delay=0.002), broken_off=True, **CHAT)
def stream_broken_off():
    for chunk in client().models.generate_content_stream(**ASK):
        return chunk.text


@scenario(plans.stream(20).compressed("gzip").split(5), **CHAT)
async def stream_compressed_and_split_async():
    return [dump(chunk) async for chunk in await client().aio.models.generate_content_stream(**ASK)]


@scenario(calls=2, **CHAT)
def tools_called_by_the_sdk():
    config = types.GenerateContentConfig(tools=[look_up], system_instruction="Be brief.")
    return dump(client().models.generate_content(**ASK, config=config))


@scenario(**CHAT)
async def thinking_async():
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    return dump(await client().aio.models.generate_content(**ASK, config=config))


@scenario(**CHAT)
def cached():
    config = types.GenerateContentConfig(cached_content="cachedContents/one", system_instruction="Be brief.")
    return dump(client().models.generate_content(**ASK, config=config))


@scenario(**CHAT)
def schema():
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Move)
    return client().models.generate_content(**ASK, config=config).parsed.model_dump()


@scenario(plans.content_filter(), **CHAT)
def blocked():
    return dump(client().models.generate_content(**ASK))


@scenario(plans.overloaded(), plans.answer(), calls=2, **CHAT)
def retries():
    again = types.HttpRetryOptions(attempts=2, initial_delay=0.01, max_delay=0.01)
    return dump(client(retry_options=again).models.generate_content(**ASK))


@scenario(plans.overloaded(), plans.answer(), calls=2, **CHAT)
async def retries_async():
    again = types.HttpRetryOptions(attempts=2, initial_delay=0.01, max_delay=0.01)
    return dump(await client(retry_options=again).aio.models.generate_content(**ASK))


@scenario(plans.context_length(), **CHAT)
def context_too_long():
    return harness.raised(lambda: client().models.generate_content(**ASK))


@scenario(plans.unauthorized(), **CHAT)
async def unauthorized_async():
    return await harness.raised_async(client().aio.models.generate_content(**ASK))


@scenario(**EMBED)
def embeddings():
    return dump(client().models.embed_content(model="gemini-embedding-001", contents=["one", "two three"]))


@scenario(**EMBED)
async def embeddings_async():
    return dump(await client().aio.models.embed_content(model="gemini-embedding-001", contents="one"))


@scenario(**VERTEX)
def vertex_generate():
    return dump(vertex().models.generate_content(**ASK))


@scenario(**VERTEX)
async def vertex_stream_async():
    return [dump(chunk) async for chunk in await vertex().aio.models.generate_content_stream(**ASK)]


@scenario(calls=0)
def counting_tokens_is_no_call():
    return client().models.count_tokens(**ASK).total_tokens


if __name__ == "__main__":
    harness.main()
