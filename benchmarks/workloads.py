"""The calls that are measured. Answers are instant, so that what is left is the SDK's own work and the tracing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import payloads

CONCURRENCY: Final = 50


@dataclass(frozen=True)
class Clients:
    """What a call is made with: openai's clients, and the HTTP client under the sync one."""

    sync: Any
    asynchronous: Any
    http: Any
    base_url: str
    loop: asyncio.AbstractEventLoop


def _chat_small(clients: Clients) -> None:
    clients.sync.chat.completions.create(
        model=payloads.MODEL,
        messages=payloads.SMALL_MESSAGES,
        tools=payloads.TOOLS,
        temperature=0.3,
        max_tokens=100,
        seed=7,
    )


def _chat_large(clients: Clients) -> None:
    clients.sync.chat.completions.create(
        model=payloads.MODEL,
        messages=payloads.LARGE_MESSAGES,
        temperature=0.3,
        max_tokens=100,
    )


def _stream_200(clients: Clients) -> None:
    chunks = 0
    for _ in clients.sync.chat.completions.create(
        model=payloads.MODEL,
        messages=payloads.SMALL_MESSAGES,
        tools=payloads.TOOLS,
        stream=True,
        stream_options={"include_usage": True},
    ):
        chunks += 1
    assert chunks == payloads.CHUNKS, chunks


def _embed(clients: Clients) -> None:
    answer = clients.sync.embeddings.create(
        model="text-embedding-3-small",
        input=payloads.words(200) + " PROMPT-SENTINEL",
    )
    assert len(answer.data[0].embedding) == payloads.DIMENSIONS


def _not_llm(clients: Clients) -> None:
    clients.http.get(clients.base_url + "/weather", params={"city": "Reykjavik"})


def _each(call: Callable[[Clients], None]) -> Callable[[Clients, int], list[int]]:
    def run(clients: Clients, calls: int) -> list[int]:
        now, times = time.perf_counter_ns, []
        for _ in range(calls):
            start = now()
            call(clients)
            times.append(now() - start)
        return times

    return run


def _async_50(clients: Clients, calls: int) -> list[int]:
    create = clients.asynchronous.chat.completions.create

    async def call() -> None:
        await create(
            model=payloads.MODEL,
            messages=payloads.SMALL_MESSAGES,
            tools=payloads.TOOLS,
            temperature=0.3,
            max_tokens=100,
            seed=7,
        )

    async def rounds() -> list[int]:
        times, left = [], calls
        while left > 0:
            at_once = min(left, CONCURRENCY)
            start = time.perf_counter_ns()
            await asyncio.gather(*(call() for _ in range(at_once)))
            times += [(time.perf_counter_ns() - start) // at_once] * at_once
            left -= at_once
        return times

    return clients.loop.run_until_complete(rounds())


@dataclass(frozen=True)
class Workload:
    """A kind of call.

    Attributes:
        run: makes so many calls, returns the wall time of each in nanoseconds.
        calls: how many a round.
        title: what it is, for the reports.
    """

    run: Callable[[Clients, int], list[int]]
    calls: int
    title: str


WORKLOADS: Final = {
    "chat_small": Workload(_each(_chat_small), 100, "chat, 200 + 50 tokens, a tool call"),
    "chat_large": Workload(_each(_chat_large), 30, "chat, 60 kB of messages"),
    "stream_200": Workload(_each(_stream_200), 10, "stream of 200 chunks"),
    "async_50": Workload(_async_50, 100, "50 concurrent small chats"),
    "embed": Workload(_each(_embed), 80, "one embedding"),
    "not_llm": Workload(_each(_not_llm), 400, "a GET that is no LLM call"),
}
