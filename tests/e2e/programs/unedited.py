"""A program that knows nothing of us."""

import sys

import httpx2

body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hi"}]}
print(httpx2.post(f"{sys.argv[1]}/v1/chat/completions", json=body).json()["choices"][0]["message"]["role"])
