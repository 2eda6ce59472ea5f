"""How many messages a request is made of, before a parser makes objects of them.

A message of protobuf may take two bytes and becomes some 170 in memory: 64 MiB of empty ones, which is 64 kB of gzip,
would become 5 GiB. So large bodies are walked first, over tags and lengths alone.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

MOST: Final = 4 << 20
"""Messages in one request; a span is one, each attribute two."""
_MAX_DEPTH: Final = 128
"""Parsers refuse what is deeper."""
_VARINT, _FIXED64, _BYTES, _GROUPS, _FIXED32 = 0, 1, 2, (3, 4), 5

_Plan = dict[int, "_Plan"]
_plans: dict[str, _Plan] = {}


def too_many(body: bytes, kind: type[Message], form: str, most: int = MOST) -> bool:
    """Say whether a body has more than `most` messages. False also for what no parser takes.

    Args:
        body: protobuf or JSON.
        kind: which message it is.
        form: `protobuf` or `json`.
        most: the bound.
    """
    if len(body) <= 2 * most:
        return False
    if form == "json":
        # A bracket before a backslash is inside of a text: JSON of a message, say.
        return sum(body.count(one) - body.count(one + b"\\") for one in (b"{", b"[")) > most
    try:
        return _walk(body, _plan(kind.DESCRIPTOR), most)
    except IndexError:  # it ends in the middle
        return False


def _plan(descriptor: Descriptor) -> _Plan:
    """Return which fields of a message are messages, by number."""
    plan = _plans.get(descriptor.full_name)
    if plan is None:
        plan = _plans[descriptor.full_name] = {}
        for field in descriptor.fields:
            if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                plan[field.number] = _plan(field.message_type)
    return plan


def _walk(body: bytes, plan: _Plan, most: int) -> bool:
    found = at = 0
    end = len(body)
    above: list[tuple[int, int, _Plan]] = []
    while True:
        while at >= end:
            if at > end or not above:
                return False
            at, end, plan = above.pop()
        tag = body[at]
        at += 1
        if tag > 127:  # noqa: PLR2004 (a varint goes on while its first bit is set)
            tag, at = _varint(body, at - 1)
        kind = tag & 7
        if kind == _BYTES:
            length = body[at]
            at += 1
            if length > 127:  # noqa: PLR2004
                length, at = _varint(body, at - 1)
            inner = plan.get(tag >> 3)
            if inner is None:
                at += length
                continue
            found += 1
            if found > most:
                return True
            if length:
                if len(above) >= _MAX_DEPTH:
                    return False
                above.append((at + length, end, plan))
                end, plan = at + length, inner
        elif kind == _VARINT:
            while body[at] > 127:  # noqa: PLR2004
                at += 1
            at += 1
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        elif kind not in _GROUPS:
            return False


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128 or shift > 63:  # noqa: PLR2004
            return value, at
        shift += 7
