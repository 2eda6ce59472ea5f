"""Reading JSON that may be anything: parsing that accepts what servers really send, and checked access.

A provider's payload is never trusted: a field of the wrong type counts as absent.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import orjson

from otel_llm.llm import AttributeValue

_MAX_DEPTH: Final = 200
_INT64: Final = 1 << 63


def loads(data: bytes) -> Any:
    """Parse JSON, strictly if possible; NaN, Infinity, lone surrogates and bytes that are no UTF-8 are forgiven.

    Raises:
        ValueError: the bytes are no JSON even so, or nest too deeply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return _clean(json.loads(data.decode("utf-8", "replace")), 0)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _clean(value: Any, depth: int) -> Any:
    """Return `value` such that it can be written as JSON again: what the lenient parser lets pass may not be."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_clean(key, depth + 1): _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return None
    return value


def text(value: Any) -> str | None:
    """Return a string that is not empty, else None."""
    return value if type(value) is str and value else None


def count(value: Any) -> int | None:
    """Return a number of tokens: a whole number, not negative, that fits an attribute; else None."""
    if type(value) is int:
        return value if 0 <= value < _INT64 else None
    if type(value) is float and value.is_integer() and 0 <= value < 2**53:
        return int(value)
    return None


def integer(value: Any) -> int | None:
    """Return a whole number that fits an attribute, else None."""
    if type(value) is int:
        return value if -_INT64 <= value < _INT64 else None
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return None


def number(value: Any) -> float | None:
    """Return a finite number as a float, else None."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    return None


def strings(value: Any) -> tuple[str, ...] | None:
    """Return a string, or a list of strings, as a tuple; else None."""
    if type(value) is str:
        return (value,)
    if type(value) is list:
        found = tuple(item for item in value if type(item) is str)
        return found or None
    return None


def put(attributes: dict[str, AttributeValue], key: str, value: AttributeValue | None) -> None:
    """Set an attribute unless there is no value."""
    if value is not None:
        attributes[key] = value


def records(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; nothing where it is no list."""
    return [item for item in value if type(item) is dict] if type(value) is list else []


def record(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one."""
    return value if type(value) is dict else {}


def parsed_arguments(value: Any) -> Any:
    """Return a tool call's arguments as a JSON value; text that is no JSON stays text."""
    if type(value) is str and value[:1] in {"{", "["}:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def dumps(value: Any) -> str:
    """Return a value as JSON text; empty where it cannot be written."""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError, RecursionError):
        return ""
