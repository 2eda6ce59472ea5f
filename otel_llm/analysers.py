"""Functions that look at prompts and answers on the worker, and leave only figures behind.

What an analyser returns becomes attributes `otel_llm.text.{input|output}.{feature}` of the call, whatever the content
policy says: the text itself goes nowhere. A feature that is text is scrubbed and cut. Time is bounded for each call
and in all, so that a slow analyser costs features, never calls.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_llm import drops, hooks
from otel_llm import semconv as sc

if TYPE_CHECKING:
    from otel_llm.llm import AttributeValue, LLMCall, Message, Part

Role = Literal["input", "output"]
Analyser = Callable[[str, Role], Mapping[str, str | bool | int | float]]
"""Takes a text and whether it is what was asked or what was answered; returns features by name."""

MAX_TEXT: Final = 1 << 18
"""Characters of a text that analysers get at most; of a longer one its last."""

CALL_S: Final = 0.05
"""Seconds for one call: when they are over, further analysers are left out."""

SHARE: Final = 0.1
"""Of all time, analysers may take so much."""
BURST_S: Final = 5.0
"""… with so many seconds in advance."""

_MAX_FEATURES: Final = 64
_MAX_NAME: Final = 64
_MAX_VALUE: Final = 256
_MAX_INTEGER: Final = 1 << 63
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9_]+")

_lock = threading.RLock()
_analysers: tuple[tuple[str, Analyser], ...] = ()


class Budget:
    """Time that may be spent: a share of all time, and some in advance.

    Args:
        share: seconds a second.
        burst_s: seconds in advance.
        clock: seconds, never backwards.
    """

    def __init__(self, share: float, burst_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share = share
        self._burst_s = burst_s
        self._clock = clock
        self._left_s = burst_s
        self._at = clock()

    @property
    def left(self) -> bool:
        """Whether anything is left."""
        now = self._clock()
        self._left_s = min(self._burst_s, self._left_s + self._share * (now - self._at))
        self._at = now
        return self._left_s > 0

    def spend(self, seconds: float) -> None:
        """Take so much away."""
        self._left_s -= seconds


_budget = Budget(SHARE, BURST_S)


def add_analyser(function: Analyser, *, name: str | None = None) -> Callable[[], None]:
    """Let `function` look at the text of each prompt and each answer, off the hot path.

    It gets all text of the messages (without reasoning and tool calls), and `input` or `output`. What it returns
    becomes attributes of the call, `otel_llm.text.{input|output}.{feature}`: numbers, booleans and short texts. The
    content policy does not matter, since the text itself is not kept. `otel_llm.text_analysis.text_features` is one.

    Args:
        function: see above. If it raises, that is counted and said once.
        name: for messages; default: the function's own.

    Returns:
        A function that takes it away.

    Raises:
        TypeError: it cannot be called.
    """
    global _analysers
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called")
    entry = (name or str(getattr(function, "__qualname__", function)), function)
    with _lock:
        _analysers = (*_analysers, entry)
        hooks.analysing = True

    def remove() -> None:
        global _analysers
        with _lock:
            _analysers = tuple(known for known in _analysers if known is not entry)
            hooks.analysing = bool(_analysers)

    return remove


def analyse(call: LLMCall, scrub: Callable[[str], str]) -> dict[str, AttributeValue]:
    """Return the features of a call's texts, as attributes. Never raises; runs on the worker.

    Args:
        call: the call; it is not changed.
        scrub: takes secrets out of features that are text.
    """
    found: dict[str, AttributeValue] = {}
    try:
        if not _budget.left:
            drops.count("analysis", "time_is_up")
            drops.warn_once(
                "analysis-budget",
                "analysers take more than %d %% of the time; some calls go without",
                round(SHARE * 100),
            )
            return found
        began = time.perf_counter()
        for role, text in (
            ("input", _text(call.input_messages, call.system_instructions)),
            ("output", _text(call.output_messages)),
        ):
            if text:
                _look(text, role, began, scrub, found)  # type: ignore[arg-type]
        _budget.spend(time.perf_counter() - began)
    except Exception:
        drops.internal_error("analysers")
    return found


def _look(
    text: str, role: Role, began: float, scrub: Callable[[str], str], found: dict[str, AttributeValue]
) -> None:
    prefix = f"{sc.TEXT_PREFIX}{role}."
    for name, analyser in _analysers:
        started = time.perf_counter()
        if started - began > CALL_S:
            drops.count("analysis", "call_took_too_long")
            continue
        try:
            for feature, value in list(analyser(text, role).items())[:_MAX_FEATURES]:
                key = _NOT_A_NAME.sub("_", str(feature).lower())[:_MAX_NAME].strip("_")
                if key and (usable := _usable(value, scrub)) is not None:
                    found[prefix + key] = usable
        except Exception as error:
            drops.count("analysis", "failed")
            drops.warn_once(f"analyser:{name}", "the analyser %s failed: %s", name, drops.said(error))
        took = time.perf_counter() - started
        if took > CALL_S:
            drops.warn_once(
                f"analyser-slow:{name}",
                "the analyser %s took %.0f ms for a text of %d characters",
                name,
                took * 1000,
                len(text),
            )


def _usable(value: Any, scrub: Callable[[str], str]) -> AttributeValue | None:
    if isinstance(value, str):
        return scrub(value[: 4 * _MAX_VALUE])[:_MAX_VALUE]
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value) if -_MAX_INTEGER <= value < _MAX_INTEGER else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return None


def _text(messages: list[Message], system: list[Part] | None = None) -> str:
    """Return the texts of messages, a line break between them; of a long conversation its last."""
    pieces: list[str] = []
    left = MAX_TEXT
    parts = [part for message in messages for part in message.get("parts", ())]
    for part in reversed([*(system or ()), *parts]):
        content = part.get("content") if part.get("type") == "text" else None
        if not isinstance(content, str) or not content:
            continue
        pieces.append(content[-left:])
        left -= len(pieces[-1]) + 1
        if left <= 0:
            break
    return "\n".join(reversed(pieces))
