"""What the store could not keep, counted by reason: in the process, and in the file itself."""

from __future__ import annotations

import threading

from otel_llm import drops


class Dropped:
    """Counts of one writer."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler may come here on a thread that is just counting.
        self._lock = threading.RLock()
        self.reasons: dict[str, int] = {}
        """How many by reason."""
        self._told: dict[str, int] = {}

    def count(self, what: str, reason: str, n: int = 1) -> None:
        """Count things that are dropped.

        Args:
            what: `span`, `point`, `log` …
            reason: why.
            n: how many.
        """
        with self._lock:
            self.reasons[reason] = self.reasons.get(reason, 0) + n
        drops.count(what, reason, n)

    def news(self) -> dict[str, str]:
        """Return the counts as facts for the file, if they changed since they were last asked for."""
        if self.reasons == self._told:
            return {}
        self._told = dict(self.reasons)
        return {f"dropped.{reason}": str(n) for reason, n in self._told.items()}

    def tell_again(self) -> None:
        """Have `news` give everything again: the file did not take it."""
        self._told = {}
