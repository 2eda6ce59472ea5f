"""Values of any kind to cells: one type a column, bounded, and never an exception.

A column's type is kept whatever comes, so that no backend has to guess one and no row spoils a table. What fits
loses nothing; what does not becomes None, and is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from otel_llm.content import marker
from otel_llm.views.model import Cell, Sink, Type

_MAX_INT: Final = 1 << 63
_MAX_DIGITS: Final = 400
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_MAX_DEPTH: Final = 64


class MisfitError(ValueError):
    """A value has not the type of its column, and cannot be read as such."""


def json_text(value: Any) -> str:
    """Return any value as JSON text; what JSON does not know is text in it, NaN and infinities are null.

    Raises:
        MisfitError: it is nested too deeply, or contains itself.
    """
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS).decode()
    except TypeError:  # integers beyond 64 bits, text that is not Unicode, a cycle
        try:
            return orjson.dumps(_sane(value, 0), default=_default, option=_OPTIONS).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise MisfitError(f"it cannot be written as JSON: {error}") from None


_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def _default(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple):
        return list(value)
    return unicode_text(str(value))


def _sane(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise MisfitError("it is nested too deeply")
    if isinstance(value, str):
        return unicode_text(value)
    if isinstance(value, dict):
        return {unicode_text(str(key)): _sane(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sane(item, depth + 1) for item in value]
    if isinstance(value, int) and not -_MAX_INT <= value < _MAX_INT:
        return str(value)
    return value


def unicode_text(text: str) -> str:
    """Return a text that every backend can hold: half surrogate pairs and NUL are replaced."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}") if "\x00" in text else text


def _text(value: Any, limit: int) -> str:
    if type(value) is not str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | float):
            value = str(value)
        elif isinstance(value, int):
            value = str(value) if value.bit_length() < _MAX_DIGITS * 3 else hex(value)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        else:
            value = json_text(value)
    if len(value) > limit:
        value = value[:limit] + marker(len(value))
    return unicode_text(value)


def _int(value: Any, _limit: int) -> int:
    if isinstance(value, float):
        found = int(value) if value.is_integer() else None
    elif isinstance(value, str):
        found = int(value) if _WHOLE.fullmatch(value) else None
    else:
        found = value if isinstance(value, int) and not isinstance(value, bool) else None
    if found is None or not -_MAX_INT <= found < _MAX_INT:
        raise MisfitError
    return int(found)


def _float(value: Any, _limit: int) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int | str):
        raise MisfitError
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise MisfitError
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise MisfitError from None


def _bool(value: Any, _limit: int) -> bool:
    if isinstance(value, str):
        value = _TRUTHS.get(value.strip().lower())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = bool(value) if value in {0, 1} else None
    if not isinstance(value, bool):
        raise MisfitError
    return value


_TRUTHS: Final = {"true": True, "false": False}
_FITTERS: Final[dict[Type, Callable[[Any, int], Cell]]] = {
    "text": _text,
    "int": _int,
    "float": _float,
    "bool": _bool,
}


def cell(value: Any, kind: Type, limit: int = Sink.max_text) -> Cell:
    """Return `value` as a cell of a column of a type.

    Args:
        value: anything.
        kind: the column's type.
        limit: characters of a text.

    Raises:
        MisfitError: it does not fit.
    """
    given = type(value)
    if value is None or (given is float and kind == "float") or (given is bool and kind == "bool"):
        return value  # type: ignore[no-any-return]
    if given is int and kind == "int" and -_MAX_INT <= value < _MAX_INT:
        return value  # type: ignore[no-any-return]
    if given is str and kind == "text" and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value  # type: ignore[no-any-return]
    item = getattr(value, "item", None)
    if item is not None and not isinstance(value, str | int | float | dict):  # a number of numpy or torch
        try:
            value = item()
        except Exception:
            raise MisfitError from None
    return _FITTERS[kind](value, limit)
