"""What a program tells of one interaction, understood: other names for the same field, numbers as text, `None`.

Nothing here raises, and nothing is recorded yet. What cannot be used is left out and named in `Told.unusable`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from os import PathLike, fspath
from time import time_ns
from typing import Any, Final, get_args

from otel_llm import fields
from otel_llm import semconv as sc
from otel_llm.errors import failure_of
from otel_llm.llm import CallError, ErrorType, Usage
from otel_llm.manual.messages import Sent, messages_of
from otel_llm.phases import parse_phase

_ALIASES: Final[Mapping[str, str]] = {
    "type": "interaction_type",
    "response_type": "interaction_type",
    "model": "model_name",
    "power": "power_name",
    "supply_centers": "centers",
    "supply_center_count": "centers",
    "unit_count": "units",
    "grpo_episode": "episode",
    "grpo_step": "step",
    "grpo_reward": "reward",
    "is_grpo_training": "training",
    "cost_estimate": "cost",
    "token_usage": "tokens",
    "usage": "tokens",
    "plan": "parsed",
}
"""Other names that programs use, and what they mean here."""

_TOKENS: Final[Mapping[str, str]] = {
    "input": "input_tokens", "prompt": "input_tokens",
    "input_tokens": "input_tokens", "prompt_tokens": "input_tokens",
    "output": "output_tokens", "completion": "output_tokens",
    "output_tokens": "output_tokens", "completion_tokens": "output_tokens",
    "cached": "cache_read_tokens", "cache_read": "cache_read_tokens", "cached_tokens": "cache_read_tokens",
    "cache_read_tokens": "cache_read_tokens", "cache_read_input_tokens": "cache_read_tokens",
    "cache_write": "cache_write_tokens", "cache_write_tokens": "cache_write_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
    "reasoning": "reasoning_tokens", "reasoning_tokens": "reasoning_tokens",
}  # fmt: skip
"""Kinds of tokens by the names that providers give them -> fields of `Usage`."""

_COUNTED: Final = (int, list, str, type(None))
"""What needs no look for a power in it; asking for an abstract class takes a while."""
_MAX_TOKENS: Final = 1 << 62
_MAX_KINDS: Final = 32
_MAX_AHEAD_NS: Final = 86_400 * 10**9
"""A moment that lies ahead by no more is another machine's now; one further ahead is a mistake."""

_ERROR_TYPES: Final = frozenset(get_args(ErrorType))
_INVALID_MOVES: Final = re.compile(r"invalid\b[^()]{0,40}\((\d{1,6})\)\s*:?(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Told:
    """One interaction as the program told it.

    Attributes:
        type: `order`, `negotiation` …
        game_id: the game; None for none.
        power: who acted.
        model: the model.
        provider: `gen_ai.provider.name`; empty where nobody said.
        phase: name of the phase; None for none.
        prompt: what was asked: text, or messages.
        response: what was answered.
        start_ns: when it began, in nanoseconds since the epoch.
        end_ns: when it ended.
        timed: whether start and end are known, and its own, not those of a batch.
        fields: for `Scope.set`.
        attributes: under exactly these names.
        messages: what was sent.
        usage: tokens.
        cost: US dollars.
        error: the failure, as the program saw it.
        call_error: the failure of the model call, where it is known that the call failed.
        input_length: characters of the prompt, where the prompt is text or the program counted them.
        response_length: likewise.
        own_id: what the program calls the interaction.
        unusable: names of what could not be used.
    """

    type: str
    game_id: str | None = None
    power: str | None = None
    model: str | None = None
    provider: str = ""
    phase: str | None = None
    prompt: Any = None
    response: Any = None
    start_ns: int = 0
    end_ns: int = 0
    timed: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    messages: list[Sent] = field(default_factory=list)
    usage: Usage | None = None
    cost: float | None = None
    error: BaseException | str | None = None
    call_error: CallError | None = None
    input_length: int | None = None
    response_length: int | None = None
    own_id: str | None = None
    unusable: list[str] = field(default_factory=list)

    @property
    def has_call(self) -> bool:
        """Whether anything is told of a model call."""
        given = (self.model, self.prompt, self.response, self.usage, self.cost, self.call_error)
        return any(value is not None for value in given)


def understand(interaction_type: str, values: Mapping[str, Any]) -> Told:
    """Return what `values` say.

    Args:
        interaction_type: the type, where the values name none.
        values: fields by the names of `LLMInteraction`, of the manual functions and of `Scope.set`, or by the
            program's own; None is as good as not given.
    """
    told = Told(interaction_type)
    given: dict[str, Any] = {}
    for name, value in values.items():
        if value is not None:
            key = name if type(name) is str and len(name) <= fields.MAX_KEY else _word(name)
            given.setdefault(_ALIASES.get(key, key), value)

    def take(name: str, convert: Callable[[Any], Any], default: Any = None) -> Any:
        value = given.pop(name, None)
        if value is None:
            return default
        try:
            return convert(value)
        except Exception:  # a value of the program's own class may do anything when it is looked at
            told.unusable.append(name)
            return default

    told.type = take("interaction_type", name_of) or interaction_type
    told.game_id = take("game_id", name_of)
    told.power = take("power_name", name_of)
    told.model = take("model_name", name_of)
    told.provider = take("provider", name_of) or ""
    told.phase = take("phase", name_of)
    told.own_id = take("interaction_id", name_of)
    told.prompt, told.response = given.pop("prompt", None), given.pop("response", None)
    told.messages = take("messages", messages_of, [])
    told.error = take(
        "error", lambda error: error if isinstance(error, BaseException) else fields.text_of(error)
    )
    told.cost = take("cost", _not_negative)
    _lengths(told, take)
    _tokens(told, given, take)
    _times(told, take)
    _numbered_phase(told, take)
    for name in ("centers", "units"):
        counted = given.get(name)
        if not isinstance(counted, _COUNTED) and isinstance(counted, Mapping) and told.power in counted:
            given[name] = counted[told.power]
    _invalid_orders(given)
    told.fields = given
    told.call_error = _call_error(told.error, given.get("error_type"))
    return told


def name_of(value: Any) -> str | None:
    """Return a name or an id as text; None for an empty one.

    Raises:
        Exception: whatever the value raises when it is looked at.
    """
    if type(value) is str:
        return value.strip() or None
    if isinstance(value, Enum):
        value = value.value
    elif isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return fields.text_of(value).strip() or None


def _word(name: Any) -> str:
    try:
        return str(name)[: fields.MAX_KEY]
    except Exception:
        return "?"


# --- figures --------------------------------------------------------------------------------------
def _not_negative(value: Any) -> float:
    found = fields.number(value)
    if found < 0:
        raise ValueError
    return found


def _count(value: Any) -> int:
    found = fields.whole(value)
    if found > _MAX_TOKENS:
        raise ValueError
    return found


Take = Callable[..., Any]
"""Pops a field, converts it, and notes it where that fails."""


def _lengths(told: Told, take: Take) -> None:
    told.input_length = take("input_length", _count)
    told.response_length = take("response_length", _count)
    if isinstance(told.prompt, str):
        told.input_length = len(told.prompt)
    if isinstance(told.response, str):
        told.response_length = len(told.response)


def _tokens(told: Told, given: dict[str, Any], take: Take) -> None:
    counts: dict[str, Any] = take("tokens", _counts, {})
    for name in [name for name in given if name.endswith("_tokens") and name in _TOKENS]:
        counts.setdefault(name, given.pop(name))
    if not counts:
        return
    usage = Usage()
    known = False
    for kind, value in list(counts.items())[:_MAX_KINDS]:
        if value is None:
            continue
        try:
            count = _count(value)
        except Exception:
            told.unusable.append("tokens")
            continue
        if (known_as := _TOKENS.get(kind.lower())) is not None:
            setattr(usage, known_as, count)
            known = True
        else:
            told.attributes[sc.INTERACTION_TOKENS_PREFIX + kind.replace(".", "_")] = count
    told.usage = usage if known else None


def _counts(value: Any) -> dict[str, Any]:
    """Return counts by kind, from a mapping, an SDK's usage object, or a bare total."""
    if isinstance(value, Mapping):
        return {_word(kind): count for kind, count in value.items()}
    if isinstance(value, bool | int | float | str):
        return {"total": value}
    found = {name: getattr(value, name, None) for name in _TOKENS if name.endswith("_tokens")}
    if not any(isinstance(count, int) for count in found.values()):
        raise TypeError
    return {name: count for name, count in found.items() if isinstance(count, int)}


def _times(told: Told, take: Take) -> None:
    """Find start and end. A batch's time is kept as the batch's: divided or not, it is nobody's latency."""
    told.end_ns = take("timestamp", moment_ns) or time_ns()
    size = take("batch_size", _count)
    together = take("batch_time_ms", fields.seconds_of)
    own = take("response_time_ms", fields.seconds_of)
    if size is not None:
        told.attributes[sc.GAME_BATCH_SIZE] = size
        if size > 1 and together is None:
            together, own = own, None
    if together is not None:
        told.attributes[sc.GAME_BATCH_DURATION] = together
    if own is not None:
        told.attributes[sc.INTERACTION_DURATION] = own
        told.timed = True
    took = own if own is not None else together
    told.start_ns = told.end_ns if took is None else max(1, told.end_ns - round(took * 1e9))


def moment_ns(value: Any) -> int:
    """Return a moment in nanoseconds since the epoch.

    Args:
        value: seconds since the epoch, also as text, or a `datetime`.

    Raises:
        Exception: it is none, lies before the epoch, or far ahead.
    """
    seconds = value.timestamp() if isinstance(value, datetime) else fields.number(value)
    found = round(seconds * 1e9)
    now = time_ns()
    if not 0 < found <= now + _MAX_AHEAD_NS:
        raise ValueError
    return min(found, now)


def _numbered_phase(told: Told, take: Take) -> None:
    """Keep a year and a season that the phase's name does not tell."""
    year, season = take("phase_numeric", _count), take("season_numeric", _count)
    if told.phase is None or parse_phase(told.phase).year is None:
        if year is not None:
            told.attributes[sc.PHASE_YEAR] = year
        if season is not None:
            told.attributes[sc.PHASE_SEASON] = season


def _invalid_orders(given: dict[str, Any]) -> None:
    """Take how many orders were invalid, and which, from a text such as `Failure: Invalid LLM Moves (2): A, B`."""
    said = given.get("success")
    if (
        not isinstance(said, str)
        or "invalid_orders" in given
        or (found := _INVALID_MOVES.search(said)) is None
    ):
        return
    count = int(found[1])
    named = [order for part in found[2].split(",") if (order := part.strip(" .'\"[]\n"))]
    given["invalid_orders"] = named if len(named) == count else count


def _call_error(error: BaseException | str | None, error_type: Any) -> CallError | None:
    if isinstance(error, BaseException):
        return failure_of(error)
    if isinstance(error_type, str) and error_type in _ERROR_TYPES:
        return CallError(error_type, None if error is None else error)  # type: ignore[arg-type]
    return None
