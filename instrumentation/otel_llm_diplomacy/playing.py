"""Following games: their scopes begin when the program looks at them, phases end when the engine processes them.

Each function is called by a hook (`hooks`) around the engine's own, and never changes what the engine does.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otel_llm import drops, recording, scopes
from otel_llm.context import SCOPE_KEY
from otel_llm.scoping import Scope
from otel_llm_diplomacy import ambient, facts, telling
from otel_llm_diplomacy import semconv as names
from otel_llm_diplomacy.games import Followed, Games, Origin, end_unfinished

GAME_NAME: Final = "diplomacy"
_ENDED: Final = frozenset({"completed", "canceled"})
_CLIENT_MODULE: Final = "diplomacy.client.network_game"


class How(IntEnum):
    """How a program touches a game."""

    GLANCE = 0
    """It reads what phase it is, as loops do before and after everything else."""
    READ = 1
    ACT = 2


class Player:
    """Follows the games of this process.

    Args:
        games: what is known of them.
    """

    def __init__(self, games: Games) -> None:
        self.games = games
        self.get = games.get

    def created(self, engine: Any, *, loaded: bool) -> None:
        """Note a game object that was made.

        Args:
            engine: the engine's game.
            loaded: whether it was given pieces of its own, as copies and saved games are.
        """
        client = sys.modules.get(_CLIENT_MODULE)
        if client is not None and isinstance(engine, client.NetworkGame):
            self.games.add(engine, Origin.CLIENT)
            return
        self.games.add(engine, Origin.LOADED if loaded else Origin.NEW)
        mark = None if loaded else ambient.mark_of(context_api.get_current())
        if mark is not None:
            mark.answered = True  # the program has turned to a new game

    def copied(self, engine: Any, copy: Any) -> None:
        """Note a copy: of a game that is under way or over it is a what-if, of one not yet played another game."""
        game = self.get(id(engine))
        played = game is None or game.is_over or game.scope is not None or facts.is_over(engine)
        self.games.add(copy, Origin.COPY if played or game is None else game.origin)

    # --- touching a game ------------------------------------------------------------------------------

    def touch(self, engine: Any, how: How) -> None:
        """Make a game's phase current in this context. Hot path: runs at every look at a game.

        Args:
            engine: the engine's game.
            how: what the program does with it.
        """
        if recording.active is None:
            return
        game = self.get(id(engine))
        if game is None:  # from before the engine was patched
            game = self.games.add(engine, Origin.LOADED)
        if game.busy:
            return
        context: Any = context_api.get_current()
        scope = context.get(SCOPE_KEY)
        mark = context.get(ambient.MARK_KEY)
        phase = game.phase
        if phase is None:
            if game.refused is scope:
                return
        elif (
            mark is not None
            and mark.game is game
            and mark.phase is phase
            and engine.phase == game.long
            and not phase.ended
            and (scope is phase or (scope is not None and scope.phase is phase))
        ):
            if how is How.READ:
                mark.opened()
            elif how is How.ACT:
                mark.answered = True
            return
        self._settle(engine, game, how, context)

    def _settle(self, engine: Any, game: Followed, how: How, context: Context) -> None:
        """Follow the game where it is not yet followed, bring its phase up to date, and make it current."""
        found = context.get(SCOPE_KEY)
        scope = found if isinstance(found, Scope) else None
        mark = ambient.mark_of(context)
        engines = scope is not None and scope in self.games.made
        outside = ambient.outside_of(context, mark, scope if engines else None)
        with self.games.lock:
            seen = self._seen_as(game)
            if seen is game:
                self._bring_up_to_date(engine, game, scope, outside, how)
            game = seen
        if game.under_way:
            self._make_current(game, scope, context, outside, mark, engines=engines, acts=how is How.ACT)
        else:
            game.refused = scope
            if mark is not None and mark.game is game:
                ambient.leave(context, mark)

    def _seen_as(self, game: Followed) -> Followed:
        """Return the game that a client's view stands for, where that is followed in this process."""
        if game.origin is Origin.CLIENT and not game.under_way:
            return self.games.under_way(game.game_id) or game
        return game

    def _make_current(
        self,
        game: Followed,
        scope: Scope | None,
        context: Context,
        outside: Context,
        mark: ambient.Mark | None,
        *,
        engines: bool,
        acts: bool,
    ) -> None:
        if scope is None or engines:
            if ambient.look(mark, game, context, outside, acts=acts):
                ambient.take(game, context, outside, shown=True, acts=acts)
        elif scope.game is game.scope:
            # A scope of the program's own stands; but its game as such stands back for a phase of ours.
            ambient.take(game, context, outside, shown=game.made_phase and scope is game.scope, acts=acts)
        elif scope.game is None and scope.kind not in _BLOCKS:
            ambient.take(game, context, outside, shown=True, acts=acts)

    # --- beginning ------------------------------------------------------------------------------------

    def _follows(self, engine: Any, game: Followed, scope: Scope | None, outside: Context) -> bool:
        """Say whether the game is followed; begin to, where it is time."""
        if game.under_way and game.scope is not None and game.scope.ended:  # by the program: it was its scope
            self.games.over(game)
        theirs = None if scope is None else scope.game
        if theirs is not None and (theirs in self.games.made or theirs is game.scope):
            theirs = None
        if facts.is_over(engine) and not game.under_way:
            return False
        if theirs is not None and not (game.under_way and not game.made_scope):
            if self.games.may_join(theirs):
                if game.under_way:
                    end_unfinished(game)
                game.new_phase()
                self.games.followed(game, theirs, made=False)
            return game.under_way
        if not game.under_way and game.scope is None:
            self._begin(engine, game, outside)
        return game.under_way

    def _begin(self, engine: Any, game: Followed, outside: Context) -> None:
        other = self.games.under_way(game.game_id)
        if other is not None and other.origin is Origin.CLIENT and game.origin is Origin.NEW:
            self.games.hand_over(other, game)
            return
        if other is not None and game.origin is Origin.LOADED:
            game.origin = Origin.COPY
        if game.origin is Origin.COPY:
            return
        scope = scopes.game(
            game.game_id,
            name=GAME_NAME,
            players=tuple(engine.powers),
            attributes={names.GAME_MAP: engine.map_name, names.GAME_RULES: tuple(engine.rules)},
        )
        # Where nothing of a game is current: else a game would seem to have begun in the one before.
        token = context_api.attach(outside)
        try:
            scope.start()
        finally:
            context_api.detach(token)
        self.games.followed(game, scope, made=True)

    # --- phases ---------------------------------------------------------------------------------------

    def _bring_up_to_date(
        self, engine: Any, game: Followed, scope: Scope | None, outside: Context, how: How
    ) -> None:
        if not self._follows(engine, game, scope, outside):
            return
        phase = game.phase
        if phase is not None and (engine.phase != game.long or phase.ended):
            if game.made_phase and not phase.ended:
                phase.event(names.EVENT_POSITION_SET)
                phase.end()
            game.new_phase()
        theirs = None if scope is None else scope.phase
        if theirs is not None and theirs is not game.phase and self._is_phase_of(theirs, game):
            if game.made_phase and game.phase is not None:
                game.phase.end()
            game.new_phase()
            game.phase = theirs
            game.leads = False
            game.long = engine.phase
        if facts.is_over(engine):
            self._end(engine, game)
        elif game.phase is None and (game.leads or how is How.ACT):
            self._begin_phase(engine, game)

    def _is_phase_of(self, phase: Scope, game: Followed) -> bool:
        """Say whether a phase is the program's own, for this game."""
        return not phase.ended and phase not in self.games.made and phase.game in {game.scope, None}

    def _begin_phase(self, engine: Any, game: Followed) -> None:
        game.new_phase()
        game.long = engine.phase
        phase = scopes.phase(engine.current_short_phase, parent=game.scope).start()
        self.games.made.add(phase)
        game.phase = phase
        game.made_phase = True

    def processing(self, engine: Any, how: How) -> Followed | None:
        """Note that a game is about to be processed or drawn; None where it is not known."""
        self.touch(engine, how)
        game = self.get(id(engine))
        if game is not None:
            game.busy += 1
        return game

    def failed(self, game: Followed | None, error: BaseException) -> None:
        """Note that the engine raised while it was busy."""
        if game is not None:
            game.busy -= 1
            if game.phase is not None:
                game.phase.fail(error)

    def processed(self, engine: Any, game: Followed | None, data: Any) -> None:
        """Tell of the phase that ended, and begin the next.

        Args:
            engine: the game, after the phase.
            game: what `processing` returned.
            data: the engine's `GamePhaseData` of the phase.
        """
        if game is None:
            return
        game.busy -= 1
        if game.busy or not game.under_way or recording.active is None:
            return
        with self.games.lock:
            phase = game.phase
            if phase is not None:
                telling.phase_ended(engine, game, phase, data)
                if game.made_phase:
                    phase.end()
                    game.leads = True
                    game.new_phase()
                else:
                    game.long = engine.phase
                    game.rejected, game.credited = {}, set()
        self.touch(engine, How.ACT)

    # --- orders and messages --------------------------------------------------------------------------

    def ordering(self, engine: Any) -> Followed | None:
        """Note that a power is about to give orders."""
        self.touch(engine, How.ACT)
        game = self.get(id(engine))
        if game is None or game.busy or not game.under_way:
            return None
        game.taking = []
        return game

    def ordered(self, engine: Any, game: Followed, power_name: str, submitted: Any) -> None:
        """Tell of the orders that a power gave, and of those that the engine did not take.

        Args:
            engine: the game.
            game: what `ordering` returned.
            power_name: as the program wrote it.
            submitted: the orders, as the program gave them.
        """
        rejected, game.taking = game.taking or [], None
        telling.orders_given(engine, game, str(power_name).upper(), submitted, rejected)

    def sent(self, engine: Any, message: Any) -> None:
        """Tell of a message that was sent."""
        game = self.get(id(engine))
        if game is None or not game.under_way:  # a client's view of it tells of each message once more
            return
        telling.message_sent(game, message)

    # --- positions, and the end -----------------------------------------------------------------------

    def loaded(self, engine: Any, timestamp: object, data: Any = None) -> None:
        """Note that a position was put into a game.

        Args:
            engine: the game, with the position.
            timestamp: of the state that it came from.
            data: the `GamePhaseData` of the phase before, where a client was told of it.
        """
        game = self.get(id(engine))
        if game is None or game.busy:
            return
        if game.under_way:
            if data is not None and game.phase is not None and engine.phase != game.long:
                game.busy += 1
                self.processed(engine, game, data)
            return
        if game.origin is Origin.NEW:
            game.origin = Origin.LOADED
        if game.origin is Origin.LOADED and self.games.is_from_game_under_way(game, timestamp):
            game.origin = Origin.COPY
            drops.logger.debug(
                "a game was set to a state of a game that is under way: it is taken for a what-if"
            )

    def stopped(self, engine: Any, status: str) -> None:
        """End a game that the program ended by its status."""
        game = self.get(id(engine))
        if game is None or game.busy or not game.under_way or status not in _ENDED:
            return
        with self.games.lock:
            self._end(engine, game)
        self.touch(engine, How.GLANCE)

    def _end(self, engine: Any, game: Followed) -> None:
        if game.phase is not None and game.made_phase:
            game.phase.end()
        scope = game.scope
        if scope is not None:
            scope.set(**facts.ending(engine, drawn=game.drawn))
            if game.made_scope:
                scope.end()
        self.games.over(game)


_BLOCKS: Final = frozenset({"interaction", "tool", "reward"})
"""Kinds of scopes that stay current where the program opened them outside of any game."""
