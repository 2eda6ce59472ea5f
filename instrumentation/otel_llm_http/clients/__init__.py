"""The HTTP clients: where each is patched. One module a client; all of them end in `capture`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from otel_llm_http.clients import _aiohttp, _httpx, _requests
from otel_llm_http.clients._patches import Patches

CLIENTS: Final[tuple[tuple[str, Callable[[Patches, Any], None]], ...]] = (
    ("httpx", _httpx.patch),
    ("httpx2", _httpx.patch),
    ("aiohttp", _aiohttp.patch),
    ("requests", _requests.patch),
)
"""`(module, function that patches it once it is imported)`."""

__all__ = ["CLIENTS", "Patches"]
