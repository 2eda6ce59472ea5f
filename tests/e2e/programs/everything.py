"""A program that does everything at once: seeds, forks, threads, executors, asyncio, a provider of its own.

Each finished call is one line on standard output: `monotonic time, answer id, parent span id, how, stall`, the last
being the longest time so far for which the machine has kept a thread waiting that had nothing to do but wake up.
Runs until it is killed, or for the number of rounds in its second argument.
"""

import asyncio
import concurrent.futures
import os
import random
import sys
import threading
import time

import httpx2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import otel_llm

URL, ROUNDS = sys.argv[1], int(sys.argv[2])

random.seed(1)
otel_llm.instrument(content="full", metrics=False)
if os.environ.get("OWN_PROVIDER"):
    from otel_llm.ids import SystemIdGenerator

    trace.set_tracer_provider(TracerProvider(id_generator=SystemIdGenerator()))  # later than instrument()

out = os.dup(1)
stall = 0.0


def metronome() -> None:
    global stall
    while True:
        before = time.monotonic()
        time.sleep(0.01)
        stall = max(stall, time.monotonic() - before - 0.01)


threading.Thread(target=metronome, daemon=True).start()
client = httpx2.Client()
tracer = trace.get_tracer("program")


def say(answer_id: str, parent: int, how: str) -> None:
    os.write(out, f"{time.monotonic()} {answer_id} {parent:016x} {how} {stall}\n".encode())


def current() -> int:
    return trace.get_current_span().get_span_context().span_id


def call(how: str) -> None:
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": f"{how} {random.random()}"}]}
    answer = client.post(f"{URL}/v1/chat/completions", json=body).json()
    say(answer["id"], current(), how)


async def acall(aclient: httpx2.AsyncClient, how: str) -> None:
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": how}]}
    answer = (await aclient.post(f"{URL}/v1/chat/completions", json=body)).json()
    say(answer["id"], current(), how)


async def asynchronous() -> None:
    loop = asyncio.get_running_loop()
    async with httpx2.AsyncClient() as aclient:
        await asyncio.gather(
            *(acall(aclient, "task") for _ in range(3)),
            loop.run_in_executor(None, call, "run_in_executor"),
        )


def forked() -> None:
    pid = os.fork()
    if pid == 0:
        global client
        client = httpx2.Client()  # a connection belongs to one process
        try:
            with tracer.start_as_current_span("child"):
                call("fork")
            otel_llm.force_flush(5)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


for n in range(ROUNDS):
    with tracer.start_as_current_span(f"round {n}"):
        call("main")
        thread = threading.Thread(target=call, args=("thread",))
        thread.start()
        thread.join()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(call, "pool") for _ in range(3)]:
                future.result()
        asyncio.run(asynchronous())
        if n % 5 == 0:
            forked()
