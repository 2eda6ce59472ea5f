"""One HTTP exchange as one model call: what all clients share, sync and async alike.

A client's hook calls `begin` before it sends, `Exchange.responded` or `Exchange.failed` after, and lets the
program see exactly what it would have seen. Nothing here raises into a hook: `begin` returns None instead.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api

from otel_llm import calls, drops
from otel_llm import semconv as sc
from otel_llm.calls import CallRecord, Recorder
from otel_llm.context import carrier
from otel_llm.errors import error_of
from otel_llm.llm import RETRYABLE
from otel_llm.providers import suppressed
from otel_llm_http import retries
from otel_llm_http.dialects import recognise

_COVERED_OPERATIONS: Final = sc.INFERENCE_OPERATIONS | {sc.EMBEDDINGS, sc.FETCH_RESPONSE}


class Exchange:
    """A call under way: its record, and what must be undone once the client has sent it."""

    __slots__ = ("_added", "_body", "_count", "_headers", "_target", "_token", "record")

    def __init__(
        self, record: CallRecord, target: str, body: bytes | None, count: int, headers: MutableMapping[str, str] | None
    ) -> None:
        self.record = record
        self._target = target
        self._body = body
        self._count = count
        self._headers = headers
        self._added: tuple[str, ...] = ()
        self._token: Any = None

    def enter(self) -> None:
        """Make the span current, and let the trace go on at a near host. Before the client sends."""
        self._token = context_api.attach(trace_api.set_span_in_context(self.record.span))
        headers = self._headers
        if headers is not None:
            added = []
            for name, value in carrier().items():
                if name not in headers:
                    headers[name] = value
                    added.append(name)
            self._added = tuple(added)

    def leave(self) -> None:
        """Undo `enter`. After the client has sent, whatever became of it."""
        if self._token is not None:
            context_api.detach(self._token)
            self._token = None
        if self._added and self._headers is not None:
            for name in self._added:
                self._headers.pop(name, None)
            self._added = ()

    def responded(self, status: int, headers: Any) -> None:
        """Note the response's status and headers."""
        self.record.responded(status, headers)
        if retries.is_retryable(status):
            retries.note_failure(self.record.span, self._target, self._body, self._count)
        else:
            retries.note_success()

    def failed(self, exception: BaseException) -> None:
        """End the call with what the program is about to see."""
        if error_of(exception) in RETRYABLE:
            retries.note_failure(self.record.span, self._target, self._body, self._count)
        self.record.end(exception=exception)


def begin(
    recorder: Recorder,
    method: str,
    host: str,
    port: int | None,
    path: str,
    body: Callable[[], bytes | None],
    headers: MutableMapping[str, str],
) -> Exchange | None:
    """Start a call if this request is one; None for every other request. Hot path; never raises.

    Args:
        recorder: `otel_llm.calls.active`.
        method: the HTTP method, upper case.
        host: the server's host name.
        port: its port, None for the scheme's own.
        path: the URL's path, without the query.
        body: returns the request's bytes if they are at hand, else None; must not consume a stream.
        headers: the request's headers; case-insensitive.
    """
    try:
        endpoint = recognise(method, host, path)
        if endpoint is None:
            return None
        content = body()
        if not endpoint.confirm(content) or _covered():
            return None
        target = host + path
        count, before = retries.attempt(target, content, headers.get(retries.RETRY_COUNT_HEADER))
        record = recorder.begin(
            endpoint,
            endpoint.model or endpoint.request_model(content),
            host,
            port,
            content,
            resend_count=count,
            retry_of=before,
        )
        if record is None:
            return None
        exchange = Exchange(record, target, content, count, headers if host in recorder.near else None)
    except Exception:
        drops.internal_error("starting a call")
        return None
    try:
        exchange.enter()
    except Exception:
        drops.internal_error("entering a call")
    return exchange


def _covered() -> bool:
    """Say whether somebody else's span already stands for this call, or nobody wants one."""
    span = trace_api.get_current_span()
    if span is trace_api.INVALID_SPAN:
        return suppressed()
    attributes = getattr(span, "attributes", None)
    if attributes is not None and (
        attributes.get(sc.OPERATION_NAME) in _COVERED_OPERATIONS
        # Instrumentations with conventions of their own mark a model call so.
        or attributes.get("openinference.span.kind") in {"LLM", "EMBEDDING"}
        or "llm.request.type" in attributes
    ):
        return True
    return suppressed()


def recorder() -> Recorder | None:
    """Return the active recorder. Hot path."""
    return calls.active
