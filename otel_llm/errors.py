"""Exceptions as classes of failure, by the names of their classes.

By name, because the core imports no HTTP library and no SDK: `httpx.ReadTimeout`, `aiohttp.ServerTimeoutError`
and `requests.ConnectTimeout` all say what they are.
"""

from __future__ import annotations

from typing import Final

from otel_llm.llm import ErrorType

_BY_NAME: Final[tuple[tuple[str, ErrorType], ...]] = (
    ("timeout", "timeout"),
    ("cancel", "cancelled"),
    ("generatorexit", "cancelled"),
    ("keyboardinterrupt", "cancelled"),
    ("systemexit", "cancelled"),
    ("decod", "malformed_response"),
    ("contenttype", "malformed_response"),
    ("invalidurl", "invalid_request"),
    ("unsupportedprotocol", "invalid_request"),
    ("toomanyredirects", "invalid_request"),
)

_MAX_CACHED: Final = 1024
_known: dict[type[BaseException], ErrorType] = {}


def error_of(exception: BaseException) -> ErrorType:
    """Return the class of failure that `exception` stands for.

    A class is judged by its own name, then by those of its bases; what no name tells happened between us and
    the server and counts as `connection`.
    """
    kind = type(exception)
    if (known := _known.get(kind)) is None:
        known = _classify(kind)
        if len(_known) < _MAX_CACHED:
            _known[kind] = known
    return known


def _classify(kind: type[BaseException]) -> ErrorType:
    for base in kind.__mro__:
        name = base.__name__.lower()
        for part, error in _BY_NAME:
            if part in name:
                return error
    return "connection"
