"""Stored spans for tests: a small agent's trace, and spans of any number, without a store."""

from otel_llm import semconv as sc
from otel_llm.store.rows import StoredEvent, StoredLink, StoredSpan

T0 = 1_790_000_000_000_000_000
"""An arbitrary instant in 2026, in nanoseconds."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MS = 1_000_000


def span(
    number,
    name,
    *,
    parent=None,
    start_ms=0.0,
    took_ms=1.0,
    attributes=None,
    trace_id=TRACE,
    retry_of=None,
    resource=None,
    **more,
):
    start = T0 + int(start_ms * MS)
    links = []
    if retry_of is not None:
        links.append(StoredLink(trace_id, f"{retry_of:016x}", {sc.LINK_KIND: sc.LINK_RETRY_OF}))
    return StoredSpan(
        trace_id=trace_id,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind="client" if name.startswith("chat") else "internal",
        start_ns=start,
        end_ns=None if took_ms is None else start + int(took_ms * MS),
        status="error" if attributes and sc.ERROR_TYPE in attributes else "unset",
        attributes=attributes or {},
        links=links,
        resource={"service.name": "agent"} if resource is None else resource,
        **more,
    )


def call(number, model="gpt-5", *, given=100, got=10, cost=0.001, more=None, **rest):
    attributes = {
        sc.OPERATION_NAME: sc.CHAT,
        sc.PROVIDER_NAME: "openai",
        sc.REQUEST_MODEL: model,
        sc.USAGE_INPUT_TOKENS: given,
        sc.USAGE_OUTPUT_TOKENS: got,
        sc.COST_TOTAL: cost,
        sc.RESPONSE_FINISH_REASONS: ("stop",),
    }
    return span(number, f"chat {model}", attributes=attributes | (more or {}), **rest)


def failed_call(
    number, model="gpt-5", error="rate_limit", status=429, message="Slow down.", more=None, **rest
):
    attributes = {
        sc.OPERATION_NAME: sc.CHAT,
        sc.PROVIDER_NAME: "openai",
        sc.REQUEST_MODEL: model,
        sc.ERROR_TYPE: error,
        sc.ERROR_MESSAGE: message,
        sc.HTTP_STATUS_CODE: status,
    }
    return span(number, f"chat {model}", attributes=attributes | (more or {}), **rest)


def agent_trace():
    """An agent that asks, calls a tool, is refused once, streams, fails once, and is still at work."""
    return [
        span(
            1,
            "invoke_agent planner",
            start_ms=0,
            took_ms=None,
            attributes={sc.OPERATION_NAME: sc.INVOKE_AGENT},
        ),
        call(
            2,
            parent=1,
            start_ms=10,
            took_ms=200,
            given=1204,
            got=36,
            cost=0.0019,
            more={
                sc.RESPONSE_FINISH_REASONS: ("tool_calls",),
                sc.OUTPUT_TOOL_CALLS: ("get_weather", "get_weather"),
                sc.USAGE_CACHE_READ: 1024,
            },
        ),
        span(
            3,
            "execute_tool get_weather",
            parent=1,
            start_ms=215,
            took_ms=20,
            attributes={sc.OPERATION_NAME: sc.EXECUTE_TOOL, sc.TOOL_NAME: "get_weather"},
        ),
        span(4, "GET /weather", parent=3, start_ms=216, took_ms=18),
        failed_call(5, "claude-5", parent=1, start_ms=240, took_ms=30, more={sc.RETRY_AFTER: 0.5}),
        call(
            6,
            "claude-5",
            parent=1,
            start_ms=775,
            took_ms=1200,
            given=1300,
            got=420,
            cost=0.0102,
            retry_of=5,
            more={
                sc.HTTP_RESEND_COUNT: 1,
                sc.RESPONSE_TIME_TO_FIRST_CHUNK: 0.31,
                sc.USAGE_REASONING: 128,
                sc.RESPONSE_MODEL: "claude-5-20260901",
                sc.INPUT_MESSAGES: '[{"role": "user", "parts": [{"type": "text", "content": "Plan a walk.\\nBe brief."}]}]',
                sc.OUTPUT_MESSAGES: '[{"role": "assistant", "parts": [{"type": "reasoning", "content": "Rain at noon."},'
                ' {"type": "text", "content": "Go early."}], "finish_reason": "end_turn"}]',
            },
        ),
        failed_call(
            7,
            "gpt-5",
            error="context_length",
            status=400,
            message="This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 "
            "tokens. Please reduce the length of the messages.",
            parent=1,
            start_ms=1980,
            took_ms=12,
        ),
    ]


__all__ = ["MS", "T0", "TRACE", "StoredEvent", "StoredLink", "agent_trace", "call", "failed_call", "span"]
