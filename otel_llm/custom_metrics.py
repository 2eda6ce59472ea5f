"""Metrics that a program defines over its own calls and scopes, recorded on the worker as they finish."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from opentelemetry.metrics import MeterProvider

from otel_llm import drops, hooks
from otel_llm import semconv as sc
from otel_llm.hooks import Record
from otel_llm.instruments import current_meter_provider, is_recorded
from otel_llm.version import VERSION

Kind = Literal["histogram", "counter", "gauge"]
Value = str | Callable[[Record], float | int | bool | None] | None
Label = str | bool | int

MAX_LABELS: Final = 2000
"""Distinct label sets of one metric; what comes on top is recorded together, as OpenTelemetry's overflow."""

_MAX_TEXT: Final = 128
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}")
_OURS: Final = frozenset(
    value for name, value in vars(sc).items() if name.startswith("METRIC_") and isinstance(value, str)
)

_lock = threading.RLock()
_defined: dict[str, Callable[[], None]] = {}


def define_metric(
    name: str,
    *,
    of: str | Sequence[str] = "interaction",
    value: Value = None,
    kind: Kind = "histogram",
    unit: str = "",
    description: str = "",
    labels: Sequence[str] = (),
    buckets: Sequence[float] | None = None,
) -> Callable[[], None]:
    """Measure something of each model call or scope that ends.

        otel_llm.define_metric("game.orders.valid", of="interaction", value="game.orders.valid_count",
                               kind="counter", labels=("game.power.name",))

    May be called before and after `instrument()`; a metric defined again replaces the one before.

    Args:
        name: the metric's name.
        of: the kind of what is measured, one or several: `call`, `interaction`, `phase`, `game` …
        value: key of the attribute that holds the value, or a function from a `Record` to it; None counts each as 1,
            or for a histogram takes the duration in seconds. What is no finite number is left out; true is 1.
        kind: `histogram`, `counter` (negative values are left out) or `gauge` (the last value).
        unit: as in UCUM, such as `s` or `{order}`.
        description: for people.
        labels: keys of attributes that tell apart; never ids, since their number is bounded.
        buckets: bounds of a histogram's buckets.

    Returns:
        A function that takes the definition away.

    Raises:
        ValueError: the name is none that OpenTelemetry accepts, or one of ours; no such kind.
        TypeError: the value is neither a key nor a function.
    """
    if not _NAME.fullmatch(name) or name in _OURS:
        raise ValueError(
            f"{name!r} cannot be a metric's name: letters, digits and ._-/, and none of otel_llm's own"
        )
    if kind not in {"histogram", "counter", "gauge"}:
        raise ValueError(f"kind is {kind!r}; it accepts histogram, counter or gauge")
    if not (value is None or isinstance(value, str) or callable(value)):
        raise TypeError(f"value is {value!r}; it accepts the key of an attribute or a function")
    kinds = hooks.kinds_of(of)
    keys = (labels,) if isinstance(labels, str) else tuple(labels)
    metric = _Metric(name, value, kind, unit, description, keys, None if buckets is None else list(buckets))
    with _lock:
        if (before := _defined.get(name)) is not None:
            before()
        take_away = _defined[name] = hooks.observe(metric.record, kinds)

    def remove() -> None:
        with _lock:
            take_away()
            if _defined.get(name) is take_away:
                del _defined[name]

    return remove


class _Metric:
    """One metric, on one MeterProvider at a time; moves over when the program sets its own."""

    def __init__(
        self,
        name: str,
        value: Value,
        kind: Kind,
        unit: str,
        description: str,
        labels: tuple[str, ...],
        buckets: list[float] | None,
    ) -> None:
        self._name = name
        self._value = value
        self._kind = kind
        self._unit = unit
        self._description = description
        self._labels = labels
        self._buckets = buckets
        self._provider: MeterProvider | None = None
        self._record: Callable[[float | int, Mapping[str, Label]], None] = lambda _value, _labels: None
        self._known: set[tuple[Label | None, ...]] = set()

    def record(self, record: Record) -> None:
        """Measure; runs on the worker and never raises."""
        try:
            provider = current_meter_provider()
            if not is_recorded(provider):
                return
            value = self._measured(record)
            if value is None:
                return
            if provider is not self._provider:
                self._record = self._instrument(provider)
                self._provider = provider
            self._record(value, self._told(record))
        except Exception as error:
            drops.count("metric", "failed")
            drops.warn_once(f"metric:{self._name}", "the metric %s failed: %s", self._name, drops.said(error))

    def _measured(self, record: Record) -> float | int | None:
        given: Any
        if self._value is None:
            given = record.duration_s if self._kind == "histogram" else 1
        elif isinstance(self._value, str):
            given = record.attributes.get(self._value)
        else:
            given = self._value(record)
        if not isinstance(given, int | float) or not math.isfinite(given):
            return None
        if given < 0 and self._kind == "counter":
            drops.count("metric", "negative")
            return None
        return int(given) if isinstance(given, bool) else given

    def _told(self, record: Record) -> dict[str, Label]:
        values = tuple(_label(record.attributes.get(key)) for key in self._labels)
        if values not in self._known:
            if len(self._known) >= MAX_LABELS:
                drops.count("metric_label", "cardinality")
                return {sc.OVERFLOW: True}
            self._known.add(values)
        return {key: value for key, value in zip(self._labels, values, strict=True) if value is not None}

    def _instrument(self, provider: MeterProvider) -> Callable[[float | int, Mapping[str, Label]], None]:
        meter = provider.get_meter("otel_llm", VERSION)
        if self._kind == "counter":
            return meter.create_counter(self._name, self._unit, self._description).add
        if self._kind == "gauge":
            return meter.create_gauge(self._name, self._unit, self._description).set
        return meter.create_histogram(
            self._name,
            self._unit or (sc.UNIT_SECONDS if self._value is None else ""),
            self._description,
            explicit_bucket_boundaries_advisory=self._buckets,
        ).record


def _label(value: Any) -> Label | None:
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))[:_MAX_TEXT]
    return None
