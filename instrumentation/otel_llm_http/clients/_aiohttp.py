"""aiohttp: `ClientSession._request`, through which all its methods go, and the reading of `response.content`.

Bodies are seen where the program reads them: `response.content` becomes a transparent proxy of itself.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import wrapt

from otel_llm import drops, recording
from otel_llm.calls import CallRecord
from otel_llm_http.capture import Exchange, MappingHeaders, begin, redirected
from otel_llm_http.clients._patches import Patches
from otel_llm_http.clients._tee import ended, noted
from otel_llm_http.dialects import recognise

_RECORD: Final = "_otel_llm_record"
_FIRST_ERROR: Final = 400


def patch(patches: Patches, module: Any) -> None:
    """Patch the classes of aiohttp."""
    patches.replace(module.ClientSession, "_request", functools.partial(_request, aiohttp=module))
    patches.replace(module.ClientRequest, "send", _send)
    patches.replace(module.ClientResponse, "release", _closing)
    patches.replace(module.ClientResponse, "close", _closing)


def _body(aiohttp: Any, session: Any, kwargs: dict[str, Any]) -> bytes | None:
    """Return the request's bytes where they are at hand.

    `json=` is put into the payload that aiohttp would make of it in a moment, so that it is serialised once.
    """
    if kwargs.get("json") is not None and kwargs.get("data") is None:
        if (to_bytes := getattr(session, "_json_serialize_bytes", None)) is not None:
            payload = aiohttp.payload.JsonBytesPayload(kwargs["json"], dumps=to_bytes)
        else:
            payload = aiohttp.payload.JsonPayload(kwargs["json"], dumps=session._json_serialize)
        del kwargs["json"]
        kwargs["data"] = payload
    data = kwargs.get("data")
    data = getattr(data, "_value", data)
    if isinstance(data, str):
        return data.encode()
    return bytes(data) if isinstance(data, bytes | bytearray) else None


def _begin(aiohttp: Any, session: Any, method: str, target: Any, kwargs: dict[str, Any]) -> Exchange | None:
    recorder = recording.active
    if recorder is None:
        return None
    url = session._build_url(target)
    host = url.host or ""
    endpoint = recognise(method.upper(), host, url.path)
    if endpoint is None:
        return None
    headers = session._prepare_headers(kwargs.get("headers"))
    body = _body(aiohttp, session, kwargs)
    exchange = begin(recorder, endpoint, host, url.explicit_port, url.path, body, MappingHeaders(headers))
    if exchange is not None:
        kwargs["headers"] = headers  # a copy of the program's: what is added here it never sees
    return exchange


def _request(original: Callable[..., Awaitable[Any]], *, aiohttp: Any) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(original)
    async def _request(self: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
        ours = dict(kwargs)
        try:
            exchange = _begin(aiohttp, self, method, str_or_url, ours)
        except Exception:
            drops.internal_error("aiohttp request")
            exchange = None
        if exchange is None:
            return await original(self, method, str_or_url, **kwargs)
        try:
            response = await original(self, method, str_or_url, **ours)
        except BaseException as exception:
            exchange.leave()
            try:
                _failed(aiohttp, exchange, exception)
            except Exception:
                drops.internal_error("aiohttp failure")
            raise
        exchange.leave()
        try:
            exchange.responded(response.status, response.headers)
            record = exchange.record
            record.streaming = True
            setattr(response, _RECORD, record)
            response.content = _Reader(response.content, record)
        except Exception:
            drops.internal_error("aiohttp response")
            ended(exchange.record)
        return response

    return _request


def _send(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(original)
    async def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        redirected(self.url.host or "", MappingHeaders(self.headers))  # each hop comes this way
        return await original(self, *args, **kwargs)

    return send


def _failed(aiohttp: Any, exchange: Exchange, exception: BaseException) -> None:
    """End a call for which the program gets no response.

    With `raise_for_status=True` there was one: what it said counts, not that aiohttp made an exception of it.
    """
    if isinstance(exception, aiohttp.ClientResponseError) and exception.status >= _FIRST_ERROR:
        exchange.responded(exception.status, exception.headers or {})
        exchange.record.end()
    else:
        exchange.failed(exception)


def _closing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def closing(self: Any) -> Any:
        try:
            return original(self)
        finally:
            record = self.__dict__.get(_RECORD)
            if record is not None and not record.reading:
                del self.__dict__[_RECORD]
                ended(record)

    return closing


class _Reader(wrapt.ObjectProxy):  # type: ignore[type-arg,misc,unused-ignore]
    """`response.content`, seen through: each way to read it notes what the program gets."""

    def __init__(self, wrapped: Any, record: CallRecord) -> None:
        super().__init__(wrapped)
        self._self_record = record

    async def _read(self, read: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        record = self._self_record
        if record.done:
            return await read(*args, **kwargs)
        record.reading = True
        try:
            data = await read(*args, **kwargs)
        except BaseException as exception:
            ended(record, exception)
            raise
        finally:
            record.reading = False
        self._note(data[0] if isinstance(data, tuple) else data)
        return data

    def _note(self, data: bytes) -> None:
        record = self._self_record
        if record.done:
            return
        if data:
            noted(record, data)
        if self.__wrapped__.at_eof():
            ended(record)

    async def read(self, *args: Any, **kwargs: Any) -> Any:
        return await self._read(self.__wrapped__.read, *args, **kwargs)

    async def readany(self) -> Any:
        return await self._read(self.__wrapped__.readany)

    async def readexactly(self, n: int) -> Any:
        return await self._read(self.__wrapped__.readexactly, n)

    async def readline(self, *args: Any, **kwargs: Any) -> Any:
        return await self._read(self.__wrapped__.readline, *args, **kwargs)

    async def readuntil(self, *args: Any, **kwargs: Any) -> Any:
        return await self._read(self.__wrapped__.readuntil, *args, **kwargs)

    async def readchunk(self) -> Any:
        return await self._read(self.__wrapped__.readchunk)

    def read_nowait(self, *args: Any, **kwargs: Any) -> Any:
        data = self.__wrapped__.read_nowait(*args, **kwargs)
        self._note(data)
        return data

    # aiohttp's own iterators, built on the readers above instead of those of the wrapped object.

    def iter_any(self) -> Any:
        return type(self.__wrapped__.iter_any())(self.readany)

    def iter_chunked(self, n: int) -> Any:
        return type(self.__wrapped__.iter_chunked(n))(lambda: self.read(n))

    def iter_chunks(self) -> Any:
        return type(self.__wrapped__.iter_chunks())(self)

    def __aiter__(self) -> Any:
        return type(self.__wrapped__.__aiter__())(self.readline)
