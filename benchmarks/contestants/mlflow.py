"""mlflow.openai.autolog through MLflow's own OTLP span processor, with our exporter in it."""

import os

from benchmarks import sinks

VENV = "mlflow"
SLOW = ["embed"]


def setup() -> None:
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://127.0.0.1:9/v1/traces"
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{os.environ['BENCH_SCRATCH']}/mlflow.db"
    import mlflow
    from mlflow.tracing import provider

    provider.get_otlp_exporter = sinks.exporter
    mlflow.openai.autolog()

    def flush() -> None:
        if hasattr(tracer_provider := provider.provider.get(), "force_flush"):
            tracer_provider.force_flush()

    sinks.on_flush(flush)
