"""Games, phases, interactions, turns, tools, rewards: the names that programs use. The mechanism is in `scoping`.

Those of training are in `otel_llm.training.loops`.

with otel_llm.game("game-7", players={"FRANCE": "gpt-5", "GERMANY": "claude-sonnet-4-5"}):
    with otel_llm.phase("S1901M"):
        with otel_llm.interaction("order", power="FRANCE", centers=3) as turn:
            answer = client.chat.completions.create(...)   # a span below it, by itself
            turn.set(orders=parsed.orders, invalid_orders=parsed.invalid)

Each is a `with` block, an `async with` block, or a decorator. What is given to an outer one is on all spans below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_llm import drops, fields
from otel_llm import semconv as sc
from otel_llm.ids import SystemIdGenerator
from otel_llm.llm import AttributeValue
from otel_llm.phases import parse_phase
from otel_llm.scoping import Kind, Scope, current_scope
from otel_llm.secret_kinds import scrub_secrets
from otel_llm.training.rewards import RewardScope

__all__ = [
    "current_scope",
    "game",
    "interaction",
    "phase",
    "reward",
    "tool",
    "turn",
]

_TRAINING: Final = frozenset({"training_run", "step", "evaluation", "rollout", "turn"})

TURN: Final = Kind("turn", under=_TRAINING)
GAME: Final = Kind("game", root=True, under=_TRAINING)
PHASE: Final = Kind("phase", root=True, under=_TRAINING | {"game"})
INTERACTION: Final = Kind("interaction")
TOOL: Final = Kind("tool")
REWARD: Final = Kind("reward")

_ids = SystemIdGenerator()


def game(
    game_id: object = None,
    *,
    name: str | None = None,
    players: object = None,
    training: bool | None = None,
    episode: int | None = None,
    step: int | None = None,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> Scope:
    """Play a game: the span `invoke_workflow {name}`, in a trace of its own, for as long as it lasts.

    At its end it carries the game's totals, `game.totals.*`, of what this process saw.

    Args:
        game_id: what the game is called in every view; any text, a path too. Default: a new id. Secrets in it are
            taken out.
        name: the kind of game, such as `diplomacy`.
        players: names of the powers, or a mapping from power to model.
        training: whether it is played to train on.
        episode: number of the training episode.
        step: number of the training step.
        parent: a scope that it belongs to; default: the current one.
        attributes: more attributes, under exactly these names.
        **more: fields, as for `Scope.set`, and the program's own.

    Returns:
        The scope; it starts when it is entered, or by `start()`.
    """
    told: dict[str, Any] = {
        "name": name,
        "training": training if training is not None or episode is None else True,
        "episode": episode,
        "step": step,
    }
    handed: dict[str, AttributeValue] = {
        sc.GAME_ID: fields.text_of(game_id) if game_id is not None else f"game-{_ids.generate_span_id():016x}"
    }
    unusable: list[str] = []
    fields.take(told, handed, unusable)
    own: dict[str, AttributeValue] = {sc.OPERATION_NAME: sc.INVOKE_WORKFLOW}
    fields.take({"players": players}, own, unusable)  # at its start, since a game is long
    return _scope(
        GAME,
        f"{sc.INVOKE_WORKFLOW} {fields.text_of(name)[: fields.MAX_KEY] if name is not None else 'game'}",
        handed,
        own,
        parent,
        attributes,
        more,
        unusable,
    )


def phase(
    name: object,
    *,
    parent: Scope | None = None,
    centers: object = None,
    units: object = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> Scope:
    """Play a phase: the span `phase {name}`, a trace of its own that links its game and the phase before.

    Args:
        name: `S1901M`, `FALL 1901 RETREATS`, `FORMING`, `COMPLETED`, or whatever the game or the training loop
            calls it; year, season and type become attributes where the name tells them.
        parent: the game; default: the current one.
        centers: supply centres by power: numbers, or lists of names, which are counted.
        units: units by power, likewise.
        attributes: more attributes, under exactly these names.
        **more: fields, as for `Scope.set`, and the program's own.

    Returns:
        The scope; it starts when it is entered, or by `start()`.
    """
    found = parse_phase(name)
    handed: dict[str, AttributeValue] = {sc.PHASE_NAME: found.name, sc.PHASE_TYPE: found.type}
    if found.year is not None and found.season is not None:
        handed[sc.PHASE_YEAR] = found.year
        handed[sc.PHASE_SEASON] = found.season
    return _scope(
        PHASE,
        f"phase {found.name}",
        handed,
        {},
        parent,
        attributes,
        {"centers": centers, "units": units, **more},
        prepare=_check_order,
    )


def interaction(
    type: object,  # noqa: A002 (what it is called everywhere)
    *,
    power: object = None,
    model: object = None,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> Scope:
    """Let one power do one thing with a model: the span `invoke_agent {power}`.

    It fails when its block raises, when it is told so (`success=False`, `fail(error)`), and when its last model
    call failed and nothing else was told. The same type for the same power in the same phase once more, after a
    failure, is a repeated attempt: it is numbered, and linked to the one before. (So is the next round of a
    negotiation after one that failed: give rounds types of their own where that matters.)

    Args:
        type: `order`, `negotiation`, `plan`, `negotiation_diary`, `order_diary`, `phase_result_diary`,
            `initialization`, `state_update`, `diary_consolidation`, or any word of the program's own.
        power: who acts.
        model: the model that acts for it; calls below tell theirs themselves.
        parent: the scope that it belongs to; default: the current one.
        attributes: more attributes, under exactly these names.
        **more: fields, as for `Scope.set` (`centers`, `units`, `orders`, `goals`, `relationships` …), and the
            program's own.

    Returns:
        The scope; it starts when it is entered, or by `start()`.
    """
    kind = fields.text_of(type)[: fields.MAX_KEY] or "interaction"
    handed: dict[str, AttributeValue] = {sc.INTERACTION_TYPE: kind}
    own: dict[str, AttributeValue] = {sc.OPERATION_NAME: sc.INVOKE_AGENT}
    who = kind
    if power is not None:
        who = fields.text_of(power)[: fields.MAX_KEY]
        handed[sc.POWER_NAME] = own[sc.AGENT_NAME] = who
    return _scope(
        INTERACTION,
        f"{sc.INVOKE_AGENT} {who}",
        handed,
        own,
        parent,
        attributes,
        more if model is None else {"model": model, **more},
        prepare=_check_place,
    )


def turn(
    number: int, *, parent: Scope | None = None, attributes: Mapping[str, Any] | None = None, **more: Any
) -> Scope:
    """Take one turn of a rollout of several.

    Args:
        number: the turn, from 0.
        parent: the rollout; default: the current one.
        attributes: more attributes, under exactly these names.
        **more: the program's own fields.
    """
    handed, unusable = _numbered(sc.SAMPLE_TURN, "turn", number)
    return _scope(TURN, "turn", handed, {}, parent, attributes, more, unusable)


def tool(
    name: object,
    *,
    call_id: object = None,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> Scope:
    """Run a tool for a model: the span `execute_tool {name}`.

    Args:
        name: the tool's name.
        call_id: the id that the model gave the call.
        parent: default: the current scope.
        attributes: more attributes, under exactly these names.
        **more: `arguments`, `result`, and the program's own fields.
    """
    called = fields.text_of(name)[: fields.MAX_KEY]
    own: dict[str, AttributeValue] = {sc.OPERATION_NAME: sc.EXECUTE_TOOL, sc.TOOL_NAME: called}
    if call_id is not None:
        own[sc.TOOL_CALL_ID] = fields.text_of(call_id)
    return _scope(TOOL, f"{sc.EXECUTE_TOOL} {called}", {}, own, parent, attributes, more)


def reward(
    name: object, *, parent: Scope | None = None, attributes: Mapping[str, Any] | None = None, **more: Any
) -> Scope:
    """Score something: the span `reward {name}`; the score is also that of the rollout around it.

    As a decorator, a number that the function returns is the score.

    Args:
        name: the reward component.
        parent: default: the current scope.
        attributes: more attributes, under exactly these names.
        **more: `score`, `explanation`, and the program's own fields.
    """
    called = fields.text_of(name)[: fields.MAX_KEY]
    own: dict[str, AttributeValue] = {sc.EVALUATION_NAME: called}
    return _scope(REWARD, f"reward {called}", {}, own, parent, attributes, more, of=RewardScope)


def _numbered(key: str, name: str, number: object) -> tuple[dict[str, AttributeValue], list[str]]:
    try:
        return {key: fields.whole(number)}, []
    except Exception:
        return {}, [name]


def _scope(
    kind: Kind,
    name: str,
    handed: dict[str, AttributeValue],
    own: dict[str, AttributeValue],
    parent: Scope | None,
    attributes: Mapping[str, Any] | None,
    more: dict[str, Any],
    unusable: list[str] | None = None,
    prepare: Any = None,
    of: type[Scope] = Scope,
) -> Scope:
    made = of(
        kind,
        name,
        handed,
        own,
        parent if isinstance(parent, Scope) else None,
        attributes,
        more,
        prepare,
    )
    if unusable:
        made.not_usable(unusable)
    return made


def _check_order(scope: Scope) -> None:
    """Note a phase that comes after a later one of the same game."""
    game = scope.game
    before = None if game is None else game.last_phase
    if before is None:
        return
    now = parse_phase(scope.inherited.get(sc.PHASE_NAME)).order
    then = parse_phase(before.inherited.get(sc.PHASE_NAME)).order
    if now is not None and then is not None and now < then:
        scope.attributes[sc.PHASE_OUT_OF_ORDER] = True
        drops.warn_once(
            "phase-order",
            "phase %s comes after %s in the same game; both are recorded",
            scrub_secrets(str(scope.inherited.get(sc.PHASE_NAME))),
            before.inherited.get(sc.PHASE_NAME),
        )


def _check_place(scope: Scope) -> None:
    """Note an interaction outside any game, and a power that the game does not know."""
    game = scope.game
    if game is None:
        if scope.parent is None:
            drops.warn_once("no-game", "an interaction is outside any game; it is recorded all the same")
        return
    players = game.attributes.get(sc.GAME_PLAYERS) or game.own.get(sc.GAME_PLAYERS)
    power = scope.inherited.get(sc.POWER_NAME)
    if isinstance(players, tuple) and players and power is not None and power not in players:
        scope.attributes[sc.POWER_UNKNOWN] = True
        drops.warn_once(
            "power", "the power %r is none of the game's players; it is recorded", scrub_secrets(str(power))
        )
