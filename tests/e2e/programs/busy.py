"""Makes N calls with a large prompt, then says what was dropped."""

import sys

import httpx2

import otel_llm

url, n = sys.argv[1], int(sys.argv[2])
otel_llm.instrument(content="full")
client = httpx2.Client()
for number in range(n):
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": f"{number} " + "word " * 400}]}
    client.post(f"{url}/v1/chat/completions", json=body)
otel_llm.force_flush(0.1)
print(sum(count for what, count in otel_llm.status()["dropped"].items() if what == "span: otlp_queue_full"))
