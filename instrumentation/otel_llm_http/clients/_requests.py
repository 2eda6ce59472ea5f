"""requests: `Session.send`, and the reading of streamed responses in `Response.iter_content`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from otel_llm import drops, recording
from otel_llm_http.capture import Exchange, MappingHeaders, begin, redirected
from otel_llm_http.clients._patches import Patches
from otel_llm_http.clients._tee import ended, tee
from otel_llm_http.dialects import recognise

_RECORD: Final = "_otel_llm_record"  # not in `Response.__attrs__`, so a pickled response goes without it


def patch(patches: Patches, module: Any) -> None:
    """Patch the classes of requests."""
    patches.replace(module.Session, "send", _send)
    patches.replace(module.Response, "iter_content", _iter_content)
    patches.replace(module.Response, "close", _close)


def _body(request: Any) -> bytes | None:
    body = request.body
    if isinstance(body, str):
        return body.encode()
    return body if isinstance(body, bytes) else None


def _begin(request: Any) -> Exchange | None:
    recorder = recording.active
    if recorder is None:
        return None
    url = urlsplit(request.url)
    host = url.hostname or ""
    redirected(host, MappingHeaders(request.headers))  # each hop comes this way
    endpoint = recognise(request.method, host, url.path)
    if endpoint is None:
        return None
    return begin(
        recorder, endpoint, host, url.port, url.path, _body(request), MappingHeaders(request.headers)
    )


def _send(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        try:
            exchange = _begin(request)
        except Exception:
            drops.internal_error("requests send")
            exchange = None
        if exchange is None:
            return original(self, request, **kwargs)
        try:
            response = original(self, request, **kwargs)
        except BaseException as exception:
            exchange.leave()
            try:
                exchange.failed(exception)
            except Exception:
                drops.internal_error("requests failure")
            raise
        exchange.leave()
        try:
            exchange.responded(response.status_code, response.headers)
            if response._content_consumed:
                exchange.record.end(response.content)
            else:
                exchange.record.streaming = True
                setattr(response, _RECORD, exchange.record)
        except Exception:
            drops.internal_error("requests response")
            ended(exchange.record)
        return response

    return send


def _iter_content(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def iter_content(self: Any, *args: Any, **kwargs: Any) -> Any:
        record = self.__dict__.get(_RECORD)
        chunks = original(self, *args, **kwargs)
        if record is None or record.done or record.reading:
            return chunks
        return tee(chunks, record)

    return iter_content


def _was_read(raw: Any) -> bool:
    """Say whether the program has read `response.raw` itself, which shows us nothing. Never raises."""
    try:
        return bool(raw.tell() > 0 or raw._original_response.isclosed())
    except Exception:  # a transport of the program's own: any object may be `raw`
        return False


def _close(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def close(self: Any) -> None:
        record = self.__dict__.get(_RECORD)
        if record is not None and not record.chunks and _was_read(self.raw):
            record.content_unavailable()
        try:
            original(self)
        finally:
            if record is not None and not record.reading:
                self.__dict__.pop(_RECORD, None)
                ended(record)

    return close
