"""The engine's games of this process: which are followed, which are copies, and when they are gone.

What is known of a game is kept beside it, by the identity of its object: the engine's class has slots, takes no
attribute and no weak reference, and is serialised by its fields. `Game.__del__` tells when an object goes.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from enum import Enum
from time import time_ns
from typing import Any, Final

from otel_llm import drops, recording, runtime
from otel_llm import semconv as sc
from otel_llm.scoping import Scope

_MAX_STATES: Final = 4096
"""States handed out by games that are remembered."""

_DROPPED_BYTES: Final = 512
_NOWHERE: Final = object()


class Origin(Enum):
    """Where a game object came from."""

    NEW = "new"
    LOADED = "loaded"
    """Its position was put in: a saved game, or a copy by way of its fields."""
    COPY = "copy"
    """A simulation of a game that is under way; followed only in a game scope of the program's own."""
    CLIENT = "client"
    """A client's view of a game that a server plays."""


class Followed:
    """What is known of one game object. Never holds the object itself, which would keep it alive.

    Attributes:
        origin: where it came from.
        game_id: the engine's id.
        scope: the game's scope, None before it is followed.
        phase: the scope of its phase, None where there is none.
        made_scope: whether this package made `scope`; else the program did, and ends it.
        made_phase: likewise of `phase`.
        leads: whether this package makes the phases; in a game scope of the program's own it waits until it
            is seen that the program does not.
        long: the engine's name of the phase that `phase` is for.
        lost: calls back when the object goes, where its class does not.
        busy: how many of its methods are running that set it up, load or process it.
        is_over: whether it ended, was dropped, or is not to be followed any more.
        drawn: whether a draw was agreed on.
        refused: the scope in which it was looked at last without being followed.
        rejected: orders of this phase that the engine did not take, by power.
        taking: orders that the engine does not take in the call that is running; None outside of one.
        credited: powers whose orders of this phase an interaction has told of.
    """

    __slots__ = (
        "__weakref__",
        "busy",
        "credited",
        "drawn",
        "game_id",
        "is_over",
        "leads",
        "long",
        "lost",
        "made_phase",
        "made_scope",
        "origin",
        "phase",
        "refused",
        "rejected",
        "scope",
        "taking",
    )

    def __init__(self, origin: Origin, game_id: str) -> None:
        self.origin = origin
        self.game_id = game_id
        self.scope: Scope | None = None
        self.phase: Scope | None = None
        self.made_scope = False
        self.made_phase = False
        self.leads = True
        self.long = ""
        self.lost: object = None
        self.busy = 0
        self.is_over = False
        self.drawn = False
        self.refused: object = _NOWHERE
        self.rejected: dict[str, dict[str, None]] = {}
        self.taking: list[str] | None = None
        self.credited: set[str] = set()

    @property
    def under_way(self) -> bool:
        """Whether it is followed and has not ended."""
        return self.scope is not None and not self.is_over

    def new_phase(self) -> None:
        """Forget what was noted of the phase before."""
        self.phase = None
        self.made_phase = False
        self.rejected = {}
        self.credited = set()


class Games:
    """All games of this process that the engine made since it was patched."""

    def __init__(self) -> None:
        self._table: dict[int, Followed] = {}
        self._by_id: dict[str, Followed] = {}
        self._states: dict[int, weakref.ref[Followed]] = {}
        self._joined: weakref.WeakKeyDictionary[Scope, Followed] = weakref.WeakKeyDictionary()
        self.made: weakref.WeakSet[Scope] = weakref.WeakSet()
        # Re-entrant: a draw may happen within a phase's processing.
        self.lock = threading.RLock()
        self.get = self._table.get
        self.ordering: dict[int, Followed] = {}
        """By thread the game that it is giving orders in: what the engine calls in turn is no look of the program's."""
        self.destructor: object = None
        """What tells when an object goes; a subclass may have replaced it by one that does not call it."""

    # --- objects --------------------------------------------------------------------------------------

    def add(self, game: Any, origin: Origin) -> Followed:
        """Note a game object that came into being."""
        key = id(game)
        found = self._table[key] = Followed(origin, str(game.game_id))
        if getattr(type(game), "__del__", None) is not self.destructor:
            with contextlib.suppress(
                TypeError
            ):  # slots again; then a later object in the same place takes over
                found.lost = weakref.ref(game, lambda _: self.forget(key))
        return found

    def forget(self, key: int) -> None:
        """Note that a game object goes. Runs in a finalizer: no lock is taken, and the rest is left to the worker.

        Args:
            key: its identity.
        """
        found = self._table.pop(key, None)
        if found is None or not found.under_way:
            return
        found.is_over = True
        if self._by_id.get(found.game_id) is found:
            self._by_id.pop(found.game_id, None)
        recorder = recording.active
        if recorder is not None and found.made_scope:
            recorder.finisher.put(_Dropped(found))

    # --- which are followed ---------------------------------------------------------------------------

    def followed(self, game: Followed, scope: Scope, *, made: bool) -> None:
        """Note that `game` is followed from now on, under `scope`."""
        game.scope = scope
        game.made_scope = game.leads = made
        game.is_over = False
        active = runtime.current()
        if active is not None and self.close not in active.on_stop:
            active.on_stop.append(self.close)
        self._by_id[game.game_id] = game
        if made:
            self.made.add(scope)
        else:
            self._joined[scope] = game

    def hand_over(self, view: Followed, game: Followed) -> None:
        """Let a server's game go on in the scopes that began with a client's view of it."""
        game.scope, game.phase, game.long = view.scope, view.phase, view.long
        game.made_scope, game.made_phase, game.leads = view.made_scope, view.made_phase, view.leads
        view.scope = None
        view.new_phase()
        self._by_id[game.game_id] = game

    def over(self, game: Followed) -> None:
        """Note that `game` is not followed any more."""
        game.is_over = True
        game.phase = None
        if self._by_id.get(game.game_id) is game:
            del self._by_id[game.game_id]

    def under_way(self, game_id: str) -> Followed | None:
        """Return the followed game with an id; None where there is none under way."""
        found = self._by_id.get(game_id)
        return found if found is not None and found.under_way else None

    def may_join(self, scope: Scope) -> bool:
        """Say whether a game scope of the program's own still waits for its game."""
        known = self._joined.get(scope)
        return not scope.ended and (known is None or known.is_over)

    # --- states, to tell copies -----------------------------------------------------------------------

    def handed_out(self, game: Followed, timestamp: object) -> None:
        """Remember a state that a game handed out.

        Args:
            game: the game.
            timestamp: the state's, in microseconds: no two states of a process have the same.
        """
        if not isinstance(timestamp, int):
            return
        states = self._states
        states[timestamp] = weakref.ref(game)
        if len(states) > _MAX_STATES:
            states.pop(next(iter(states)), None)

    def is_from_game_under_way(self, game: Followed, timestamp: object) -> bool:
        """Say whether a state was handed out by another game that is still under way, or by a copy of one."""
        known = self._states.get(timestamp) if isinstance(timestamp, int) else None
        found = None if known is None else known()
        return found is not None and found is not game and (found.under_way or found.origin is Origin.COPY)

    # --- ends -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """End what is open: nothing is followed any more, as at the end of the process."""
        with self.lock:
            for game in list(self._table.values()):
                if game.under_way:
                    end_unfinished(game)
                    self.over(game)
            self._clear()

    def after_fork_in_child(self) -> None:
        """Leave the parent's spans to the parent; games that go on here are followed anew, under the same id."""
        self.lock = threading.RLock()
        for game in self._table.values():
            if not game.is_over:
                game.scope = None
                game.busy = 0
                game.new_phase()
        self._by_id.clear()
        self._states.clear()
        self._joined.clear()

    def _clear(self) -> None:
        self._table.clear()
        self._by_id.clear()
        self._states.clear()


def end_unfinished(game: Followed, at_ns: int | None = None) -> None:
    """End the scopes of a game that nobody plays to its end."""
    if game.made_phase and game.phase is not None:
        game.phase.set({sc.LEFT_OPEN: True}).end(at_ns=at_ns)
    if game.made_scope and game.scope is not None:
        game.scope.set(status="unfinished").end(at_ns=at_ns)


class _Dropped:
    """A game whose object went, on its way to the worker, which ends its scopes."""

    def __init__(self, game: Followed) -> None:
        self.nbytes = _DROPPED_BYTES
        self._game = game
        self._at_ns = time_ns()

    def finish(self) -> None:
        """End its scopes at the time at which the object went."""
        end_unfinished(self._game, self._at_ns)

    def shed(self) -> None:
        """Hold on: there is nothing large to let go of."""

    def abandon(self) -> None:
        """Let the scopes go; they end themselves."""
        drops.count("scope", "queue_full")
