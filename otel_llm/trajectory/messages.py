"""Any conversation as one neutral list of messages, whatever wrote it; nothing that is given is ever changed.

Understood are messages as mappings or objects, in the shapes of OpenAI (tool calls as objects, mappings or JSON text),
Anthropic (`tool_use` and `tool_result` blocks), LangChain (`args`, `status`), the GenAI conventions (`parts`), and
JSON text of any of them. Imports `numeric` alone. Nothing here raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from otel_llm.numeric import as_text

_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "function": "tool",
    "developer": "system",
}
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_THOUGHTS: Final = frozenset({"reasoning", "thinking"})
_CALLS: Final = frozenset({"tool_call", "tool_use", "function_call", "server_tool_use"})
_RESULTS: Final = frozenset(
    {"tool_call_response", "tool_result", "function_call_output", "web_search_tool_result"}
)
_ITEMS: Final = ("message", "function_call", "function_call_output", "human", "ai", "system", "tool")
_MAX_DEPTH: Final = 16
_JOINS: Final = "\0"
"""In the place of an id: the message belongs to the answer before it, as calls of the Responses API do."""

# What tools and their runners say when they failed, at the beginning of a result.
_ERROR: Final = re.compile(
    r"\s*(?:traceback \(most recent call last\)|an error occurred|(?:[\w.]*(?:error|exception)|failed)\s*[:(]"
    r"|error (?:executing|calling|running|invoking|while|in)\b)",
    re.IGNORECASE,
)
# A call that a model without tool support of its own writes into its text.
_CALL_IN_TEXT: Final = re.compile(r"<(tool_call|tool)>\s*(\{.*?\})\s*</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool.

    Attributes:
        name: the tool's name; `?` where there is none.
        arguments: as JSON text, as the model wrote it where that is known.
        id: what the result refers to; None where there is none.
    """

    name: str
    arguments: str = "{}"
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        role: `system`, `user`, `assistant`, `tool`, or the program's own word.
        text: what it says; media are named in brackets.
        reasoning: what the model thought, where that is kept apart from the text.
        tool_calls: the calls it asks for.
        calls_in_text: calls that are written in `text`; not among `tool_calls`.
        name: for a result, the tool's name where it is known.
        failed: for a result, whether the tool failed.
    """

    role: str
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    calls_in_text: tuple[ToolCall, ...] = ()
    name: str | None = None
    failed: bool = False


def read_messages(conversation: Any) -> list[Message]:
    """Return a conversation as messages.

    Args:
        conversation: a list of messages, one message, JSON text of either, or a plain text, which is taken as an
            answer. None is no message.
    """
    try:
        messages = list(_messages(conversation, 0))
    except Exception:
        return []
    return _with_names(messages)


def _messages(given: Any, depth: int) -> Iterator[tuple[Message, str | None]]:
    """Give messages, each with the id of the call that it answers."""
    if given is None or depth > _MAX_DEPTH:
        return
    if isinstance(given, str):
        parsed = _parsed(given)
        if parsed and all(map(_is_message, parsed if isinstance(parsed, list) else [parsed])):
            yield from _messages(parsed, depth + 1)
        elif given:
            yield Message("assistant", given, calls_in_text=_calls_in_text(given)), None
        return
    if not isinstance(given, Mapping) and get(given, "role") is None and get(given, "type") is None:
        if _is_list(given):
            for item in given:
                yield from _guarded(item, depth + 1)
        return
    inner = get(given, "messages")
    if get(given, "role") is None and inner is not None:
        yield from _messages(inner, depth + 1)
        return
    yield from _message(given)


def _guarded(item: Any, depth: int) -> list[tuple[Message, str | None]]:
    """Return the messages of one item; one that cannot be read is none, and keeps no other from being read."""
    try:
        if isinstance(item, str):
            parsed = _parsed(item)
            if not _is_message(parsed):
                return [(Message("assistant", item, calls_in_text=_calls_in_text(item)), None)]
            item = parsed
        return list(_messages(item, depth))
    except Exception:
        return []


def _message(given: Any) -> Iterator[tuple[Message, str | None]]:
    role = _role(given)
    parts = get(given, "parts")
    content = get(given, "content") if parts is None else parts
    is_item = get(given, "role") is None and get(given, "type") in _CALLS | _RESULTS
    if is_item:
        content = [given]  # a call or result of its own, as in the Responses API
    read = _Parts()
    read.add(content, 0)
    calls = (*_calls(get(given, "tool_calls")), *_calls(get(given, "function_call")), *read.calls)
    thoughts = "".join(
        text for text in (get(given, "reasoning_content"), get(given, "reasoning")) if isinstance(text, str)
    )
    if role == "tool" and not read.results:
        name = get(given, "name")
        failed = get(given, "is_error") is True or get(given, "status") == "error" or has_failed(read.text)
        answered = get(given, "tool_call_id")
        yield (
            Message("tool", read.text, name=name if isinstance(name, str) else None, failed=failed),
            answered if isinstance(answered, str) else None,
        )
        return
    for result in read.results:
        yield _result(result)
    text, thoughts = read.text, "\n".join(filter(None, (thoughts, read.reasoning)))
    if text or thoughts or calls or not read.results:
        in_text = () if calls else _calls_in_text(text)
        yield Message(role, text, thoughts, calls, in_text), _JOINS if is_item else None


def _result(part: Any) -> tuple[Message, str | None]:
    content = None
    for field in ("content", "response", "result", "output"):
        content = get(part, field)
        if content is not None:
            break
    text = text_of(content)
    name = get(part, "name")
    answered = get(part, "id") or get(part, "tool_use_id") or get(part, "call_id")
    failed = get(part, "is_error") is True or has_failed(text)
    return (
        Message("tool", text, name=name if isinstance(name, str) else None, failed=failed),
        answered if isinstance(answered, str) else None,
    )


class _Parts:
    """What the parts of one message's content come to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[ToolCall] = []
        self.results: list[Any] = []

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def reasoning(self) -> str:
        return "\n".join(self.thoughts)

    def add(self, content: Any, depth: int) -> None:
        if content is None or depth > _MAX_DEPTH:
            return
        if isinstance(content, str):
            if content:
                self.texts.append(content)
        elif not isinstance(content, Mapping) and get(content, "type") is None and _is_list(content):
            for part in content:
                self.add(part, depth + 1)
        else:
            self._part(content)

    def _part(self, part: Any) -> None:
        kind = get(part, "type")
        if kind in _CALLS:
            self.calls += _calls([part])
        elif kind in _RESULTS:
            self.results.append(part)
        elif kind in _THOUGHTS:
            self._take(part, self.thoughts, ("content", "thinking", "text", "summary"))
        elif kind in _TEXTS or kind is None:
            self._take(part, self.texts, ("text", "content", "refusal"))
        else:
            self.texts.append(f"[{as_text(kind)}]")

    @staticmethod
    def _take(part: Any, into: list[str], fields: tuple[str, ...]) -> None:
        for field in fields:
            value = get(part, field)
            if value is not None:
                if text := text_of(value):
                    into.append(text)
                return
        if get(part, "type") is None and (text := text_of(part)):
            into.append(text)


def _with_names(found: list[tuple[Message, str | None]]) -> list[Message]:
    """Give results the names of the calls that they answer."""
    names: dict[str, str] = {}
    messages: list[Message] = []
    for message, answered in found:
        for call in message.tool_calls:
            if call.id is not None:
                names[call.id] = call.name
        if answered == _JOINS and messages and messages[-1].role == "assistant":
            joint = (*messages[-1].tool_calls, *message.tool_calls)
            messages[-1] = replace(messages[-1], tool_calls=joint, calls_in_text=())
        elif message.role == "tool" and message.name is None and answered in names:
            messages.append(replace(message, name=names[answered]))
        else:
            messages.append(message)
    return messages


def _calls(given: Any) -> tuple[ToolCall, ...]:
    if given is None:
        return ()
    if isinstance(given, str | Mapping) or not _is_list(given):
        given = [given]
    found: list[ToolCall] = []
    for one in given:
        call = _parsed(one) if isinstance(one, str) else one
        if call is None or isinstance(call, int | float | list):
            continue
        function = get(call, "function")
        inside = call if function is None or isinstance(function, str) else function
        name = function if isinstance(function, str) else get(inside, "name")
        arguments = None
        for field in ("arguments", "args", "input", "parameters"):
            arguments = get(inside, field)
            if arguments is not None:
                break
        # The Responses API gives an item an id of its own; results refer to `call_id`.
        identity = get(call, "call_id") or get(call, "id")
        found.append(
            ToolCall(
                name if isinstance(name, str) and name else "?",
                arguments if isinstance(arguments, str) and arguments else _arguments(arguments),
                identity if isinstance(identity, str) else None,
            )
        )
    return tuple(found)


def _arguments(given: Any) -> str:
    return "{}" if given in (None, "") else as_json(given)


def _calls_in_text(text: str) -> tuple[ToolCall, ...]:
    if "<tool" not in text:
        return ()
    calls = (_parsed(match[2]) for match in _CALL_IN_TEXT.finditer(text))
    return _calls([call for call in calls if isinstance(call, dict) and "name" in call])


def has_failed(result: str) -> bool:
    """Say whether a tool's result reads like a failure: an error's name, a traceback, or JSON with an `error`."""
    if _ERROR.match(result):
        return True
    parsed = _parsed(result) if result.lstrip()[:1] == "{" else None
    return isinstance(parsed, dict) and bool(parsed.get("error") or parsed.get("is_error"))


# --- anything as text -----------------------------------------------------------------------------
def text_of(value: Any) -> str:
    """Return the text of any content; what is no text as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value:
        read = _Parts()
        read.add(value, 1)
        if read.texts and not read.calls and not read.results:
            return read.text
    if isinstance(value, Mapping) and isinstance(text := get(value, "text"), str):
        return text
    return as_json(value)


def as_json(value: Any) -> str:
    """Return `value` as JSON as people write it; what JSON does not know as its text. Never raises."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except Exception:
        return as_text(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    return as_text(value)


def get(value: Any, name: str) -> Any:
    """Return the item of a mapping or the attribute of an object; None where there is none. Never raises."""
    try:
        if isinstance(value, Mapping):
            return value.get(name)
        if value is None or isinstance(value, str | bytes | int | float | list | tuple):
            return None
        return getattr(value, name, None)
    except Exception:
        return None


def _role(given: Any) -> str:
    role = get(given, "role")
    if role is None:
        kind = get(given, "type")  # LangChain's messages have a type
        role = (
            {"function_call": "assistant", "function_call_output": "tool"}.get(kind, kind) if kind else None
        )
    if isinstance(role, Enum):
        role = role.value
    if not isinstance(role, str) or not role:
        return "unknown"
    lowered = role.lower()
    return _ROLES.get(lowered, lowered)


def _is_list(value: Any) -> bool:
    # An iterator can be read once only: it is left for the program.
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Iterator)


def _is_message(parsed: Any) -> bool:
    return isinstance(parsed, dict) and ("role" in parsed or parsed.get("type") in _ITEMS)


def _parsed(text: str) -> Any:
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
