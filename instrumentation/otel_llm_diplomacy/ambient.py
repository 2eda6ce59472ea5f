"""Which game a context (a task, a thread) has in its hands, so that model calls made there fall under its phase.

Programs that know nothing of tracing name no game when they call a model, but before they call one for a game
they look at that game. So: the game that a context looked at or acted on last is its game, and what it starts
(tasks, threads, executor jobs) inherits it. Where a context looked at several games, one after the other, and
neither called a model nor acted in between, nobody can tell which of them its next call is for: then it has none,
until it acts on one or starts to look at them once more. Making a game is not looking at it.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context

from otel_llm.context import SCOPE_KEY

if TYPE_CHECKING:
    from otel_llm.scoping import Scope
    from otel_llm_diplomacy.games import Followed

MARK_KEY: Final = context_api.create_key("otel_llm_diplomacy-mark")
"""Where a context's `Mark` is. In OpenTelemetry's context, because that is what travels into threads."""


class Mark:
    """What a context has in its hands.

    Attributes:
        game: the game; None where there are several, or none any more.
        phase: the game's phase that is current with it.
        owner: the task or thread that looked; others inherit.
        outside: the context from before any game.
        answered: whether nothing is open about the game: it was acted on, or a new game was made since.
        below: what had begun below the phase when it was looked at last.
        asked: games looked at since, in order, where there are several.
    """

    __slots__ = ("answered", "asked", "below", "game", "outside", "owner", "phase")

    def __init__(self, game: Followed | None, owner: object, outside: Context) -> None:
        self.game = game
        self.phase: Scope | None = None if game is None else game.phase
        self.owner = owner
        self.outside = outside
        self.answered = False
        self.below = 0 if self.phase is None else self.phase.below
        self.asked: dict[Followed, None] = {}

    def opened(self) -> None:
        """Note that its game is looked at: something may follow from that."""
        self.answered = False
        if self.phase is not None:
            self.below = self.phase.below

    @property
    def is_open(self) -> bool:
        """Whether a model call for its game may still be to come."""
        if self.answered or self.game is None or self.game.is_over:
            return False
        return self.phase is None or self.phase.below == self.below


def mark_of(context: Context) -> Mark | None:
    """Return a context's mark; None where it has never had a game in its hands."""
    found = context.get(MARK_KEY)
    return found if isinstance(found, Mark) else None


def here() -> object:
    """Return something equal for two moments in the same thread and asyncio task, and for no others."""
    task: object = None
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            task = None
    return threading.get_ident(), id(task)


def outside_of(context: Context, mark: Mark | None, ours: Scope | None) -> Context:
    """Return the context from before any game.

    Args:
        context: the current one.
        mark: its mark.
        ours: the scope that is current in it, where this package made that.
    """
    if mark is None or ours is None:
        return context
    if trace_api.get_current_span(context) is ours.span:
        return mark.outside
    # The program has opened a span of its own since: what follows belongs there.
    return Context({key: value for key, value in context.items() if key not in {SCOPE_KEY, MARK_KEY}})


def look(mark: Mark | None, game: Followed, context: Context, outside: Context, *, acts: bool) -> bool:
    """Decide whether looking at `game` makes it this context's game; note what is open where it does not.

    Args:
        mark: the context's mark; of another game.
        game: what is looked at or acted on.
        context: the current one.
        outside: the context from before any game.
        acts: whether it is acted on.

    Returns:
        True where it becomes the context's game. Where it is False, none is.
    """
    owner = here()
    if mark is None or acts or mark.owner != owner:
        return True
    if mark.game is not None:
        if mark.game is game or not mark.is_open:
            return True
        several = Mark(None, owner, outside)
        several.asked = {mark.game: None, game: None}
        attach(_without_scope(context, outside, several))
        return False
    if not mark.asked:
        return True
    if next(reversed(mark.asked)) is game:  # still looking at the same one
        return False
    if game in mark.asked:  # a second round
        return True
    mark.asked[game] = None
    return False


def take(game: Followed, context: Context, outside: Context, *, shown: bool, acts: bool) -> None:
    """Make `game` this context's game.

    Args:
        game: it has a phase, unless the program's own scope stands for it.
        context: the current one.
        outside: the context from before any game.
        shown: whether its phase is to be the current scope; not where the program's own scope is.
        acts: whether it is acted on.
    """
    mark = Mark(game, here(), outside)
    mark.answered = acts
    phase = game.phase
    if not shown or phase is None:
        attach(Context({**context, MARK_KEY: mark}))
        return
    within = Context({**context, MARK_KEY: mark, SCOPE_KEY: phase})
    attach(trace_api.set_span_in_context(phase.span, within))


def leave(context: Context, mark: Mark) -> None:
    """Put back what was current before any game: this one is over."""
    attach(_without_scope(context, mark.outside, Mark(None, here(), mark.outside)))


def _without_scope(context: Context, outside: Context, mark: Mark) -> Context:
    kept: dict[str, Any] = {key: value for key, value in context.items() if key != SCOPE_KEY}
    if SCOPE_KEY in outside:
        kept[SCOPE_KEY] = outside[SCOPE_KEY]
    kept[MARK_KEY] = mark
    span = trace_api.get_current_span(outside)
    return trace_api.set_span_in_context(span, Context(kept))


def attach(context: Context) -> None:
    """Make a context current for the rest of this task or thread: an engine has no block to end it after."""
    context_api.attach(context)
