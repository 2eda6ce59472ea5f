"""The scope of one reward component: its score is also its rollout's."""

from __future__ import annotations

from typing import Any

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.numeric import as_number
from otel_llm.scoping import Scope


class RewardScope(Scope):
    """Scores something. As a decorator, a number that the function returns is the score."""

    def returned(self, value: Any) -> None:
        """Take a number that a decorated function returned for the score, unless it told one."""
        if sc.EVALUATION_SCORE not in self.attributes and isinstance(value, int | float):
            self.set(score=value)

    def end(self, exception: BaseException | None = None, *, at_ns: int | None = None) -> None:
        """End it, as `Scope.end`, and tell the rollout around it of the score."""
        if not self.ended and self.start_ns:
            super().end(exception, at_ns=at_ns)
            try:
                rollout = self.nearest("rollout")
                score = as_number(self.attributes.get(sc.EVALUATION_SCORE))
                if rollout is not None and score is not None:
                    why = self.attributes.get(sc.EVALUATION_EXPLANATION)
                    name = str(self.own.get(sc.EVALUATION_NAME))
                    rollout.reward(name, score, explanation=None if why is None else str(why))  # type: ignore[attr-defined]
            except Exception:
                drops.internal_error("telling a rollout of its reward")
