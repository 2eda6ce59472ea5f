"""The `metrics:` section of a plan: how often to log, what to sample, which categories. Draws no random numbers."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from otel_llm.logging._errors import LoggingPlanError

REWARD: Final = "reward_metrics"
GENERATION: Final = "generation_metrics"
VALIDATION: Final = "validation_metrics"
RESOURCE: Final = "resource_metrics"
CATEGORIES: Final = (REWARD, GENERATION, VALIDATION, RESOURCE)

_KEYS: Final = ("logging_frequency", "validation_frequency", "sampling_ratio", "enable")


class Cadence:
    """Says which steps are due, every so many, also where a program tells of some steps only.

    Args:
        every: steps from one to the next that is due.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._due: int | None = None

    def is_due(self, step: int | None) -> bool:
        """Say whether `step` is due: a multiple of `every`, or the first that is told of beyond one.

        The same step has the same answer each time; what has no step is always due.
        """
        if step is None:
            return True
        with self._lock:
            seen, self._seen = self._seen, step
            passed = seen is not None and step > seen and step // self.every > seen // self.every
            due = step % self.every == 0 or passed or step == self._due
            if due:
                self._due = step
            return due


class Sampler:
    """Takes a share of what it is asked about, evenly spread, the first included.

    Args:
        ratio: the share, 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = Fraction(ratio).limit_denominator(1_000_000)
        self._lock = threading.Lock()
        self._asked = 0

    def take(self) -> bool:
        """Say whether this one is taken."""
        with self._lock:
            n, self._asked = self._asked, self._asked + 1
        return math.ceil((n + 1) * self._ratio) > math.ceil(n * self._ratio)


@dataclass(frozen=True, slots=True)
class MetricsPlan:
    """What the `metrics:` section says.

    Attributes:
        logging_frequency: steps from one log of metrics to the next.
        validation_frequency: steps from one validation to the next.
        sampling_ratio: share of batches, 0 to 1, of which the expensive figures are taken.
        enabled: categories that are logged: `reward_metrics`, `generation_metrics`, `validation_metrics`,
            `resource_metrics`.
    """

    logging_frequency: int = 1
    validation_frequency: int = 1
    sampling_ratio: float = 1.0
    enabled: frozenset[str] = frozenset(CATEGORIES)
    _cadences: dict[str, Cadence] = field(default_factory=dict, repr=False, compare=False)
    _samplers: dict[str, Sampler] = field(default_factory=dict, repr=False, compare=False)

    def is_due(self, what: str, step: int | None) -> bool:
        """Say whether metrics are logged at `step`; each `what` (training, reward …) is counted by itself."""
        return self._cadences.setdefault(what, Cadence(self.logging_frequency)).is_due(step)

    def is_validation_due(self, step: int | None) -> bool:
        """Say whether to validate at `step`."""
        if VALIDATION not in self.enabled:
            return False
        return self._cadences.setdefault("", Cadence(self.validation_frequency)).is_due(step)

    def is_sampled(self, what: str) -> bool:
        """Say whether the expensive figures of this batch are taken."""
        return self._samplers.setdefault(what, Sampler(self.sampling_ratio)).take()

    @classmethod
    def parse(cls, section: Any) -> MetricsPlan:
        """Read the section.

        Raises:
            LoggingPlanError: something in it is not accepted.
        """
        if section is None:
            return cls()
        if not isinstance(section, Mapping):
            raise LoggingPlanError(f"metrics is {section!r}; it accepts {', '.join(_KEYS)}")
        _refuse_unknown("metrics", section, _KEYS)
        ratio = section.get("sampling_ratio", 1.0)
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise LoggingPlanError(f"metrics.sampling_ratio is {ratio!r}; it accepts a number from 0 to 1")
        return cls(
            _steps(section, "logging_frequency"),
            _steps(section, "validation_frequency"),
            float(ratio),
            _categories(section.get("enable")),
        )


def _steps(section: Mapping[Any, Any], name: str) -> int:
    value = section.get(name, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise LoggingPlanError(f"metrics.{name} is {value!r}; it accepts a whole number of steps, at least 1")
    return value


def _categories(section: Any) -> frozenset[str]:
    if section is None:
        return frozenset(CATEGORIES)
    if not isinstance(section, Mapping):
        raise LoggingPlanError(f"metrics.enable is {section!r}; it accepts {', '.join(CATEGORIES)}")
    _refuse_unknown("metrics.enable", section, CATEGORIES)
    for name, value in section.items():
        if not isinstance(value, bool):
            raise LoggingPlanError(f"metrics.enable.{name} is {value!r}; it accepts true or false")
    return frozenset(name for name in CATEGORIES if section.get(name, True))


def _refuse_unknown(where: str, section: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    if unknown := [str(name) for name in section if name not in known]:
        raise LoggingPlanError(f"{where} has {', '.join(unknown)}; it accepts {', '.join(known)}")
