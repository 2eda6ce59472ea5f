"""What W&B has done to us lately, and when it is to be asked again."""

from __future__ import annotations

import time
from typing import Final

from otel_llm import drops

_FIRST_BACKOFF_S: Final = 1.0
_LAST_BACKOFF_S: Final = 60.0
_ATTEMPTS: Final = 3


class Trouble:
    """Remembers the last problem; the pause after each is twice the one before.

    Attributes:
        problem: the last, None if all is well.
        retry_at: `time.monotonic()` before which W&B is left alone; 0 if it is not.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        self.retry_at = 0.0
        self._backoff = 0.0
        self._refused: tuple[object, int] = (None, 0)

    @property
    def is_pausing(self) -> bool:
        """Whether W&B is left alone for now."""
        return time.monotonic() < self.retry_at

    def happened(self, problem: str) -> None:
        """Note a problem, say it once, and pause."""
        self.problem = problem
        self._backoff = min(max(_FIRST_BACKOFF_S, self._backoff * 2), _LAST_BACKOFF_S)
        self.retry_at = time.monotonic() + self._backoff
        drops.warn_once(
            f"wandb:{problem}",
            "W&B: %s. What it misses is kept, and `otel-llm replay --to wandb` sends it from the store",
            problem,
        )

    def passed(self) -> None:
        """Note that all is well again."""
        self.problem, self.retry_at, self._backoff = None, 0.0, 0.0

    def is_hopeless(self, what: object, error: Exception) -> bool:
        """Say whether W&B has refused one and the same thing so often that the rest must not wait for it any more."""
        again = self._refused[1] + 1 if self._refused[0] == what else 1
        self._refused = (what, again)
        if again < _ATTEMPTS:
            return False
        drops.count("row", "wandb_refused")
        drops.warn_once("wandb:refused", "W&B refuses something, which only the store has now: %r", error)
        return True
