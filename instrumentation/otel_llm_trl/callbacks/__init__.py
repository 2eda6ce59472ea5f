"""Callbacks for Hugging Face trainers: progress, accuracy, answers, generations, gradients, memory, validation.

    from otel_llm_trl.callbacks import EnhancedLoggingCallback

    trainer = GRPOTrainer(..., reward_funcs=logged_all(REWARD_FUNCTIONS), callbacks=[EnhancedLoggingCallback()])

They log through `otel_llm.logging`. Transformers is imported when one of the classes is first asked for.
"""

from typing import TYPE_CHECKING, Any

from otel_llm_trl.callbacks.frequencies import Frequencies
from otel_llm_trl.callbacks.hooks import LoggingHooks

if TYPE_CHECKING:
    from otel_llm_trl.callbacks.classes import EnhancedLoggingCallback, OptimizedLoggingCallback

__all__ = ["EnhancedLoggingCallback", "Frequencies", "LoggingHooks", "OptimizedLoggingCallback"]

_LAZY = ("EnhancedLoggingCallback", "OptimizedLoggingCallback")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otel_llm_trl.callbacks import classes

    return getattr(classes, name)


def __dir__() -> list[str]:
    return sorted(__all__)
