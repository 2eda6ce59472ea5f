"""Calls models with keys in every place where people put them."""

import asyncio
import os
import sys

import aiohttp
import httpx
import httpx2
import openai
import requests

import otel_llm

URL, SECRETS = sys.argv[1], os.environ["SECRETS"].split()
openai_key, anthropic_key, google_key, model_key, prompt_key, body_key = SECRETS

otel_llm.instrument(content="full")

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=openai_key, max_retries=0)
messages = [{"role": "user", "content": f"my key is {prompt_key}, keep it"}]
client.chat.completions.create(model=f"gpt-4.1-mini:{model_key}", messages=messages)
for _ in range(2):  # the server answers with errors that repeat the key
    try:
        client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
    except openai.APIError:
        pass
httpx2.post(
    f"{URL}/v1/messages",
    headers={"x-api-key": anthropic_key},
    json={
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "messages": messages,
        "metadata": {"api_key": body_key},
    },
)
gemini = f"{URL}/v1beta/models/gemini-2.5-flash:generateContent?key={google_key}"
contents = {"contents": [{"parts": [{"text": f"Authorization: Bearer {prompt_key}"}]}]}
httpx.post(gemini, json=contents, headers={"x-goog-api-key": google_key})
requests.post(gemini, json=contents, timeout=10)
try:  # nobody listens there: the exception of the client repeats the address
    requests.post(f"http://user:{openai_key}@127.0.0.1:9/v1/chat/completions?api_key={openai_key}", json={
        "model": "m", "messages": messages}, timeout=2)  # fmt: skip
except requests.RequestException:
    pass


async def main() -> None:
    headers = {"authorization": f"Bearer {openai_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(gemini, json=contents) as response,
    ):
        await response.read()


asyncio.run(main())
assert otel_llm.force_flush(10)
