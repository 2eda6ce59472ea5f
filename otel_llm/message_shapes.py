"""Messages as SDKs and trainers write them, in the shape of the GenAI conventions: text, reasoning, tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_llm.content import dumps


def conventional(message: Any, role: str = "assistant") -> dict[str, Any]:
    """Return a message with its parts.

    Args:
        message: a mapping with `role`, `content`, `tool_calls` …; anything else is taken as text.
        role: of one that does not tell.
    """
    if not isinstance(message, Mapping):
        return {"role": role, "parts": [{"type": "text", "content": str(message)}]}
    role = str(message.get("role", role))
    parts: list[dict[str, Any]] = []
    content = message.get("content")
    if role == "tool":
        answer: dict[str, Any] = {"type": "tool_call_response", "response": _text(content)}
        if message.get("tool_call_id"):
            answer["id"] = str(message["tool_call_id"])
        if message.get("name"):
            answer["name"] = str(message["name"])
        return {"role": role, "parts": [answer]}
    thoughts = [message[key] for key in ("reasoning_content", "thinking") if message.get(key)]
    parts += [{"type": "reasoning", "content": _text(thought)} for thought in thoughts]
    if content:
        parts.append({"type": "text", "content": _text(content)})
    calls = message.get("tool_calls")
    parts += [_call(call) for call in calls] if isinstance(calls, list | tuple) else []
    return {"role": role, "parts": parts or [{"type": "text", "content": ""}]}


def _call(call: Any) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        return {"type": "tool_call", "name": str(call)}
    function = call.get("function")
    function = function if isinstance(function, Mapping) else call
    made: dict[str, Any] = {"type": "tool_call", "name": str(function.get("name", "unknown"))}
    if call.get("id"):
        made["id"] = str(call["id"])
    if function.get("arguments") is not None:
        made["arguments"] = function["arguments"]
    return made


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [
            str(block.get("text", f"<{block.get('type', 'block')}>"))
            if isinstance(block, Mapping)
            else str(block)
            for block in content
        ]
        return "\n".join(texts)
    return "" if content is None else dumps(content)
