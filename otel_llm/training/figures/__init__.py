"""Metrics of training programs: any numbers by name, and the figures of rollouts, steps, epochs, one class for all."""

from otel_llm.training.figures.logger import Logger
from otel_llm.training.figures.logging_metrics import log_metrics
from otel_llm.training.figures.moments import Moments, merged
from otel_llm.training.figures.ranks import merge_ranks
from otel_llm.training.figures.training_metrics import TrainingMetrics

__all__ = ["Logger", "Moments", "TrainingMetrics", "log_metrics", "merge_ranks", "merged"]
