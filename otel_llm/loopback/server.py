"""The loopback server: a thread with an event loop that answers as LLM providers do.

It binds to 127.0.0.1 only, asks for no key, and draws no random number. Planned behaviour comes from
`plans`, the words from `words` or a callback, the wire format from `protocols`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from types import TracebackType
from typing import Self

from otel_llm.loopback import _http, words
from otel_llm.loopback._answer import Answer
from otel_llm.loopback.exchange import Exchange, Reply, ReplyCallback, Request
from otel_llm.loopback.plans import Plan
from otel_llm.loopback.protocols import Protocol

_GOOD = Plan()


class LoopbackServer:
    """Speaks the protocols of OpenAI, Anthropic, Gemini, Mistral, Groq, Together, Cohere and Ollama.

        with LoopbackServer() as server:
            server.script(plans.rate_limited(0.01), plans.answer("Hello."))
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")

    Point a client at `url` (and the path that its provider has, such as `/v1`), or leave the client's
    own address with `http` for `https` and name the server as `http_proxy`: then even the host is the
    real one. Safe to use from any thread.
    """

    def __init__(
        self, *, reply: ReplyCallback | None = None, default: Plan = _GOOD, port: int = 0, keep: int = 10_000
    ) -> None:
        """Nothing is bound before `start` or `with`.

        Args:
            reply: supplies the answers; None: the server makes them up from the request.
            default: what happens to requests for which no script is left.
            port: 0 takes a free one.
            keep: how many of the newest requests `requests` remembers.
        """
        self._reply = reply
        self._default = default
        self._port = port
        self._requests: deque[Request] = deque(maxlen=keep)
        self._scripts: list[tuple[str, deque[Plan]]] = []
        self._prefixes: set[str] = set()
        self._served = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._bound = threading.Event()
        self._failure: BaseException | None = None

    # --- what users call --------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:40123`.

        Raises:
            RuntimeError: it was not started.
        """
        if self._thread is None:
            raise RuntimeError(
                "the loopback server is not running: use it as a context manager, or start() it"
            )
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Request]:
        """The newest requests, oldest first, with what each was answered."""
        return list(self._requests)

    @property
    def served(self) -> int:
        """How many requests came, those that `requests` forgot among them."""
        return self._served

    def script(self, *plans: Plan, path: str = "") -> None:
        """Plans the next answers, one a request, in order, after what was planned before.

        Args:
            plans: what happens to the next requests.
            path: only for requests whose path contains this; others leave these plans alone.
        """
        with self._lock:
            self._scripts.append((path, deque(plans)))

    def clear(self) -> None:
        """Forgets plans, requests and cached prefixes, and counts from 1 again."""
        with self._lock:
            self._scripts.clear()
            self._requests.clear()
            self._prefixes.clear()
            self._served = 0

    def start(self) -> Self:
        """Binds the port and serves.

        Raises:
            OSError: the port is taken.
        """
        if self._thread is None:
            self._bound.clear()
            self._thread = threading.Thread(target=self._run, name="otel-llm-loopback", daemon=True)
            self._thread.start()
            self._bound.wait()
            failure, self._failure = self._failure, None
            if failure is not None:
                self._thread = None
                raise failure
        return self

    def stop(self) -> None:
        """Closes the port and every connection; does nothing where it is not running."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._bound.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                connections.add(task)
                task.add_done_callback(connections.discard)
            try:
                await self._connection(reader, writer)
            except (OSError, asyncio.CancelledError):
                writer.transport.abort()

        server = await asyncio.start_server(
            connected, "127.0.0.1", self._port, limit=_http.HEAD_LIMIT, backlog=1024
        )
        self._port = server.sockets[0].getsockname()[1]
        self._bound.set()
        await self._stop.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close in the loop's next round

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keep_alive = True
        while keep_alive:
            try:
                raw = await _http.read_request(reader)
            except _http.BadRequestError:
                writer.write(_http.head(400, {"content-length": "0", "connection": "close"}))
                break
            if raw is None:
                break
            with self._lock:
                self._served += 1
                request = Request(
                    self._served, raw.method, raw.host, raw.path, raw.query, raw.headers, raw.body
                )
                self._requests.append(request)
                plan = self._next_plan(request.path)
            if not await Answer(self, request, plan, reader, writer).send():
                writer.transport.abort()
                return
            keep_alive = raw.keep_alive
        writer.close()
        await writer.wait_closed()

    def _next_plan(self, path: str) -> Plan:
        for wanted, planned in self._scripts:
            if planned and wanted in path:
                plan = planned.popleft()
                self._scripts = [script for script in self._scripts if script[1]]
                return plan
        return self._default

    # --- what is said -----------------------------------------------------------------------------

    def exchange(self, protocol: Protocol, request: Request, plan: Plan) -> Exchange:
        """The neutral side of an answer: what is asked, what is said, what it costs in tokens."""
        ask = protocol.ask(request)
        said = plan.reply
        if said is None and self._reply is not None:
            made = self._reply(ask)
            said = Reply(made) if isinstance(made, str) else made
        if said is None:
            said = words.default_reply(ask)
        said = words.fit(said, ask.max_tokens, plan.chunks)
        cached = bool(ask.prefix) and ask.prefix in self._prefixes
        if plan.error is None and ask.prefix:
            self._prefixes.add(ask.prefix)
        return Exchange(
            request, ask, said, words.usage(ask, said, cached=cached), words.pieces(said.text, plan.chunks)
        )
