"""How often the callbacks log what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Steps from one to the next; 0 for never. A logging plan's own frequencies hold besides.

    Attributes:
        progress: `progress_percent`, `accuracy`, `correct_answers`, `total_answers`.
        metrics: rewards, loss, learning rate.
        outputs: each answer beside the true one.
        generations: figures of a batch of generations.
        gradients: the norm of each parameter's gradient.
        memory: memory of the process and its GPU.
        validation: validations that the callback asks for, besides the trainer's own.
    """

    progress: int = 1
    metrics: int = 5
    outputs: int = 1
    generations: int = 5
    gradients: int = 20
    memory: int = 5
    validation: int = 0

    def is_due(self, what: str, step: int) -> bool:
        """Say whether something is due at a step."""
        every: int = getattr(self, what)
        return every > 0 and step % every == 0


ENHANCED: Final = Frequencies()
OPTIMIZED: Final = Frequencies(progress=5, metrics=20, outputs=5, generations=20, gradients=0, memory=20)
