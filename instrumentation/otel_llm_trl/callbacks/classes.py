"""The callbacks as Hugging Face trainers take them. Imports transformers."""

from __future__ import annotations

import os
from typing import Any

from transformers import TrainerCallback

from otel_llm_trl.callbacks.frequencies import ENHANCED, OPTIMIZED, Frequencies
from otel_llm_trl.callbacks.hooks import LoggingHooks


class EnhancedLoggingCallback(LoggingHooks, TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Logs a training closely: progress and answers every step, metrics and generations every 5, gradients every 20.

    See `LoggingHooks` for its arguments.
    """

    frequencies: Frequencies = ENHANCED


class OptimizedLoggingCallback(LoggingHooks, TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Logs a training at less cost: progress every 5 steps, metrics and generations every 20, no gradients.

    Args:
        checkpoint_dir: where counts are kept beside checkpoints; None for nowhere.
        frequencies: how often what is logged.
        **more: as for `LoggingHooks`.
    """

    frequencies: Frequencies = OPTIMIZED

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        frequencies: Frequencies | None = None,
        **more: Any,
    ) -> None:
        super().__init__(frequencies, checkpoint_dir=checkpoint_dir, **more)
