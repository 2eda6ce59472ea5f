"""What OpenAI's protocols have in common with each other and with those that were modelled on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue, Message, Part, Usage
from otel_llm_http.dialects._parts import (
    base64_part,
    file_part,
    message,
    modality_of,
    other_part,
    reasoning_part,
    text_part,
    tool_call_part,
    tool_definition,
    tool_result_part,
    uri_part,
)
from otel_llm_http.dialects._values import count, integer, number, record, records, strings, text

Reader = Callable[[Any], AttributeValue | None]


def output_type(response_format: Any) -> str | None:
    """Return `json` or `text` for a `response_format`."""
    kind = record(response_format).get("type")
    if kind in {"json_schema", "json_object", "json", "grammar", "regex"}:
        return "json"
    return "text" if kind == "text" else None


def _choices(value: Any) -> int | None:
    wanted = count(value)
    return None if wanted is None or wanted == 1 else wanted


def _tier(value: Any) -> str | None:
    return None if value == "auto" else text(value)


def _modalities(value: Any) -> str | None:
    return "speech" if type(value) is list and "audio" in value else None


def _effort(value: Any) -> str | None:
    return text(record(value).get("effort"))


PARAMETERS: Final[dict[str, tuple[str, Reader]]] = {
    "temperature": (sc.REQUEST_TEMPERATURE, number),
    "top_p": (sc.REQUEST_TOP_P, number),
    "p": (sc.REQUEST_TOP_P, number),
    "top_k": (sc.REQUEST_TOP_K, integer),
    "k": (sc.REQUEST_TOP_K, integer),
    "max_tokens": (sc.REQUEST_MAX_TOKENS, count),
    "max_completion_tokens": (sc.REQUEST_MAX_TOKENS, count),
    "max_output_tokens": (sc.REQUEST_MAX_TOKENS, count),
    "frequency_penalty": (sc.REQUEST_FREQUENCY_PENALTY, number),
    "presence_penalty": (sc.REQUEST_PRESENCE_PENALTY, number),
    "stop": (sc.REQUEST_STOP_SEQUENCES, strings),
    "stop_sequences": (sc.REQUEST_STOP_SEQUENCES, strings),
    "seed": (sc.REQUEST_SEED, integer),
    "random_seed": (sc.REQUEST_SEED, integer),
    "n": (sc.REQUEST_CHOICE_COUNT, _choices),
    "response_format": (sc.OUTPUT_TYPE, output_type),
    "modalities": (sc.OUTPUT_TYPE, _modalities),
    "reasoning_effort": (sc.REQUEST_REASONING_LEVEL, text),
    "reasoning": (sc.REQUEST_REASONING_LEVEL, _effort),
    "service_tier": (sc.OPENAI_REQUEST_SERVICE_TIER, _tier),
    "previous_response_id": (sc.REQUEST_PREVIOUS_RESPONSE_ID, text),
}
"""Request parameters: key in the body -> attribute and how it is read."""


def read_parameters(body: dict[str, Any], out: dict[str, AttributeValue]) -> None:
    """Read the request's parameters."""
    known = PARAMETERS
    for key, value in body.items():
        entry = known.get(key)
        if entry is not None and (read := entry[1](value)) is not None:
            out[entry[0]] = read


def read_usage(body: dict[str, Any], usage: Usage) -> None:
    """Read token counts, of chat completions as of responses.

    Cached and reasoning tokens are part of the totals; where a server leaves reasoning out of its output (x.ai),
    which its total shows, it is added.
    """
    asked = count(body.get("prompt_tokens", body.get("input_tokens")))
    given = count(body.get("completion_tokens", body.get("output_tokens")))
    details = body.get("prompt_tokens_details", body.get("input_tokens_details"))
    if type(details) is dict:
        if (cached := count(details.get("cached_tokens"))) is not None:
            usage.cache_read_tokens = cached
        if (written := count(details.get("cache_write_tokens"))) is not None:
            usage.cache_write_tokens = written
        if len(details) > 1:
            _by_modality(details, "input_tokens", usage)
    elif (cached := count(body.get("prompt_cache_hit_tokens", body.get("cached_tokens")))) is not None:
        usage.cache_read_tokens = cached
    details = body.get("completion_tokens_details", body.get("output_tokens_details"))
    if type(details) is dict:
        reasoning = count(details.get("reasoning_tokens"))
        if len(details) > 1:
            _by_modality(details, "output_tokens", usage)
    else:
        reasoning = count(body.get("reasoning_tokens"))
    if reasoning is not None:
        usage.reasoning_tokens = reasoning
        if (
            reasoning
            and asked is not None
            and given is not None
            and body.get("total_tokens") == asked + given + reasoning
        ):
            given += reasoning
    if asked is not None:
        usage.input_tokens = asked
    if given is not None:
        usage.output_tokens = given


_MODALITIES: Final = tuple((f"{name}_tokens", name) for name in ("text", "image", "audio"))


def _by_modality(details: dict[str, Any], tail: str, usage: Usage) -> None:
    for key, modality in _MODALITIES:
        if details.get(key) and (found := count(details[key])):
            usage.by_modality[f"{modality}.{tail}"] = found


def tools_of(tools: Any) -> list[dict[str, Any]]:
    """Return the tools that are offered."""
    return [_tool(tool) for tool in records(tools)]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if type(function) is not dict:
        if "name" not in tool:
            # A tool of the provider's, such as web search: there is nothing to it but its type.
            return {"type": text(tool.get("type")) or "unknown", "name": text(tool.get("type")) or ""}
        function = tool
    out = tool_definition(function.get("name"), function.get("description"), function.get("parameters"))
    kind = text(tool.get("type"))
    if kind is not None and kind != "function":
        out["type"] = kind
    return out


def message_of(item: dict[str, Any]) -> Message:
    """Return a message of the request."""
    role = item.get("role")
    content = item.get("content")
    if type(content) is str and type(role) is str and len(item) == len(("role", "content")):
        # By far the most common: spelled out, since it is done for every message of a long history.
        return {"role": role, "parts": [{"type": "text", "content": content}] if content else []}
    if role in {"tool", "function"}:
        return message(
            "tool", [tool_result_part(item.get("tool_call_id") or item.get("name"), result_of(content))]
        )
    out = message(role, output_parts(item))
    name = item.get("name")
    if type(name) is str:
        out["name"] = name
    return out


def result_of(content: Any) -> Any:
    """Return what a tool answered: text, or described parts."""
    if content is None or type(content) is str:
        return content
    parts = content_parts(content)
    if parts and all(part["type"] == "text" for part in parts):
        return "".join(part["content"] for part in parts)
    return parts


def output_parts(item: dict[str, Any]) -> list[Part]:
    """Return the parts of an assistant's message: reasoning, content, refusal, sound, tool calls."""
    parts: list[Part] = []
    get = item.get
    reasoning = get("reasoning_content") or get("reasoning")
    if type(reasoning) is str and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    content = get("content")
    if content:
        if type(content) is str:
            parts.append({"type": "text", "content": content})
        else:
            parts += content_parts(content)
    if calls := get("tool_calls"):
        parts += [call_part(call) for call in records(calls)]
    if get("refusal") or get("audio") or get("images") or get("function_call"):
        _rarities(item, parts)
    return parts


def _rarities(item: dict[str, Any], parts: list[Part]) -> None:
    if type(refusal := item.get("refusal")) is str and refusal:
        parts.append({"type": "refusal", "content": refusal})
    if type(audio := item.get("audio")) is dict:
        parts += audio_parts(audio)
    parts += [content_part(image) for image in records(item.get("images"))]
    if type(function := item.get("function_call")) is dict:
        parts.append(tool_call_part(None, function.get("name"), function.get("arguments")))


def call_part(call: dict[str, Any]) -> Part:
    """Return a tool call of a message."""
    function = call.get("function")
    if type(function) is dict:
        return tool_call_part(call.get("id"), function.get("name"), function.get("arguments"))
    custom = record(call.get("custom"))
    return tool_call_part(call.get("id"), custom.get("name"), custom.get("input"))


def audio_parts(audio: dict[str, Any]) -> list[Part]:
    """Describe spoken output: what was said, and the size of the sound."""
    parts: list[Part] = []
    if type(said := audio.get("transcript")) is str and said:
        parts.append(text_part(said))
    if type(data := audio.get("data")) is str:
        parts.append(base64_part("audio", None, data))
    elif type(audio.get("id")) is str:
        parts.append(file_part(audio["id"], "audio"))
    return parts


def content_parts(content: Any) -> list[Part]:
    """Return the parts of a message's content."""
    if type(content) is str:
        return [text_part(content)] if content else []
    if type(content) is not list:
        return [other_part(content)] if type(content) is dict else []
    return [
        text_part(item) if type(item) is str else content_part(item)
        for item in content
        if type(item) in {str, dict}
    ]


def content_part(item: dict[str, Any]) -> Part:
    """Return one part of a message's content; what is not text is described."""
    kind = item.get("type")
    if kind in {"text", "input_text", "output_text"} and type(item.get("text")) is str:
        return text_part(item["text"])
    if kind in {"image_url", "input_image", "video_url", "audio_url"}:
        modality = "image" if kind == "input_image" else str(kind)[:5]
        if type(item.get("file_id")) is str:
            return file_part(item["file_id"], modality)
        url = item.get("image_url", item.get("video_url", item.get("audio_url")))
        return uri_part(modality, url.get("url") if type(url) is dict else url)
    if kind == "input_audio":
        sound = item.get("input_audio")
        if type(sound) is str:
            return (
                uri_part("audio", sound)
                if sound.startswith(("http", "data:"))
                else base64_part("audio", None, sound)
            )
        sound = record(sound)
        form = text(sound.get("format"))
        return base64_part("audio", f"audio/{form}" if form else None, sound.get("data"))
    if kind in {"file", "input_file"}:
        return _file(record(item.get("file")) or item)
    if kind == "refusal" and type(item.get("refusal")) is str:
        return {"type": "refusal", "content": item["refusal"]}
    if kind == "thinking":
        thinking = item.get("thinking")
        if type(thinking) is list:
            thinking = "".join(piece["text"] for piece in records(thinking) if type(piece.get("text")) is str)
        return reasoning_part(thinking if type(thinking) is str else "")
    if kind == "document_url":
        return uri_part("document", item.get("document_url"))
    return other_part(item)


def _file(item: dict[str, Any]) -> Part:
    if type(data := item.get("file_data")) is str:
        part = uri_part("document", data) if data.startswith("data:") else base64_part("document", None, data)
        part["modality"] = modality_of(part.get("mime_type"))
        return part
    if type(item.get("file_url")) is str:
        return uri_part("document", item["file_url"])
    return file_part(item.get("file_id"))
