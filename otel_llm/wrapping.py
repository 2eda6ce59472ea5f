"""Functions that ask a model, wrapped: each call is an interaction, told by the names of the function's arguments.

    @otel_llm.logged_interaction("order")
    async def get_orders(client, prompt, power_name, phase, game_id=None): ...

What the model calls below are, the interaction's span shows by itself; what only the program knows of it is read from
its arguments. Nothing that goes wrong here reaches the program.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from os import PathLike
from time import time_ns
from typing import Any, Final, TypeVar, cast, overload

from otel_llm import drops, recording, scopes
from otel_llm.decorating import decorated
from otel_llm.manual.given import name_of
from otel_llm.manual.logger import process_logger
from otel_llm.manual.messages import messages_of
from otel_llm.manual.sessions import sessions
from otel_llm.scoping import Scope

F = TypeVar("F", bound=Callable[..., Any])

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("response_type", "interaction_type"),
    "game_id": ("game_id",),
    "phase": ("phase", "phase_name", "current_phase"),
    "power": ("power_name", "power", "self.power_name"),
    "model": ("model_name", "client.model_name", "model_client.model_name", "self.model_name", "model"),
    "prompt": ("prompt", "messages"),
}
"""What is read from which arguments: the first that is there. A dot goes on to an attribute, or a mapping's key."""

_NAMES: Final = ("type", "game_id", "phase", "power", "model")
_TELLING: Final = frozenset({"response", "messages", "error"})


@overload
def logged_interaction(function: F, /) -> F: ...
@overload
def logged_interaction(
    type: str | None = None,
    *,
    arguments: Mapping[str, str | tuple[str, ...]] | None = None,
    fields: tuple[str, ...] = (),
    result: Callable[[Any], Mapping[str, Any] | None] | None = None,
    **more: Any,
) -> Callable[[F], F]: ...


def logged_interaction(
    type: Any = None,  # noqa: A002 (what it is called everywhere)
    *,
    arguments: Mapping[str, str | tuple[str, ...]] | None = None,
    fields: tuple[str, ...] = (),
    result: Callable[[Any], Mapping[str, Any] | None] | None = None,
    **more: Any,
) -> Any:
    """Make each call of a function an interaction: the model calls in it are below its span.

    For functions, coroutine functions and generators of either kind. The function's result and exceptions are its
    own; an exception fails the interaction, and a call after a failed one of the same type, power and phase is a
    repeated attempt of it. Where nothing is instrumented, the function is called and no more.

    Args:
        type: `order`, `negotiation` …; default: by `arguments`, else the function's name.
        arguments: where to read `type`, `game_id`, `phase`, `power`, `model` and `prompt`, instead of `ARGUMENTS`:
            `{"power": "who", "model": "agent.llm.name"}`.
        fields: names of further arguments that are fields (`goals`, `relationships`, `active_powers` …), or the
            program's own.
        result: makes fields of what the function returned (`orders`, `success`, `messages`, `response` …). By
            default a text is the response, and nothing else is looked at.
        **more: fields that are the same for each call.

    Returns:
        The decorator; the decorated function where it is used without parentheses.
    """
    if callable(type):
        return _wrapped(type, _Reader(type, None, {}, (), None, {}))

    def decorate(function: F) -> F:
        return _wrapped(function, _Reader(function, type, arguments or {}, fields, result, more))

    return decorate


async def run_llm_and_log(
    client: Any,
    prompt: Any,
    log_file_path: Any = None,  # noqa: ARG001 (programs pass it)
    power_name: Any = None,
    phase: Any = None,
    response_type: Any = None,
    game_id: Any = None,
    *,
    model_name: Any = None,
    raise_errors: bool = False,
    **more: Any,
) -> Any:
    """Ask a client's model, as one interaction.

    Awaits `client.generate_response(prompt)`; a client whose method is no coroutine function is called in this very
    thread, and holds up the event loop as it did before. As in the programs that this function comes from, a failing
    client does not raise: the answer is empty then. But it is no silent failure: the interaction's span is failed and
    has the exception, and one line goes to the logger `otel_llm`. Cancellation is never swallowed.

    Args:
        client: has `generate_response(prompt)`, and maybe `model_name`.
        prompt: handed on as it is.
        log_file_path: not used: records go where `otel_llm` keeps them.
        power_name: who asks.
        phase: name of the phase.
        response_type: type of the interaction; default: `interaction`.
        game_id: the game; default: the current one.
        model_name: default: `client.model_name`.
        raise_errors: whether an exception of the client is raised.
        **more: fields of the interaction, as for `Scope.set`.

    Returns:
        What the client returned; an empty text where it failed.
    """
    told = {
        "type": response_type,
        "game_id": game_id,
        "phase": phase,
        "power": power_name,
        "model": model_name if model_name is not None else _follow(client, ("model_name",)),
    }
    scope = _open(told, prompt, more, "interaction")
    try:
        if scope is None:
            return await _ask(client, prompt)
        async with scope:
            answer = await _ask(client, prompt)
            _answered(scope, answer, None)
        return answer
    except Exception as error:
        if raise_errors:
            raise
        _say(told, error)
        return ""


async def _ask(client: Any, prompt: Any) -> Any:
    answer = client.generate_response(prompt)
    return await answer if inspect.isawaitable(answer) else answer


class _Reader:
    """Reads what is told of a call from its arguments."""

    def __init__(
        self,
        function: Callable[..., Any],
        type: str | None,  # noqa: A002
        arguments: Mapping[str, str | tuple[str, ...]],
        fields: tuple[str, ...],
        result: Callable[[Any], Mapping[str, Any] | None] | None,
        more: Mapping[str, Any],
    ) -> None:
        self._type = type
        self._default_type = getattr(function, "__name__", "interaction")
        paths = {
            name: (given,) if isinstance(given, str) else tuple(given) for name, given in arguments.items()
        }
        self._paths = {
            name: [tuple(path.split(".")) for path in given] for name, given in {**ARGUMENTS, **paths}.items()
        }
        self._fields = fields
        self.result = result
        self._more = more
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            self._signature = None  # some callables of C have none: only keywords are read

    def scope(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Scope | None:
        """Return the scope of one call, not started; None where nothing is recorded."""
        if recording.active is None or not process_logger.enabled:
            return None
        try:
            bound = self._bound(args, kwargs)
            told = {name: self._read(name, bound) for name in _NAMES}
            if self._type is not None:
                told["type"] = self._type
            more = {**self._more, **{name: bound.get(name) for name in self._fields}}
            return _open(told, self._read("prompt", bound), more, self._default_type)
        except Exception:
            drops.internal_error("reading a function's arguments")
            return None

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if self._signature is None:
            return dict(kwargs)
        try:
            bound = self._signature.bind_partial(*args, **kwargs)
        except TypeError:  # the function itself will say so
            return dict(kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                found |= found.pop(name, {})
        return found

    def _read(self, name: str, bound: Mapping[str, Any]) -> Any:
        for first, *rest in self._paths.get(name, ()):
            found = bound.get(first)
            if found is not None and (found := _follow(found, rest)) is not None:
                return found
        return None


def _follow(value: Any, names: tuple[str, ...] | list[str]) -> Any:
    try:
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        return value
    except Exception:  # a property of the program's own may do anything
        return None


def _open(told: Mapping[str, Any], prompt: Any, more: Mapping[str, Any], default_type: str) -> Scope | None:
    """Return an interaction of the game and phase that are told, not started; None where nothing is recorded."""
    recorder = recording.active
    if recorder is None or not process_logger.enabled:
        return None
    try:
        names = {name: _name(told.get(name)) for name in _NAMES}
        now = time_ns()
        parent = sessions.place(recorder, names["game_id"], names["phase"], now, None, {})
        scope = scopes.interaction(names["type"] or default_type, power=names["power"], parent=parent)
        scope.set(model=names["model"])
        scope.set(**more)
        scope.content(prompt=prompt)
        return scope
    except Exception:
        drops.internal_error("opening an interaction")
        return None


def _name(value: Any) -> str | None:
    """Return a name; any other object, such as a game or a client, is none."""
    return name_of(value) if isinstance(value, str | int | Enum | PathLike) else None


def _answered(scope: Scope, answer: Any, result: Callable[[Any], Mapping[str, Any] | None] | None) -> None:
    """Tell what a function returned. Never raises."""
    try:
        if result is None:
            if isinstance(answer, str):
                scope.content(response=answer)
            return
        told = result(answer)
        if not told:
            return
        scope.set(**{str(name): value for name, value in told.items() if name not in _TELLING})
        scope.content(response=told.get("response"))
        if told.get("messages") is not None:
            for sent in messages_of(told["messages"]):
                scope.message(
                    sent.content, recipients=sent.recipients, sender=sent.sender, private=sent.private
                )
        if told.get("error") is not None:
            scope.fail(told["error"])
    except Exception:
        drops.internal_error("reading a function's result")


def _say(told: Mapping[str, Any], error: Exception) -> None:
    try:
        clean = str if recording.active is None else recording.active.describer.scrub
        drops.logger.error(
            "the model call of %s (%s, phase %s) failed with %s: %s",
            *(clean(str(told[name])) for name in ("power", "type", "phase")),
            type(error).__name__,
            clean(str(error)) if recording.active is not None else "see the traceback of the client",
        )
    except Exception:
        drops.internal_error("saying that a model call failed")


# --- wrappers -------------------------------------------------------------------------------------
def _wrapped(function: F, reader: _Reader) -> F:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        wrapper: Any = _generator(function, reader)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, reader)
    else:
        wrapper = _function(function, reader)
    return cast("F", functools.wraps(function)(wrapper))


def _coroutine(function: Callable[..., Awaitable[Any]], reader: _Reader) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        scope = reader.scope(args, kwargs)
        if scope is None:
            return await function(*args, **kwargs)
        async with scope:
            answer = await function(*args, **kwargs)
            _answered(scope, answer, reader.result)
        return answer

    return call


def _function(function: Callable[..., Any], reader: _Reader) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = reader.scope(args, kwargs)
        if scope is None:
            return function(*args, **kwargs)
        scope.start()
        try:
            with scope.use():
                answer = function(*args, **kwargs)
        except BaseException as error:
            scope.end(error)
            raise
        if inspect.iscoroutine(answer):  # a function that returns a coroutine: it is not over yet
            return _awaited(answer, scope, reader)
        _answered(scope, answer, reader.result)
        scope.end()
        return answer

    return call


async def _awaited(coroutine: Awaitable[Any], scope: Scope, reader: _Reader) -> Any:
    async with scope:
        answer = await coroutine
        _answered(scope, answer, reader.result)
    return answer


def _generator(function: F, reader: _Reader) -> F:
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = reader.scope(args, kwargs)
        return (
            function(*args, **kwargs)
            if scope is None
            else decorated(lambda: scope, function)(*args, **kwargs)
        )

    return cast("F", call)
