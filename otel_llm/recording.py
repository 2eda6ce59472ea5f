"""What starts calls and scopes and owns what finishes them; the one that is active, or none.

Hooks read `active` on the hot path: None while nothing is instrumented.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry.trace import Link, Span, SpanKind

from otel_llm import hooks
from otel_llm import semconv as sc
from otel_llm.calls import CallRecord
from otel_llm.context import SCOPE_KEY
from otel_llm.games import OpenGames
from otel_llm.llm import Limits
from otel_llm.parsing import Endpoint

if TYPE_CHECKING:
    from otel_llm.attributes import Describer
    from otel_llm.finishing import Finisher
    from otel_llm.hosts import NearHosts
    from otel_llm.instruments import Instruments
    from otel_llm.providers import Seat
    from otel_llm.scope_instruments import ScopeInstruments
    from otel_llm.scoping import Scope


class Recorder:
    """Starts calls and owns what finishes them.

    Args:
        seat: where spans are made.
        finisher: the queue they end through.
        describer: turns an `LLMCall` into attributes.
        instruments: the metrics, or None.
        near: the hosts that the trace may go on at.
        limits: how much of a body is kept and parsed.
        scope_instruments: the metrics of scopes, or None.
        one_trace_a_game: whether a game's phases are spans of the game's own trace.
    """

    __slots__ = (
        "describer",
        "finisher",
        "forks",
        "games",
        "instruments",
        "limits",
        "near",
        "one_trace_a_game",
        "scope_instruments",
        "seat",
    )

    def __init__(
        self,
        seat: Seat,
        finisher: Finisher,
        describer: Describer,
        instruments: Instruments | None,
        near: NearHosts,
        limits: Limits,
        *,
        scope_instruments: ScopeInstruments | None = None,
        one_trace_a_game: bool = False,
    ) -> None:
        self.games = OpenGames()
        self.forks = 0
        if scope_instruments is not None:
            scope_instruments.games = self.games
        self.scope_instruments = scope_instruments
        self.one_trace_a_game = one_trace_a_game
        self.near = near
        self.seat = seat
        self.finisher = finisher
        self.describer = describer
        self.instruments = instruments
        self.limits = limits

    def after_fork_in_child(self) -> None:
        """Leave the scopes that are open to the parent, which ends them."""
        self.forks += 1
        self.games.after_fork_in_child()

    def begin(
        self,
        endpoint: Endpoint,
        model: str | None,
        host: str,
        port: int | None,
        body: bytes | None,
        content_type: str | None = None,
        *,
        resend_count: int = 0,
        retry_of: Span | None = None,
        kind: SpanKind = SpanKind.CLIENT,
        make: type[CallRecord] = CallRecord,
    ) -> CallRecord | None:
        """Start the span of a call, as a child of the current one. Hot path.

        Args:
            endpoint: what is called.
            model: the model asked for, as far as it is known without parsing.
            host: the server's host name; empty where there is no server.
            port: its port, None for the scheme's own.
            body: the request's bytes, by reference; None where they are not at hand.
            content_type: the request's.
            resend_count: how many attempts came before this one.
            retry_of: the span of the attempt before.
            kind: CLIENT, or INTERNAL where the model runs in this process.
            make: what the record is.

        Returns:
            The record, or None where nobody wants it (sampled out, and no metrics).
        """
        operation = endpoint.operation
        scope: Scope | None = context_api.get_current().get(SCOPE_KEY)  # type: ignore[assignment]
        attributes: dict[str, Any] = {}
        if scope is not None:
            scope.below += 1
            attributes.update(scope.inherited)
        attributes |= {sc.OPERATION_NAME: operation, sc.PROVIDER_NAME: endpoint.provider}
        if host:
            attributes[sc.SERVER_ADDRESS] = host
        name = operation
        if model:
            model = self.describer.scrub_name(model)
            attributes[sc.REQUEST_MODEL] = model
            name = f"{operation} {model}"
        if port is not None:
            attributes[sc.SERVER_PORT] = port
        links: Sequence[Link] | None = None
        if resend_count:
            attributes[sc.HTTP_RESEND_COUNT] = resend_count
            if retry_of is not None:
                links = (Link(retry_of.get_span_context(), {sc.LINK_KIND: sc.LINK_RETRY_OF}),)
        start_ns = time_ns()
        if self.describer.drops_any:
            attributes = self.describer.wanted(attributes)
        span = self.seat.tracer().start_span(name, None, kind, attributes, links, start_ns)
        if self.instruments is None and scope is None and not span.is_recording() and not hooks.active:
            return None
        if hooks.starts:
            hooks.started(hooks.CALL, span, name, attributes, start_ns)
        record = make(self, endpoint, span, model, host, port, start_ns, body, content_type)
        record.scope = scope
        return record


_active_lock = threading.Lock()
active: Recorder | None = None
"""The recorder that hooks use; None while nothing is instrumented. Read on the hot path."""


def activate(recorder: Recorder | None) -> None:
    """Give hooks a recorder, or take it away."""
    global active
    with _active_lock:
        active = recorder
