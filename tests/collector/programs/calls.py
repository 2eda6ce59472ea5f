"""Streamed calls, answered on loopback, for some seconds: `python calls.py SECONDS`."""

from __future__ import annotations

import contextlib
import sys
import time

import openai

import otel_llm
from otel_llm.loopback import LoopbackServer, plans

otel_llm.instrument(service_name="calls")
until = time.monotonic() + float(sys.argv[1])
with LoopbackServer() as server:
    gpt = openai.OpenAI(base_url=f"{server.url}/v1", api_key="no-key", max_retries=0)
    number = 0
    while time.monotonic() < until:
        number += 1
        server.script(plans.rate_limited(0.01) if number % 5 == 0 else plans.stream(10, delay=0.005))
        with contextlib.suppress(openai.RateLimitError):
            stream = gpt.chat.completions.create(
                model="gpt-5",
                messages=[{"role": "user", "content": "Count."}],
                stream=True,
                stream_options={"include_usage": True},
            )
            for _ in stream:
                pass
        time.sleep(0.05)
otel_llm.force_flush()
otel_llm.shutdown()
