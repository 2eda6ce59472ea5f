"""`otel-llm receive`: an OTLP endpoint that writes what others send to the store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from otel_llm.cli import figures, reading
from otel_llm.cli.errors import CliError

TOKEN: Final = "OTEL_LLM_RECEIVE_TOKEN"  # noqa: S105 (the variable's name)
_MAX_TOKEN: Final = 8192


def receive(
    *,
    host: str,
    port: int,
    grpc_port: int | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_body_mb: float,
    max_queue_mb: float,
    store: Path | None,
) -> int:
    """Receive until told to end.

    Args:
        host: the address to listen at.
        port: of HTTP.
        grpc_port: of gRPC; None: none.
        token_file: what senders must know; None: what the variable says.
        tls_cert: certificate chain, PEM.
        tls_key: its private key.
        max_body_mb: size of a request in MB.
        max_queue_mb: size of all requests at a time in MB.
        store: the store's directory, None for the configured one.

    Returns:
        The exit code: 1 where requests that had begun could not be ended.

    Raises:
        CliError: it cannot be started so.
    """
    if (tls_cert is None) != (tls_key is None):
        raise CliError("--tls-cert and --tls-key go together")
    from otel_llm.receiving.server import CannotStartError, Options, Receiver, run
    from otel_llm.settings import Settings
    from otel_llm.store import Retention

    settings = Settings.resolve({})
    where = reading.directory(store)
    token = _token(token_file)
    options = Options(
        store=where,
        host=host,
        port=port,
        grpc_port=grpc_port,
        token=token,
        tls=None if tls_cert is None or tls_key is None else (tls_cert, tls_key),
        max_body=int(max_body_mb * (1 << 20)),
        max_queue=int(max_queue_mb * (1 << 20)),
        redact_patterns=settings.redact_patterns,
        redact=settings.redact,
        retention=Retention(settings.store_max_age_days * 86_400, settings.store_max_bytes),
    )

    def listening(receiver: Receiver) -> None:
        scheme = "http" if options.tls is None else "https"
        shown = f"[{host}]" if ":" in host else host
        grpc = "" if receiver.grpc_port is None else f", gRPC at {shown}:{receiver.grpc_port}"
        sys.stdout.write(f"receiving OTLP at {scheme}://{shown}:{receiver.port}{grpc}; storing in {where}\n")
        if token is not None and options.tls is None:
            sys.stdout.write("the token travels as it is: use --tls-cert where the network is not yours\n")
        sys.stdout.flush()

    try:
        counts, done = run(options, listening)
    except CannotStartError as error:
        raise CliError(str(error), code=1) from None
    kept = (
        (counts.spans, "span"),
        (counts.points, "metric point"),
        (counts.logs, "log record"),
        (counts.series, "scalar"),
    )
    sys.stdout.write("stored " + ", ".join(figures.plural(n, what) for n, what in kept) + "\n")
    requests = counts.requests.get("repeated", 0)
    if requests or counts.repeated:
        again = f"{figures.plural(requests, 'request')} and {figures.plural(counts.repeated, 'other span')}"
        sys.stdout.write(f"sent again, and there already: {again}\n")
    if counts.rejected:
        sys.stdout.write(f"rejected: {figures.plural(counts.rejected, 'span')}\n")
    if not done:
        sys.stdout.flush()
        sys.stderr.write(
            "otel-llm: some requests could not be ended in time; their senders were not answered\n"
        )
    return 0 if done else 1


def _token(file: Path | None) -> str | None:
    if file is None:
        token = os.environ.pop(TOKEN, None)
        where = TOKEN
    else:
        where = str(file)
        try:
            token = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"the token cannot be read from {file}: {error}", code=1) from None
    if token is None:
        return None
    token = token.strip()
    if not token or len(token) > _MAX_TOKEN or not token.isascii() or any(c.isspace() for c in token):
        raise CliError(f"{where} holds no token: one word of visible ASCII characters", code=1)
    return token
