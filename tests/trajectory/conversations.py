"""One conversation with a tool, in the shapes in which programs have it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

QUESTION = "What is the capital of France?"
SEARCHES = "I'll search for information about France's capital."
FOUND = "Document ID: 1\nParis is the capital city of France..."
ANSWER = (
    "<think>\nI found that Paris is the capital of France.\n</think>\n<cite>1</cite>\n<answer>Paris</answer>"
)
ARGUMENTS = '{"query": "capital of France"}'

TEXT = f"""👤 USER:
{QUESTION}

🤖 ASSISTANT:
{SEARCHES}

📞 TOOL CALLS:
  • retrieve({ARGUMENTS})

🔧 TOOL [retrieve]:
{FOUND}

🤖 ASSISTANT:
{ANSWER}"""


@dataclass(frozen=True)
class Function:
    name: str
    arguments: Any


@dataclass(frozen=True)
class Call:
    id: str
    function: Function
    type: str = "function"


@dataclass(frozen=True)
class Frozen:
    role: str
    content: Any = None
    tool_calls: tuple[Call, ...] | None = None
    tool_call_id: str | None = None


def _call(arguments: Any = ARGUMENTS) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "retrieve", "arguments": arguments}}


def _openai(call: Any, **tool: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": SEARCHES, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": FOUND, **tool},
        {"role": "assistant", "content": ANSWER},
    ]


SHAPES: dict[str, Any] = {
    "calls as mappings": _openai(_call()),
    "arguments as a mapping": _openai(_call(json.loads(ARGUMENTS))),
    "calls as objects": _openai(
        SimpleNamespace(id="call_1", function=SimpleNamespace(name="retrieve", arguments=ARGUMENTS))
    ),
    "calls as JSON text": _openai(json.dumps(_call())),
    "the name on the result": _openai(
        {"function": {"name": "retrieve", "arguments": ARGUMENTS}}, name="retrieve", tool_call_id=None
    ),
    "frozen objects": (
        Frozen("user", QUESTION),
        Frozen("assistant", SEARCHES, (Call("call_1", Function("retrieve", ARGUMENTS)),)),
        Frozen("tool", FOUND, tool_call_id="call_1"),
        Frozen("assistant", ANSWER),
    ),
    "content as parts": [
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        {"role": "assistant", "content": [{"type": "text", "text": SEARCHES}], "tool_calls": [_call()]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": FOUND}]},
        {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]},
    ],
    "the conventions' parts": [
        {"role": "user", "parts": [{"type": "text", "content": QUESTION}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": SEARCHES},
                {"type": "tool_call", "id": "c", "name": "retrieve", "arguments": json.loads(ARGUMENTS)},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": FOUND}]},
        {"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]},
    ],
    "anthropic's blocks": [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": SEARCHES},
                {"type": "tool_use", "id": "t", "name": "retrieve", "input": json.loads(ARGUMENTS)},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": FOUND}]}
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]},
    ],
    "langchain's objects": [
        SimpleNamespace(type="human", content=QUESTION),
        SimpleNamespace(
            type="ai",
            content=SEARCHES,
            tool_calls=[{"name": "retrieve", "args": json.loads(ARGUMENTS), "id": "l", "type": "tool_call"}],
        ),
        SimpleNamespace(type="tool", content=FOUND, tool_call_id="l", status="success"),
        SimpleNamespace(type="ai", content=ANSWER, tool_calls=[]),
    ],
    "items of the Responses API": [
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": SEARCHES}]},
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "retrieve", "arguments": ARGUMENTS},
        {"type": "function_call_output", "call_id": "c", "output": FOUND},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]},
    ],
}
SHAPES["JSON text"] = json.dumps(SHAPES["the conventions' parts"])
