"""Which games are open in this process. Imports `drops` alone."""

from __future__ import annotations

import threading

from otel_llm import drops


class OpenGames:
    """Counts open games by id, for the metric, and to say once that one id is in use twice."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # re-entrant: a finalizer may end a game while one begins
        self._open: dict[str | None, int] = {}

    def opened(self, game_id: str | None) -> None:
        """Note a game that began."""
        with self._lock:
            n = self._open[game_id] = self._open.get(game_id, 0) + 1
        if n > 1:
            drops.warn_once(
                "same-game",
                "two games with the id %r are open at once; both are recorded, and views show them as one",
                game_id,
            )

    def closed(self, game_id: str | None) -> None:
        """Note a game that ended."""
        with self._lock:
            n = self._open.get(game_id, 0)
            if n > 1:
                self._open[game_id] = n - 1
            else:
                self._open.pop(game_id, None)

    def __len__(self) -> int:
        return sum(self._open.values())

    def after_fork_in_child(self) -> None:
        """Forget the parent's games."""
        self.__init__()  # type: ignore[misc]
