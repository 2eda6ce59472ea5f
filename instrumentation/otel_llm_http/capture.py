"""One HTTP exchange as one model call: what all clients share, sync and async alike.

A client's hook calls `begin` before it sends, `Exchange.responded` or `Exchange.failed` after, and lets the
program see exactly what it would have seen. Nothing here raises into a hook: `begin` returns None instead.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from typing import Any, Final, Protocol

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.calls import CallRecord
from otel_llm.context import carrier
from otel_llm.errors import error_of
from otel_llm.llm import RETRYABLE
from otel_llm.providers import suppressed
from otel_llm.recording import Recorder
from otel_llm_http import retries
from otel_llm_http.dialects import Endpoint

_COVERED_OPERATIONS: Final = sc.INFERENCE_OPERATIONS | {sc.EMBEDDINGS, sc.FETCH_RESPONSE}


class RequestHeaders(Protocol):
    """What is done with a request's headers; names in any case."""

    def get(self, name: str) -> str | None:
        """Return a header's value."""
        ...

    def add(self, name: str, value: str) -> bool:
        """Add a header unless there is one; say whether it was added."""
        ...

    def remove(self, name: str) -> None:
        """Remove a header that `add` added."""
        ...


class MappingHeaders:
    """`RequestHeaders` over any case-insensitive mapping."""

    __slots__ = ("_mapping",)

    def __init__(self, mapping: MutableMapping[str, str]) -> None:
        self._mapping = mapping

    def get(self, name: str) -> str | None:
        """Return a header's value."""
        return self._mapping.get(name)

    def add(self, name: str, value: str) -> bool:
        """Add a header unless there is one; say whether it was added."""
        if name in self._mapping:
            return False
        self._mapping[name] = value
        return True

    def remove(self, name: str) -> None:
        """Remove a header that `add` added."""
        self._mapping.pop(name, None)


class Exchange:
    """A call under way: its record, and what must be undone once the client has sent it."""

    __slots__ = ("_added", "_body", "_count", "_headers", "_sending", "_target", "_token", "record")

    def __init__(self, record: CallRecord, target: str, body: bytes | None, count: int) -> None:
        self.record = record
        self._target = target
        self._body = body
        self._count = count
        self._token: Any = None
        self._added: Mapping[str, str] = {}
        self._headers: RequestHeaders | None = None
        self._sending: Token[Exchange | None] | None = None

    def enter(self, headers: RequestHeaders | None) -> None:
        """Make the span current, and let the trace go on at a near host. Before the client sends.

        Args:
            headers: the request's, if the host is near: they get `traceparent` until `leave`.
        """
        self._token = context_api.attach(trace_api.set_span_in_context(self.record.span))
        if headers is not None:
            self._added = {name: value for name, value in carrier().items() if headers.add(name, value)}
            self._headers = headers
            if self._added:
                self._sending = _sending.set(self)

    def leave(self) -> None:
        """Undo `enter`. After the client has sent, whatever became of it."""
        if self._token is not None:
            context_api.detach(self._token)
            self._token = None
        headers = self._headers
        if headers is not None:
            self._headers = None
            for name in self._added:
                headers.remove(name)
        if self._sending is not None:
            sending, self._sending = self._sending, None
            try:
                _sending.reset(sending)
            except ValueError:  # a coroutine that goes on in another context
                _sending.set(None)

    def take_back(self, headers: RequestHeaders) -> None:
        """Remove what was added to the request's headers from a copy of them."""
        for name, value in self._added.items():
            if headers.get(name) == value:
                headers.remove(name)

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


_sending: ContextVar[Exchange | None] = ContextVar("otel_llm_http_sending", default=None)
"""The exchange whose request is being sent with headers of ours."""


def redirected(host: str, headers: RequestHeaders) -> None:
    """Before a request that may follow a redirect is sent: the trace goes on at near hosts only. Never raises.

    Args:
        host: where it goes now.
        headers: its headers, with all that the client copied from the request before.
    """
    exchange = _sending.get()
    if exchange is None:
        return
    try:
        if host not in exchange.record.near_hosts:
            exchange.take_back(headers)
    except Exception:
        drops.internal_error("a redirect")


def begin(
    recorder: Recorder,
    endpoint: Endpoint,
    host: str,
    port: int | None,
    path: str,
    body: bytes | None,
    headers: RequestHeaders,
) -> Exchange | None:
    """Start a call if this request is one; None for every other request. Hot path; never raises.

    Args:
        recorder: `otel_llm.recording.active`.
        endpoint: what `recognise` makes of method, host and path.
        host: the server's host name.
        port: its port, None for the scheme's own.
        path: the URL's path, without the query.
        body: the request's bytes if they are at hand, else None; a stream must not be consumed for them.
        headers: the request's headers.
    """
    try:
        if not endpoint.confirm(body) or _covered():
            return None
        target = host + path
        count, before = retries.attempt(target, body, headers)
        record = recorder.begin(
            endpoint,
            endpoint.model or endpoint.request_model(body),
            host,
            port,
            body,
            resend_count=count,
            retry_of=before,
        )
        if record is None:
            return None
        exchange = Exchange(record, target, body, count)
    except Exception:
        drops.internal_error("starting a call")
        return None
    try:
        exchange.enter(headers if host in recorder.near else None)
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
        or attributes.get(sc.OPENINFERENCE_SPAN_KIND) in {"LLM", "EMBEDDING"}
        or sc.OPENLLMETRY_REQUEST_TYPE in attributes
    ):
        return True
    return suppressed()
