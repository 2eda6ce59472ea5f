"""Which attempt is a retry of which: so that retries show, and nothing is linked across concurrent calls.

An SDK says so in a header, or the same task sends the same body again after a failure that may pass. Only the
attempt just before is remembered, per execution context, and compared by task and thread: a task that inherits
the context of its parent does not inherit its failures.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Span, get_current_span

if TYPE_CHECKING:
    from otel_llm_http.capture import RequestHeaders

RETRY_COUNT_HEADER: Final = "x-stainless-retry-count"
_SERVER_ERRORS: Final = 500
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

    def in_this_trace(self) -> bool:
        """Say whether a call made now would be in its trace, or both were made outside of any."""
        parent = getattr(self.span, "parent", None)
        now = get_current_span().get_span_context()
        return now.trace_id == parent.trace_id if parent is not None else not now.is_valid


_last: ContextVar[Failure | None] = ContextVar("otel_llm_http_last_failure", default=None)


def attempt(target: str, body: bytes | None, headers: RequestHeaders) -> tuple[int, Span | None]:
    """Say how often this request was sent before, and the span of the attempt before. Hot path.

    Args:
        target: host and path.
        body: the request's bytes.
        headers: the request's; an SDK's own count of attempts is in them, looked at only after a failure.
    """
    failure = _last.get()
    if failure is None or failure.target != target or failure.body != body or failure.where != _here():
        return 0, None
    if not failure.in_this_trace():
        return 0, None
    said = headers.get(RETRY_COUNT_HEADER)
    if said is None:
        return failure.count + 1, failure.span
    count = int(said) if said.isdigit() else 0
    return (count, failure.span) if count else (0, None)


def note_failure(span: Span, target: str, body: bytes | None, count: int) -> None:
    """Remember an attempt that failed in a way that may pass."""
    _last.set(Failure(span, target, body, count))


def note_success() -> None:
    """Forget the last failure. Hot path."""
    if _last.get() is not None:
        _last.set(None)


def is_retryable(status: int) -> bool:
    """Say whether the same request may succeed after this HTTP status."""
    return status >= _SERVER_ERRORS or status in RETRYABLE_STATUS


def _here() -> tuple[int, int]:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task)
