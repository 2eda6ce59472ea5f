"""A receiver as a whole: endpoints, the store, and how it begins and ends."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_llm.receiving.access import Access, is_loopback
from otel_llm.receiving.http import HttpEndpoint
from otel_llm.receiving.pressure import Budget
from otel_llm.receiving.reading import Timeouts
from otel_llm.receiving.scrubbing import Cleaner
from otel_llm.receiving.writing import Counts, Writing
from otel_llm.store.retention import Retention

if TYPE_CHECKING:
    from otel_llm.receiving.rpc import GrpcEndpoint

_SWITCH_S: Final = 0.0005
"""How long the interpreter lets one thread have it; at Python's 5 ms the event loop waits so long at each read."""
_GC_THRESHOLD: Final = 50_000


class CannotStartError(Exception):
    """The receiver cannot begin; the text says why and what would work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a receiver is run.

    Attributes:
        store: the store's directory.
        host: the address to listen at.
        port: of HTTP; 0: any that is free.
        grpc_port: of gRPC; 0: any; None: no gRPC.
        token: what senders must know; None: nothing. Needed unless only this machine can reach `host`.
        tls: certificate chain and private key, both PEM files; None: no TLS.
        max_body: bytes of one request, as it comes and opened.
        max_queue: bytes that all requests together may hold until they are committed.
        max_connections: of HTTP.
        drain_s: how long requests that have begun may take when the receiver is stopped, in seconds.
        redact_patterns: see `otel_llm.settings.Settings`.
        redact: see there.
        retention: which old files of the store to remove.
        timeouts: of HTTP.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 4318
    grpc_port: int | None = 4317
    token: str | None = field(default=None, repr=False)
    tls: tuple[Path, Path] | None = None
    max_body: int = 64 << 20
    max_queue: int = 128 << 20
    max_connections: int = 512
    drain_s: float = 10.0
    redact_patterns: tuple[str, ...] = ()
    redact: Callable[[str], str] | None = None
    retention: Retention | None = None
    timeouts: Timeouts | None = None


class Receiver:
    """Receives OTLP into a store. To be used on one event loop.

    Args:
        options: how it is run.

    Raises:
        CannotStartError: everybody on the network could write to it.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        if options.token is None and not is_loopback(options.host):
            raise CannotStartError(
                f"{options.host} can be reached by other machines: that needs a token, so that not everybody can "
                "write to the store (--token-file FILE, or OTEL_LLM_RECEIVE_TOKEN)"
            )
        budget = Budget(max(options.max_queue, options.max_body))
        access = Access(options.token)
        cleaner = Cleaner(options.redact_patterns, options.redact)
        self._writing = Writing(options.store, cleaner, options.max_body, options.retention)
        self._http = HttpEndpoint(
            self._writing,
            access,
            budget,
            max_body=options.max_body,
            max_connections=options.max_connections,
            timeouts=options.timeouts,
        )
        self._grpc: GrpcEndpoint | None = None
        self._make_grpc = partial(_grpc_endpoint, self._writing, access, budget, options.max_body)
        self.port = 0
        self.grpc_port: int | None = None

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        return self._writing.counts

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotStartError: an address cannot be had, or a file for TLS is none.
        """
        options = self._options
        self._writing.start()
        context = _tls_context(options.tls)
        try:
            self.port = await self._http.start(options.host, options.port, context)
        except OSError as error:
            raise _taken(options.host, options.port, "--port", error) from error
        if options.grpc_port is None:
            return
        self._grpc = self._make_grpc()
        host = f"[{options.host}]" if ":" in options.host else options.host
        try:
            self.grpc_port = await self._grpc.start(f"{host}:{options.grpc_port}", _credentials(options.tls))
        except OSError as error:
            await self._http.stop(0)
            raise _taken(options.host, options.grpc_port, "--grpc-port", error) from error

    async def stop(self) -> bool:
        """Take nothing more, end what has begun, commit it and close the store, within `drain_s` seconds.

        Returns:
            Whether everything that had begun was ended.
        """
        deadline = time.monotonic() + self._options.drain_s
        stopping = [self._http.stop(self._options.drain_s)]
        if self._grpc is not None:
            stopping.append(self._grpc.stop(self._options.drain_s))
        await asyncio.gather(*stopping)
        left = max(1.0, deadline - time.monotonic())
        return await asyncio.get_running_loop().run_in_executor(None, self._writing.close, left)


def run(options: Options, listening: Callable[[Receiver], None]) -> tuple[Counts, bool]:
    """Run a receiver in this process until it is told to end (SIGTERM, SIGINT).

    Args:
        options: how.
        listening: called when senders may come.

    Returns:
        What happened, and whether everything that had begun was ended.

    Raises:
        CannotStartError: it cannot begin.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_GC_THRESHOLD)
    return asyncio.run(_run(options, listening))


async def _run(options: Options, listening: Callable[[Receiver], None]) -> tuple[Counts, bool]:
    receiver = Receiver(options)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    await receiver.start()
    listening(receiver)
    await over.wait()
    done = await receiver.stop()
    return receiver.counts, done


def _grpc_endpoint(writing: Writing, access: Access, budget: Budget, max_body: int) -> GrpcEndpoint:
    try:
        from otel_llm.receiving.rpc import GrpcEndpoint
    except ImportError as error:
        raise CannotStartError(
            "gRPC needs grpcio: pip install grpcio, or receive HTTP alone with --no-grpc"
        ) from error
    return GrpcEndpoint(writing, access, budget, max_body=max_body)


def _taken(host: str, port: int, option: str, error: OSError) -> CannotStartError:
    return CannotStartError(f"cannot listen at {host}:{port} ({option}): {error.strerror or error}")


def _tls_context(tls: tuple[Path, Path] | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(*tls)
    except (OSError, ssl.SSLError) as error:
        raise CannotStartError(f"the certificate or its key cannot be read: {error}") from error
    return context


def _credentials(tls: tuple[Path, Path] | None) -> Any:
    if tls is None:
        return None
    import grpc

    chain, key = tls
    return grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
