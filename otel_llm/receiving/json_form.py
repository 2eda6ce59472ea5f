"""OTLP's JSON: protobuf's own, but ids are hex instead of base64.

Sources: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"; protobuf.dev/programming-guides/json. Integers of 64 bits
may be text, enumerations are numbers (names are taken, too), unknown fields are ignored. protobuf's own parser takes some
ten times as long, and knows no hex.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_MAX_DEPTH: Final = 100
"""Messages inside of each other, as protobuf's own parser has it."""

_IDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_INTEGERS: Final = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)

_Convert = Callable[[Any, int], Any]
_Plan = dict[str, tuple[str, _Convert]]


def parse(body: bytes, request: type[Message]) -> Message:
    """Return a request.

    Args:
        body: JSON.
        request: which message it is.

    Raises:
        ValueError: it is no JSON, or not of this message.
        TypeError: likewise.
    """
    return request(**_message(orjson.loads(body), request.DESCRIPTOR, 0))


_plans: dict[str, _Plan] = {}


def _plan(descriptor: Descriptor) -> _Plan:
    """Return what becomes of the fields of a message, by either of their names."""
    plan = _plans.get(descriptor.full_name)
    if plan is None:
        plan = _plans[descriptor.full_name] = {}
        for field in descriptor.fields:
            plan[field.json_name] = plan[field.name] = field.name, _field(field)
    return plan


def _message(value: Any, descriptor: Descriptor, depth: int) -> dict[str, Any]:
    if type(value) is not dict or depth > _MAX_DEPTH:
        raise ValueError("no object, or too many inside of each other")
    plan = _plan(descriptor)
    found = {}
    for key, inner in value.items():
        if inner is not None and (known := plan.get(key)) is not None:
            found[known[0]] = known[1](inner, depth)
    return found


def _field(field: FieldDescriptor) -> _Convert:
    one = _single(field)
    if not _is_repeated(field):
        return one

    def each(value: Any, depth: int) -> list[Any]:
        if type(value) is not list:
            raise ValueError("no array")
        return [one(item, depth) for item in value]

    return each


def _is_repeated(field: FieldDescriptor) -> bool:
    found = getattr(field, "is_repeated", None)  # protobuf 6.31; the label warns since
    return bool(field.label == FieldDescriptor.LABEL_REPEATED if found is None else found)


def _single(field: FieldDescriptor) -> _Convert:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        inner = field.message_type
        return lambda value, depth: _message(value, inner, depth + 1)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        numbers = {name: value.number for name, value in field.enum_type.values_by_name.items()}
        return lambda value, _: (
            numbers[value] if isinstance(value, str) and value in numbers else _integer(value)
        )
    if kind in _INTEGERS:
        return lambda value, _: _integer(value)
    if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return lambda value, _: _float(value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return lambda value, _: _checked(value, bool)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _hex if field.name in _IDS else _base64
    return lambda value, _: _checked(value, str)


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError("a value of another type")
    return value


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str or (type(value) is float and value.is_integer()):
        return int(value)
    raise ValueError("no integer")


def _float(value: Any) -> float:
    if type(value) is bool:
        raise ValueError("no number")
    return float(value)  # "NaN", "Infinity" and "-Infinity" are Python's words, too


def _hex(value: Any, _: int) -> bytes:
    return bytes.fromhex(_checked(value, str))


def _base64(value: Any, _: int) -> bytes:
    text = _checked(value, str).replace("-", "+").replace("_", "/")
    return b64decode(text + "=" * (-len(text) % 4), validate=True)
