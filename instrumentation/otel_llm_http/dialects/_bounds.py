"""Cutting content that is larger than may be kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from otel_llm_http.dialects._parts import json_size

_SHORT: Final = frozenset({"type", "role", "id", "name", "modality", "mime_type", "finish_reason"})


def bounded(lists: Iterable[list[dict[str, Any]]], room: int) -> bool:
    """Cut messages, parts or tools, in place and in order, to `room` characters in all; say whether any was cut."""
    cut = False
    for items in lists:
        for item in items:
            parts = item.get("parts")
            for part in parts if type(parts) is list else (item,):
                for key, value in part.items():
                    if key in _SHORT:
                        continue
                    if type(value) is str:
                        if len(value) > room:
                            part[key] = value[:room]
                            cut = True
                        room = max(room - len(value), 0)
                    elif isinstance(value, dict | list):
                        size = json_size(value)
                        if size > room:
                            part[key] = None
                            cut = True
                        room = max(room - size, 0)
    return cut
