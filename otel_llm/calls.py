"""A model call from its first byte to its ended span.

On the caller's thread `Recorder.begin` (in `recording`) starts the span with what a sampler needs, and `CallRecord` keeps
references to bytes, which nobody can change. Everything else (parsing, redaction, pricing, attributes,
metrics) happens in `CallRecord.finish`, on the worker, once.

Knows no provider and no HTTP library: an `Endpoint` of a plug-in brings the parser along.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Span, Status, StatusCode

from otel_llm import drops, hooks
from otel_llm import semconv as sc
from otel_llm.errors import failure_of
from otel_llm.llm import AttributeValue, CallError, LLMCall
from otel_llm.parsing import CallParser, Endpoint, headers_of

if TYPE_CHECKING:
    from otel_llm.attributes import Describer
    from otel_llm.hosts import NearHosts
    from otel_llm.pricing import Cost
    from otel_llm.recording import Recorder
    from otel_llm.scoping import Scope

HAND_OVER_BYTES: Final = 1 << 16
"""A stream's chunks go to the worker whenever so many bytes have gathered, so that a stream of any length holds
no more than this on the caller's side."""

_OVERHEAD_BYTES: Final = 1024
_BROKEN_OFF: Final = frozenset({"cancelled", "connection", "timeout"})


class CallRecord:
    """One attempt at one call, while it runs and until it is finished."""

    # Defaults on the class: making a record is on the hot path, and most of these never change.
    done = False
    scope: Scope | None = None
    streaming = False
    reading = False  # while the client reads for us, a close is not the program's
    timed = True  # whether its start and end are its own: neither unknown nor those of a batch
    nbytes = _OVERHEAD_BYTES
    _first: float | None = None
    _last = 0.0
    _gap_max = 0.0
    _chunks = 0
    _end: float | None = None
    _status: int | None = None
    _headers: Any = None
    _pending_bytes = 0
    _parser: CallParser | None = None
    _failure: CallError | None = None
    _shed = False
    _unavailable = False

    def __init__(
        self,
        recorder: Recorder,
        endpoint: Endpoint,
        span: Span,
        model: str | None,
        host: str,
        port: int | None,
        start_ns: int,
        body: bytes | None,
        content_type: str | None,
    ) -> None:
        self._recorder = recorder
        self.endpoint = endpoint
        self.span = span
        self.start_ns = start_ns
        self.model = model
        self._host = host
        self._port = port
        self._body = body
        self._content_type = content_type
        self._pending: list[bytes] = []
        self._forks = recorder.forks
        self._start = perf_counter()

    # --- on the caller's thread ---------------------------------------------------------------------

    def responded(self, status: int, headers: Any) -> None:
        """Note the response's status and headers (a mapping, or pairs of bytes or text; kept by reference)."""
        self._status = status
        self._headers = headers

    def chunk(self, data: bytes) -> None:
        """Note a piece of the response's body, uncompressed, and when it came. Hot path of streams."""
        before, self._last = self._last, perf_counter()
        if self._chunks:
            if self._last - before > self._gap_max:  # noqa: PLR1730 (`max` is a call)
                self._gap_max = self._last - before
        else:
            self._first = self._last
        self._chunks += 1
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes > HAND_OVER_BYTES:
            self._hand_over()

    def raw_chunk(self, _data: bytes) -> None:
        """Note that a piece came which shows us nothing, still compressed."""
        self.chunk(b"")
        self._pending.clear()

    def content_unavailable(self) -> None:
        """Note that the program reads the body in a way that shows us nothing (raw, still compressed)."""
        self._unavailable = True

    def end(self, content: bytes | None = None, exception: BaseException | None = None) -> None:
        """Hand the call over to be finished. Only the first of several calls counts.

        Args:
            content: the whole body, uncompressed, of a response that was not streamed.
            exception: what the program saw, if it saw one.
        """
        if self.done:
            return
        self.done = True
        if self._forks != self._recorder.forks:
            return  # a copy in a forked child: it is the parent process that ends it
        self._end = perf_counter()
        if content is not None:
            self._pending.append(content)
            self._pending_bytes += len(content)
        if exception is not None:
            self._failure = failure_of(exception)
        self.nbytes = _OVERHEAD_BYTES + self._pending_bytes + (len(self._body) if self._body else 0)
        self._recorder.finisher.put(self)

    def __del__(self) -> None:
        # A response that nobody read or closed: the last reference to it has gone.
        if not self.done and "_start" in self.__dict__:
            try:
                last = self._last
                self.end()
                self._end = last or self._end
            except Exception:
                drops.internal_error("an abandoned call")

    def _hand_over(self) -> None:
        chunks, self._pending, self._pending_bytes = self._pending, [], 0
        if self._forks == self._recorder.forks:
            self._recorder.finisher.put(_Chunks(self, chunks))

    def shed(self) -> None:
        """Let the bodies go; facts about the exchange itself stay."""
        self._shed = True
        self._body = None
        self._pending = []
        self.nbytes = _OVERHEAD_BYTES

    def abandon(self) -> None:
        """End the span with nothing but what it started with."""
        self.shed()
        try:
            self.span.end(self.end_ns)
        except Exception:
            drops.internal_error("abandoning a call")

    # --- on the worker ------------------------------------------------------------------------------

    def feed(self, chunks: list[bytes]) -> None:
        """Parse some of the response."""
        parser = self._parser
        if parser is None:
            parser = self._parser = self.endpoint.parser(self._recorder.limits)
            parser.request(self._body, self._content_type)
            self._body = None
            if self._status is not None:
                parser.response(self._status, headers_of(self._headers))
        for data in chunks:
            parser.feed(data)

    def finish(self) -> None:
        """Parse, describe, price, measure, and end the span at the time the call ended."""
        recorder = self._recorder
        call: LLMCall | None = None
        cost: Cost | None = None
        told: Mapping[str, AttributeValue] = {}
        try:
            call = self._parsed()
            cost = self._price(call)
            if self.span.is_recording():
                told = self._describe(call, cost)
            elif hooks.active:  # not sampled; metrics of the program's own count it all the same
                told = self._attributes(call, cost)
        except Exception:
            drops.internal_error("finishing a call")
        finally:
            # Whatever happened above, the span ends: the program's trace must not have a hole.
            self.span.end(self.end_ns)
        if hooks.active and call is not None:
            self._tell(call, told)
        if call is not None and self.scope is not None:
            _sum_up(self.scope, call, cost, recorder.describer)
        if call is not None and recorder.instruments is not None and recorder.instruments.wanted:
            recorder.instruments.record_call(self, call, None if cost is None else cost.total)

    def _tell(self, call: LLMCall, told: Mapping[str, AttributeValue]) -> None:
        describer = self._recorder.describer
        started_with: dict[str, AttributeValue] = {
            sc.OPERATION_NAME: call.operation,
            sc.PROVIDER_NAME: call.provider,
            sc.SERVER_ADDRESS: self._host,
        }
        if call.request_model:
            started_with[sc.REQUEST_MODEL] = describer.scrub_name(call.request_model)
        if self.scope is not None:
            started_with.update(self.scope.inherited)
        error = None if call.error is None else call.error.type
        told = {**started_with, **told}
        name = describer.span_name(call)
        hooks.finished(hooks.CALL, self.span, name, told, self.start_ns, self.end_ns, error)

    def _price(self, call: LLMCall) -> Cost | None:
        return self._recorder.describer.price(self, call)

    def _parsed(self) -> LLMCall:
        self.feed(self._pending)
        self._pending = []
        assert self._parser is not None  # noqa: S101 (feed has just made it)
        call = self._parser.end()
        self._parser = None
        self._settle(call)
        return call

    def _attributes(self, call: LLMCall, cost: Cost | None) -> dict[str, AttributeValue]:
        describer = self._recorder.describer
        attributes = describer.attributes(self, call, cost)
        if hooks.analysing:
            attributes.update(describer.wanted(hooks.analyse(call, describer.scrub)))
        return attributes

    def _describe(self, call: LLMCall, cost: Cost | None) -> dict[str, AttributeValue]:
        span, describer = self.span, self._recorder.describer
        attributes = self._attributes(call, cost)
        if call.request_model != self.model or call.operation != self.endpoint.operation:
            span.update_name(describer.span_name(call))
        span.set_attributes(attributes)
        if call.error is not None:
            span.set_status(
                Status(StatusCode.ERROR, describer.scrub(call.error.message or call.error.type)),
            )
        describer.before_end(self, call, attributes)
        return attributes

    def _settle(self, call: LLMCall) -> None:
        """Reconcile what the payload said with what happened to the exchange."""
        if self._shed:
            call.truncated = True
        if self._unavailable and call.error is not None and call.error.type == "malformed_response":
            call.error = None  # what was not seen is not malformed
        if self._failure is not None:
            if not call.complete:  # once the payload said that it was whole, closing it early is no failure
                call.error = self._failure
        elif (
            self.streaming
            and not call.complete
            and not self._shed
            and not self._unavailable
            and call.error is None
        ):
            # The program closed or forgot the stream before its payload said that it was whole.
            call.error = CallError("cancelled", message="the stream was closed before its end")
        if call.error is not None and self._status is not None and call.error.type in _BROKEN_OFF:
            call.finish_reasons = call.finish_reasons or ["error"]

    @property
    def end_ns(self) -> int:
        """When the call ended, in nanoseconds since the epoch, by a clock that does not jump."""
        end = self._end if self._end is not None else perf_counter()
        return self.start_ns + int((end - self._start) * 1e9)

    @property
    def duration_s(self) -> float:
        """Seconds from the start of the call to its end."""
        return (self._end if self._end is not None else perf_counter()) - self._start

    @property
    def time_to_first_chunk_s(self) -> float | None:
        """Seconds to the first piece of a streamed answer; None where it was not streamed."""
        return None if self._first is None else self._first - self._start

    @property
    def time_per_chunk_s(self) -> tuple[float, float] | None:
        """Mean and longest time between two chunks, in seconds; None for fewer than two."""
        if self._first is None or self._chunks == 1:
            return None
        return (self._last - self._first) / (self._chunks - 1), self._gap_max

    @property
    def chunks(self) -> int:
        """How many chunks came."""
        return self._chunks

    @property
    def host(self) -> str:
        """The server's host name."""
        return self._host

    @property
    def near_hosts(self) -> NearHosts:
        """The hosts that the trace may go on at."""
        return self._recorder.near

    @property
    def port(self) -> int | None:
        """The server's port."""
        return self._port

    @property
    def status(self) -> int | None:
        """The HTTP status, None where no response came."""
        return self._status

    @property
    def unavailable(self) -> bool:
        """Whether the program read the body in a way that shows us nothing."""
        return self._unavailable


def _sum_up(scope: Scope | None, call: LLMCall, cost: Cost | None, describer: Describer) -> None:
    """Add a finished call to the scope it was made in, and to those above."""
    usage = call.usage
    figures = (
        describer.scrub_name(call.request_model) if call.request_model else None,
        None if usage is None else usage.input_tokens,
        None if usage is None else usage.output_tokens,
        None if cost is None else cost.total,
        None if call.error is None else call.error.type,
    )
    while scope is not None:
        scope.totals.add_call(*figures)
        scope = scope.parent


class _Chunks:
    """Some of a stream's chunks on their way to the worker, ahead of the call's end."""

    __slots__ = ("_chunks", "_record", "nbytes")

    def __init__(self, record: CallRecord, chunks: list[bytes]) -> None:
        self._record = record
        self._chunks = chunks
        self.nbytes = sum(map(len, chunks))

    def finish(self) -> None:
        self._record.feed(self._chunks)

    def shed(self) -> None:
        self._chunks = []
        self._record.shed()
        self.nbytes = 0

    def abandon(self) -> None:
        self.shed()
