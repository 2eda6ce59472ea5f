"""How many bytes are being worked on, and no more than that: what does not fit is refused, and its sender comes again."""

from __future__ import annotations

import threading


class FullError(Exception):
    """So many bytes do not fit right now."""


class Budget:
    """Bytes that all requests together may hold. For any thread.

    Args:
        limit: the bound.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """How many bytes are held."""
        return self._used

    def lease(self) -> Lease:
        """Return a lease of nothing yet, for one request."""
        return Lease(self)

    def _take(self, nbytes: int) -> None:
        with self._lock:
            if self._used + nbytes > self.limit:
                raise FullError
            self._used += nbytes

    def _give(self, nbytes: int) -> None:
        with self._lock:
            self._used -= nbytes


class Lease:
    """One request's part of the budget.

    Args:
        budget: the whole.
    """

    __slots__ = ("_budget", "_nbytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._nbytes = 0

    def grow(self, nbytes: int) -> None:
        """Take more.

        Raises:
            FullError: it does not fit.
        """
        self._budget._take(nbytes)
        self._nbytes += nbytes

    def end(self) -> None:
        """Give all of it back."""
        nbytes, self._nbytes = self._nbytes, 0
        self._budget._give(nbytes)
