"""Which attempt is a retry of which: so that retries show, and nothing is linked across concurrent calls.

An SDK says so in a header, or the same task sends the same body again after a failure that may pass. Only the
attempt just before is remembered, per execution context, and compared by task and thread: a task that inherits
the context of its parent does not inherit its failures.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Final

from opentelemetry.trace import Span

RETRY_COUNT_HEADER: Final = "x-stainless-retry-count"
RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429})


class Failure:
    """An attempt that failed in a way that may pass."""

    __slots__ = ("body", "count", "span", "target", "where")

    def __init__(self, span: Span, target: str, body: bytes | None, count: int) -> None:
        self.span = span
        self.target = target
        self.body = body
        self.count = count
        self.where = _here()


_last: ContextVar[Failure | None] = ContextVar("otel_llm_http_last_failure", default=None)


def attempt(target: str, body: bytes | None, said: str | None) -> tuple[int, Span | None]:
    """Say how often this request was sent before, and the span of the attempt before. Hot path.

    Args:
        target: host and path.
        body: the request's bytes.
        said: the SDK's retry header, None without one.
    """
    count = int(said) if said is not None and said.isdigit() else 0
    failure = _last.get()
    if failure is None:
        return count, None
    if failure.target != target or failure.body != body or failure.where != _here() or (said is not None and not count):
        return count, None
    return count or failure.count + 1, failure.span


def note_failure(span: Span, target: str, body: bytes | None, count: int) -> None:
    """Remember an attempt that failed in a way that may pass."""
    _last.set(Failure(span, target, body, count))


def note_success() -> None:
    """Forget the last failure. Hot path."""
    if _last.get() is not None:
        _last.set(None)


def is_retryable(status: int) -> bool:
    """Say whether the same request may succeed after this HTTP status."""
    return status >= 500 or status in RETRYABLE_STATUS


def _here() -> tuple[int, int]:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task)
