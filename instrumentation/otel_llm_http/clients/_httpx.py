"""httpx and httpx2: `Client.send`, `AsyncClient.send`, and the reading of streamed responses.

`send` is the one public method below every SDK: before auth and redirects, after the request is built, once an
attempt. Streamed bodies are seen where they are read, uncompressed, in `Response.iter_bytes`. The record of a
streamed call travels in `Response.extensions`, which is made for it and left out when a response is pickled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from otel_llm import drops, recording
from otel_llm_http.capture import Exchange, begin, redirected
from otel_llm_http.clients._patches import Patches
from otel_llm_http.clients._tee import atee, ended, tee
from otel_llm_http.dialects import recognise

_RECORD: Final = "otel_llm"
_REDIRECT: Final = "_redirect_headers"


def patch(patches: Patches, module: Any) -> None:
    """Patch the classes of httpx or httpx2."""
    patches.replace(module.Client, "send", _send)
    patches.replace(module.AsyncClient, "send", _asend)
    for client in (module.Client, module.AsyncClient):
        if hasattr(client, _REDIRECT):  # private; there is no public place between two hops
            patches.replace(client, _REDIRECT, _redirect_headers)
    response = module.Response
    patches.replace(response, "iter_bytes", functools.partial(_reader, tee=tee, raw=False))
    patches.replace(response, "iter_raw", functools.partial(_reader, tee=tee, raw=True))
    patches.replace(response, "aiter_bytes", functools.partial(_reader, tee=atee, raw=False))
    patches.replace(response, "aiter_raw", functools.partial(_reader, tee=atee, raw=True))
    patches.replace(response, "close", _close)
    patches.replace(response, "aclose", _aclose)


class _Headers:
    """The few things that `capture` does with a request's headers, without what they cost in httpx.

    A `Headers.__setitem__` takes several microseconds. Their list of `(raw name, lower-case name, value)` is
    private; where it is not there, the public way is taken.
    """

    __slots__ = ("_headers", "_list")

    def __init__(self, headers: Any) -> None:
        self._headers = headers
        self._list: list[tuple[bytes, bytes, bytes]] | None = getattr(headers, "_list", None)

    def get(self, name: str) -> str | None:
        value: str | None = self._headers.get(name)
        return value

    def add(self, name: str, value: str) -> bool:
        """Add a header unless there is one; say whether it was added."""
        if self._list is None:
            if name in self._headers:
                return False
            self._headers[name] = value
            return True
        raw = name.lower().encode("ascii")
        for _, key, _ in self._list:
            if key == raw:
                return False
        self._list.append((raw, raw, value.encode("ascii")))
        return True

    def remove(self, name: str) -> None:
        """Remove a header that `add` added."""
        if self._list is None:
            self._headers.pop(name, None)
            return
        raw = name.lower().encode("ascii")
        self._list[:] = [entry for entry in self._list if entry[1] != raw]


def _begin(request: Any) -> Exchange | None:
    recorder = recording.active
    if recorder is None:
        return None
    url = request.url
    host, path = url.host, url.path
    endpoint = recognise(request.method, host, path)
    if endpoint is None:
        return None
    # Never `request.content`: it raises on a streamed upload. What is not loaded is not looked at.
    body = request.__dict__.get("_content")
    return begin(recorder, endpoint, host, url.port, path, body, _Headers(request.headers))


def _answered(exchange: Exchange, response: Any, stream: bool) -> None:
    """Note the response; a streamed one will be finished where it is read."""
    try:
        exchange.responded(response.status_code, response.headers)
        record = exchange.record
        if stream and not hasattr(response, "_content"):
            record.streaming = True
            response.extensions[_RECORD] = record
        else:
            record.end(response.content)
    except Exception:
        drops.internal_error("httpx response")
        ended(exchange.record)


def _failed(exchange: Exchange, exception: BaseException) -> None:
    try:
        exchange.failed(exception)
    except Exception:
        drops.internal_error("httpx failure")


def _send(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            exchange = _begin(request)
        except Exception:
            drops.internal_error("httpx send")
            exchange = None
        if exchange is None:
            return original(self, request, *args, **kwargs)
        try:
            response = original(self, request, *args, **kwargs)
        except BaseException as exception:
            exchange.leave()
            _failed(exchange, exception)
            raise
        exchange.leave()
        _answered(exchange, response, bool(kwargs.get("stream")))
        return response

    return send


def _asend(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            exchange = _begin(request)
        except Exception:
            drops.internal_error("httpx send")
            exchange = None
        if exchange is None:
            return await original(self, request, *args, **kwargs)
        try:
            response = await original(self, request, *args, **kwargs)
        except BaseException as exception:
            exchange.leave()
            _failed(exchange, exception)
            raise
        exchange.leave()
        _answered(exchange, response, bool(kwargs.get("stream")))
        return response

    return send


def _redirect_headers(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _redirect_headers(self: Any, request: Any, url: Any, method: str) -> Any:
        headers = original(self, request, url, method)
        redirected(url.host, _Headers(headers))
        return headers

    return _redirect_headers


def _reader(original: Callable[..., Any], *, tee: Callable[..., Any], raw: bool) -> Callable[..., Any]:
    """Wrap one of the four ways to read a body."""

    @functools.wraps(original)
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        record = self.extensions.get(_RECORD)
        # `iter_bytes` reads through `iter_raw`: only the outer one looks.
        if record is None or record.done or record.reading:
            return original(self, *args, **kwargs)
        visible = not (raw and self.headers.get("content-encoding"))
        if not visible:
            record.content_unavailable()
        return tee(original(self, *args, **kwargs), record, visible)

    return read


def _closed(response: Any) -> None:
    try:
        record = response.extensions.get(_RECORD)
        if record is not None and not record.reading:
            del response.extensions[_RECORD]
            ended(record)
    except Exception:
        drops.internal_error("httpx close")


def _close(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def close(self: Any) -> None:
        try:
            original(self)
        finally:
            _closed(self)

    return close


def _aclose(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def aclose(self: Any) -> None:
        try:
            await original(self)
        finally:
            _closed(self)

    return aclose
