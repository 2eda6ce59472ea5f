"""The panels of each dashboard, and what each asks; a test asks a live Prometheus."""

from __future__ import annotations

from typing import Final

from dashboard_queries import (
    DURATION,
    ERROR,
    EVERY,
    MODEL,
    OF,
    POWER,
    SCOPE,
    SPAN_CALLS,
    Panel,
    Query,
    figures,
    gauge,
    label,
    part_seconds,
    quantiles,
    rate,
    series,
)

from otel_llm import semconv as sc
from otel_llm.training.figures import names
from otel_llm_trl import semconv as trl

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
