"""Message parts in the shapes of the GenAI conventions' JSON schemas.

What is not text is described, not copied: a picture becomes its type and size in bytes.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from otel_llm.llm import Message, Part
from otel_llm_http.dialects._values import parsed_arguments

_MAX_URI: Final = 4096
_MODALITIES: Final = frozenset({"image", "audio", "video"})


def text_part(content: str) -> Part:
    """Return a piece of text."""
    return {"type": "text", "content": content}


def reasoning_part(content: str) -> Part:
    """Return a piece of the model's reasoning."""
    return {"type": "reasoning", "content": content}


def tool_call_part(call_id: Any, name: Any, arguments: Any) -> Part:
    """Return a request of the model to call a tool; arguments that are JSON text are parsed."""
    part: Part = {"type": "tool_call"}
    if type(call_id) is str and call_id:
        part["id"] = call_id
    part["name"] = name if type(name) is str else ""
    if arguments is not None and arguments != "":
        part["arguments"] = parsed_arguments(arguments)
    return part


def tool_result_part(call_id: Any, response: Any) -> Part:
    """Return what a tool answered."""
    part: Part = {"type": "tool_call_response"}
    if type(call_id) is str and call_id:
        part["id"] = call_id
    part["response"] = response
    return part


def server_tool_part(item: dict[str, Any], name: Any = None) -> Part:
    """Describe a call that the provider makes for itself: its type, id, name and the size of the rest."""
    kind = item.get("type")
    part: Part = {
        "type": "server_tool_call",
        "name": name if type(name) is str else kind if type(kind) is str else "",
    }
    call_id = item.get("id") or item.get("tool_use_id") or item.get("call_id")
    if type(call_id) is str:
        part["id"] = call_id
    part["size"] = json_size(item)
    return part


def blob_part(modality: str, mime_type: Any, size: int) -> Part:
    """Describe data that was sent in the message itself; `size` in bytes."""
    part: Part = {"type": "blob", "modality": modality}
    if type(mime_type) is str and mime_type:
        part["mime_type"] = mime_type
    part["size"] = size
    return part


def base64_part(modality: str, mime_type: Any, data: Any) -> Part:
    """Describe data that was sent as base64."""
    return blob_part(modality, mime_type, base64_size(data) if type(data) is str else 0)


def uri_part(modality: str, uri: Any, mime_type: Any = None) -> Part:
    """Return a reference to data elsewhere; a `data:` URL is described instead of kept."""
    if type(uri) is not str:
        return {"type": "uri", "modality": modality, "uri": ""}
    if uri[:5].lower() == "data:":
        head, _, data = uri[5:].partition(",")
        kind, _, rest = head.partition(";")
        size = base64_size(data) if rest.endswith("base64") else len(data)
        return blob_part(modality_of(kind, modality), kind or mime_type, size)
    part: Part = {"type": "uri", "modality": modality}
    if type(mime_type) is str and mime_type:
        part["mime_type"] = mime_type
    part["uri"] = uri[:_MAX_URI]
    return part


def file_part(file_id: Any, modality: str = "document") -> Part:
    """Return a reference to a file that the provider keeps."""
    return {"type": "file", "modality": modality, "file_id": file_id if type(file_id) is str else ""}


def other_part(item: dict[str, Any]) -> Part:
    """Describe a part of a kind that we do not know: its type and its size as JSON."""
    kind = item.get("type")
    return {"type": kind if type(kind) is str and kind else "unknown", "size": json_size(item)}


def modality_of(mime_type: Any, default: str = "document") -> str:
    """Return `image`, `audio` or `video` for such a MIME type, else `default`."""
    head = mime_type.partition("/")[0].lower() if type(mime_type) is str else ""
    return head if head in _MODALITIES else default


def base64_size(data: str) -> int:
    """Return how many bytes some base64 text stands for."""
    padding = 2 if data[-2:] == "==" else 1 if data[-1:] == "=" else 0
    return max(len(data) * 3 // 4 - padding, 0)


def json_size(value: Any) -> int:
    """Return the length of a value as JSON, in bytes; 0 where it cannot be written."""
    try:
        return len(orjson.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return 0


def message(role: Any, parts: list[Part]) -> Message:
    """Return a message."""
    return {"role": role if type(role) is str and role else "user", "parts": parts}


def answer(parts: list[Part], finish_reason: str | None, role: Any = "assistant") -> Message:
    """Return one of the model's answers."""
    out: Message = {"role": role if type(role) is str and role else "assistant", "parts": parts}
    if finish_reason is not None:
        out["finish_reason"] = finish_reason
    return out


def tool_definition(name: Any, description: Any, parameters: Any) -> dict[str, Any]:
    """Return a function that the model may call."""
    out: dict[str, Any] = {"type": "function", "name": name if type(name) is str else ""}
    if type(description) is str:
        out["description"] = description
    if parameters is not None:
        out["parameters"] = parameters
    return out
