"""Calls written by hand, over whichever of httpx, httpx2, requests and aiohttp are installed."""

import importlib
import importlib.util
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import harness
from harness import PROMPT, scenario

from otel_llm.loopback import plans

CHAT = {"operation": "chat", "provider": "openai", "model": "gpt-4o-mini"}
URL = "http://api.openai.com/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}


def both(name):
    """Registers the scenarios of httpx or its fork."""
    module = importlib.import_module(name)

    def named(run):
        run.__name__ = f"{name}_{run.__name__}"
        return run

    @scenario(**CHAT)
    @named
    def post():
        return module.post(URL, json=BODY).json()

    @scenario(**CHAT)
    @named
    async def post_async():
        async with module.AsyncClient() as client:
            return (await client.post(URL, json=BODY)).json()

    @scenario(**CHAT)
    @named
    def stream():
        with module.stream("POST", URL, json=STREAM) as answer:
            return list(answer.iter_lines())

    @scenario(**CHAT)
    @named
    async def stream_async():
        async with module.AsyncClient() as client, client.stream("POST", URL, json=STREAM) as answer:
            return [line async for line in answer.aiter_lines()]

    @scenario(plans.answer().compressed("deflate"), **CHAT)
    @named
    def compressed():
        return module.post(URL, json=BODY).json()

    @scenario(plans.html(), sent_error="overloaded", **CHAT)
    @named
    def page():
        return module.post(URL, json=BODY).text

    @scenario(plans.malformed(), sent_error="malformed_response", **CHAT)
    @named
    def malformed():
        return module.post(URL, json=BODY).text

    @scenario(plans.hang(2), sent_error="timeout", **CHAT)
    @named
    def hanging_stream():
        def read():
            with module.stream("POST", URL, json=STREAM, timeout=0.2) as answer:
                list(answer.iter_lines())

        return harness.raised(read)

    @scenario(calls=0)
    @named
    def other_paths_are_no_call():
        return module.get("http://api.openai.com/v1/models").json()

    @scenario(calls=4, concurrent=True, **CHAT)
    @named
    def in_threads():
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda _: module.post(URL, json=BODY).json()["object"], range(4)))


def by_requests():
    import requests

    @scenario(**CHAT)
    def requests_post():
        return requests.post(URL, json=BODY, timeout=5).json()

    @scenario(**CHAT)
    def requests_session():
        with requests.Session() as session:
            return session.post(URL, data=json.dumps(BODY), timeout=5).json()

    @scenario(**CHAT)
    def requests_stream():
        with requests.post(URL, json=STREAM, stream=True, timeout=5) as answer:
            return [line.decode() for line in answer.iter_lines()]

    @scenario(plans.rate_limited(0.01), **CHAT)
    def requests_rate_limited():
        return requests.post(URL, json=BODY, timeout=5).status_code

    @scenario(plans.reset(3), sent_error="connection", **CHAT)
    def requests_reset_in_a_stream():
        def read():
            with requests.post(URL, json=STREAM, stream=True, timeout=5) as answer:
                list(answer.iter_lines())

        return harness.raised(read)

    @scenario(**CHAT)
    def requests_in_a_thread():
        told = []
        thread = threading.Thread(target=lambda: told.append(requests.post(URL, json=BODY, timeout=5).json()))
        thread.start()
        thread.join()
        return told

    @scenario(calls=0)
    def requests_other_paths_are_no_call():
        return requests.get("http://api.openai.com/v1/models", timeout=5).json()


def by_aiohttp():
    import aiohttp

    @scenario(**CHAT)
    async def aiohttp_post():
        async with aiohttp.ClientSession(trust_env=True) as session, session.post(URL, json=BODY) as answer:
            return await answer.json()

    @scenario(**CHAT)
    async def aiohttp_stream_by_line():
        async with aiohttp.ClientSession(trust_env=True) as session, session.post(URL, json=STREAM) as answer:
            return [line.decode() async for line in answer.content]

    @scenario(plans.stream(20).compressed("gzip").split(5), **CHAT)
    async def aiohttp_stream_by_any():
        async with aiohttp.ClientSession(trust_env=True) as session, session.post(URL, json=STREAM) as answer:
            return (b"".join([piece async for piece in answer.content.iter_any()])).decode()

    @scenario(plans.stream(50, delay=0.002), broken_off=True, **CHAT)
    async def aiohttp_stream_broken_off():
        async with aiohttp.ClientSession(trust_env=True) as session, session.post(URL, json=STREAM) as answer:
            async for line in answer.content:
                return line.decode()[:5]

    @scenario(plans.overloaded(0.01), **CHAT)
    async def aiohttp_overloaded():
        async with aiohttp.ClientSession(trust_env=True) as session, session.post(URL, json=BODY) as answer:
            return answer.status

    @scenario(calls=0)
    async def aiohttp_other_paths_are_no_call():
        models = "http://api.openai.com/v1/models"
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(models) as answer:
            return await answer.json()


for there, register in {
    "httpx": lambda: both("httpx"),
    "httpx2": lambda: both("httpx2"),
    "requests": by_requests,
    "aiohttp": by_aiohttp,
}.items():
    if importlib.util.find_spec(there):
        register()

if __name__ == "__main__":
    harness.main()
