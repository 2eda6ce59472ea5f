"""The games that manual records belong to: opened when they are first heard of, ended when the program says so.

A record belongs to the game and phase that are current where it is made, if they are the ones it names; else to
the session of its game id, whatever thread or task it comes from. Phases follow one another as records name them.
Bounded: of very many open games the one that was quiet longest is ended. A forked child starts without sessions.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from time import time_ns
from typing import Any, Final

from otel_llm import drops, runtime, scopes
from otel_llm import semconv as sc
from otel_llm.phases import parse_phase
from otel_llm.recording import Recorder
from otel_llm.scoping import Scope

MAX_OPEN: Final = 4096
"""Games that are open at once, at most."""

MAX_PHASES: Final = 64
"""Phases of one game that are remembered, for records that come late."""

UNFINISHED: Final = "unfinished"
_LOCK_TIMEOUT_S: Final = 1.0
_SWEEP_EVERY: Final = 32
_HANDED_ON: Final = frozenset({sc.GAME_IN_TRAINING, sc.GAME_EPISODE, sc.GAME_TRAINING_STEP})
_ARGUMENTS: Final = frozenset({"game_id", "parent", "attributes"})


class _Phase:
    """A phase, and when the last thing in it happened."""

    __slots__ = ("last_ns", "order", "scope")

    def __init__(self, scope: Scope, last_ns: int, order: tuple[int, int, int] | None) -> None:
        self.scope = scope
        self.last_ns = last_ns
        self.order = order

    def end(self, at_ns: int) -> None:
        if not self.scope.ended:
            self.scope.end(at_ns=max(self.last_ns, at_ns))

    def takes(self, start_ns: int) -> bool:
        """Whether something that began then belongs to it, although it may have ended.

        A name that tells year and season comes once a game. Another one may come again, and is a new phase then.
        """
        return not self.scope.ended or self.order is not None or start_ns <= self.scope.end_ns


class _Session:
    """One open game.

    Attributes:
        key: its id, by which it is found; None where the program opened the game.
        game: its scope.
        borrowed: whether the program itself opened the game, and ends it.
        announced: whether `log_session_start` was called for it.
        last_ns: when the last thing in it happened.
        live: whether something in it was recorded while it happened, whose end is not known here.
    """

    __slots__ = ("_current", "_phases", "announced", "borrowed", "game", "key", "last_ns", "live")

    def __init__(self, game: Scope, *, borrowed: bool, key: str | None = None) -> None:
        self.game = game
        self.key = key
        self.borrowed = borrowed
        self.announced = False
        self.live = False
        self.last_ns = game.start_ns
        self._phases: OrderedDict[str, _Phase] = OrderedDict()
        self._current: _Phase | None = None

    def phase(self, name: str, start_ns: int, end_ns: int) -> Scope:
        known = self._phases.get(name)
        if known is not None and known.takes(start_ns):
            known.last_ns = max(known.last_ns, end_ns)
            return known.scope
        current = self._current
        made = _Phase(scopes.phase(name, parent=self.game).start(start_ns), end_ns, parse_phase(name).order)
        late = current is not None and current.order is not None and made.order is not None
        if not (late and made.order < current.order):  # type: ignore[operator, union-attr]
            # One that comes late does not end the one that is being played.
            self.end_phases(made.scope.start_ns)
            self._current = made
        self._phases[name] = made
        self._phases.move_to_end(name)
        while len(self._phases) > MAX_PHASES:
            self._phases.popitem(last=False)[1].end(start_ns)
        return made.scope

    def tell(self, told: Mapping[str, Any]) -> None:
        """Tell the game more about itself; what its interactions carry, those from now on get."""
        self.game.set(**told)
        now = {key: value for key, value in self.game.attributes.items() if key in _HANDED_ON}
        if now:
            for scope in (self.game, *(phase.scope for phase in self._phases.values())):
                scope.inherited = {**scope.inherited, **now}

    def end_phases(self, at_ns: int) -> None:
        """End those that are open, at `at_ns` or when the last thing in them happened, whichever is later."""
        for phase in self._phases.values():
            phase.end(at_ns)

    def leave(self, at_ns: int | None, *, finished: bool) -> None:
        """End the phases, and the game unless it is the program's own.

        Args:
            at_ns: when; None where nobody said: then when the last thing in it happened.
            finished: whether the program said that the game is over.
        """
        if at_ns is None:
            at_ns = time_ns() if self.live else self.last_ns
        self.end_phases(at_ns)
        if self.borrowed or self.game.ended:
            return
        if not finished:
            if sc.GAME_STATUS not in self.game.attributes:
                self.game.set(status=UNFINISHED)
            self.game.set({sc.LEFT_OPEN: True})
        self.game.end(at_ns=max(self.last_ns, at_ns))


class Sessions:
    """The open games of this process. Safe to use from any thread, and after a fork."""

    def __init__(self) -> None:
        self.game_attributes: dict[str, str] = {}
        """What every game gets that is opened here."""
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._open: OrderedDict[Scope, _Session] = OrderedDict()  # the one used last is last
        self._by_id: dict[str, _Session] = {}
        self._opened = 0

    def _after_fork(self) -> None:
        """Forget the parent's games: to end them is the parent's to do. The lock may have been held at the fork."""
        if self._pid != os.getpid():
            self._reset()

    def __len__(self) -> int:
        return len(self._open)

    def place(
        self,
        recorder: Recorder,
        game_id: str | None,
        phase: str | None,
        start_ns: int,
        end_ns: int | None,
        opening: Mapping[str, Any],
    ) -> Scope | None:
        """Return the scope that something belongs to: a phase, or the game where it names no phase.

        Args:
            recorder: what records now.
            game_id: the game; None for the current one.
            phase: name of the phase; None for the current one.
            start_ns: when it began, in nanoseconds since the epoch.
            end_ns: when it ended; None for what is only beginning.
            opening: fields of the game, where it is not open yet.

        Returns:
            None where it belongs to no game: then it goes where it is made.
        """
        self._after_fork()
        describer = recorder.describer
        key = None if game_id is None else describer.scrub_id(game_id)
        name = None if phase is None else parse_phase(phase).name
        around = self._around(key)
        if around is None and key is None:
            return None
        if around is not None:
            here = scopes.current_scope()
            current = None if here is None else here.phase
            if current is not None and (
                name is None or current.inherited.get(sc.PHASE_NAME) == describer.scrub_name(name)
            ):
                return current
            if around.ended:
                return current or around
        with self._lock:
            session = self._session(game_id, key, around, start_ns, opening)
            session.live |= end_ns is None
            end_ns = start_ns if end_ns is None else end_ns
            session.last_ns = max(session.last_ns, end_ns)
            if opening.get("training") and sc.GAME_IN_TRAINING not in session.game.inherited:
                session.tell({"training": opening["training"]})
            if name is None:
                return session.game
            return session.phase(name, start_ns, end_ns)

    def begin(
        self, recorder: Recorder, game_id: str | None, at_ns: int, told: Mapping[str, Any]
    ) -> str | None:
        """Open a game; or tell one that is open already more about itself.

        Args:
            recorder: what records now.
            game_id: the game; None for a new id.
            at_ns: when it began, in nanoseconds since the epoch.
            told: its fields.

        Returns:
            Its id, without secrets.
        """
        self._after_fork()
        key = None if game_id is None else recorder.describer.scrub_id(game_id)
        around = None if key is None else self._around(key)
        with self._lock:
            known = self._find(key, around)
            if known is not None and known.announced:
                drops.warn_once(
                    "session-again",
                    "log_session_start: the game %r is open already; it goes on as the same one",
                    key,
                )
            session = known or self._session(game_id, key, around, at_ns, told)
            session.announced = True
            if known is not None or session.borrowed:
                session.tell(told)
            return session.game.id

    def end(
        self, recorder: Recorder, game_id: str | None, at_ns: int | None, figures: Mapping[str, Any]
    ) -> str | None:
        """End a game; one that the program opened itself is told the figures, and left open.

        Args:
            recorder: what records now.
            game_id: the game; None for the current one.
            at_ns: when it ended, in nanoseconds since the epoch; None for now.
            figures: its fields.

        Returns:
            Its id without secrets; None where no such game is open.
        """
        self._after_fork()
        key = None if game_id is None else recorder.describer.scrub_id(game_id)
        around = self._around(key)
        with self._lock:
            session = self._find(key, around)
            if session is None and around is not None and not around.ended:
                session = _Session(around, borrowed=True)  # nothing was recorded in it by hand
            if session is None:
                return None
            self._forget(session)
            session.game.set(**figures)
            session.leave(time_ns() if at_ns is None else at_ns, finished=True)
            return session.game.id

    def close_all(self) -> None:
        """End whatever is open, as unfinished: nothing is recorded from now on."""
        self._after_fork()
        if not self._lock.acquire(timeout=_LOCK_TIMEOUT_S):
            return
        try:
            for session in list(self._open.values()):
                self._forget(session)
                session.leave(None, finished=False)
        finally:
            self._lock.release()

    # --- under the lock -----------------------------------------------------------------------------
    @staticmethod
    def _around(key: str | None) -> Scope | None:
        """Return the game that is current here, if it is the one meant."""
        here = scopes.current_scope()
        game = None if here is None else here.game
        return game if game is not None and (key is None or game.id == key) else None

    def _find(self, key: str | None, around: Scope | None) -> _Session | None:
        session = self._open.get(around) if around is not None else None
        if session is None and key is not None and around is None:
            session = self._by_id.get(key)
        if session is not None:
            self._open.move_to_end(session.game)
        return session

    def _session(
        self,
        game_id: str | None,
        key: str | None,
        around: Scope | None,
        start_ns: int,
        opening: Mapping[str, Any],
    ) -> _Session:
        session = self._find(key, around)
        if session is not None:
            return session
        self._make_room()
        if around is not None:
            session = _Session(around, borrowed=True)
        else:
            told = {f"{name}_" if name in _ARGUMENTS else name: value for name, value in opening.items()}
            game = scopes.game(game_id, attributes=self.game_attributes, **told).start(start_ns)
            session = _Session(game, borrowed=False, key=key or game.id)
            if session.key is not None:
                self._by_id[session.key] = session
            drops.logger.debug("session started: game %s", game.id)
        self._open[session.game] = session
        active = runtime.current()
        if active is not None and self.close_all not in active.on_stop:
            active.on_stop.append(self.close_all)
        return session

    def _make_room(self) -> None:
        self._opened += 1
        if self._opened % _SWEEP_EVERY == 0:  # games that the program opened itself end without telling us
            for ended in [session for session in self._open.values() if session.game.ended]:
                self._forget(ended)
        while len(self._open) >= MAX_OPEN:
            quiet = next(iter(self._open.values()))
            self._forget(quiet)
            quiet.leave(None, finished=False)
            drops.count("session", "too_many_open")
            drops.warn_once(
                "sessions",
                "more than %d games are open at once; the one that was quiet longest is ended",
                MAX_OPEN,
            )

    def _forget(self, session: _Session) -> None:
        self._open.pop(session.game, None)
        if session.key is not None and self._by_id.get(session.key) is session:
            del self._by_id[session.key]


sessions: Final = Sessions()
"""Those of this process."""
