"""httpx and httpx2: `Client.send`, `AsyncClient.send`, and the reading of streamed responses.

`send` is the one public method below every SDK: before auth and redirects, after the request is built, once an
attempt. Streamed bodies are seen where they are read, uncompressed, in `Response.iter_bytes`. The record of a
streamed call travels in `Response.extensions`, which is made for it and left out when a response is pickled.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final

from otel_llm import calls, drops
from otel_llm.calls import CallRecord
from otel_llm_http.capture import Exchange, begin
from otel_llm_http.clients._patches import Patches

_RECORD: Final = "otel_llm"


def patch(patches: Patches, module: Any) -> None:
    """Patch the classes of httpx or httpx2."""
    patches.replace(module.Client, "send", _send)
    patches.replace(module.AsyncClient, "send", _asend)
    response = module.Response
    patches.replace(response, "iter_bytes", functools.partial(_reader, tee=_tee, raw=False))
    patches.replace(response, "iter_raw", functools.partial(_reader, tee=_tee, raw=True))
    patches.replace(response, "aiter_bytes", functools.partial(_reader, tee=_atee, raw=False))
    patches.replace(response, "aiter_raw", functools.partial(_reader, tee=_atee, raw=True))
    patches.replace(response, "close", _close)
    patches.replace(response, "aclose", _aclose)


def _begin(request: Any) -> Exchange | None:
    recorder = calls.active
    if recorder is None:
        return None
    url = request.url
    return begin(
        recorder,
        request.method,
        url.host,
        url.port,
        url.path,
        # Never `request.content`: it raises on a streamed upload. What is not loaded is not looked at.
        lambda: request.__dict__.get("_content"),
        request.headers,
    )


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
        exchange.record.end()


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


def _tee(chunks: Generator[bytes, None, None], record: CallRecord, visible: bool) -> Generator[bytes, None, None]:
    # `reading` is true while the client works for us: a `close` from in there is not the program's.
    note = record.chunk if visible else record.raw_chunk
    try:
        record.reading = True
        for data in chunks:
            record.reading = False
            note(data)
            yield data
            record.reading = True
    except GeneratorExit:
        record.end()
        raise
    except BaseException as exception:
        record.end(exception=exception)
        raise
    else:
        record.end()
    finally:
        record.reading = False
        chunks.close()


async def _atee(chunks: AsyncGenerator[bytes, None], record: CallRecord, visible: bool) -> AsyncGenerator[bytes, None]:
    note = record.chunk if visible else record.raw_chunk
    try:
        record.reading = True
        async for data in chunks:
            record.reading = False
            note(data)
            yield data
            record.reading = True
    except GeneratorExit:
        record.end()
        raise
    except BaseException as exception:
        record.end(exception=exception)
        raise
    else:
        record.end()
    finally:
        record.reading = False
        await chunks.aclose()


def _closed(response: Any) -> None:
    record = response.extensions.pop(_RECORD, None) if not _is_reading(response) else None
    if record is not None:
        record.end()


def _is_reading(response: Any) -> bool:
    record = response.extensions.get(_RECORD)
    return record is not None and record.reading


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
