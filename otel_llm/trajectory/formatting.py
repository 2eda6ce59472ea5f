"""Trajectories, inputs and rewards as text that people read in a table's cell. Nothing that is given is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_llm.content import marker
from otel_llm.numeric import as_number, as_text
from otel_llm.trajectory.messages import Message, ToolCall, as_json, read_messages, text_of

_HEADS: Final = {"user": "👤 USER", "assistant": "🤖 ASSISTANT", "system": "⚙️ SYSTEM"}
_MAX_FIELD: Final = 10_000


def format_conversation(conversation: Any, completion: Any = None, *, max_length: int | None = None) -> str:
    """Return a conversation with all its tool calls and results as text.

        👤 USER:
        What is the capital of France?

        🤖 ASSISTANT:
        I'll search for it.

        📞 TOOL CALLS:
          • retrieve({"query": "capital of France"})

        🔧 TOOL [retrieve]:
        Paris is the capital city of France.

    Args:
        conversation: messages as mappings or objects, in OpenAI's, Anthropic's or LangChain's shape or with the
            `parts` of the GenAI conventions; tool calls as objects or mappings; JSON text of them; or a plain text,
            which is returned as it is. An iterator is not read, since that would use it up.
        completion: what follows it, likewise; with it a plain `conversation` is the user's.
        max_length: longest result, in characters; what is too long is cut in its middle. None for no bound.

    Returns:
        The text; empty where there is nothing that can be read. Never raises.
    """
    try:
        if completion is None:
            messages = read_messages(conversation)
            if isinstance(conversation, str) and len(messages) == 1 and messages[0].text == conversation:
                return cut(conversation, max_length)
        else:
            messages = joined(conversation, completion)
        return cut("\n\n".join(block for message in messages for block in _blocks(message)), max_length)
    except Exception:
        return ""


def joined(prompt: Any, completion: Any) -> list[Message]:
    """Return the messages of a prompt and of what followed it; a prompt of plain text is the user's."""
    before = read_messages(prompt)
    # `issubclass`: an object of the program's may fail even when it is asked for its class.
    if issubclass(type(prompt), str) and len(before) == 1 and before[0].text == prompt:
        before = [Message("user", prompt)]
    after = read_messages(completion)
    if after[: len(before)] == before:  # some trainers give the whole conversation as the completion
        return after
    return [*before, *after]


def _blocks(message: Message) -> Iterable[str]:
    if message.role == "tool":
        head = f"🔧 TOOL [{message.name}]:" if message.name else "🔧 TOOL:"
        yield f"{head}\n{message.text}"
        return
    head = _HEADS.get(message.role) or f"💬 {message.role.upper()}"
    if message.reasoning:
        yield f"💭 REASONING:\n{message.reasoning}"
    if message.text or not (message.tool_calls or message.reasoning):
        yield f"{head}:\n{message.text}"
    elif message.tool_calls:
        yield f"{head}:"
    if message.tool_calls:
        yield "\n".join(["📞 TOOL CALLS:", *map(_call, message.tool_calls)])


def _call(call: ToolCall) -> str:
    return f"  • {call.name}({call.arguments})"


def format_input_data(data: Any, *, max_length: int | None = None) -> str:
    """Return what a sample was made from (question, context, answer …) as text, one field after the other.

    Args:
        data: a row of a data set as a mapping, a dataclass or any object with fields; a text; anything.
        max_length: longest result, in characters; None for no bound. A single field is cut at 10,000.

    Returns:
        Lines `name: value`; a value of several lines stands below its name, a list as bullets. Fields that are None
        are left out. Never raises.
    """
    try:
        fields = _fields(data)
        if fields is None:
            return cut(text_of(data), max_length)
        return cut(
            "\n".join(_field(str(name), value) for name, value in fields if value is not None), max_length
        )
    except Exception:
        return ""


def _fields(data: Any) -> list[tuple[Any, Any]] | None:
    if isinstance(data, Mapping):
        return list(data.items())
    if data is None or isinstance(data, str | bytes | int | float | list | tuple | set):
        return None
    slots = [name for kind in type(data).__mro__ for name in getattr(kind, "__slots__", ())]
    names = list(getattr(data, "__dict__", {})) or slots
    return [(name, getattr(data, name, None)) for name in names if not str(name).startswith("_")] or None


def _field(name: str, value: Any) -> str:
    if isinstance(value, list | tuple) and value:
        bullets = "\n".join(f"  • {_indented(cut(_value(item), _MAX_FIELD))}" for item in value)
        return f"{name}:\n{bullets}"
    text = cut(_value(value), _MAX_FIELD)
    return f"{name}:\n  {_indented(text)}" if "\n" in text else f"{name}: {text}"


def _value(value: Any) -> str:
    number = None if isinstance(value, bool) else as_number(value)
    if number is not None:
        return str(number)
    return value if isinstance(value, str) else as_json(value)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def format_reward_components(rewards: Any, total: Any = None) -> str:
    """Return rewards as text: `correctness: 1.000 | format: 0.500 | total: 1.500`.

    Args:
        rewards: mapping of a component's name to its value, or pairs of them; a number alone is the total. Values may
            be numbers, NumPy scalars and one-element tensors on the CPU; of several the mean is taken.
        total: the combined reward, where it is known.

    Returns:
        The text; `no rewards` where there are none. A value that is no number stands as it is. Never raises.
    """
    try:
        alone = as_number(rewards)
        if alone is not None:
            total, rewards = (alone if total is None else total), ()
        pairs: Iterable[tuple[Any, Any]] = rewards.items() if isinstance(rewards, Mapping) else rewards or ()
        parts = [f"{name}: {_reward(value)}" for name, value in pairs]
        if total is not None:
            parts.append(f"total: {_reward(total)}")
        return " | ".join(parts) or "no rewards"
    except Exception:
        return "no rewards"


def _reward(value: Any) -> str:
    number = as_number(value)
    if number is None and isinstance(value, list | tuple):
        numbers = [n for n in map(as_number, value) if n is not None]
        number = sum(numbers) / len(numbers) if numbers else None
    if number is not None:
        return f"{number:.3f}"
    return "-" if value is None else cut(as_text(value), 200)


def cut(text: str, max_length: int | None) -> str:
    """Return `text`, its middle cut out where it is longer than `max_length` characters."""
    if max_length is None or len(text) <= max_length:
        return text
    said = f"\n{marker(len(text))}\n"
    room = max_length - len(said)
    if room < 2:  # noqa: PLR2004 (a character on each side)
        return text[: max(0, max_length)]
    return f"{text[: room - room // 2]}{said}{text[len(text) - room // 2 :]}"
