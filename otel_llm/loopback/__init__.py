"""A small server on loopback that speaks the protocols of LLM providers: for demos, tests and benchmarks.

It needs no key and no network, answers the same request in the same way in every run, counts tokens by a
rule that can be checked by hand, and misbehaves on demand (`plans`). `python -m otel_llm.loopback` runs
it by itself. Imports only the standard library; brotli and zstandard where a plan asks for them.
"""

from otel_llm.loopback import plans
from otel_llm.loopback.exchange import Ask, Reply, ReplyCallback, Request, Sent, Tool, ToolCall, Usage
from otel_llm.loopback.plans import Plan
from otel_llm.loopback.server import LoopbackServer

__all__ = [
    "Ask",
    "LoopbackServer",
    "Plan",
    "Reply",
    "ReplyCallback",
    "Request",
    "Sent",
    "Tool",
    "ToolCall",
    "Usage",
    "plans",
]
