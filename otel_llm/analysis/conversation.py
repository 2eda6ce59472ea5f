"""What was said, out of the conventions' JSON: messages of parts, which may be cut or not ours.

Standard library only; nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def decoded(value: Any) -> list[Any] | None:
    """Return the list that an attribute holds; None where it is cut off, or no list."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return list(value) if isinstance(value, list | tuple) else None


def part_text(part: Any) -> str:
    """Return one part of a message as text: what was said, or what kind of thing it is."""
    if not isinstance(part, Mapping):
        return str(part)
    kind = part.get("type")
    if kind == "tool_call":
        arguments = part.get("arguments")
        return f"→ {part.get('name', '?')}({arguments if isinstance(arguments, str) else plain(arguments)})"
    if kind == "tool_call_response":
        answer = part.get("response", part.get("result"))
        return f"= {answer if isinstance(answer, str) else plain(answer)}"
    said = part.get("content")
    if kind == "text" and isinstance(said, str):
        return said
    if kind == "reasoning" and isinstance(said, str):
        return f"(thinks) {said}"
    return f"[{plain(dict(part))}]"


def turns(value: Any) -> Iterator[tuple[str, str]]:
    """Iterate over (role, text) of messages; what cannot be read is one turn of the role `?`."""
    messages = decoded(value)
    if messages is None:
        if value:
            yield "?", str(value)
        return
    for message in messages:
        if not isinstance(message, Mapping):
            yield "?", str(message)
            continue
        parts = message.get("parts")
        said = [part_text(part) for part in parts] if isinstance(parts, list) else []
        yield str(message.get("role", "?")), "\n".join(said)


def last_text(value: Any) -> str | None:
    """Return the text of the last message; None where there is none."""
    said = list(turns(value)) if value else []
    return said[-1][1] if said else None


def plain(value: Any) -> str:
    """Return any value as text: texts as they are, others as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return str(value)
