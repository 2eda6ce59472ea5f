"""What programs say of a game, made into attributes: known fields, numbers as text, `None` anywhere.

Runs on the caller's thread, so that what is kept is what the value was when it was given; scrubbing and cutting
come later. Nothing here raises, calls into a tensor, or keeps a reference to what the program may still change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

from otel_llm import semconv as sc
from otel_llm.content import dumps
from otel_llm.llm import AttributeValue

Out: TypeAlias = dict[str, AttributeValue]

MAX_ITEMS: Final = 1000
"""Items of a list that are kept at most."""

MAX_SECONDS: Final = 366 * 86_400.0
"""A longer duration is a mistake."""

MAX_KEY: Final = 128

TEXTS: Final = frozenset(
    {sc.INTERACTION_GOALS, sc.INTERACTION_DIARY, sc.INTERACTION_PARSED},
)
"""Attributes that hold what models wrote: the content policy says what is kept of them."""

_SCALARS: Final = (bool, int, float, str)
_INT_BITS: Final = 63
_DEVICE_LIBRARIES: Final = frozenset({"torch", "jax", "jaxlib", "tensorflow"})
"""Reading a value of theirs may wait for a device."""


class _Unusable(Exception):  # noqa: N818 (no error: it says that a value is left out)
    pass


def take(fields: Mapping[str, Any], out: Out, unusable: list[str]) -> None:
    """Add what `fields` say to `out`.

    Args:
        fields: values by the names of `FIELDS`, or by names of the program's own.
        out: attributes so far; is added to.
        unusable: names of fields whose value cannot be used; is added to.
    """
    for name, value in fields.items():
        if value is None:
            continue
        try:
            known = FIELDS.get(name)
            if known is None:
                out[custom_key(name)] = plain(value)
            else:
                known(value, out)
        except Exception:  # a value of the program's own class may do anything when it is looked at
            unusable.append(str(name)[:MAX_KEY])


def take_literally(attributes: Mapping[str, Any], out: Out, unusable: list[str]) -> None:
    """Add attributes under exactly the names that the program gave."""
    for key, value in attributes.items():
        if value is None:
            continue
        try:
            out[str(key)[:MAX_KEY]] = plain(value)
        except Exception:
            unusable.append(str(key)[:MAX_KEY])


def custom_key(name: str) -> str:
    """Return the attribute's name of a field of the program's own; its dots would make levels."""
    return sc.CUSTOM_PREFIX + str(name).replace(".", "_")[:MAX_KEY]


def plain(value: Any) -> AttributeValue:
    """Return any value as one that an attribute can have: a scalar, a tuple of scalars of one type, or JSON text.

    Raises:
        _Unusable: it lies on a device, or is no more than an object.
    """
    kind = type(value)
    if kind is str or kind is bool or kind is float:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return value if value.bit_length() <= _INT_BITS else str(value)
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return dumps(dict(value))
    if isinstance(value, list | tuple | set | frozenset):
        items = [v.value if isinstance(v, Enum) else v for v in value][:MAX_ITEMS]
        kinds = {type(item) for item in items}
        if kinds == {int} and any(item.bit_length() > _INT_BITS for item in items):
            return tuple(map(str, items))
        if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
            return tuple(items)
        return dumps(items)
    library = kind.__module__.partition(".")[0]
    if library in _DEVICE_LIBRARIES:
        raise _Unusable
    if library == "numpy":
        return plain(value.item() if getattr(value, "ndim", 0) == 0 else value.tolist())
    return text_of(value)


def text_of(value: Any) -> str:
    """Return a value as text; never raises, and never waits for a device."""
    if isinstance(value, str):
        return value
    if type(value).__module__.partition(".")[0] in _DEVICE_LIBRARIES:
        return f"<{type(value).__name__}>"
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def number(value: Any) -> float:
    """Return a number, also one that came as text.

    Raises:
        _Unusable: it is none, or not finite.
    """
    if isinstance(value, str):
        try:
            value = float(value.strip())
        except ValueError:
            raise _Unusable from None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _Unusable
    if not math.isfinite(value):
        raise _Unusable
    return float(value)


def whole(value: Any) -> int:
    """Return a whole number that is not negative; of a list its length.

    Raises:
        _Unusable: it is none.
    """
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        return len(value)
    found = number(value)
    if found < 0 or found != int(found):
        raise _Unusable
    return int(found)


def seconds_of(milliseconds: Any) -> float:
    """Return milliseconds as seconds.

    Raises:
        _Unusable: negative, absurd, or no number.
    """
    found = number(milliseconds) / 1000
    if not 0 <= found <= MAX_SECONDS:
        raise _Unusable
    return found


def texts(value: Any) -> tuple[str, ...]:
    """Return texts, from one or from many.

    Raises:
        _Unusable: a number, or something else that holds no texts.
    """
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable):
        raise _Unusable
    return tuple(text_of(item) for item in list(value)[:MAX_ITEMS] if item is not None)


def flag(value: Any) -> bool:
    """Return a truth value, also one that came as text or number.

    Raises:
        _Unusable: it is none.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        found = judged(value)
        if found is not None:
            return found
        raise _Unusable
    return number(value) != 0


_WORD: Final = re.compile(r"\W*(\w+)")
_GOOD: Final = frozenset({"true", "ok", "yes", "1", "valid", "initialized"})
_BAD: Final = frozenset({"false", "no", "0", "timed"})
_BAD_STEMS: Final = ("fail", "error", "invalid", "exception", "timeout")


def judged(text: str) -> bool | None:
    """Return whether a word for an outcome means success: `Failure: Invalid LLM Moves (2)` does not.

    Returns:
        None where its first word tells neither.
    """
    found = _WORD.match(text)
    first = found[1].lower() if found is not None else ""
    if first in _BAD or first.startswith(_BAD_STEMS):
        return False
    return True if first in _GOOD or first.startswith("succe") else None


# --- the known fields -----------------------------------------------------------------------------
def _as(key: str, convert: Callable[[Any], AttributeValue]) -> Callable[[Any, Out], None]:
    def set_it(value: Any, out: Out) -> None:
        out[key] = convert(value)

    return set_it


def _success(value: Any, out: Out) -> None:
    if isinstance(value, str):
        found = judged(value)
        if value.strip().lower() not in {"true", "false"}:
            out[sc.INTERACTION_OUTCOME] = value
        if found is not None:
            out[sc.INTERACTION_SUCCESS] = found
        return
    out[sc.INTERACTION_SUCCESS] = flag(value)


def _valid_orders(value: Any, out: Out) -> None:
    out[sc.ORDERS_VALID_COUNT] = whole(value)


def _invalid_orders(value: Any, out: Out) -> None:
    if isinstance(value, str) and not value.strip().isdigit():
        value = [value]
    out[sc.ORDERS_INVALID_COUNT] = whole(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        out[sc.ORDERS_INVALID] = texts(value)


def _orders(value: Any, out: Out) -> None:
    if isinstance(value, Mapping):  # by power, as engines give them
        value = [
            f"{power}: {order}"
            for power, some in value.items()
            for order in (some if some is not None else ())
        ]
    out[sc.ORDERS_SUBMITTED] = texts(value)


def _counted(key: str, prefix: str) -> Callable[[Any, Out], None]:
    def set_it(value: Any, out: Out) -> None:
        if isinstance(value, Mapping):
            for power, owned in list(value.items())[:MAX_ITEMS]:
                if owned is not None:
                    out[prefix + text_of(power).replace(".", "_")[:MAX_KEY]] = whole(owned)
        else:
            out[key] = whole(value)

    return set_it


def _players(value: Any, out: Out) -> None:
    if isinstance(value, Mapping):
        out[sc.GAME_PLAYERS] = texts(value.keys())
        models = ["" if model is None else text_of(model) for model in list(value.values())[:MAX_ITEMS]]
        if any(models):
            out[sc.GAME_MODELS] = tuple(models)
    else:
        out[sc.GAME_PLAYERS] = texts(value)


def _structure(value: Any) -> AttributeValue:
    return dumps(dict(value)) if isinstance(value, Mapping) else plain(value)


FIELDS: Final[Mapping[str, Callable[[Any, Out], None]]] = {
    "success": _success,
    "outcome": _as(sc.INTERACTION_OUTCOME, text_of),
    "error_type": _as(sc.ERROR_TYPE, text_of),
    "model": _as(sc.REQUEST_MODEL, text_of),
    "orders": _orders,
    "valid_orders": _valid_orders,
    "invalid_orders": _invalid_orders,
    "results": _as(sc.ORDERS_RESULTS, _structure),
    "parsed": _as(sc.INTERACTION_PARSED, _structure),
    "centers": _counted(sc.POWER_CENTERS, sc.PHASE_CENTERS_PREFIX),
    "supply_centers": _counted(sc.POWER_CENTERS, sc.PHASE_CENTERS_PREFIX),
    "units": _counted(sc.POWER_UNITS, sc.PHASE_UNITS_PREFIX),
    "active_powers": _as(sc.INTERACTION_ACTIVE_POWERS, texts),
    "relationships": _as(sc.INTERACTION_RELATIONSHIPS, _structure),
    "goals": _as(sc.INTERACTION_GOALS, _structure),
    "diary": _as(sc.INTERACTION_DIARY, _structure),
    "model_parameters": _as(sc.INTERACTION_MODEL_PARAMETERS, _structure),
    "response_time_ms": _as(sc.INTERACTION_DURATION, seconds_of),
    "reward": _as(sc.GAME_REWARD, number),
    "players": _players,
    "models": _as(sc.GAME_MODELS, texts),
    "name": _as(sc.GAME_NAME, text_of),
    "training": _as(sc.GAME_IN_TRAINING, flag),
    "episode": _as(sc.GAME_EPISODE, whole),
    "step": _as(sc.GAME_TRAINING_STEP, whole),
    "status": _as(sc.GAME_STATUS, text_of),
    "winners": _as(sc.GAME_WINNERS, texts),
    "arguments": _as(sc.TOOL_CALL_ARGUMENTS, _structure),
    "result": _as(sc.TOOL_CALL_RESULT, _structure),
    "score": _as(sc.EVALUATION_SCORE, number),
    "explanation": _as(sc.EVALUATION_EXPLANATION, text_of),
}
"""Fields that programs may give, and what becomes of them."""

GAME_FIELDS: Final[Mapping[str, Callable[[Any, Out], None]]] = {
    "outcome": _as(sc.GAME_OUTCOME, text_of),
}
"""Fields that mean something else on a game."""
