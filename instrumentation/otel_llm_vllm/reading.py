"""What a program asked of vLLM: the model, the sampling, the prompts. Changes nothing of it.

Programs change their prompts and parameters between two calls, so what is needed later is copied here, shallowly.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue, Message, Part

_MAX_PROMPTS: Final = 4096
"""Prompts of one call whose content is looked at."""

_PARAMETERS: Final = (
    ("temperature", sc.REQUEST_TEMPERATURE),
    ("top_p", sc.REQUEST_TOP_P),
    ("top_k", sc.REQUEST_TOP_K),
    ("max_tokens", sc.REQUEST_MAX_TOKENS),
    ("seed", sc.REQUEST_SEED),
    ("frequency_penalty", sc.REQUEST_FREQUENCY_PENALTY),
    ("presence_penalty", sc.REQUEST_PRESENCE_PENALTY),
)
_NEUTRAL: Final = {sc.REQUEST_FREQUENCY_PENALTY: 0, sc.REQUEST_PRESENCE_PENALTY: 0}
_NO_TOP_K: Final = 0  # and -1: all tokens


def model_of(engine: Any) -> str | None:
    """Return the name that an engine serves its model under, without the path of a private directory.

    Args:
        engine: an `LLM`, an `LLMEngine` or an `AsyncLLM`.
    """
    config = getattr(engine, "model_config", None)
    if config is None:
        config = getattr(getattr(engine, "llm_engine", None), "model_config", None)
    name = getattr(config, "served_model_name", None) or getattr(config, "model", None)
    if isinstance(name, list | tuple):
        name = name[0] if name else None
    return plain_name(name) if isinstance(name, str) and name else None


@lru_cache(maxsize=256)
def plain_name(name: str) -> str:
    """Return a model's name; of a directory its last part, of a cached download the name on the hub."""
    parts = [part for part in name.replace(os.sep, "/").split("/") if part not in {"", ".", ".."}]
    if not parts:
        return name
    cached = next((part for part in parts if part.startswith("models--")), None)
    if cached is not None:
        return cached.removeprefix("models--").replace("--", "/")
    # `organisation/model`, unless there is such a directory.
    if len(parts) <= 2 and not name.startswith(("/", ".", "~")) and not os.path.isdir(name):  # noqa: PLR2004, PTH112
        return name
    return parts[-1]


def asked_of(params: Any) -> dict[str, AttributeValue]:
    """Return the attributes of `SamplingParams`, or of those of a list that are the same for all."""
    if isinstance(params, Sequence):
        if not params:
            return {}
        first = asked_of(params[0])
        if any(other is not params[0] for other in params):
            others = [asked_of(other) for other in params[1:_MAX_PROMPTS]]
            return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}
        return first
    out: dict[str, AttributeValue] = {}
    for name, key in _PARAMETERS:
        value = getattr(params, name, None)
        if isinstance(value, int | float) and not isinstance(value, bool) and value != _NEUTRAL.get(key):
            out[key] = value
    top_k = out.get(sc.REQUEST_TOP_K)
    if isinstance(top_k, int) and top_k <= _NO_TOP_K:
        del out[sc.REQUEST_TOP_K]
    n = getattr(params, "n", 1)
    if isinstance(n, int) and n > 1:
        out[sc.REQUEST_CHOICE_COUNT] = n
    stop = getattr(params, "stop", None)
    if isinstance(stop, str):
        stop = [stop]
    if isinstance(stop, list | tuple) and stop:
        out[sc.REQUEST_STOP_SEQUENCES] = tuple(str(each) for each in stop)
    return out


def copied(conversations: Any) -> list[list[Any]]:
    """Return conversations as they are now: programs append to theirs. Shallow.

    Args:
        conversations: one, or a sequence of them, as `LLM.chat` takes them.
    """
    if not isinstance(conversations, Sequence) or not conversations:
        return []
    if isinstance(conversations[0], Mapping):
        return [list(conversations)]
    return [list(each) for each in conversations[:_MAX_PROMPTS] if isinstance(each, Sequence)]


def messages_of(conversation: Sequence[Any]) -> list[Message]:
    """Return a conversation in the conventions' shape. On the worker."""
    return [_message(each) for each in conversation if isinstance(each, Mapping)]


def prompt_messages(text: Any, token_ids: Any) -> list[Message]:
    """Return a prompt in the conventions' shape; of one that is tokens only, how many. On the worker."""
    if isinstance(text, str):
        return [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    return [{"role": "user", "parts": [{"type": "token_ids", "size": len(token_ids or ())}]}]


def _message(said: Mapping[str, Any]) -> Message:
    role = said.get("role")
    content = said.get("content")
    parts: list[Part] = []
    if isinstance(content, str):
        parts.append({"type": "text", "content": content})
    elif isinstance(content, Sequence):
        parts += [_part(each) for each in content]
    for call in said.get("tool_calls") or ():
        function = call.get("function", {}) if isinstance(call, Mapping) else {}
        parts.append(
            {
                "type": "tool_call",
                "name": str(function.get("name", "")),
                "arguments": function.get("arguments"),
            }
        )
    if role == "tool":
        parts = [{"type": "tool_call_response", "response": content}]
    return {"role": role if isinstance(role, str) else "user", "parts": parts}


def _part(said: Any) -> Part:
    if isinstance(said, str):
        return {"type": "text", "content": said}
    if isinstance(said, Mapping) and isinstance(text := said.get("text"), str):
        return {"type": "text", "content": text}
    kind = said.get("type") if isinstance(said, Mapping) else None
    return {"type": kind if isinstance(kind, str) else "unknown"}  # a picture, a sound: that there was one
