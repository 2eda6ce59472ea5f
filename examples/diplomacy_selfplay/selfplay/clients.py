"""Four ways in which programs call models: two SDKs, `aiohttp`, and `requests` on a thread.

All have one method, so that a player does not care. A client is shared by all players and games that use it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

import aiohttp
import anthropic
import openai
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

MAX_TOKENS: Final = 4096
_TIMEOUT_S: Final = 600
_THREADS: Final = 32
"""Calls at once on threads, at most: as many as a loop's executor has."""


class Client(Protocol):
    """Calls models."""

    async def complete(self, model: str, system: str, prompt: str) -> str:
        """Return the model's answer; raises what its library raises."""

    async def close(self) -> None:
        """Let connections go."""


@dataclass(frozen=True)
class Endpoint:
    """Where a client sends its calls.

    Attributes:
        url: such as `http://localhost:8000/v1`.
        key: the API key.
        proxy: an HTTP proxy, None for none.
    """

    url: str
    key: str = field(repr=False)
    proxy: str | None = None


class OpenAIClient:
    """The openai SDK.

    Args:
        endpoint: where to.
        **more: further arguments of each call.
    """

    def __init__(self, endpoint: Endpoint, **more: Any) -> None:
        http = openai.DefaultAsyncHttpxClient(proxy=endpoint.proxy) if endpoint.proxy else None
        self._sdk = openai.AsyncOpenAI(
            api_key=endpoint.key, base_url=endpoint.url, http_client=http, max_retries=4
        )
        self._more = more

    async def complete(self, model: str, system: str, prompt: str) -> str:
        """See `Client`."""
        answer: Any = await self._sdk.chat.completions.create(
            model=model, messages=_messages(system, prompt), **self._more
        )
        return str(answer.choices[0].message.content or "")

    async def close(self) -> None:
        """See `Client`."""
        await self._sdk.close()


class AnthropicClient:
    """The anthropic SDK."""

    def __init__(self, endpoint: Endpoint) -> None:
        http = anthropic.DefaultAsyncHttpxClient(proxy=endpoint.proxy) if endpoint.proxy else None
        self._sdk = anthropic.AsyncAnthropic(
            api_key=endpoint.key,
            base_url=endpoint.url.removesuffix("/v1"),
            http_client=http,
            max_retries=4,
        )

    async def complete(self, model: str, system: str, prompt: str) -> str:
        """See `Client`."""
        answer = await self._sdk.messages.create(
            model=model,
            system=system,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=MAX_TOKENS,
        )
        return "".join(block.text for block in answer.content if block.type == "text")

    async def close(self) -> None:
        """See `Client`."""
        await self._sdk.close()


class AiohttpClient:
    """`aiohttp`, by hand; whoever wants retries makes them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, model: str, system: str, prompt: str) -> str:
        """See `Client`."""
        if self._session is None:  # made here: it wants a running loop
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_TIMEOUT_S))
        async with self._session.post(
            f"{self._endpoint.url}/chat/completions",
            json={"model": model, "messages": _messages(system, prompt)},
            headers={"authorization": f"Bearer {self._endpoint.key}"},
            proxy=self._endpoint.proxy,
            raise_for_status=True,
        ) as response:
            return _said(await response.json())

    async def close(self) -> None:
        """See `Client`."""
        if self._session is not None:
            await self._session.close()


class _Adapter(HTTPAdapter):
    """Sends head and body of a request at once; by a proxy urllib3 would wait 40 ms between the two."""

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """See `HTTPAdapter`."""
        return super().proxy_manager_for(proxy, socket_options=HTTPConnection.default_socket_options, **more)


class RequestsClient:
    """`requests`, which blocks and so is called on a thread of the loop's executor."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(pool_maxsize=_THREADS))
        if endpoint.proxy:
            self._session.proxies = {"http": endpoint.proxy}

    async def complete(self, model: str, system: str, prompt: str) -> str:
        """See `Client`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._complete, model, system, prompt)

    def _complete(self, model: str, system: str, prompt: str) -> str:
        response = self._session.post(
            f"{self._endpoint.url}/chat/completions",
            json={"model": model, "messages": _messages(system, prompt)},
            headers={"authorization": f"Bearer {self._endpoint.key}"},
            timeout=_TIMEOUT_S,
        )
        response.raise_for_status()
        return _said(response.json())

    async def close(self) -> None:
        """See `Client`."""
        self._session.close()


KINDS: Final[dict[str, type[Any]]] = {
    "openai": OpenAIClient,
    "anthropic": AnthropicClient,
    "aiohttp": AiohttpClient,
    "requests": RequestsClient,
}


class Clients:
    """One client of each kind, made when it is first asked for.

    Args:
        endpoints: by kind of client.
    """

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        self._endpoints = endpoints
        self._made: dict[str, Client] = {}

    def get(self, kind: str) -> Client:
        """Return the client of a kind, one of `KINDS`."""
        if kind not in self._made:
            self._made[kind] = KINDS[kind](self._endpoints[kind])
        return self._made[kind]

    def put(self, kind: str, client: Client) -> None:
        """Have another client under a kind of its own."""
        self._made[kind] = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._made.values():
            await client.close()


def _messages(system: str, prompt: str) -> Any:
    return [{"role": "system", "content": system}, {"role": "user", "content": prompt}]


def _said(answer: Any) -> str:
    return str(answer["choices"][0]["message"]["content"] or "")
