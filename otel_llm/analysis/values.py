"""What stored spans say, read with care: values come from files, perhaps from programs other than ours.

What has not the type it should have is left out; a number may be text. Nothing here raises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

CALL_OPERATIONS: Final = frozenset({*sc.INFERENCE_OPERATIONS, sc.EMBEDDINGS, sc.FETCH_RESPONSE})
"""Operations that are calls of a model: what is counted, and summed up in tokens and money. Agents and
workflows may repeat on their own spans what their calls used."""

_MAX_DIGITS: Final = 64


def text(attributes: Mapping[str, Any], key: str) -> str | None:
    """Return a text; None for anything else, and for an empty one."""
    value = attributes.get(key)
    return value if isinstance(value, str) and value else None


def label(attributes: Mapping[str, Any], key: str) -> str | None:
    """Return a name or an id as text; programs give numbers, too."""
    value = attributes.get(key)
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else str(value)


def texts(attributes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return texts, from one or from many."""
    value = attributes.get(key)
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def number(attributes: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number; None for anything else."""
    value = attributes.get(key)
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= _MAX_DIGITS:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def whole(attributes: Mapping[str, Any], *keys: str) -> int | None:
    """Return the first whole number under one of several names."""
    for key in keys:
        value = attributes.get(key)
        if type(value) is int:
            return value
        if value is not None and (found := number(attributes, key)) is not None:
            return int(found)
    return None


def flag(attributes: Mapping[str, Any], key: str) -> bool | None:
    """Return a truth value, also one that is text."""
    value = attributes.get(key)
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def below(attributes: Mapping[str, Any], prefix: str) -> dict[str, int]:
    """Return whole numbers by the last part of their names."""
    found: dict[str, int] = {}
    for key in attributes:
        if key.startswith(prefix) and (value := whole(attributes, key)) is not None:
            found[key[len(prefix) :]] = value
    return found


def error_of(span: StoredSpan) -> tuple[str | None, str | None]:
    """Return why a span failed: (class of failure, words); (None, None) where it did not."""
    a = span.attributes
    error_type = text(a, sc.ERROR_TYPE)
    if error_type is None and span.status != "error":
        if flag(a, sc.INTERACTION_SUCCESS) is False:
            return "failed", label(a, sc.INTERACTION_OUTCOME)
        return None, None
    message = text(a, sc.ERROR_MESSAGE) or span.status_description
    if (raised := exception_of(span)) is not None:
        error_type = error_type or text(raised, sc.EXCEPTION_TYPE)
        message = message or text(raised, sc.EXCEPTION_MESSAGE)
    return error_type or "error", message


def exception_of(span: StoredSpan) -> dict[str, Any] | None:
    """Return the attributes of the last exception that OpenTelemetry's own API recorded; None for none."""
    for event in reversed(span.events):
        if event.name == sc.EVENT_EXCEPTION_RECORDED:
            found: dict[str, Any] = event.attributes
            return found
    return None


def retry_of(span: StoredSpan) -> tuple[str, str] | None:
    """Return (trace id, span id) of the attempt before."""
    for link in span.links:
        if link.attributes.get(sc.LINK_KIND) == sc.LINK_RETRY_OF:
            return link.trace_id, link.span_id
    return None
