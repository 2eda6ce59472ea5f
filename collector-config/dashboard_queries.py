"""What dashboards ask a Prometheus, by the names in the `semconv` modules.

A metric is called in Prometheus what the Collector's exporter makes of its name, unit and kind; `series` does the same,
so no name is typed here that a semconv module has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from otel_llm import semconv as sc
from otel_llm.training.figures import names

_UNITS: Final = {sc.UNIT_SECONDS: "seconds", sc.UNIT_BYTES: "bytes"}


def series(name: str, unit: str = "", kind: str = "") -> str:
    """Return a metric's name in Prometheus.

    Args:
        name: OpenTelemetry's.
        unit: of its instrument; what stands in braces is no part of the name.
        kind: `total` for a counter; `bucket`, `sum` or `count` of a histogram; empty for a gauge.
    """
    suffixes = [part for part in (_UNITS.get(unit, ""), kind) if part]
    return "_".join([re.sub(r"[^a-zA-Z0-9_:]", "_", name), *suffixes])


def label(name: str) -> str:
    """Return an attribute's name as a label."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


@dataclass(frozen=True)
class Query:
    """One PromQL expression, and how Grafana writes what it finds."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One graph: its title, Grafana's unit, what it asks; `stacked` where the parts make up a whole."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str = ""
    stacked: bool = False


OF: Final = 'job=~"$service"'
EVERY: Final = "[$__rate_interval]"
MODEL, OPERATION, POWER = label(sc.REQUEST_MODEL), label(sc.OPERATION_NAME), label(sc.POWER_NAME)
SCOPE, ERROR = label(sc.SCOPE_KIND), label(sc.ERROR_TYPE)
DURATION = (sc.METRIC_DURATION, sc.UNIT_SECONDS)
SPAN_CALLS, SPAN_SECONDS = "traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds"


def rate(metric: str, by: str, where: str = OF) -> Query:
    """Sum of the rates of a counter, by a label."""
    return Query(f"sum by ({by}) (rate({metric}{{{where}}}{EVERY}))", "{{" + by + "}}")


def quantiles(name: str, unit: str, by: str, *shares: float) -> tuple[Query, ...]:
    """Quantiles of a histogram, by a label."""
    bucket = series(name, unit, "bucket")
    return tuple(
        Query(
            f"histogram_quantile({share}, sum by (le, {by}) (rate({bucket}{{{OF}}}{EVERY})))",
            f"p{share * 100:.0f} {{{{{by}}}}}",
        )
        for share in shares
    )


def gauge(*scalars: str) -> tuple[Query, ...]:
    """Scalars of a training program as they are now, by rank."""
    of_rank = " {{job}} {{" + label(sc.RANK) + "}}"
    return tuple(Query(f"{series(name)}{{{OF}}}", name + of_rank) for name in scalars)


def figures(family: str, *which: str) -> tuple[Query, ...]:
    """Figures of a family of training numbers."""
    return gauge(*(names.figure_name(family, figure) for figure in which))


def part_seconds() -> Query:
    """Seconds of each second that go into each part of a step, over all ranks."""
    return Query(
        f'sum by (span_name) (rate({SPAN_SECONDS}_sum{{service_name=~"$service", {SCOPE}=~"{"|".join(PARTS)}"}}{EVERY}))',
        "{{span_name}}",
    )


PARTS: Final = (
    "data", "generation", "weight_sync", "logprobs", "rewards", "advantages", "loss", "backward", "optimizer",
    "checkpoint", "part",
)  # fmt: skip
"""Those that lie side by side: `sampling` is the sum of some of them, and a `reward` is inside of `rewards`."""
