"""Values of a program's metrics, as they are when they are told: on the caller's thread copied, on the worker read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from otel_llm import drops
from otel_llm.numeric import as_number
from otel_llm.training.deferred import Deferred, deferred

_PLAIN: Final = frozenset({int, float, bool, type(None)})
_MAX_DEPTH: Final = 8
_MAX_NAME: Final = 512

Taken = Any
"""A number as it is; anything else as a `Deferred`, or a list of these."""


def taken(value: Any) -> Taken:
    """Return `value` to be read later by `numbers_of` or `number_of`; what is changed afterwards does not change it.

    Nothing is waited for, and what can be read only once (an iterator) is not read. Never raises.
    """
    kind = type(value)
    if kind in _PLAIN or kind is Deferred:
        return value
    try:
        if (
            isinstance(value, Collection)
            and not isinstance(value, str | bytes | Mapping)
            and not _is_array(value)
        ):
            items = list(value)
            if set(map(type, items)) <= _PLAIN:
                return deferred(items)
            return [taken(item) for item in items]
        return deferred(value)
    except Exception:
        drops.internal_error("taking a metric's values")
        return None


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "tolist")


def numbers_of(value: Taken) -> list[object]:
    """Return what was taken as a flat list, in order; what is no number is None. On the worker."""
    out: list[object] = []
    _flatten(value.value() if isinstance(value, Deferred) else value, out, 0)
    return out


def _flatten(value: Any, out: list[object], depth: int) -> None:
    if isinstance(value, Deferred):
        value = value.value()
    if isinstance(value, list) and depth < _MAX_DEPTH:
        for item in value:
            if type(item) is float:
                out.append(item)
            else:
                _flatten(item, out, depth + 1)
    else:
        out.append(as_number(value))


def number_of(value: Taken) -> int | float | None:
    """Return what was taken where it is one number; None otherwise. On the worker."""
    if type(value) is float or type(value) is int:
        return value
    found = numbers_of(value)
    return found[0] if len(found) == 1 and isinstance(found[0], int | float) else None


def nbytes_of(*values: Taken) -> int:
    """Return about how many bytes is kept alive by what was taken."""
    total = 0
    for value in values:
        if isinstance(value, Deferred):
            total += value.nbytes
        elif isinstance(value, list):
            total += 64 + nbytes_of(*value)
    return total


def named(data: Any) -> list[tuple[str, Taken]]:
    """Return the values in a mapping by their names, those of nested mappings as `a/b`; each to be read later.

    None is passed over. Text, and names that are no text, are left out and counted.
    """
    out: list[tuple[str, Taken]] = []
    if isinstance(data, Mapping):
        _add(data, "", out, 0)
    else:
        drops.count("scalar", "no_mapping")
    return out


def _add(data: Mapping[Any, Any], prefix: str, out: list[tuple[str, Taken]], depth: int) -> None:
    for name, value in data.items():
        if value is None:
            continue
        kind = type(value)
        if type(name) is not str:
            drops.count("scalar", "no_name")
        elif kind is float or kind is int:
            out.append((prefix + name, value))
        elif isinstance(value, Mapping):
            if depth < _MAX_DEPTH:
                _add(value, f"{prefix}{name}/", out, depth + 1)
            else:
                drops.count("scalar", "too_deep")
        elif isinstance(value, str | bytes):
            drops.count("scalar", "text")
        else:
            out.append(((prefix + name)[:_MAX_NAME], taken(value)))


def scalars(items: list[tuple[str, Taken]], step: int | None) -> list[tuple[str, int | float, int | None]]:
    """Return rows of what `named` found; what is not one number is left out and counted. On the worker."""
    rows = []
    for name, value in items:
        number = number_of(value)
        if number is None:
            drops.count("scalar", "no_number")
        else:
            rows.append((name, number, step))
    return rows
