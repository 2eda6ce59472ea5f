"""Scopes as decorators: of functions, coroutine functions, generators and asynchronous generators."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from otel_llm.scoping import Scope

F = TypeVar("F", bound=Callable[..., Any])


def decorated(fresh: Callable[[], Scope], function: F) -> F:
    """Return `function`, each call of which runs in a scope of its own.

    A generator is within its scope while it runs, not while whoever iterates does.

    Args:
        fresh: makes the scope of a call.
        function: any callable.
    """
    if inspect.isasyncgenfunction(function):
        wrapper: Any = _async_generator(fresh, function)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(fresh, function)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(fresh, function)
    else:
        wrapper = _function(fresh, function)
    return cast("F", functools.wraps(function)(wrapper))


def _function(fresh: Callable[[], Scope], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with fresh() as scope:
            result = function(*args, **kwargs)
            scope.returned(result)
            return result

    return call


def _coroutine(fresh: Callable[[], Scope], function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with fresh() as scope:
            result = await function(*args, **kwargs)
            scope.returned(result)
            return result

    return call


def _generator(fresh: Callable[[], Scope], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = fresh().start()
        generator = function(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(next, generator)
        try:
            while True:
                try:
                    with scope.use():
                        item = step()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                    step = functools.partial(generator.send, sent)
                except GeneratorExit:
                    with scope.use():
                        generator.close()
                    raise
                except BaseException as error:  # thrown in: the generator may handle it
                    step = functools.partial(generator.throw, error)
        except GeneratorExit:
            raise
        except BaseException as error:
            scope.fail(error)
            raise
        finally:
            scope.end()

    return call


def _async_generator(fresh: Callable[[], Scope], function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        scope = fresh().start()
        generator = function(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(anext, generator)
        try:
            while True:
                try:
                    with scope.use():
                        item = await step()
                except StopAsyncIteration:
                    return
                try:
                    sent = yield item
                    step = functools.partial(generator.asend, sent)
                except GeneratorExit:
                    with scope.use():
                        await generator.aclose()
                    raise
                except BaseException as error:  # thrown in: the generator may handle it
                    step = functools.partial(generator.athrow, error)
        except GeneratorExit:
            raise
        except BaseException as error:
            scope.fail(error)
            raise
        finally:
            scope.end()

    return call
