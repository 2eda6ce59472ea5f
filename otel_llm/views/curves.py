"""Step series and metric points as points of curves, and as distributions.

A step series keeps its name, its step and its exact value. A metric point has a time and no step; its curve is named
after the metric and its labels, so that each set of labels is a curve of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.store.rows import PointRow, SeriesRow
from otel_llm.views.cells import unicode_text
from otel_llm.views.model import Histogram, Scalar

STEP: Final = "global_step"
_RANK: Final = "rank"
_GENERIC: Final = frozenset({"name", "type", "id"})
_MAX_LABEL: Final = 128
_MAX_BUCKETS: Final = 512


def step_field(name: str) -> str:
    """Return the step that a series is drawn over: `training/global_step` for `training/loss`."""
    space, slash, _ = name.partition("/")
    return f"{space}/{STEP}" if slash else STEP


def of_series(row: SeriesRow) -> Scalar:
    """Return a row of a series as a point of a curve."""
    return Scalar(
        name=_with_labels(row.name, {k: v for k, v in row.attributes.items() if not _is_plain(k, v)}),
        value=row.value,
        step_field=None if row.step is None else step_field(row.name),
        step=row.step,
        time_ns=row.time_ns,
        attributes=row.attributes,
    )


def _is_plain(key: str, value: Any) -> bool:
    """Say whether a series with this attribute is the one that people mean by its name: a run's, of rank 0."""
    return key in {sc.RUN_ID, sc.RUN_ATTEMPT, sc.SERIES_SOURCE} or (
        key.rpartition(".")[2] == _RANK and str(value) == "0"
    )


def of_point(row: PointRow) -> Iterator[Scalar | Histogram]:
    """Yield what a metric point is drawn as.

    Counters and gauges are one curve, except the last value of a series: the series itself is drawn. A histogram is a distribution and the curves `…/mean` and `…/count`, of what
    was measured so far where the metric is cumulative.
    """
    name = _with_labels(row.metric.replace(".", "/"), row.attributes)
    if isinstance(row.value, int | float) and not isinstance(row.value, bool):
        if sc.SERIES_SOURCE in row.attributes:
            return
        yield _scalar(name, row.value, row)
        return
    if not isinstance(row.value, Mapping):
        return
    value = row.value
    count = value.get("count") or 0
    counts, edges = _buckets(value)
    if counts:
        yield Histogram(name, counts, edges, count, value.get("sum"), None, None, row.time_ns, row.attributes)
    yield _scalar(f"{name}/count", count, row)
    total = value.get("sum")
    if count and total is not None:
        yield _scalar(f"{name}/mean", total / count, row)


def _scalar(name: str, value: float, row: PointRow) -> Scalar:
    return Scalar(name, value, None, None, row.time_ns, row.attributes)


def _with_labels(name: str, labels: Mapping[str, Any]) -> str:
    short = [_short(key) for key in labels]
    parts = []
    for (key, value), brief in sorted(zip(labels.items(), short, strict=True)):
        heading = brief if short.count(brief) == 1 else key.replace(".", "_")
        # Dots and slashes would be levels of the name.
        text = str(value).replace(".", "_").replace("/", "_")[:_MAX_LABEL]
        parts.append(f"/{heading}={text}")
    return unicode_text(name + "".join(parts))


def _short(key: str) -> str:
    """Return the part of a label's key that people would say: `power` for `game.power.name`."""
    parts = key.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] in _GENERIC else parts[-1]


def _buckets(value: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return counts and their finite bounds, without empty buckets at the ends."""
    if "explicit_bounds" in value:
        bounds = [float(bound) for bound in value["explicit_bounds"]]
        counts = list(value.get("bucket_counts") or ())
        if len(counts) != len(bounds) + 1 or not any(counts):
            return (), ()
        edges = [-math.inf, *bounds, math.inf]
    else:
        counts, edges = _exponential(value)
        if not any(counts):
            return (), ()
    first = next(i for i, n in enumerate(counts) if n)
    last = next(i for i in range(len(counts) - 1, -1, -1) if counts[i])
    counts, edges = counts[first : last + 1], edges[first : last + 2]
    return tuple(counts), _finite(edges, value.get("min"), value.get("max"))


def _finite(edges: Sequence[float], least: float | None, most: float | None) -> tuple[float, ...]:
    """Return the bounds with the outermost drawn in to the values that are known."""
    made = list(edges)
    if least is not None and made[0] < least < made[1]:
        made[0] = least
    elif made[0] == -math.inf:
        made[0] = _below(made[1])
    if most is not None and made[-2] < most < made[-1]:
        made[-1] = most
    elif made[-1] == math.inf:
        made[-1] = _above(made[-2])
    return tuple(made)


def _below(bound: float) -> float:
    return 0.0 if bound > 0 else (0.0 if math.isinf(bound) else bound * 2) - 1


def _above(bound: float) -> float:
    return bound * 2 if bound > 0 else bound + 1


def _exponential(value: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    """Return the buckets of an exponential histogram in order: negative, zero, positive.

    The bucket `i` of scale `s` is from `base**i` to `base**(i + 1)` with `base = 2**2**-s`
    (OpenTelemetry metrics data model).
    """
    scale = int(value.get("scale") or 0)

    def bound(index: int) -> float:
        try:
            return float(2.0 ** (index * 2.0**-scale))
        except OverflowError:
            return math.inf

    counts: list[int] = []
    edges: list[float] = []
    negative, positive = value.get("negative") or {}, value.get("positive") or {}
    below = list(negative.get("bucket_counts") or ())[:_MAX_BUCKETS]
    above = list(positive.get("bucket_counts") or ())[:_MAX_BUCKETS]
    low, high = int(negative.get("offset") or 0), int(positive.get("offset") or 0)
    if any(below):
        edges += [-bound(low + i) for i in range(len(below), -1, -1)]
        counts += below[::-1]
    zero = int(value.get("zero_count") or 0)
    if zero or (any(below) and any(above)):
        edges = edges or [0.0]
        counts.append(zero)
        edges.append(bound(high) if any(above) else 0.0 if edges[-1] < 0 else math.ulp(0.0))
    if any(above):
        edges = edges or [bound(high)]
        counts += above
        edges += [bound(high + i) for i in range(1, len(above) + 1)]
    return counts, edges
