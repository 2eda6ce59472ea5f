"""Scalars of a training program on their way to the store, as series, and to OpenTelemetry, as metrics.

An OpenTelemetry gauge keeps only its last value per export, so each scalar is first a row of the store with its
step; gauges and histograms are a second view of it, under the name that the program gave. The caller hands over
plain numbers; the rest happens on the worker. Imports the core alone.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.metrics import MeterProvider

from otel_llm import drops, runtime, series_events
from otel_llm import semconv as sc
from otel_llm.instruments import current_meter_provider, is_recorded
from otel_llm.llm import AttributeValue
from otel_llm.numeric import as_number
from otel_llm.version import VERSION

if TYPE_CHECKING:
    from otel_llm.assembly import Runtime

MAX_METRICS: Final = 2000
"""Distinct metrics and label sets; of what comes on top the store alone has the scalars."""

_MAX_DEPTH: Final = 8
_MAX_NAME: Final = 255
_BAD: Final = re.compile(r"[^A-Za-z0-9_.\-/]")
_OURS: Final = frozenset(
    value for name, value in vars(sc).items() if name.startswith("METRIC_") and isinstance(value, str)
)

Scalars = Sequence[tuple[str, int | float]]
Rows = Iterable[tuple[str, int | float, int | None]]
"""Name, value and step of each scalar."""


def scalars_of(data: Any, prefix: str = "", *, depth: int = 0) -> list[tuple[str, int | float]]:
    """Return the numbers in a mapping by their names; those of nested mappings as `a/b`.

    What is no number, and no name that is text, is left out. Tensors on devices too: see `as_number`.
    """
    found: list[tuple[str, int | float]] = []
    if not isinstance(data, Mapping) or depth > _MAX_DEPTH:
        return found
    for name, value in data.items():
        if not isinstance(name, str):
            continue
        full = f"{prefix}/{name}" if prefix else name
        if isinstance(value, Mapping):
            found += scalars_of(value, full, depth=depth + 1)
        elif (number := as_number(value)) is not None:
            found.append((full, number))
    return found


def step_of(value: Any) -> int | None:
    """Return a step; None where there is none, or it is no whole number."""
    number = as_number(value)
    if isinstance(number, float):
        return int(number) if number.is_integer() else None
    return number


def record(
    scalars: Rows | Callable[[], Rows],
    *,
    source: str,
    run: str | None = None,
    at_ns: int | None = None,
    samples: Mapping[str, Sequence[int | float]] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    nbytes: int = 0,
) -> None:
    """Hand scalars over. Does nothing where nothing is instrumented; never raises.

    Args:
        scalars: name, value and step of each; the step is None for none. Or a function that returns them: it is called
            on the worker, after whatever was handed over before.
        source: who tells of them: `wandb`, `tensorboard`, `logging`, `training`.
        run: what tells apart several of one source: a run's id, a log directory's name.
        at_ns: when they were logged, in nanoseconds since the epoch; default now.
        samples: values of which OpenTelemetry gets a histogram, by its name.
        attributes: what else the series belong to: run id, rank … Of these the rank alone is a metric's label.
        nbytes: what a function of scalars keeps alive, in bytes.
    """
    try:
        active = runtime.current()
        if active is None:
            return
        rows = scalars if callable(scalars) else list(scalars)
        if rows or samples:
            now = time_ns() if at_ns is None else at_ns
            active.finisher.put(
                _Scalars(active, rows, source, run, now, samples or {}, attributes or {}, nbytes)
            )
    except Exception:
        drops.internal_error("recording scalars")


class _Scalars:
    """What one call logged, waiting for the worker."""

    __slots__ = ("_at_ns", "_attributes", "_labels", "_rows", "_runtime", "_samples", "nbytes")

    def __init__(
        self,
        active: Runtime,
        rows: list[tuple[str, int | float, int | None]] | Callable[[], Rows],
        source: str,
        run: str | None,
        at_ns: int,
        samples: Mapping[str, Sequence[int | float]],
        attributes: Mapping[str, AttributeValue],
        nbytes: int,
    ) -> None:
        self._runtime = active
        self._rows = rows
        self._samples = samples
        self._at_ns = at_ns
        labels = {sc.SERIES_SOURCE: source} if run is None else {sc.SERIES_SOURCE: source, sc.SERIES_RUN: run}
        self._labels = labels | {sc.RANK: str(attributes[sc.RANK])} if sc.RANK in attributes else labels
        self._attributes: Mapping[str, AttributeValue] = {**labels, **attributes}
        known = 1 if callable(rows) else len(rows)
        self.nbytes = 256 + 128 * known + 32 * sum(map(len, samples.values())) + nbytes

    def finish(self) -> None:
        """Write them to the store and to live sinks, and measure them; on the worker."""
        rows = list(self._rows() if callable(self._rows) else self._rows)
        if self._runtime.rows is not None and rows:
            from otel_llm.store.rows import SeriesRow

            self._runtime.rows.series(
                [SeriesRow(name, step, value, self._at_ns, self._attributes) for name, value, step in rows]
            )
        if rows and series_events.is_wanted(self._runtime.logs):
            series_events.emit(rows, self._attributes, self._at_ns)
        if self._runtime.settings.metrics:
            _metrics.measure([(name, value) for name, value, _ in rows], self._samples, self._labels)

    def shed(self) -> None:
        """Do nothing: there is nothing large to let go of."""

    def abandon(self) -> None:
        """Count what is lost."""
        drops.count("scalar", "queue_full", 1 if callable(self._rows) else len(self._rows))
        self._rows, self._samples = [], {}


class _Metrics:
    """Gauges and histograms by the program's names, on one MeterProvider at a time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._provider: MeterProvider | None = None
        self._made: dict[tuple[str, bool], Any] = {}
        self._known: set[tuple[str, str | None]] = set()

    def measure(
        self, scalars: Scalars, samples: Mapping[str, Sequence[int | float]], labels: Mapping[str, str]
    ) -> None:
        provider = current_meter_provider()
        if not is_recorded(provider):
            return
        with self._lock:
            if provider is not self._provider:
                self._provider = provider
                self._made.clear()
                self._known.clear()
            for name, value in scalars:
                if not math.isfinite(value):  # a gauge would refuse it, with a warning each time
                    continue
                if (gauge := self._instrument(name, labels, is_histogram=False)) is not None:
                    gauge.set(value, labels)
            for name, values in samples.items():
                if not all(value >= 0 and math.isfinite(value) for value in values):
                    # A histogram would refuse some, with a warning each, and show the rest as if it were all.
                    drops.count("metric", "not_for_histogram", len(values))
                    continue
                if (histogram := self._instrument(name, labels, is_histogram=True)) is not None:
                    for value in values:
                        histogram.record(value, labels)

    def _instrument(self, name: str, labels: Mapping[str, str], *, is_histogram: bool) -> Any:
        key = name, is_histogram
        if (label_set := (name, labels.get(sc.SERIES_RUN))) not in self._known:
            if len(self._known) >= MAX_METRICS:
                drops.count("metric_label", "cardinality")
                return None
            self._known.add(label_set)
        if key not in self._made:
            self._made[key] = self._make(metric_name(name), is_histogram=is_histogram)
        return self._made[key]

    def _make(self, name: str | None, *, is_histogram: bool) -> Any:
        assert self._provider is not None  # noqa: S101 (set by the caller)
        if name is None:
            drops.count("metric", "name")
            return None
        meter = self._provider.get_meter("otel_llm", VERSION)
        return meter.create_histogram(name) if is_histogram else meter.create_gauge(name)


def metric_name(name: str) -> str | None:
    """Return the name of a scalar as OpenTelemetry accepts it; None where that would be one of our own metrics."""
    fitting = _BAD.sub("_", name)[:_MAX_NAME]
    if not fitting[:1].isalpha():
        fitting = f"series/{fitting}"[:_MAX_NAME]
    return None if fitting in _OURS else fitting


_metrics = _Metrics()
