"""Weights & Biases as a view of the telemetry: one run, written by one thread (`docs/wandb.md`).

    otel_llm.instrument(exporters=["wandb"])       # live; or OTEL_TRACES_EXPORTER=otlp,otel_llm_wandb
    otel-llm replay --to wandb RUN                 # from the store

    settings    what can be set; layouts: four arrangements of runs and projects
    sink        batches in, rows out; rows, tables, aggregates, keys, trees, artifacts: what becomes of them
    run         the W&B run itself: the only module that calls `wandb`
    weave       the span trees in W&B's own viewer
    outbox, journal, datafile, target: nothing is lost and nothing doubled, whatever is killed

Importing this imports neither W&B nor OpenTelemetry's SDK.
"""

from typing import Any

from otel_llm_wandb.artifacts import log_artifact, log_checkpoint
from otel_llm_wandb.entry_points import configure, make_sink
from otel_llm_wandb.settings import WandbSettings

__all__ = [
    "WandbMetricExporter",
    "WandbSettings",
    "WandbSpanExporter",
    "WeaveSpanExporter",
    "configure",
    "log_artifact",
    "log_checkpoint",
    "make_sink",
]


def __getattr__(name: str) -> Any:
    if name in {"WandbMetricExporter", "WandbSpanExporter"}:
        from otel_llm_wandb import exporters

        return getattr(exporters, name)
    if name == "WeaveSpanExporter":
        from otel_llm_wandb.weave import WeaveSpanExporter

        return WeaveSpanExporter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
