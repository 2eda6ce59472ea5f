"""Curves, distributions, texts and hyperparameters for TensorBoard.

    otel_llm.instrument(exporters=["tensorboard"])          # event files in otel_llm_tensorboard/
    otel-llm replay --to tensorboard --output runs/game-7   # from the store, afterwards
    tensorboard --logdir otel_llm_tensorboard

Needs the extra `tensorboard`; neither TensorFlow nor torch.
"""

from otel_llm_tensorboard.entry_points import (
    TensorBoardMetricExporter,
    TensorBoardSpanExporter,
    make_tensorboard_sink,
)
from otel_llm_tensorboard.settings import TensorBoardSettings

__all__ = [
    "TensorBoardMetricExporter",
    "TensorBoardSettings",
    "TensorBoardSpanExporter",
    "make_tensorboard_sink",
]
