"""What all dialects share: framing, headers, errors, bounds. A dialect says only what its JSON means.

Runs on the worker, or for the first pieces of a long stream ahead of its end. Nothing here raises: what cannot be
understood leaves a field empty, or the call with the error `malformed_response`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import orjson

from otel_llm import semconv as sc
from otel_llm.llm import CallError, Limits, LLMCall, Usage
from otel_llm_http.dialects import _failures, _headers
from otel_llm_http.dialects._bounds import bounded
from otel_llm_http.dialects._frames import Frame, LineDecoder, SSEDecoder
from otel_llm_http.dialects._framing import DECODERS, Decoder, framing
from otel_llm_http.dialects._scan import string_of
from otel_llm_http.dialects._template import Template, template
from otel_llm_http.dialects._values import loads

_BATCH: Final = 32 << 10
_MAX_ERROR_BODY: Final = 256 << 10
_DONE: Final = b"[DONE]"
_REDIRECT: Final = 300
_FAILED: Final = 400


class CallParser:
    """Reads one HTTP exchange into an `LLMCall`: `request`, `response`, `feed` any number of times, `end`.

    A dialect overrides the hooks that start with `_on_`; what they raise is caught.

    Args:
        operation: the operation that the path stands for.
        provider: whom the host belongs to.
        model: the model, where the path names it.
        stream: whether the path says that the answer comes in pieces.
        limits: the bounds.
    """

    __slots__ = (
        "_body",
        "_decoder",
        "_events",
        "_headers",
        "_malformed",
        "_mode",
        "_pending",
        "_pending_bytes",
        "_size",
        "_status",
        "_template",
        "_threshold",
        "call",
        "left",
        "limits",
        "path_model",
    )

    text_key: ClassVar[bytes] = b""
    """The JSON key (with quotes and colon) under which most of a stream's events have their only news."""

    fetches: ClassVar[bool] = False
    """Whether the exchange only fetches what another one generated: then it has no usage of its own."""

    def __init__(
        self, operation: str, provider: str, model: str | None, stream: bool, limits: Limits
    ) -> None:
        self.call = LLMCall(operation, provider, model, stream=stream)
        self.path_model = model
        self.limits = limits
        self.left = limits.max_text
        self._status: int | None = None
        self._headers: Mapping[str, str] | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._threshold = _BATCH
        self._size = 0
        self._body: list[bytes] | None = None
        self._decoder: Decoder | None = None
        self._events = 0
        self._template: Template | None = None
        self._malformed = False
        self._mode = ""

    # --- the contract ---------------------------------------------------------------------------------

    def request(self, body: bytes | None, content_type: str | None = None) -> None:  # noqa: ARG002
        """Read the request's body.

        Args:
            body: its bytes; None where they were not at hand.
            content_type: its content type; not needed by any dialect so far.
        """
        if not body:
            return
        call = self.call
        try:
            if len(body) > self.limits.max_body:
                call.truncated = True
                call.request_model = self.path_model or string_of(body, b'"model"')
                return
            payload = loads(body)
            if type(payload) is dict:
                self._on_request(payload)
        except Exception:
            pass
        if len(body) > self.limits.max_text:
            call.truncated |= bounded(
                (call.system_instructions, call.tool_definitions, call.input_messages), self.limits.max_text
            )

    def response(self, status: int, headers: Mapping[str, str]) -> None:
        """Note the response's status and headers (names in lower case)."""
        self._status = status
        self._headers = headers
        try:
            _headers.describe(headers, self.call.response)
            self._on_headers(headers)
        except Exception:
            pass

    def feed(self, data: bytes) -> None:
        """Take some of the response's body, uncompressed."""
        # Pieces are gathered before they are parsed, since a batch is cheaper than many single events.
        self._pending.append(data)
        size = self._pending_bytes = self._pending_bytes + len(data)
        if size >= self._threshold:
            try:
                self._drain(final=False)
            except Exception:
                self._malformed = True

    def end(self) -> LLMCall:
        """Return the call. The parser must not be used any more."""
        call = self.call
        try:
            self._drain(final=True)
            self._conclude()
        except Exception:
            self._malformed = True
        if self._mode != "error":
            try:
                self._on_end()
            except Exception:
                self._malformed = True
        try:
            self._settle()
        except Exception:
            call.error = call.error or CallError("malformed_response")
        return call

    # --- what a dialect says --------------------------------------------------------------------------

    def _on_request(self, body: dict[str, Any]) -> None:
        """Read the request's JSON object."""

    def _on_headers(self, headers: Mapping[str, str]) -> None:
        """Read headers of the response that only this dialect knows."""

    def _on_response(self, body: Any) -> bool:
        """Read the JSON of an answer that came whole; say whether it was one."""
        raise NotImplementedError

    def _on_event(self, name: str | None, event: Any) -> Callable[[str], None] | None:
        """Read the JSON of one event of a stream.

        Returns:
            What took the text of an event that held one piece of text under `text_key`, and else nothing that an
            event before it had not told; None for any other event.
        """
        raise NotImplementedError

    def _on_done(self) -> None:
        """Read the event `[DONE]`."""
        self.call.complete = True

    def _on_end(self) -> None:
        """Put together what came in pieces; also if the stream broke off. Not called for a failed status."""

    def _slimmed(self, body: bytes) -> bytes:
        """Return the body of a whole answer without what need not be parsed."""
        return body

    # --- helpers for dialects -------------------------------------------------------------------------

    def usage(self) -> Usage:
        """Return the call's usage, making one if there is none."""
        usage = self.call.usage
        if usage is None:
            usage = self.call.usage = Usage()
        return usage

    def room(self, text: str) -> str:
        """Return as much of a piece of the answer as may still be kept."""
        left = self.left
        self.left = left - len(text)
        if self.left >= 0:
            return text
        self.left = 0
        self.call.truncated = True
        return text[:left]

    def fail(self, payload: Any) -> None:
        """Note an error that came with a good status, whole or within a stream."""
        if self.call.error is None:
            self.call.error = _failures.from_payload(payload, None)

    # --- framing --------------------------------------------------------------------------------------

    def _drain(self, *, final: bool) -> None:
        pending = self._pending
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        self._pending = []
        self._pending_bytes = 0
        if not self._mode:
            self._mode = self._choose(data, final=final)
            if not self._mode:
                return
            if isinstance(self._decoder, SSEDecoder):
                data = data.lstrip(b" \t\r\n")
        decoder = self._decoder
        if decoder is None:
            self._gather(data)
            return
        frames = decoder.feed(data, final=final)
        # A piece of an event that is not whole is copied each time: wait for as much again as there is.
        self._threshold = max(_BATCH, decoder.pending)
        if frames:
            self._dispatch(frames, cut=decoder.cut)
        if decoder.overflowed:
            self.call.truncated = True

    def _choose(self, data: bytes, *, final: bool) -> str:
        """Find out how the body is framed; empty where it is not known yet."""
        status = self._status
        if status is not None and status >= _REDIRECT:
            mode = "error"
        else:
            headers = self._headers
            mode = framing(headers.get("content-type", "") if headers else "", data, final=final)
            if not mode:
                self._pending = [data]
                self._pending_bytes = len(data)
                self._threshold = _BATCH + len(data)
                return ""
        make = DECODERS.get(mode)
        if make is not None:
            self._decoder = make(self.limits.max_body)
        else:
            self._body = []
        return mode

    def _gather(self, data: bytes) -> None:
        body = self._body
        if body is None:
            return
        self._size += len(data)
        if self._size > self.limits.max_body:
            self.call.truncated = True
            self._body = None
        elif self._mode == "error" and self._size - len(data) > _MAX_ERROR_BODY:
            return
        else:
            body.append(data)

    def _dispatch(self, frames: list[Frame], *, cut: bool) -> None:
        on_event = self._on_event
        key = self.text_key
        self._events += len(frames)
        last = len(frames) - 1
        known = self._template
        for at, (name, data) in enumerate(frames):
            if known is not None and (piece := known.text(data)) is not None:
                known.take(piece)
                continue
            try:
                payload = orjson.loads(data)
            except orjson.JSONDecodeError:
                if data.strip() == _DONE:
                    self._on_done()
                    continue
                try:
                    payload = loads(data)
                except ValueError:
                    # What the connection's end cut off is not the server's fault.
                    if not (cut and at == last):
                        self._malformed = True
                    continue
            try:
                take = on_event(name, payload)
            except Exception:
                self._malformed = True
                continue
            if take is not None and key and (fresh := template(data, key, take)) is not None:
                known = fresh
        self._template = known

    # --- the end --------------------------------------------------------------------------------------

    def _conclude(self) -> None:
        """Read a body that came whole."""
        call = self.call
        status = self._status
        body = b"".join(self._body) if self._body is not None else b""
        self._body = None
        if status is not None and status >= _FAILED:
            call.error = _failures.from_response(status, body)
            if (wait := _failures.retry_delay(body)) is not None:
                call.response.setdefault(sc.RETRY_AFTER, wait)
            return
        if self._decoder is not None or status is None:
            return
        if status >= _REDIRECT:
            call.error = CallError("malformed_response", message=f"HTTP status {status}")
            return
        if not body or body.isspace():
            if not call.truncated and not call.stream:
                self._malformed = True
            return
        self._whole(body)
        if len(body) > self.limits.max_text:
            call.truncated |= bounded((call.output_messages,), self.limits.max_text)

    def _whole(self, body: bytes) -> None:
        try:
            slim = self._slimmed(body)
            try:
                payload = loads(slim)
            except ValueError:
                if slim is body:
                    raise
                payload = loads(body)
        except ValueError:
            self._lines(body)
            return
        if self._on_response(payload):
            self.call.complete = self.call.error is None
        elif self.call.error is None:
            if _failures.holds_error(payload):
                self.fail(payload)
            else:
                self._malformed = True

    def _lines(self, body: bytes) -> None:
        """Try a body that is no JSON as lines of JSON: not every server names the type."""
        decoder = LineDecoder(self.limits.max_body)
        frames = decoder.feed(body, final=True)
        if not (len(frames) > 1 and frames[0][1].startswith(b"{")):
            self._malformed = True
            return
        try:
            orjson.loads(frames[0][1])
        except orjson.JSONDecodeError:
            self._malformed = True
            return
        self._dispatch(frames, cut=decoder.cut)

    def _settle(self) -> None:
        call = self.call
        status = self._status
        if self.fetches:
            call.usage = None
        if self._malformed and call.error is None and not call.complete:
            call.error = CallError("malformed_response", message=self._complaint())
        if call.error is not None:
            call.complete = False
        if (
            status is not None
            and status < _REDIRECT
            and not call.complete
            and call.operation in sc.INFERENCE_OPERATIONS
        ):
            # The convention's word for an answer that broke off.
            call.finish_reasons = call.finish_reasons or ["error"]

    def _complaint(self) -> str | None:
        kind = (self._headers or {}).get("content-type")
        return f"not a readable answer (content type {kind[:100]})" if kind else "not a readable answer"
