"""How a trace crosses boundaries: other hosts, threads and executors.

Only the OpenTelemetry context travels into threads: copying all of a program's context variables would change
the program. `loop.run_in_executor` submits to an executor and is covered by it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry import propagate

from otel_llm import drops

SCOPE_KEY: Final = context_api.create_key("otel_llm-scope")
"""Where the current scope is in a context."""

_SERVING: Final = ("otel_llm", "Otel")
"""Names of our and OpenTelemetry's own threads."""


class ThreadContext:
    """Carries the current context into threads and executors. `remove` puts everything back."""

    def __init__(self) -> None:
        self._replaced: list[tuple[type, str, Any, Any]] = []

    def install(self) -> None:
        """Patch `Thread.start` and `ThreadPoolExecutor.submit`, once."""
        if not self._replaced:
            self._replace(threading.Thread, "start", _start)
            self._replace(ThreadPoolExecutor, "submit", _submit)

    def _replace(self, owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        replacement = wrap(original)
        setattr(owner, name, replacement)
        self._replaced.append((owner, name, original, replacement))

    def remove(self) -> None:
        """Undo `install`; what others have wrapped since stays as it is."""
        for owner, name, original, replacement in self._replaced:
            if owner.__dict__.get(name) is replacement:
                setattr(owner, name, original)
        self._replaced.clear()


def _start(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        try:
            current = context_api.get_current()
            if current and not _serves_many(self):
                _carry(self, current)
        except Exception:
            drops.internal_error("carrying the context into a thread")
        original(self)

    return start


def _serves_many(thread: threading.Thread) -> bool:
    """Say whether the context of whoever happens to start `thread` would stay with it for others.

    What an executor runs carries the context of whoever submitted it instead.
    """
    target = getattr(thread, "_target", None)
    return (
        thread.name.startswith(_SERVING)
        or getattr(target, "__module__", None) == ThreadPoolExecutor.__module__
    )


def _carry(thread: threading.Thread, current: context_api.Context) -> None:
    """Let `thread.run` begin in `current`. On the instance: a subclass may have a `run` of its own."""
    before = thread.__dict__.get("run")
    run = thread.run

    def carried() -> None:
        if before is None:
            del thread.__dict__["run"]
        else:
            thread.__dict__["run"] = before
        _within(current, run)

    thread.__dict__["run"] = carried


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        current = context_api.get_current()
        if not current:
            return original(self, fn, *args, **kwargs)
        return original(self, _within, current, fn, *args, **kwargs)

    return submit


def _within(current: context_api.Context, do: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = context_api.attach(current)
    try:
        return do(*args, **kwargs)
    finally:
        context_api.detach(token)


def unseen(hook: Callable[[str], str] | None) -> Callable[[str], str] | None:
    """Return the program's redaction so that a model it asks is not recorded: that text would have to be redacted too."""
    if hook is None:
        return None

    def redact(text: str) -> str:
        token = context_api.attach(context_api.set_value(context_api._SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            return hook(text)
        finally:
            context_api.detach(token)

    return redact


def carrier() -> dict[str, str]:
    """Return the headers that continue the current trace elsewhere, by the program's own propagators.

    What the current scope hands down goes along as baggage: for near hosts only, as the caller sees to.
    """
    headers: dict[str, str] = {}
    current = context_api.get_current()
    scope = current.get(SCOPE_KEY)
    if scope is not None:
        current = scope.carried(current)  # type: ignore[attr-defined]
    propagate.inject(headers, current)
    return headers
