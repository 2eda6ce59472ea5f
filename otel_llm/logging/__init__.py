"""Logging of a training program by a plan: console, files, CSV, TensorBoard, OpenTelemetry, from one YAML file.

    from otel_llm.logging import get_training_logger, initialize, log_training_progress

    initialize("logging.yaml")
    get_training_logger().info("starting")
    log_training_progress(step=1, metrics={"loss": 0.5})

The name shadows Python's `logging` for nobody: inside the package imports are absolute.
"""

from otel_llm.logging._csv import CSVHandler
from otel_llm.logging._errors import LoggingPlanError
from otel_llm.logging._formatters import JSONFormatter, TextFormatter
from otel_llm.logging._functions import (
    get_metrics_logger,
    get_model_logger,
    get_reward_logger,
    get_system_logger,
    get_training_logger,
    log_generation_metrics,
    log_memory_usage,
    log_model_output,
    log_reward,
    log_reward_metrics,
    log_training_progress,
    log_validation_metrics,
    should_validate,
)
from otel_llm.logging._opentelemetry import OpenTelemetryHandler
from otel_llm.logging._setup import flush, initialize, shutdown
from otel_llm.logging._tensorboard import TensorBoardHandler

__all__ = [
    "CSVHandler",
    "JSONFormatter",
    "LoggingPlanError",
    "OpenTelemetryHandler",
    "TensorBoardHandler",
    "TextFormatter",
    "flush",
    "get_metrics_logger",
    "get_model_logger",
    "get_reward_logger",
    "get_system_logger",
    "get_training_logger",
    "initialize",
    "log_generation_metrics",
    "log_memory_usage",
    "log_model_output",
    "log_reward",
    "log_reward_metrics",
    "log_training_progress",
    "log_validation_metrics",
    "should_validate",
    "shutdown",
]
