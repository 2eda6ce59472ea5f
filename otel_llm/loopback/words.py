"""Deterministic, plausible answers: the words, token counts, JSON and vectors that a request gets.

The same request gets the same answer in every run and on every machine. A token here is a word or a
punctuation mark, and every message costs three more; so what an answer claims can be checked by hand.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import zlib
from collections.abc import Sequence
from typing import Any

from otel_llm.loopback.exchange import JSON, Ask, Reply, Tool, ToolCall, Usage

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\s*\S+")
_PER_MESSAGE = 3
_REMARKS = (
    "The quiet answer is usually the one that lasts.",
    "I would begin with the smallest step that can be checked.",
    "There are two sides to it, and both deserve a look.",
    "Hold the centre, keep your promises, and write everything down.",
    "A short plan that is followed beats a long one that is not.",
)
_DEPTH = 16  # a schema may refer to itself
_FILLER = ("and", "so", "it", "goes", "on")


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(_TOKEN.findall(text))


def input_tokens(ask: Ask) -> int:
    """How many tokens a request has: its messages, its tools, or the texts to embed."""
    if ask.inputs:
        return sum(count(text) for text in ask.inputs)
    tools = sum(count(tool.name) + count(json.dumps(tool.schema)) for tool in ask.tools)
    return sum(_PER_MESSAGE + count(text) for _, text in ask.messages) + tools


def usage(ask: Ask, reply: Reply, *, cached: bool) -> Usage:
    """The token counts of an answer.

    Args:
        ask: the request.
        reply: one answer; all choices are alike.
        cached: whether `ask.prefix` was seen before.
    """
    reasoning = count(reply.reasoning)
    calls = sum(count(call.name) + count(json.dumps(call.arguments)) for call in reply.tool_calls)
    prefix = count(ask.prefix)
    return Usage(
        input=input_tokens(ask),
        output=0 if ask.inputs else (reasoning + count(reply.text) + calls) * ask.choices,
        cache_read=prefix if cached else 0,
        cache_write=0 if cached else prefix,
        reasoning=reasoning * ask.choices,
    )


def default_reply(ask: Ask) -> Reply:
    """What the server says when nobody tells it what to say.

    A tool call where tools are offered, an object that follows the schema where one is asked for, else a
    sentence about the newest message.
    """
    heard = " ".join(ask.last.split()[:8])
    reasoning = f"The last message begins with: {heard}." if ask.reasoning else ""
    if ask.may_call and ask.tools:
        return Reply(tool_calls=(_call(ask.tools[0], heard),), reasoning=reasoning)
    if ask.schema is not None:
        return Reply(text=json.dumps(sample(ask.schema, heard)), reasoning=reasoning)
    remark = _REMARKS[zlib.crc32(ask.last.encode()) % len(_REMARKS)]
    return Reply(text=f'You said "{heard}". {remark}', reasoning=reasoning)


def fit(reply: Reply, max_tokens: int | None, chunks: int | None) -> Reply:
    """The reply cut to `max_tokens`, or drawn out so that it can be sent in as many pieces as planned."""
    words = _WORD.findall(reply.text)
    if chunks is not None and words and len(words) < chunks:
        words += [f" {_FILLER[i % len(_FILLER)]}" for i in range(chunks - len(words))]
        reply = Reply("".join(words), reply.tool_calls, reply.reasoning, reply.finish)
    if max_tokens is None or count(reply.text) <= max_tokens or reply.tool_calls:
        return reply
    ends = [match.end() for match in _TOKEN.finditer(reply.text)]
    return Reply(reply.text[: ends[max_tokens - 1]] if max_tokens > 0 else "", (), reply.reasoning, "length")


def pieces(text: str, chunks: int | None) -> tuple[str, ...]:
    """The text in pieces for a stream: word by word, or in `chunks` pieces where it has that many words."""
    words = _WORD.findall(text)
    if not words:
        return ()
    words[-1] = text[sum(map(len, words[:-1])) :]
    if chunks is None or chunks >= len(words):
        return tuple(words)
    bounds = [round(i * len(words) / chunks) for i in range(chunks + 1)]
    return tuple("".join(words[a:b]) for a, b in itertools.pairwise(bounds))


def embedding(text: str, dimensions: int) -> list[float]:
    """A unit vector that depends on the text alone."""
    raw = [zlib.crc32(f"{i}:{text}".encode()) / 2**31 - 1.0 for i in range(max(dimensions, 1))]
    norm = math.sqrt(math.fsum(x * x for x in raw)) or 1.0
    return [round(x / norm, 6) for x in raw]


def sample(schema: Any, text: str, _root: Any = None, _depth: int = 0) -> Any:
    """A value that follows a JSON schema; strings become `text`. OpenAPI's upper-case types are understood."""
    root = schema if _root is None else _root
    if not isinstance(schema, dict) or _depth > _DEPTH:
        return text
    if isinstance(reference := schema.get("$ref"), str):
        return sample(_resolve(root, reference), text, root, _depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(several), list) and schema[several]:
            return sample(schema[several][0], text, root, _depth + 1)
    kind = schema.get("type", "object" if "properties" in schema or not schema else "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    match str(kind).lower():
        case "object":
            properties = schema.get("properties") or {}
            return {name: sample(inner, text, root, _depth + 1) for name, inner in properties.items()}
        case "array":
            return [sample(schema.get("items", {"type": "string"}), text, root, _depth + 1)]
        case "integer":
            return int(schema.get("minimum", 7))
        case "number":
            return float(schema.get("minimum", 0.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return text or "something"


def _resolve(root: Any, reference: str) -> Any:
    for key in reference.removeprefix("#/").split("/"):
        root = root.get(key) if isinstance(root, dict) else None
    return root


def _call(tool: Tool, text: str) -> ToolCall:
    arguments: Any = sample(tool.schema or {"type": "object"}, text)
    return ToolCall(tool.name, arguments if isinstance(arguments, dict) else {})


def flatten(content: Any) -> str:
    """The text of a message's content, whatever shape a protocol gives it; other parts appear as `[kind]`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "\n".join(filter(None, map(flatten, content)))
    if not isinstance(content, dict):
        return str(content)
    for key in ("text", "thinking", "refusal"):
        if isinstance(content.get(key), str):
            return str(content[key])
    for key in ("content", "output", "result"):  # what a tool answered
        if key in content:
            return flatten(content[key])
    for key in (
        "functionResponse",
        "function_response",
        "functionCall",
        "function_call",
        "input",
        "document",
    ):
        if isinstance(value := content.get(key), dict):
            return json.dumps(value, sort_keys=True)
    return f"[{content.get('type') or next(iter(content), 'part')}]"


def schema_of(value: Any) -> JSON:
    """`value` where it is a schema, else `{}`."""
    return value if isinstance(value, dict) else {}
