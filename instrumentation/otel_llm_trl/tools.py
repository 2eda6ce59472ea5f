"""Tools that a trainer runs for its model: a span each, in the rollout that called it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.scopes import tool as tool_scope
from otel_llm_trl import sessions
from otel_llm_trl.guarding import Seam
from otel_llm_trl.parts import Named, around_of
from otel_llm_trl.sampling import Sampling
from otel_llm_trl.sessions import Session

LISTS: Final = ("_sync_tool_dicts", "_async_tool_dicts")
"""One mapping from name to tool a rollout."""

SINGLE: Final = ("_sync_tool_dict", "_async_tool_dict")
"""One mapping for all rollouts, in older releases."""


class Tools(Named):
    """The trainer's loop of tool calls. Its tools are wrapped meanwhile, and as they were afterwards."""

    def __init__(self, session: Session, trainer: Any, seam: Seam, rollouts: int) -> None:
        super().__init__(session, "tools")
        self._swapped: list[tuple[dict[str, Any], dict[str, Any]]] = []
        sampling = session.sampling
        if sampling is None:
            return
        try:
            opened = _Opened(session, sampling, rollouts)
            for name in LISTS:
                for index, tools in enumerate(getattr(trainer, name, None) or ()):
                    self._wrap(tools, seam, functools.partial(opened.rollout, index))
            for name in SINGLE:
                self._wrap(getattr(trainer, name, None), seam, None)
        except BaseException:
            self._put_back()
            super().done(None)
            raise

    def _wrap(self, tools: Any, seam: Seam, rollout: Callable[[], Any] | None) -> None:
        if not isinstance(tools, dict) or any(tools is known for known, _ in self._swapped):
            return
        self._swapped.append((tools, dict(tools)))
        for name, function in list(tools.items()):
            tools[name] = _recorded(function, str(name), seam, rollout)

    def _put_back(self) -> None:
        for tools, before in self._swapped:
            for name, function in before.items():
                tools[name] = function
        self._swapped = []

    def done(self, result: Any) -> None:
        """Put the tools back."""
        try:
            self._put_back()
        finally:
            super().done(result)

    def failed(self, error: BaseException) -> None:
        """Put the tools back."""
        try:
            self._put_back()
        finally:
            super().failed(error)


class _Opened:
    """Rollouts that call tools: each is a trace of its own, from its first call on."""

    def __init__(self, session: Session, sampling: Sampling, size: int) -> None:
        self._around = around_of(session)
        self._sampling = sampling
        self._names = sampling.names(size)

    def rollout(self, index: int) -> Any:
        sampling = self._sampling
        scope = sampling.opened.get(index)
        if scope is None and index < len(self._names):
            from otel_llm.training.batches import open_rollout

            name, group, at = self._names[index]
            scope = open_rollout(
                self._around,
                {sc.SAMPLE_ID: name, sc.SAMPLE_GROUP: group},
                {sc.SAMPLE_INDEX: at},
                at_ns=sampling.generating_ns,
            )
            sampling.opened[index] = scope
        return scope


def _recorded(
    function: Callable[..., Any], name: str, seam: Seam, rollout: Callable[[], Any] | None
) -> Callable[..., Any]:
    def opened(arguments: Mapping[str, Any]) -> Any:
        """Return the tool's scope, started; None where ours fails."""
        if not seam.works:
            return None
        try:
            parent = None if rollout is None else rollout()
            return tool_scope(name, parent=parent, arguments=dict(arguments)).start()
        except Exception:
            seam.broke()
            return None

    def closed(scope: Any, result: Any, error: BaseException | None) -> None:
        if scope is None:
            return
        try:
            if error is None:
                scope.set(result=result if isinstance(result, str) else repr(result)[:_MAX_RESULT])
            scope.end(error)
        except Exception:
            seam.broke()

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            scope = opened(kwargs)
            if scope is None:
                return await function(*args, **kwargs)
            try:
                with scope.use():
                    result = await function(*args, **kwargs)
            except BaseException as error:
                closed(scope, None, error)
                raise
            closed(scope, result, None)
            return result

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = opened(kwargs)
        if scope is None:
            return function(*args, **kwargs)
        try:
            with scope.use():
                result = function(*args, **kwargs)
        except BaseException as error:
            closed(scope, None, error)
            raise
        closed(scope, result, None)
        return result

    return call


_MAX_RESULT: Final = 100_000


def tools_of(seam: Seam) -> Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Tools | None]:
    """Return our half of the loop of tool calls."""

    def tools(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tools | None:
        session = sessions.of(trainer)
        if session is None or session.sampling is None or "tools" in session.going:
            return None
        prompts = args[0] if args else kwargs.get("prompts")
        return Tools(session, trainer, seam, len(prompts) if prompts is not None else 0)

    return tools
