"""The filters that `show`, `tail` and `replay` share, from the words of a command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.cli.errors import CliError
from otel_llm.cli.facts import Facts

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|min|[smhdw])")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which spans are wanted; all that is given must hold.

    Attributes:
        model: the model asked for; may hold the wildcards `*`, `?` and `[abc]`.
        errors: only what failed.
        min_duration_s: only what took at least so long.
        attributes: texts that attributes must have.
        since_ns: only what started at or after this time.
    """

    model: str | None = None
    errors: bool = False
    min_duration_s: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    since_ns: int | None = None

    @classmethod
    def parse(
        cls,
        now_ns: int,
        *,
        model: str | None = None,
        errors: bool = False,
        min_duration: str | None = None,
        attributes: Sequence[str] = (),
        since: str | None = None,
        game: str | None = None,
    ) -> Filters:
        """Read the filters off a command line.

        Raises:
            CliError: a value makes no sense.
        """
        pairs: dict[str, str] = {}
        for text in attributes:
            key, equals, value = text.partition("=")
            if not equals or not key:
                raise CliError(
                    f"--attribute is {text!r}; it accepts KEY=VALUE, such as gen_ai.agent.name=planner"
                )
            pairs[key.strip()] = value
        if game is not None:
            from otel_llm.redaction import Scrubber

            pairs[sc.GAME_ID] = Scrubber().text(game)  # as the store has it
        return cls(
            model=model,
            errors=errors,
            min_duration_s=None if min_duration is None else seconds("--min-duration", min_duration),
            attributes=pairs,
            since_ns=None if since is None else when("--since", since, now_ns),
        )

    @property
    def any(self) -> bool:
        """Whether there is any filter at all."""
        return self != Filters()

    def arguments(self) -> dict[str, Any]:
        """Return the filters as the store's reader takes them."""
        return {
            "model": self.model,
            "errors": self.errors,
            "min_duration_s": self.min_duration_s,
            "attributes": self.attributes,
            "since_ns": self.since_ns,
        }

    def matches(self, span: StoredSpan, facts: Facts) -> bool:
        """Say whether a span is wanted."""
        if self.model is not None and not fnmatchcase(facts.model or "", self.model):
            return False
        if self.errors and not facts.failed:
            return False
        if self.min_duration_s is not None and (span.duration_s or 0.0) < self.min_duration_s:
            return False
        if self.since_ns is not None and span.start_ns < self.since_ns:
            return False
        if not self.attributes:
            return True
        from otel_llm.store.filters import Filter

        return Filter(attributes=self.attributes).matches(span.attributes)


def seconds(option: str, text: str) -> float:
    """Return seconds from `1.5`, `200ms`, `3s`, `10m`, `2h`.

    Raises:
        CliError: it is none of these.
    """
    try:
        value = float(text)
    except ValueError:
        match = _AGE.fullmatch(text.strip())
        value = float(match["number"]) * _UNITS[match["unit"]] if match else -1.0
    if not 0 <= value < float("inf"):
        raise CliError(
            f"{option} is {text!r}; it accepts seconds (1.5) or a number with a unit (200ms, 3s, 10m, 2h)"
        )
    return value


def when(option: str, text: str, now_ns: int) -> int:
    """Return nanoseconds since the epoch from an age (`30s`, `10m`, `2h`, `7d`) or a time (`2026-11-21T09:30`).

    Raises:
        CliError: it is neither.
    """
    match = _AGE.fullmatch(text.strip())
    if match:
        return now_ns - int(float(match["number"]) * _UNITS[match["unit"]] * 1e9)
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except (ValueError, OverflowError, OSError):
        raise CliError(
            f"{option} is {text!r}; it accepts an age (30s, 10m, 2h, 7d) or a time (2026-11-21T09:30)"
        ) from None
