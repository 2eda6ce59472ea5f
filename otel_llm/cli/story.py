"""The story of `otel-llm demo`: an agent plans a day out with three providers' real SDKs.

Nothing here knows of otel_llm but the server that answers: this is what a user's program looks like. The SDKs
use the server as their proxy, so they, and the spans, name the providers' own hosts; nothing leaves the machine.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from opentelemetry import trace

from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer, Reply, ToolCall, plans

REQUIRED: Final = ("openai", "anthropic", "google.genai")
CITY: Final = "Bergen"
_KEY: Final = "demo"
_TOOLS: Final[list[Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The forecast for a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


def tell(server: LoopbackServer) -> None:
    """Run the story, as children of one agent's span."""
    for name in REQUIRED:
        importlib.import_module(name)  # before the clock runs: importing them takes longer than the story
    _plan(server)
    tracer = trace.get_tracer(__name__)
    attributes = {sc.OPERATION_NAME: sc.INVOKE_AGENT, sc.AGENT_NAME: "planner"}
    with tracer.start_as_current_span("invoke_agent planner", attributes=attributes):
        _ask_openai(server.url, tracer)
        _ask_anthropic(server.url)
        _ask_google(server.url)
        _ask_too_much(server.url)
        _remember(server.url)


def _plan(server: LoopbackServer) -> None:
    server.script(
        plans.answer(Reply(tool_calls=(ToolCall("get_weather", {"city": CITY}),)), delay=0.04),
        plans.stream(
            8,
            delay=0.008,
            first=0.05,
            reply="Rain from noon: take the funicular early, then the fish market.",
        ),
        plans.context_length(),
        path="/chat/completions",
    )
    server.script(
        plans.rate_limited(retry_after=0.05),
        plans.answer(
            Reply("The museum by the harbour is dry and open until five.", reasoning="Rain at noon."),
            delay=0.09,
        ),
        path="/messages",
    )
    server.script(
        plans.stream(6, delay=0.006, first=0.03, reply="A good plan. Add a warm soup at two."),
        path="streamGenerate",
    )


def _ask_openai(url: str, tracer: trace.Tracer) -> None:
    """A tool call, the tool, and the answer as a stream."""
    import openai

    client = _openai(url)
    messages: list[Any] = [
        {"role": "system", "content": "You plan days out. Use the tools."},
        {"role": "user", "content": f"What should I do in {CITY} tomorrow?"},
    ]
    asked = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=_TOOLS)
    message = asked.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or []:
        name = getattr(call, "function").name  # noqa: B009 (other kinds of calls have none)
        attributes = {sc.OPERATION_NAME: sc.EXECUTE_TOOL, sc.TOOL_NAME: name}
        with tracer.start_as_current_span(f"execute_tool {name}", attributes=attributes):
            forecast = f"{CITY}: dry until noon, then rain, 9 degrees"
        messages.append({"role": "tool", "tool_call_id": call.id, "content": forecast})
    stream = client.chat.completions.create(
        model="gpt-5-mini",
        messages=messages,
        stream=True,
        stream_options={"include_usage": True},
        reasoning_effort="low",
    )
    assert isinstance(stream, openai.Stream)  # noqa: S101 (for the type checker)
    for _ in stream:
        pass


def _ask_anthropic(url: str) -> None:
    """A refusal for too many requests, which the SDK tries again."""
    import anthropic

    client = anthropic.Anthropic(
        api_key=_KEY,
        base_url="http://api.anthropic.com",
        http_client=anthropic.DefaultHttpxClient(proxy=url),
        max_retries=2,
    )
    client.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=2048,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": f"Somewhere dry in {CITY} for the afternoon?"}],
    )


def _ask_google(url: str) -> None:
    """A stream, read to its end."""
    from google import genai
    from google.genai import types

    client = genai.Client(
        api_key=_KEY,
        vertexai=False,
        http_options=types.HttpOptions(
            base_url="http://generativelanguage.googleapis.com", client_args={"proxy": url}
        ),
    )
    for _ in client.models.generate_content_stream(
        model="gemini-2.5-flash", contents="Funicular, fish market, museum: what is missing?"
    ):
        pass


def _ask_too_much(url: str) -> None:
    """A request that no retry can save; the agent goes on without it."""
    import openai

    try:
        _openai(url).chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "Here is the whole guide book. " * 12}]
        )
    except openai.BadRequestError:
        return


def _remember(url: str) -> None:
    """An embedding."""
    _openai(url).embeddings.create(
        model="text-embedding-3-small", input=["Funicular", "Fish market", "Museum"]
    )


def _openai(url: str) -> Any:
    import openai

    return openai.OpenAI(
        api_key=_KEY,
        base_url="http://api.openai.com/v1",
        http_client=openai.DefaultHttpxClient(proxy=url),
        max_retries=2,
    )
