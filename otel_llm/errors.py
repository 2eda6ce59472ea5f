"""Exceptions as classes of failure, by the names of their classes.

By name, because the core imports no HTTP library and no SDK: `httpx.ReadTimeout`, `aiohttp.ServerTimeoutError`
and `requests.ConnectTimeout` all say what they are.
"""

from __future__ import annotations

from typing import Final

from otel_llm.llm import CallError, ErrorType

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
_MAX_TEXT: Final = 4096
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


def failure_of(exception: BaseException) -> CallError:
    """Return an exception as a failed call: its class, its own words (bounded), its name; not itself.

    An exception kept would keep the frames of the program alive.
    """
    return CallError(error_of(exception), text_of(exception), None, qualified_name(exception))


def text_of(exception: BaseException) -> str:
    """Return an exception's own words, bounded; some exceptions fail at saying them."""
    try:
        return str(exception)[:_MAX_TEXT] or type(exception).__name__
    except Exception:
        return type(exception).__name__


def qualified_name(exception: BaseException) -> str:
    """Return `module.Class` of an exception, without `builtins.`."""
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
