"""What is kept of prompts and answers: how much (`ContentPolicy`), in which attributes, cut to which size.

Content becomes one JSON string an attribute, in the shapes of the GenAI conventions. A text that is too long is
cut inside its part, so the JSON stays whole and small parts survive; a conversation that is still too long
loses its oldest messages but the first. Runs on the worker. Never changes a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeAlias

import orjson

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue, LLMCall, Part
from otel_llm.redaction import Scrubber

CAPTURE_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class ContentPolicy(StrEnum):
    """How much content is kept."""

    NONE = "none"
    """Nothing."""
    LENGTH = "length"
    """Counts and lengths, and the names of the tools that were called."""
    PREVIEW = "preview"
    """Also the messages, each text cut to a few words."""
    FULL = "full"
    """Also the messages, whole up to the maximum length."""

    @classmethod
    def parse(cls, text: str) -> ContentPolicy:
        """Return the policy that `text` names, in any case.

        Raises:
            ValueError: it names none; the text of the error is what is accepted.
        """
        try:
            return cls(text.strip().lower())
        except ValueError:
            raise ValueError("none, length, preview or full") from None


class CaptureMode(StrEnum):
    """Where OpenTelemetry's own variable wants content: on spans, in events, in both, nowhere."""

    UNSET = ""
    NO_CONTENT = "NO_CONTENT"
    SPAN_ONLY = "SPAN_ONLY"
    EVENT_ONLY = "EVENT_ONLY"
    SPAN_AND_EVENT = "SPAN_AND_EVENT"

    @property
    def spans(self) -> bool:
        """Whether spans carry content."""
        return self in {CaptureMode.SPAN_ONLY, CaptureMode.SPAN_AND_EVENT}

    @property
    def events(self) -> bool:
        """Whether events carry content."""
        return self in {CaptureMode.EVENT_ONLY, CaptureMode.SPAN_AND_EVENT}


def capture_mode(environ: Mapping[str, str]) -> CaptureMode:
    """Read `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`.

    As OpenTelemetry's own instrumentations do, a value that is not accepted (`true`, of an older convention,
    is one) is warned of once and captures nothing.
    """
    value = environ.get(CAPTURE_VARIABLE, "")
    try:
        return CaptureMode(value.strip().upper())
    except ValueError:
        drops.warn_once(
            f"capture:{value}",
            "%s is %r, so no content is captured; it accepts NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT",
            CAPTURE_VARIABLE,
            value,
        )
        return CaptureMode.NO_CONTENT


# --- attributes -----------------------------------------------------------------------------------
def content_attributes(
    call: LLMCall,
    policy: ContentPolicy,
    scrubber: Scrubber,
    max_length: int = 262_144,
    preview_length: int = 200,
) -> dict[str, AttributeValue]:
    """Return the content attributes of `call` that `policy` allows.

    Args:
        call: the call; it is not changed.
        policy: how much to keep.
        scrubber: takes secrets out of everything that is kept.
        max_length: longest attribute, in characters.
        preview_length: longest text under `preview`, in characters, without its marker.

    Returns:
        Attributes by the names of `semconv`; what the call has none of is left out.
    """
    out: dict[str, AttributeValue] = {}
    if policy is ContentPolicy.NONE:
        return out
    messages, answers, system, tools = (
        call.input_messages,
        call.output_messages,
        call.system_instructions,
        call.tool_definitions,
    )
    if messages or system:
        length = _measure(system)[0] if system else 0
        for message in messages:
            length += _measure(message["parts"])[0]
        out[sc.INPUT_LENGTH] = length
        out[sc.INPUT_MESSAGE_COUNT] = len(messages)
    if tools:
        out[sc.TOOLS_OFFERED] = len(tools)
    if answers:
        length = 0
        called: tuple[str, ...] = ()
        for message in answers:
            more, names = _measure(message["parts"])
            length += more
            called += names
        out[sc.OUTPUT_LENGTH] = length
        if called:
            out[sc.OUTPUT_TOOL_CALLS] = tuple([scrubber.text(name) for name in called])
    if policy is ContentPolicy.LENGTH:
        return out
    listed: list[tuple[str, Sequence[Any], Lost]] = [
        (key, items, lost)
        for key, items, lost in (
            (sc.INPUT_MESSAGES, messages, _lost_messages),
            (sc.OUTPUT_MESSAGES, answers, _lost_messages),
            (sc.SYSTEM_INSTRUCTIONS, system, _lost_parts),
            (sc.TOOL_DEFINITIONS, tools, _lost_tools),
        )
        if items
    ]
    longest: int | None = preview_length
    if policy is ContentPolicy.FULL:
        longest = None
        texts = [dumps(items) for _, items, _ in listed]
        if max(map(len, texts), default=0) <= max_length and scrubber.leaves_alone(texts):
            out.update(zip([key for key, _, _ in listed], texts, strict=True))
            return out
    for key, items, lost in listed:
        out[key] = _bounded(items, scrubber, max_length, longest, lost)
    return out


_TOOL_CALLS: Final = frozenset({"tool_call"})  # what the program is to run; server-side tools are not
_OTHER_CONTENT: Final = ("arguments", "response", "result")


def _measure(parts: Sequence[Part]) -> tuple[int, tuple[str, ...]]:
    """Count the characters of text, of tools' arguments and of their results; name the tools that are called."""
    total = 0
    names: tuple[str, ...] = ()
    for part in parts:
        if (value := part.get("content")) is None:
            for field in _OTHER_CONTENT:
                if (value := part.get(field)) is not None:
                    break
            if part.get("type") in _TOOL_CALLS:
                names += (str(part.get("name", "")),)
        if isinstance(value, str):
            total += len(value)
        elif value is not None:
            total += len(dumps(value))
    return total, names


# --- one JSON string, bounded ---------------------------------------------------------------------
_SHORTEST: Final = 64
_PARTS_KEPT: Final = 8
_AHEAD: Final = 512
"""A text is scrubbed so far beyond its cut, in characters, so that no half of a secret is left there."""

Lost: TypeAlias = Callable[[int], dict[str, Any]]
"""Makes what stands in for so many dropped items."""


def marker(original: int) -> str:
    """Return what ends a text that was cut from `original` characters."""
    return f"...[truncated, original {original} chars]"


def _lost_messages(n: int) -> dict[str, Any]:
    return {"role": "otel_llm", "parts": [{"type": "text", "content": f"...[{n} messages dropped]"}]}


def _lost_parts(n: int) -> dict[str, Any]:
    return {"type": "text", "content": f"...[{n} parts dropped]"}


def _lost_tools(n: int) -> dict[str, Any]:
    return {"type": "otel_llm", "name": f"...[{n} tools dropped]"}


def _bounded(
    items: Sequence[Any], scrubber: Scrubber, max_length: int, longest: int | None, lost: Lost
) -> str:
    """Return `items` as one JSON list of at most `max_length` characters, without secrets.

    Args:
        items: messages, parts or tool definitions; not changed.
        scrubber: takes secrets out.
        max_length: longest result, in characters.
        longest: longest single text, in characters; None for as long as fits.
        lost: makes the item that says how many were dropped.
    """
    if longest is None:
        if len(raw := dumps(items)) <= max_length and len(text := scrubber.json(raw)) <= max_length:
            return text
        longest = max_length // 4
    while True:
        cut = [_cut(item, longest, scrubber) for item in items]
        if len(text := scrubber.json(dumps(cut))) <= max_length:
            return text
        if (some := _newest([scrubber.json(dumps(item)) for item in cut], max_length, lost)) is not None:
            return some
        if longest <= _SHORTEST:
            break
        longest = max(longest // 4, _SHORTEST)
    # A message of thousands of parts, or a very small bound.
    thin = [scrubber.json(dumps(_thinned(item))) for item in cut]
    return _newest(thin, max_length, lost) or _newest([], max_length, lost, len(items)) or "[]"


def _newest(pieces: list[str], max_length: int, lost: Lost, dropped: int = 0) -> str | None:
    """Join the first of `pieces`, a word on what is dropped, and as many of the last as fit.

    Returns:
        None where not even the first and the last fit.
    """
    room = max_length - len(dumps(lost(dropped + len(pieces)))) - 2
    room -= sum(len(piece) + 1 for piece in pieces[:1])
    start = len(pieces)
    while start > 1 and (room := room - len(pieces[start - 1]) - 1) >= 0:
        start -= 1
    if room < 0 and start == len(pieces):
        return None
    if dropped := dropped + max(start - 1, 0):
        pieces = [*pieces[:1], dumps(lost(dropped)), *pieces[start:]]
    return f"[{','.join(pieces)}]"


def _cut(value: Any, longest: int, scrubber: Scrubber) -> Any:
    """Return a message, part or tool definition with no text longer than `longest`; the same one if it has none."""
    if isinstance(value, str):
        return _cut_text(value, longest, scrubber) if len(value) > longest else value
    if not isinstance(value, dict):
        return value
    out: dict[Any, Any] = {}
    for key, field in value.items():
        if key == "parts" and isinstance(field, list):
            out[key] = [_cut(part, longest, scrubber) for part in field]
        elif isinstance(field, dict | list | tuple) and len(text := dumps(field)) > longest:
            out[key] = _cut_text(text, longest, scrubber)  # arguments, a schema: JSON that is cut is text
        else:
            out[key] = _cut(field, longest, scrubber) if isinstance(field, str) else field
    return out


def _cut_text(text: str, longest: int, scrubber: Scrubber) -> str:
    return scrubber.text(text[: longest + _AHEAD])[:longest] + marker(len(text))


def _thinned(item: Any) -> Any:
    parts = item.get("parts") if isinstance(item, dict) else None
    if not isinstance(parts, list) or len(parts) <= _PARTS_KEPT:
        return item
    return {**item, "parts": [parts[0], _lost_parts(len(parts) - _PARTS_KEPT), *parts[1 - _PARTS_KEPT :]]}


# --- anything as JSON -----------------------------------------------------------------------------
_MAX_DEPTH: Final = 64
_INT_BITS: Final = 63


def dumps(value: Any) -> str:
    """Return `value` as JSON whatever it is; never raises.

    NaN becomes null, what JSON does not know its text, and what orjson refuses (lone surrogates, integers
    beyond 64 bits, nesting without end) what comes closest.
    """
    try:
        return orjson.dumps(value, _words, orjson.OPT_NON_STR_KEYS).decode()
    except Exception:
        return orjson.dumps(_plain(value, 0)).decode()


def _words(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _INT_BITS else str(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return {_valid(_words(k)): _plain(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [_plain(item, depth + 1) for item in value]
        return _valid(value if isinstance(value, str) else _words(value))
    return "...[nested too deep]"


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
