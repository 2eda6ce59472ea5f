"""Games of the `diplomacy` engine (PyPI): their game and phase spans, without a line of code in the program.

A program that plays on the engine gets a span per game and per phase, with supply centres, units, orders and what
became of them, retreats, eliminations, messages, draws and the winner; the model calls it makes fall under the
phase of the game that it looked at last (`ambient` has the rule).

- A game is followed from the first look at it, or move in it, until it is completed, cancelled or dropped, or the
  process ends.
- Copies of a game that is under way, made to look ahead (by deepcopy, from its fields, or from a state or a saved
  form that it handed out), are not games: nothing is told of them, and calls stay where they are. Saved games that
  go on, copies of a game that nobody has played yet, and positions from elsewhere are games.
- Where the program opens `otel_llm.game` or `otel_llm.phase` itself, before it looks, what the engine knows goes
  there, and nothing is there twice. That is also how a program says that a copy is a game.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm_diplomacy._seams import Seams

if TYPE_CHECKING:
    from otel_llm_diplomacy.games import Games

MODULE: Final = "diplomacy.engine.game"

_known: Games | None = None


def known_games() -> Games:
    """Return what is known of this process's games. Made when the engine is imported: most programs have none."""
    global _known
    if _known is None:
        from otel_llm_diplomacy.games import Games

        _known = Games()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_known.after_fork_in_child)
    return _known


def _patch(seams: Seams, module: Any) -> None:
    from otel_llm_diplomacy import hooks

    hooks.patch(seams, module, known_games())


class DiplomacyInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Registers a post-import hook for the engine; never raises, and imports nothing of it."""

    _seams = Seams(MODULE, _patch)

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing has to be installed: an engine that is never imported is never patched."""
        return ()

    def _instrument(self, **_: Any) -> None:
        self._seams.install()

    def _uninstrument(self, **_: Any) -> None:
        if _known is not None:
            _known.close()
        self._seams.remove()

    def seams(self) -> dict[str, str]:
        """Return what became of the engine's module: `patched`, `not imported` or `failed: …`."""
        return self._seams.report()
