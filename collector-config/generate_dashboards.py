"""Writes dashboards/*.json: Grafana's dashboards, made from the names in the `semconv` modules.

    pip install 'grafana-foundation-sdk==1769699379!11.6.0'
    python collector-config/generate_dashboards.py            # --check: fail if what is there is not what would be made

A metric is called in Prometheus what the Collector's exporter makes of its name, unit and kind; `series` does the same,
so no name is typed here that a semconv module has. What each panel asks is in `PANELS`; a test asks a live Prometheus.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from otel_llm import semconv as sc
from otel_llm.training.figures import names
from otel_llm_trl import semconv as trl

FOLDER: Final = Path(__file__).parent / "dashboards"
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="otel-llm-prometheus")
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


# --- what is asked ----------------------------------------------------------------------------------------------------
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
    "sampling", "generation", "weight_sync", "logprobs", "reward", "advantages", "loss", "backward", "optimizer",
    "checkpoint", "part",
)  # fmt: skip

PANELS: Final[dict[str, tuple[str, tuple[Panel, ...]]]] = {
    "llm-calls": (
        "LLM calls",
        (
            Panel("Calls a second", "reqps", (rate(series(*DURATION, "count"), MODEL),)),
            Panel(
                "Share of calls that fail",
                "percentunit",
                (
                    Query(
                        f'(sum by ({MODEL}) (rate({series(*DURATION, "count")}{{{OF}, {ERROR}!=""}}{EVERY}))'
                        f" or sum by ({MODEL}) (rate({series(*DURATION, 'count')}{{{OF}}}{EVERY})) * 0)"
                        f" / sum by ({MODEL}) (rate({series(*DURATION, 'count')}{{{OF}}}{EVERY}))",
                        "{{" + MODEL + "}}",
                    ),
                ),
                "By model. Each attempt counts: a call that was retried and then worked failed once.",
            ),
            Panel(
                "Errors a second, by kind",
                "reqps",
                (rate(series(*DURATION, "count"), ERROR, f'{OF}, {ERROR}!=""'),),
            ),
            Panel(
                "Latency",
                "s",
                quantiles(*DURATION, MODEL, 0.5, 0.95, 0.99),
                "Of a whole call, streams to their end.",
            ),
            Panel(
                "Time to first chunk",
                "s",
                quantiles(sc.METRIC_TIME_TO_FIRST_CHUNK, sc.UNIT_SECONDS, MODEL, 0.5, 0.95),
                "Of streamed answers: close to the time to the first token.",
            ),
            Panel(
                "Time per chunk",
                "s",
                quantiles(sc.METRIC_TIME_PER_CHUNK, sc.UNIT_SECONDS, MODEL, 0.5, 0.95),
                "Of streamed answers: close to the time per output token.",
            ),
            Panel(
                "Input tokens a second",
                "short",
                (rate(series(sc.METRIC_INPUT_TOKENS, sc.UNIT_TOKENS, "sum"), MODEL),),
                stacked=True,
            ),
            Panel(
                "Output tokens a second",
                "short",
                (rate(series(sc.METRIC_OUTPUT_TOKENS, sc.UNIT_TOKENS, "sum"), MODEL),),
                stacked=True,
            ),
            Panel(
                "Cost an hour",
                "currencyUSD",
                (
                    Query(
                        f"sum by ({MODEL}) (rate({series(sc.METRIC_COST, sc.UNIT_USD, 'total')}{{{OF}}}{EVERY})) * 3600",
                        "{{" + MODEL + "}}",
                    ),
                ),
                "By list prices, where the model's are known.",
                stacked=True,
            ),
            Panel(
                "Cost in the period shown",
                "currencyUSD",
                (
                    Query(
                        f"sum by ({MODEL}) (increase({series(sc.METRIC_COST, sc.UNIT_USD, 'total')}{{{OF}}}[$__range]))",
                        "{{" + MODEL + "}}",
                    ),
                ),
            ),
            Panel(
                "Dropped by otel_llm",
                "short",
                (
                    Query(
                        f"sum by ({label(sc.DROP_WHAT)}, {label(sc.DROP_REASON)})"
                        f" (increase({series(sc.METRIC_DROPPED, sc.UNIT_ITEMS, 'total')}{{{OF}}}[$__range])) or vector(0)",
                        "{{" + label(sc.DROP_WHAT) + "}} {{" + label(sc.DROP_REASON) + "}}",
                    ),
                ),
                "Anything above zero is telemetry that is missing.",
            ),
            Panel(
                "Waiting to be finished",
                "bytes",
                (Query(f"sum by (job) ({series(sc.METRIC_QUEUE_BYTES, sc.UNIT_BYTES)}{{{OF}}})", "{{job}}"),),
            ),
        ),
    ),
    "training": (
        "Training",
        (
            Panel(
                "Reward",
                "short",
                figures(names.RETURNS, "mean", "min", "max"),
                "Of the rollouts of each batch.",
            ),
            Panel("Advantage", "short", figures(names.ADVANTAGES, "mean", "std")),
            Panel("KL to the reference", "short", (*figures(names.KL, "mean", "max"), *gauge(names.STEP_KL))),
            Panel("Loss", "short", gauge(names.STEP_LOSS)),
            Panel("Gradient norm", "short", gauge(names.STEP_GRAD_NORM)),
            Panel("Learning rate", "sci", gauge(names.STEP_LEARNING_RATE)),
            Panel(
                "Where the time of a step goes",
                "s",
                (part_seconds(),),
                "Seconds a second, over all ranks, from the spans of the parts.",
                stacked=True,
            ),
            Panel(
                "Steps a minute",
                "short",
                (
                    Query(
                        f'sum by (service_name) (rate({SPAN_CALLS}{{service_name=~"$service", {SCOPE}="step"}}{EVERY})) * 60',
                        "{{service_name}}",
                    ),
                ),
                "Each rank's is counted.",
            ),
            Panel(
                "Rollouts a second",
                "short",
                (
                    Query(
                        f'sum by (service_name) (rate({SPAN_CALLS}{{service_name=~"$service", {SCOPE}="rollout"}}{EVERY}))',
                        "{{service_name}}",
                    ),
                ),
            ),
            Panel("GPU memory", "decgbytes", gauge(trl.SERIES_GPU_ALLOCATED, trl.SERIES_GPU_RESERVED)),
            Panel("GPU utilisation", "percent", gauge(trl.SERIES_GPU_UTILIZATION), "By NVML."),
            Panel(
                "Tokens a second",
                "short",
                gauge(trl.SERIES_TOKENS_PER_SECOND, trl.SERIES_GENERATED_PER_SECOND),
            ),
            Panel(
                "Steps between weights and learning",
                "short",
                gauge(trl.SERIES_STALENESS_MEAN, trl.SERIES_STALENESS_MAX),
            ),
        ),
    ),
    "games": (
        "Games",
        (
            Panel(
                "Games being played",
                "short",
                (
                    Query(
                        f"sum by (job) ({series(sc.METRIC_GAMES_ACTIVE, sc.UNIT_GAMES)}{{{OF}}})", "{{job}}"
                    ),
                ),
            ),
            Panel(
                "Phases a minute",
                "short",
                (
                    Query(
                        f"sum by (job) (rate({series(sc.METRIC_PHASE_DURATION, sc.UNIT_SECONDS, 'count')}{{{OF}}}{EVERY})) * 60",
                        "{{job}}",
                    ),
                ),
            ),
            Panel(
                "Duration of a phase",
                "s",
                quantiles(sc.METRIC_PHASE_DURATION, sc.UNIT_SECONDS, "job", 0.5, 0.95),
            ),
            Panel(
                "Duration of an interaction",
                "s",
                quantiles(
                    sc.METRIC_INTERACTION_DURATION, sc.UNIT_SECONDS, label(sc.INTERACTION_TYPE), 0.5, 0.95
                ),
                "By kind: orders, negotiation, diary ...",
            ),
            Panel(
                "Interactions a second",
                "short",
                (
                    rate(
                        series(sc.METRIC_INTERACTION_DURATION, sc.UNIT_SECONDS, "count"),
                        label(sc.INTERACTION_TYPE),
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Share of orders that are invalid",
                "percentunit",
                (
                    Query(
                        f"(sum by ({POWER}) (rate({series(sc.METRIC_ORDERS, sc.UNIT_ORDERS, 'total')}"
                        f'{{{OF}, {label(sc.ORDER_VALID)}="false"}}{EVERY}))'
                        f" or sum by ({POWER}) (rate({series(sc.METRIC_ORDERS, sc.UNIT_ORDERS, 'total')}{{{OF}}}{EVERY})) * 0)"
                        f" / sum by ({POWER}) (rate({series(sc.METRIC_ORDERS, sc.UNIT_ORDERS, 'total')}{{{OF}}}{EVERY}))",
                        "{{" + POWER + "}}",
                    ),
                ),
                "By power.",
            ),
            Panel(
                "Orders a second",
                "short",
                (rate(series(sc.METRIC_ORDERS, sc.UNIT_ORDERS, "total"), label(sc.ORDER_VALID)),),
            ),
            Panel(
                "Interactions that fail, a second",
                "short",
                (
                    rate(
                        series(sc.METRIC_INTERACTION_DURATION, sc.UNIT_SECONDS, "count"),
                        ERROR,
                        f'{OF}, {ERROR}!=""',
                    ),
                ),
            ),
            Panel(
                "Tokens a second, by power",
                "short",
                (rate(series(sc.METRIC_INTERACTION_TOKENS, sc.UNIT_TOKENS, "total"), POWER),),
                stacked=True,
            ),
            Panel(
                "Cost an hour, by power",
                "currencyUSD",
                (
                    Query(
                        f"sum by ({POWER}) (rate({series(sc.METRIC_INTERACTION_COST, sc.UNIT_USD, 'total')}{{{OF}}}{EVERY})) * 3600",
                        "{{" + POWER + "}}",
                    ),
                ),
                stacked=True,
            ),
        ),
    ),
}


# --- as Grafana has it ------------------------------------------------------------------------------------------------
def made(title: str, uid: str, panels: tuple[Panel, ...]) -> dashboard.Dashboard:
    """Build one dashboard: two panels a row, the services to choose from above them."""
    board = (
        dashboard.Dashboard(title)
        .uid(f"otel-llm-{uid}")
        .tags(["otel_llm"])
        .editable()
        .timezone("browser")
        .refresh("10s")
        .time("now-1h", "now")
        .with_variable(
            dashboard.QueryVariable("service")
            .label("Service")
            .datasource(_SOURCE)
            .query(f"label_values({series(sc.METRIC_QUEUE_BYTES, sc.UNIT_BYTES)}, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")
            .multi(True)
        )
    )
    for panel in panels:
        board.with_panel(_graph(panel))
    return board


def _graph(panel: Panel) -> timeseries.Panel:
    graph = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .span(12)
        .height(8)
        .fill_opacity(40 if panel.stacked else 8)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .calcs(["lastNotNull", "max"])
        )
    )
    if panel.stacked:
        graph = graph.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for ref, query in zip("ABCDEFGH", panel.queries, strict=False):
        graph = graph.with_target(
            prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(ref).range()
        )
    return graph


def files() -> Iterator[tuple[Path, str]]:
    """Return each file and what belongs into it."""
    for uid, (title, panels) in PANELS.items():
        encoded = JSONEncoder(sort_keys=True, indent=2).encode(made(title, uid, panels).build())
        yield FOLDER / f"{uid}.json", encoded + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail if a file is not what it should be"
    )
    check = parser.parse_args(arguments).check
    stale = [path for path, text in files() if not path.exists() or path.read_text() != text]
    if not check:
        FOLDER.mkdir(exist_ok=True)
        for path, text in files():
            path.write_text(text)
    for path in stale:
        print(path.name, "is not what the names of today make" if check else "written")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
