"""The wrappers around the engine's methods. Whatever fails in ours is counted, and the engine's own goes on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import get_ident
from typing import Any, Final

from otel_llm import drops
from otel_llm_diplomacy._seams import Seams
from otel_llm_diplomacy.games import Followed, Games
from otel_llm_diplomacy.playing import How, Player

Method = Callable[..., Any]

GLANCES: Final = ("get_current_phase", "is_game_done", "current_state")
READS: Final = (
    "get_all_possible_orders",
    "get_centers",
    "get_orderable_locations",
    "get_phase_data",
    "get_units",
    "render",
)
ACTS: Final = ("clear_orders", "set_wait")


def patch(seams: Seams, module: Any, games: Games) -> None:
    """Wrap the engine's methods.

    Args:
        seams: replaces them, and can put them back.
        module: the engine's module.
        games: what is known of its games.
    """
    player = Player(games)
    owner = module.Game
    for name in GLANCES:
        seams.replace(owner, name, functools.partial(_glancing, player))
    for how, members in ((How.READ, READS), (How.ACT, ACTS)):
        for name in members:
            seams.replace(owner, name, functools.partial(_touching, player, how))
    for name, wrap in (
        ("__init__", _init),
        ("__deepcopy__", _deepcopy),
        ("get_state", _get_state),
        ("set_state", _set_state),
        ("set_phase_data", _set_phase_data),
        ("set_status", _set_status),
        ("set_orders", _set_orders),
        ("_add_order", _add_order),
        ("add_message", _add_message),
        ("process", _process),
        ("draw", _draw),
    ):
        seams.replace(owner, name, functools.partial(wrap, player))
    seams.replace(owner, "__del__", functools.partial(_del, games), may_lack=True)


def _glancing(player: Player, original: Method) -> Method:
    """Wrap a method without arguments, or a property's getter, that the engine itself uses a lot."""
    touch, get, giving = player.touch, player.get, player.games.ordering

    @functools.wraps(original)
    def method(self: Any) -> Any:
        try:
            game = get(id(self))
            if game is None or not (game.busy or (giving and giving.get(get_ident()) is game)):
                touch(self, How.GLANCE)
        except Exception:
            drops.internal_error("looking at a game")
        return original(self)

    return method


def _touching(player: Player, how: How, original: Method) -> Method:
    touch, get, giving = player.touch, player.get, player.games.ordering

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            game = get(id(self))
            if game is None or not (game.busy or (giving and giving.get(get_ident()) is game)):
                touch(self, how)
        except Exception:
            drops.internal_error("looking at a game")
        return original(self, *args, **kwargs)

    return method


def _init(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (the name that tracebacks show)
        loaded = bool(kwargs.get("powers"))
        original(self, *args, **kwargs)
        try:
            player.created(self, loaded=loaded)
        except Exception:
            drops.internal_error("noting a game")

    return __init__


def _deepcopy(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def __deepcopy__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        copied = original(self, *args, **kwargs)
        try:
            player.copied(self, copied)
        except Exception:
            drops.internal_error("noting a copy")
        return copied

    return __deepcopy__


def _del(games: Games, original: Method | None) -> Method:
    forget = games.forget

    def __del__(self: Any) -> None:  # noqa: N807
        try:
            forget(id(self))
        except Exception:
            drops.internal_error("forgetting a game")
        if original is not None:
            original(self)

    games.destructor = __del__
    return __del__


def _get_state(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def get_state(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            player.touch(self, How.READ)
        except Exception:
            drops.internal_error("looking at a game")
        state = original(self, *args, **kwargs)
        try:
            game = player.get(id(self))
            if game is not None:
                player.games.handed_out(game, state["timestamp"])
        except Exception:
            drops.internal_error("remembering a state")
        return state

    return get_state


def _set_state(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def set_state(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        result = _quietly_busy(player, original, self, state, *args, **kwargs)
        try:
            player.loaded(self, state.get("timestamp"))
        except Exception:
            drops.internal_error("loading a state")
        return result

    return set_state


def _set_phase_data(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def set_phase_data(self: Any, phase_data: Any, *args: Any, **kwargs: Any) -> Any:
        result = _quietly_busy(player, original, self, phase_data, *args, **kwargs)
        try:
            several = phase_data if isinstance(phase_data, list) else [phase_data]
            if several and several[-1]:
                before = several[-2] if len(several) > 1 else None
                player.loaded(self, several[-1].state.get("timestamp"), before)
        except Exception:
            drops.internal_error("loading a game")
        return result

    return set_phase_data


def _quietly_busy(player: Player, original: Method, engine: Any, *args: Any, **kwargs: Any) -> Any:
    """Call `original` so that what it calls in turn does not count as looking or acting."""
    game = player.get(id(engine))
    if game is None:
        return original(engine, *args, **kwargs)
    game.busy += 1
    try:
        return original(engine, *args, **kwargs)
    finally:
        game.busy -= 1


def _set_status(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def set_status(self: Any, status: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, status, *args, **kwargs)
        try:
            player.stopped(self, status)
        except Exception:
            drops.internal_error("ending a game")
        return result

    return set_status


def _set_orders(player: Player, original: Method) -> Method:
    giving = player.games.ordering

    @functools.wraps(original)
    def set_orders(self: Any, power_name: Any, orders: Any, *args: Any, **kwargs: Any) -> Any:
        game: Followed | None = None
        try:
            game = player.ordering(self)
        except Exception:
            drops.internal_error("noting orders")
        if game is None:
            return original(self, power_name, orders, *args, **kwargs)
        thread = get_ident()
        giving[thread] = game
        try:
            return original(self, power_name, orders, *args, **kwargs)
        finally:  # also where the engine raised: some of the orders may have been taken
            giving.pop(thread, None)
            try:
                player.ordered(self, game, power_name, orders)
            except Exception:
                drops.internal_error("noting orders")

    return set_orders


def _add_order(player: Player, original: Method) -> Method:
    get = player.get

    @functools.wraps(original)
    def add_order(self: Any, power: Any, word: Any, *args: Any, **kwargs: Any) -> Any:
        game = get(id(self))
        taking = None if game is None else game.taking
        if taking is None:
            return original(self, power, word, *args, **kwargs)
        errors = len(getattr(self, "error", ()))
        try:
            result = original(self, power, word, *args, **kwargs)
        except Exception:  # words that make no sense at all
            _not_taken(taking, word)
            raise
        try:
            # A unit's name alone is dropped without a word.
            if len(self.error) > errors or (len(word) == 2 and word[0] in {"A", "F"}):  # noqa: PLR2004
                _not_taken(taking, word)
        except Exception:
            drops.internal_error("noting an order")
        return result

    return add_order


def _not_taken(taking: list[str], word: Any) -> None:
    try:
        taking.append(" ".join(map(str, word)))
    except Exception:
        drops.internal_error("noting an order")


def _add_message(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def add_message(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            player.touch(self, How.ACT)
        except Exception:
            drops.internal_error("looking at a game")
        result = original(self, message, *args, **kwargs)
        try:
            player.sent(self, message)
        except Exception:
            drops.internal_error("noting a message")
        return result

    return add_message


def _process(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def process(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _around(player, original, self, How.ACT, args, kwargs)

    return process


def _draw(player: Player, original: Method) -> Method:
    @functools.wraps(original)
    def draw(self: Any, *args: Any, **kwargs: Any) -> Any:
        game = player.get(id(self))
        if game is not None:
            game.drawn = True
        return _around(player, original, self, How.GLANCE, args, kwargs)

    return draw


def _around(
    player: Player, original: Method, engine: Any, how: How, args: Any, kwargs: dict[str, Any]
) -> Any:
    """Process or draw a game, and tell of the phase that ends with it."""
    game: Followed | None = None
    try:
        game = player.processing(engine, how)
    except Exception:
        drops.internal_error("before a phase is processed")
    try:
        result = original(engine, *args, **kwargs)
    except BaseException as error:
        try:
            player.failed(game, error)
        except Exception:
            drops.internal_error("a phase that failed")
        raise
    try:
        # A draw returns the phase before and the one after.
        player.processed(engine, game, result[0] if isinstance(result, tuple) else result)
    except Exception:
        drops.internal_error("after a phase was processed")
    return result
